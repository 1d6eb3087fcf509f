"""Holds the recorded graph against the policies, and shows what they say.

Leaves out the rules (policies/).
"""

from collections.abc import Iterator
from datetime import date
from typing import Any, cast

from pulumi.output import Unknown
from pulumi.runtime import rpc
from rich.console import Group, RenderableType
from rich.text import Text

from offline.recorder import PROJECT, Graph, Registered
from policies.catalogue import RULES
from policies.rule import UNKNOWN, Context, Resource, Severity
from policies.verdicts import Verdict, Violation, judge
from policies.waivers import Waiver, waivers

STYLES = {
    Severity.CRITICAL: "bold red",
    Severity.HIGH: "red",
    Severity.MEDIUM: "yellow",
    Severity.LOW: "cyan",
}


def verdict(
    graph: Graph,
    stack_name: str,
    settings: dict[str, str],
    given: tuple[Waiver, ...] | None = None,
) -> Verdict:
    """What the policies say of a stack that was recorded with `settings`.

    `given` are the exceptions; by default the committed ones.
    """
    found = waivers() if given is None else given
    return judge(stack_name, context(graph, settings), found, date.today())


def context(graph: Graph, settings: dict[str, str]) -> Context:
    """The recorded graph as the policies see it."""
    project = PROJECT["name"]
    return Context(
        stage=settings[f"{project}:stage"],
        protect_data=settings[f"{project}:protectData"] == "true",
        resources=tuple(_resource(registered) for registered in graph.resources),
    )


def show(verdict: Verdict) -> RenderableType:
    """Each violation with its fix, then how many there are."""
    lines = [line for violation in verdict.violations for line in _lines(violation)]
    for violation in verdict.waived:
        lines.append(Text(f"waived    {violation.rule.id}  {violation.resource.name}", "dim"))
    for waiver in verdict.expired:
        lines.append(
            Text(
                f"expired   waiver of {waiver.rule} for {waiver.resource} ended on "
                f"{waiver.expires}; renew it with its reason, or remove it",
                "red",
            )
        )
    bad = len(verdict.violations)
    counts = f"{len(RULES)} rules, {bad} violations, {len(verdict.waived)} waived"
    lines.append(Text(counts, "green" if verdict.passed else "bold red"))
    return Group(Text("policies", "bold"), *lines)


def as_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "rules": len(RULES),
        "violations": entries(verdict.violations),
        "waived": entries(verdict.waived),
        "expiredWaivers": [waiver.rule for waiver in verdict.expired],
    }


def entries(violations: tuple[Violation, ...]) -> list[dict[str, Any]]:
    return [_entry(violation) for violation in violations]


def _lines(violation: Violation) -> Iterator[Text]:
    severity = violation.rule.severity
    yield Text.assemble(
        (f"{severity:<9} ", STYLES[severity]),
        (violation.rule.id, "bold"),
        f"  {violation.resource.type}  {violation.resource.name}",
    )
    yield Text(f"          {violation.message}")


def _entry(violation: Violation) -> dict[str, Any]:
    found: dict[str, Any] = {
        "rule": violation.rule.id,
        "severity": violation.rule.severity,
        "controls": list(violation.rule.controls),
        "urn": violation.resource.urn,
        "problem": violation.problem,
        "fix": violation.rule.fix,
    }
    if violation.waiver:
        found["waiver"] = {
            "reason": violation.waiver.reason,
            "expires": violation.waiver.expires.isoformat(),
        }
    return found


def _resource(registered: Registered) -> Resource:
    return Resource(
        type=registered.type,
        name=registered.name,
        urn=registered.urn,
        parent=registered.parent,
        protect=registered.protect,
        depends_on=registered.depends_on,
        inputs=_known(registered.inputs),
        object_name=registered.object_name,
        secret_paths=tuple(_secret_paths(registered.secrets)),
    )


def _known(value: Any) -> Any:
    """`value` with a word for what only `up` finds out."""
    if isinstance(value, Unknown):
        return UNKNOWN
    if isinstance(value, dict):
        return {key: _known(item) for key, item in cast(dict[str, Any], value).items()}
    if isinstance(value, list):
        return [_known(item) for item in cast(list[Any], value)]
    return value


def _secret_paths(value: Any, path: str = "") -> Iterator[str]:
    if rpc.is_rpc_secret(value):
        yield path
    elif isinstance(value, dict):
        for key, item in cast(dict[str, Any], value).items():
            yield from _secret_paths(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, item in enumerate(cast(list[Any], value)):
            yield from _secret_paths(item, f"{path}[{index}]")
