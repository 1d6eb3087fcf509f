"""What changes between two recorded graphs of a stack, resource by resource and path by path.

Leaves out what of it is dangerous (dangers.py) and how it is shown (preview.py, comment.py).
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, cast

from pulumi.output import Unknown
from pulumi.runtime import rpc

from offline.recorder import Graph, Registered, plain
from offline.review.replacement import PROVIDERS, forces

STACK = "pulumi:pulumi:Stack"
SECRET, UNKNOWN = "[secret]", "[unknown]"
PROVIDER = "provider"
"""Path of a change that comes from the resource's provider."""


class Op(StrEnum):
    """The engine's words."""

    CREATE = "create"
    DELETE = "delete"
    REPLACE = "replace"
    UPDATE = "update"


@dataclass(frozen=True, kw_only=True)
class Property:
    path: str
    before: Any
    """None where there was nothing."""
    after: Any
    secret: bool
    """Whether either value is one, so that neither may be shown."""
    forces: bool = False
    """Whether it replaces the resource."""


@dataclass(frozen=True, kw_only=True)
class Change:
    op: Op
    before: Registered | None
    after: Registered | None
    properties: tuple[Property, ...] = ()

    @property
    def resource(self) -> Registered:
        """What there will be, or what there was."""
        found = self.after or self.before
        assert found
        return found

    @property
    def kept(self) -> bool:
        """Whether it leaves the program only: what it stands for is not deleted."""
        return self.op is Op.DELETE and self.before is not None and self.before.retain_on_delete


def changes(before: Graph, after: Graph) -> list[Change]:
    """All changes, in the order of names."""
    known = {r.urn: r for r in before.resources if r.type != STACK}
    former = _former_urns(after, known)
    found: list[Change] = []
    for resource in after.resources:
        if resource.type != STACK:
            old = known.pop(former.get(resource.urn, resource.urn), None)
            found.append(_change(old, resource))
    found += [_change(old, None) for old in known.values()]
    found = _with_dependents(found)
    found = [c for c in found if c.op is not Op.UPDATE or c.properties]
    return sorted(found, key=lambda c: (c.resource.name, c.resource.type))


def counts(found: list[Change]) -> dict[str, int]:
    """How many there are of each kind, none left out."""
    return {op.value: sum(change.op is op for change in found) for op in Op}


def differences(
    before: Any, after: Any, path: str = "", secret: bool = False
) -> Iterator[Property]:
    """The innermost places where two wire values differ."""
    secret = secret or rpc.is_rpc_secret(before) or rpc.is_rpc_secret(after)
    before, after = rpc.unwrap_rpc_secret(before), rpc.unwrap_rpc_secret(after)
    if plain(before) == plain(after):
        return
    pair = _named(_read(before, after)), _named(_read(after, before))
    if pair[0] is None or pair[1] is None:
        show = plain if secret else masked
        yield Property(path=path, before=show(before), after=show(after), secret=secret)
        return
    for key in {**pair[0], **pair[1]}:
        inner = key if key.startswith("[") or not path else f".{key}"
        yield from differences(pair[0].get(key), pair[1].get(key), f"{path}{inner}", secret)


def masked(value: Any) -> Any:
    """`value` with a word in place of each secret and of what is not known before `up`."""
    if rpc.is_rpc_secret(value):
        return SECRET
    if isinstance(value, Unknown):
        return UNKNOWN
    if isinstance(value, dict):
        return {k: masked(v) for k, v in cast(dict[str, Any], value).items()}
    if isinstance(value, list):
        return [masked(v) for v in cast(list[Any], value)]
    return plain(value)


def _read(value: Any, other: Any) -> Any:
    """What a text says that is JSON before and after, as policies and dashboards are."""
    if not isinstance(value, str) or not isinstance(other, str):
        return value
    try:
        json.loads(other)
        return json.loads(value)
    except ValueError:
        return value


def _named(value: Any) -> dict[str, Any] | None:
    """The parts of an object or list by name; None if it has none worth a line of their own.

    Members of a list go by their name where each has one, so that a new first container does not
    make all others look changed.
    """
    if isinstance(value, dict):
        return cast(dict[str, Any], value)
    if not isinstance(value, list) or not value:
        return None
    members = cast(list[Any], value)
    if not all(isinstance(member, dict) for member in members):
        return None
    names = [cast(dict[str, Any], member).get("name") for member in members]
    if all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
        return {f"[{name}]": member for name, member in zip(names, members, strict=True)}
    return {f"[{index}]": member for index, member in enumerate(members)}


def _change(before: Registered | None, after: Registered | None) -> Change:
    if before is None or after is None:
        op = Op.CREATE if before is None else Op.DELETE
        return Change(op=op, before=before, after=after)
    found = [
        replace(found, forces=forces(after.type, found.path))
        for found in differences(before.secrets, after.secrets)
        if not _ignored(found.path, after.ignore_changes)
    ]
    found += [
        Property(path=path, before=old, after=new, secret=False)
        for path, old, new in (
            ("(protect)", before.protect, after.protect),
            ("(retainOnDelete)", before.retain_on_delete, after.retain_on_delete),
        )
        if old != new
    ]
    op = Op.REPLACE if any(p.forces for p in found) else Op.UPDATE
    return Change(op=op, before=before, after=after, properties=tuple(found))


def _ignored(path: str, ignored: tuple[str, ...]) -> bool:
    return any(path == name or path.startswith((f"{name}.", f"{name}[")) for name in ignored)


def _former_urns(after: Graph, known: Mapping[str, Registered]) -> dict[str, str]:
    """The URNs of resources that went by another one before, by their own aliases or a parent's."""
    former: dict[str, str] = {}
    for resource in after.resources:  # parents come before their children
        candidates = list(resource.aliases)
        if old_parent := former.get(resource.parent):
            outer = old_parent.split("::")[2]
            stack, project, _, name = resource.urn.split("::", 3)
            candidates.append(f"{stack}::{project}::{outer}${resource.type}::{name}")
        for urn in candidates:
            if urn in known and resource.urn not in known:
                former[resource.urn] = urn
    return former


def _with_dependents(found: list[Change]) -> list[Change]:
    """Adds replacements that follow from others: of a provider, a namespace, an encryption key."""
    while True:
        replaced = {c.resource.urn: c.resource for c in found if c.op is Op.REPLACE}
        grown = [_dragged(change, replaced) for change in found]
        if grown == found:
            return found
        found = grown


def _dragged(change: Change, replaced: Mapping[str, Registered]) -> Change:
    after = change.after
    if change.op is not Op.UPDATE or after is None:
        return change
    causes = [(PROVIDER, urn) for urn in replaced if after.provider.startswith(f"{urn}::")]
    causes += [
        (path, urn)
        for path, urns in after.property_depends_on.items()
        for urn in urns
        if urn in replaced and _passes_on(after.type, path, replaced[urn])
    ]
    if not causes:
        return change
    path, urn = causes[0]
    cause = Property(
        path=path,
        before=f"of {replaced[urn].name}",
        after=f"of {replaced[urn].name}, made anew",
        secret=False,
        forces=True,
    )
    return replace(change, op=Op.REPLACE, properties=(*change.properties, cause))


def _passes_on(type_: str, path: str, cause: Registered) -> bool:
    """Whether a resource goes with one that its property at `path` refers to."""
    if path == "metadata":
        return cause.type.endswith(":Namespace")
    return cause.type not in PROVIDERS and type_.startswith("aws:") and forces(type_, path)
