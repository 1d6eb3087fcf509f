"""What the application is told: values of the contract, checked and put into its pods (EN-3).

Leaves out the table of variables (contract.py) and the computed values (outputs.py). The
application's own variables pass through unchecked.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

import pulumi
import pulumi_kubernetes as k8s

from components.contract import CONTRACT, NEVER_IN_PODS, TABLE, Source, Stage, Variable
from components.stack_config import SECRET, UNREADABLE, refuse

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
NAME_RULE = "allowed A-Z, 0-9 and _, not starting with 0-9"
LEAST_HSTS_S = 31_536_000  # a year (settled contradiction S-23)
OAUTH_PAIRS = (
    ("GITHUB_CLIENT_ID", "GITHUB_CLIENT_SECRET"),
    ("GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET"),
)
TOGETHER = (
    *OAUTH_PAIRS,
    ("SUPABASE_URL", "SUPABASE_ANON_KEY", "SUPABASE_SERVICE_ROLE_KEY"),
)


@dataclass(frozen=True, kw_only=True)
class EnvironmentConfig:
    stage: Stage
    env: dict[str, str]
    secret_env: dict[str, str] = field(metadata=SECRET, repr=False)
    extra_env: dict[str, str]
    extra_secret_env: dict[str, str] = field(metadata=SECRET, repr=False)
    required_env: tuple[str, ...]
    require_oauth: bool
    env_names: dict[str, str]

    def __post_init__(self) -> None:
        given = self.env | self.secret_env
        refuse(
            [
                *_misplaced("env", self.env, Source.PLAIN),
                *_misplaced("secret_env", self.secret_env, Source.SECRET),
                *_malformed("env", self.env),
                *_malformed("secret_env", self.secret_env),
                *_own("extra_env", self.extra_env),
                *_own("extra_secret_env", self.extra_secret_env),
                *_missing(self.required_env, given),
                *_incomplete(given, self.require_oauth),
                *_twice(self.extra_env, self.extra_secret_env),
                *_renamed(self.env_names, self.extra_env | self.extra_secret_env),
                *_in_production(self),
            ]
        )

    @property
    def can_sign_in(self) -> bool:
        """Whether there is a complete pair of one of the identity providers (S-40)."""
        return any(pair[0] in self.env and pair[1] in self.secret_env for pair in OAUTH_PAIRS)

    def plain(self, name: str) -> str:
        """The value of a plain variable of the contract, default included; empty if it has none."""
        return self.env.get(name, CONTRACT[name].default or "")


def _misplaced(field_name: str, given: Mapping[str, str], source: Source) -> list[str]:
    problems: list[str] = []
    for name in given:
        variable = CONTRACT.get(name)
        if name in NEVER_IN_PODS:
            problems.append(f"{field_name}.{name} is {NEVER_IN_PODS[name]}; remove it")
        elif variable is None:
            near = get_close_matches(name, CONTRACT, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            problems.append(
                f"{field_name}.{name} is not in the contract{hint}; a variable of your own goes "
                "into extraEnv or extraSecretEnv"
            )
        elif variable.source is not source:
            problems.append(f"{field_name}.{name} is in the wrong place; {_place(variable)}")
    return problems


def _place(variable: Variable) -> str:
    if variable.source is Source.SECRET:
        return f"set it with: pulumi config set --secret --path secretEnv.{variable.name} <value>"
    if variable.source is Source.PLAIN:
        return f"set it with: pulumi config set --path env.{variable.name} <value>"
    return f"it is {variable.source} by the platform, remove it"


def _malformed(field_name: str, given: Mapping[str, str]) -> list[str]:
    """Values that break their rule; those of secrets are not repeated."""
    known = {name: CONTRACT[name] for name in given if name in CONTRACT}
    return [
        f"{field_name}.{name} is malformed: got "
        f"{f'{len(given[name])} characters' if variable.secret else repr(given[name])}, "
        f"allowed {variable.rule.allowed}"
        for name, variable in known.items()
        if given[name] != UNREADABLE and not variable.rule.accepts(given[name])
    ]


def _own(field_name: str, given: Mapping[str, str]) -> list[str]:
    taken = [
        f"{field_name}.{name} is a variable of the contract; "
        f"{_place(CONTRACT[name]) if name in CONTRACT else NEVER_IN_PODS[name]}"
        for name in given
        if name in CONTRACT or name in NEVER_IN_PODS
    ]
    return taken + [
        f"{field_name}.{name} is no variable name, {NAME_RULE}"
        for name in given
        if not NAME.fullmatch(name)
    ]


def _twice(plain: Mapping[str, str], secret: Mapping[str, str]) -> list[str]:
    return [
        f"extra_env.{name} is in extraSecretEnv too, allowed in one; remove the other"
        for name in plain
        if name in secret
    ]


def _missing(required: tuple[str, ...], given: Mapping[str, str]) -> list[str]:
    optional = {v.name: v for v in TABLE if not v.required and v.source in _CONFIGURED}
    return [
        f"required_env names {name!r}, allowed {', '.join(optional)}"
        for name in required
        if name not in optional
    ] + [
        f"required_env names {name}, which has no value; {_place(optional[name])}"
        for name in required
        if name in optional and name not in given
    ]


_CONFIGURED = (Source.PLAIN, Source.SECRET)


def _incomplete(given: Mapping[str, str], require_oauth: bool) -> list[str]:
    problems = [
        f"env has only a part of {', '.join(names)}: missing "
        f"{', '.join(name for name in names if name not in given)}; set all or none"
        for names in TOGETHER
        if 0 < sum(name in given for name in names) < len(names)
    ]
    if require_oauth and not any(pair[0] in given for pair in OAUTH_PAIRS):
        pairs = " or ".join(" and ".join(pair) for pair in OAUTH_PAIRS)
        problems.append(f"require_oauth is true, but nobody can sign in: set {pairs}")
    return problems


def _renamed(names: Mapping[str, str], own: Mapping[str, str]) -> list[str]:
    problems = [
        f"env_names.{name} is not a variable of the contract, allowed {', '.join(CONTRACT)}"
        for name in names
        if name not in CONTRACT
    ]
    taken = {*own, *(CONTRACT.keys() - names.keys())}
    for name, chosen in names.items():
        if not NAME.fullmatch(chosen):
            problems.append(f"env_names.{name} is no variable name: got {chosen!r}, {NAME_RULE}")
        elif chosen in taken:
            problems.append(
                f"env_names.{name} is taken: got {chosen!r}, allowed a name that no other "
                "variable has"
            )
        taken.add(chosen)
    return problems


def _in_production(config: EnvironmentConfig) -> list[str]:
    if config.stage is not Stage.PRODUCTION:
        return []
    problems: list[str] = []
    if config.secret_env.get("STRIPE_SECRET_KEY", "").startswith("sk_test"):
        problems.append("secret_env.STRIPE_SECRET_KEY is a test key, allowed is a live one")
    age = config.plain("HSTS_MAX_AGE")
    if age.isdecimal() and int(age) < LEAST_HSTS_S:
        problems.append(
            f"env.HSTS_MAX_AGE is too short: got {age}, allowed in production {LEAST_HSTS_S} or "
            "more, a year; browsers forget a shorter promise"
        )
    return problems


@dataclass(frozen=True, kw_only=True)
class EnvironmentArgs:
    config: EnvironmentConfig
    namespace: pulumi.Input[str]
    computed: Mapping[str, pulumi.Input[str]]
    """Values of the generated and computed variables, by their names in the contract."""

    def __post_init__(self) -> None:
        wanted = {v.name for v in TABLE if v.source not in _CONFIGURED}
        required = {name for name in wanted if CONTRACT[name].required}
        if unknown := self.computed.keys() - wanted:
            raise ValueError(f"not computed variables of the contract: {sorted(unknown)}")
        if missing := required - self.computed.keys():
            raise ValueError(f"no value for computed variables: {sorted(missing)}")


class Environment(pulumi.ComponentResource):
    config_map: pulumi.Output[str]
    """Name of the ConfigMap with the plain variables; a new one for each content."""
    secret: pulumi.Output[str]
    """Name of the Secret with the others."""
    build_env: pulumi.Output[Mapping[str, str]]
    """What the image build needs (DE-6); secret."""
    runtime_env: pulumi.Output[Mapping[str, str]]
    """All that the pods get; secret."""

    def __init__(
        self, name: str, args: EnvironmentArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:Environment", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        config = args.config
        if config.stage is not Stage.DEVELOPMENT and not config.can_sign_in:
            pulumi.log.warn(
                "nobody can sign in: set GITHUB_CLIENT_ID in env and GITHUB_CLIENT_SECRET in "
                "secretEnv, or those of Google, and make requireOauth true",
                self,
            )
        values = {v.name: value for v in TABLE if (value := _value(v, config, args.computed))}
        plain = {n: v for n, v in values.items() if not CONTRACT[n].secret} | config.extra_env
        hidden = {n: v for n, v in values.items() if CONTRACT[n].secret}
        hidden |= {n: pulumi.Output.secret(v) for n, v in config.extra_secret_env.items()}
        plain, hidden = _rename(plain, config.env_names), _rename(hidden, config.env_names)
        config_map = k8s.core.v1.ConfigMap(
            f"{name}-plain", metadata={"namespace": args.namespace}, data=plain, opts=child
        )
        secret = k8s.core.v1.Secret(
            f"{name}-secret", metadata={"namespace": args.namespace}, string_data=hidden, opts=child
        )
        self.config_map = config_map.metadata.name
        self.secret = secret.metadata.name
        build = {n: v for n, v in values.items() if CONTRACT[n].build}
        self.build_env = pulumi.Output.secret(pulumi.Output.all(**build))
        self.runtime_env = pulumi.Output.secret(pulumi.Output.all(**plain, **hidden))
        self._names = config.env_names
        self.register_outputs({"configMap": self.config_map, "secret": self.secret})

    def name(self, variable: str) -> str:
        """The name under which the application reads a variable of the contract."""
        return self._names.get(variable, variable)


def _value(
    variable: Variable, config: EnvironmentConfig, computed: Mapping[str, pulumi.Input[str]]
) -> pulumi.Input[str] | None:
    if variable.source is Source.PLAIN:
        return config.plain(variable.name) or None
    if variable.source is Source.SECRET:
        value = config.secret_env.get(variable.name)
        return None if value is None else pulumi.Output.secret(value)
    return computed.get(variable.name)


def _rename(
    values: Mapping[str, pulumi.Input[str]], names: Mapping[str, str]
) -> dict[str, pulumi.Input[str]]:
    return {names.get(name, name): value for name, value in values.items()}
