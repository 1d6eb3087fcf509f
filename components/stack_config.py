"""One stack's configuration as typed data: every key read, checked and refused at once.

Names, types, descriptions and defaults of the keys are in Pulumi.yaml; the dataclasses of the
components say who reads what. Leaves out the values of secrets, which stay outputs.
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import Field, fields, is_dataclass
from difflib import get_close_matches
from enum import StrEnum
from inspect import signature
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

import pulumi
from pulumi.runtime import config

T = TypeVar("T")

Check = Callable[..., list[str]]
"""Tells the problems between some parts of a configuration, as `refuse` takes them."""

UNPREFIXED = {"prefix": ""}
"""Metadata of a field whose keys are not prefixed by its name."""


SECRET = {"secret": True}
"""Metadata of a field whose key has to be encrypted, and whose value no message repeats."""


UNREADABLE = "encrypted"
"""What stands for ciphertext where nobody can decrypt it, as in a preview without the engine."""


class ConfigError(ValueError, pulumi.RunError):
    """Every problem of a configuration in one message, which RunError shows without traceback."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = "".join(f"\n  - {problem}" for problem in problems)
        super().__init__(f"the stack's configuration has {count}:{lines}")


def refuse(problems: list[str]) -> None:
    """Raises all `problems` of a dataclass; each starts with the name of the field at fault."""
    if problems:
        raise ConfigError(problems)


def out_of_range(config_part: object, ranges: Mapping[str, tuple[int, int, str]]) -> list[str]:
    """Problems of numbers, by field: the least and the greatest allowed, and what it is about."""
    values = {name: int(getattr(config_part, name)) for name in ranges}
    return [
        f"{name} is out of range: got {values[name]}, allowed {low} to {high}; {hint}"
        for name, (low, high, hint) in ranges.items()
        if not low <= values[name] <= high
    ]


def load_stack(cls: type[T]) -> T:
    """`cls` from the configuration of the stack that is running; see `load`."""
    prefix = f"{pulumi.get_project()}:"
    # pulumi.Config cannot list its keys, and an unknown key is to be refused.
    settings = config.CONFIG.get() or config.get_config_env()
    given = {k.removeprefix(prefix): v for k, v in settings.items() if k.startswith(prefix)}
    encrypted = [key for key in given if config.is_config_secret(prefix + key)]
    return load(cls, given, encrypted)


def load(
    cls: type[T],
    given: Mapping[str, str],
    encrypted: Collection[str] = (),
    prefix: str = "",
) -> T:
    """Builds `cls` from `given` (key without the project's name, to text as the engine has it).

    `encrypted` names the keys that the stack file holds as ciphertext. A field that is a dataclass
    groups keys: `pool.max_clients` is read from `poolMaxClients`.
    Raises ConfigError with all problems: unknown and missing keys, wrong types, refused values.
    """
    known = keys(cls, prefix)
    problems = [
        f"{key} is not a key of Pulumi.yaml{_nearest(key, known)}; remove or rename it"
        for key in sorted(given.keys() - known.keys())
    ]
    problems += [
        f"{key} is not encrypted; set it with: pulumi config set --secret --path {key}.NAME value"
        for key in sorted(secret_keys(cls, prefix) - set(encrypted))
        if given.get(key, "{}") != "{}"
    ]
    loaded = _read(cls, prefix, given, problems)
    refuse(problems)
    return cast(T, loaded)


def keys(cls: type, prefix: str = "") -> dict[str, Any]:
    """The configuration keys that `cls` reads, each with its Python type."""
    hints = get_type_hints(cls)
    found: dict[str, Any] = {}
    for field in fields(cls):
        key, hint = _key(prefix, field), hints[field.name]
        found |= keys(cast(type, hint), key) if is_dataclass(hint) else {key: hint}
    return found


def secret_keys(cls: type, prefix: str = "") -> set[str]:
    """Those of `keys` that a stack file may hold only as ciphertext (SC-2)."""
    hints = get_type_hints(cls)
    found: set[str] = set()
    for field in fields(cls):
        key, hint = _key(prefix, field), hints[field.name]
        if is_dataclass(hint):
            found |= secret_keys(cast(type, hint), key)
        elif field.metadata.get("secret"):
            found.add(key)
    return found


def _key(prefix: str, field: Field[Any]) -> str:
    return camel_case(prefix, field.metadata.get("prefix", field.name))


def camel_case(prefix: str, name: str) -> str:
    """The key of a field: ("pool", "max_clients") is poolMaxClients."""
    head, *tail = f"{prefix}_{name}".strip("_").split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in tail)


def _read(cls: type, prefix: str, given: Mapping[str, str], problems: list[str]) -> object:
    """An instance of `cls`; None after adding to `problems`."""
    before = len(problems)
    hints = get_type_hints(cls)
    values: dict[str, Any] = {}
    for field in fields(cls):
        key, hint = _key(prefix, field), hints[field.name]
        if is_dataclass(hint):
            values[field.name] = _read(cast(type, hint), key, given, problems)
        elif key not in given:
            problems.append(f"{key} is missing; set it with: pulumi config set {key} <value>")
        else:
            try:
                values[field.name] = _parse(given[key], hint)
            except ValueError as error:
                problems.append(f"{key} {error}")
    problems.extend(_named(prefix, problem) for problem in _contradictions(cls, values))
    if len(problems) > before:
        return None
    try:
        return cls(**values)
    except ConfigError as error:
        problems.extend(_named(prefix, problem) for problem in error.problems)
        return None


def _contradictions(cls: type, values: Mapping[str, Any]) -> list[str]:
    """What `cls.checks()` find, those left out that need a part with problems of its own."""
    checks: list[Check] = getattr(cls, "checks", list[Check])()
    found: list[str] = []
    for check in checks:
        parts = [values.get(name) for name in signature(check).parameters]
        if None not in parts:
            found += check(*parts)
    return found


def _named(prefix: str, problem: str) -> str:
    """`problem` with the field's name at its start replaced by the configuration key."""
    name, rest = problem.split(" ", 1)
    field, dot, item = name.partition(".")
    return f"{camel_case(prefix, field)}{dot}{item} {rest}"


def _parse(text: str, hint: Any) -> Any:
    """`text` as the type `hint`; raises ValueError with what follows the key in a message.

    Objects are not repeated in messages, because some hold secrets.
    """
    if hint is bool:
        return _choice(text, {"true": True, "false": False})
    if hint is int:
        if not text.removeprefix("-").isdecimal():
            raise ValueError(f"has the wrong type: got {text!r}, allowed a whole number")
        return int(text)
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        listed = cast(list[Any], _json(text, list, "a list"))
        return tuple(_item(str(index), value, item) for index, value in enumerate(listed))
    if get_origin(hint) is dict:
        item = get_args(hint)[1]
        values = cast(dict[str, Any], _json(text, dict, "an object"))
        return {name: _item(name, value, item) for name, value in values.items()}
    if issubclass(hint, StrEnum):
        return _choice(text, {choice.value: choice for choice in hint})
    return text


def _choice(text: str, choices: Mapping[str, Any]) -> Any:
    if text not in choices:
        raise ValueError(f"is not allowed: got {text!r}, allowed {', '.join(choices)}")
    return choices[text]


def _json(text: str, kind: type, wanted: str) -> Any:
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = None
    if not isinstance(value, kind):
        raise ValueError(f"has the wrong type: got {len(text)} characters, allowed {wanted}")
    return cast(Any, value)


def _item(name: str, value: Any, kind: type) -> Any:
    """A part of an object or list: numbers and booleans may stand for text, as in YAML."""
    if kind is str and isinstance(value, bool | int | str):
        return json.dumps(value) if isinstance(value, bool | int) else value
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(
            f"has the wrong type at {name}: got a {type(value).__name__}, allowed {kind.__name__}"
        )
    return value


def _nearest(key: str, known: Mapping[str, object]) -> str:
    match = get_close_matches(key, known, n=1)
    return f", did you mean {match[0]}?" if match else ""
