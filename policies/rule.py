"""What a rule is: a function that says what is wrong with one resource, and what it needs to know.

Leaves out the rules (one module a subject), their list (catalogue.py) and exceptions (waivers.py).
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Protocol

UNKNOWN = "[unknown]"
"""Stands for a value that only `up` finds out; no rule that asks for a value is content with it."""


class Severity(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One resource as the program asks for it."""

    type: str
    name: str
    urn: str
    parent: str
    """URN of the parent; empty for the stack."""
    protect: bool
    depends_on: tuple[str, ...]
    """URNs of the resources that it refers to."""
    inputs: dict[str, Any]
    """Wire form: keys are camelCase, whole numbers are integers."""
    object_name: str
    """Name of the Kubernetes object; empty for everything else."""
    secret_paths: tuple[str, ...] = ()
    """Where `inputs` holds a secret; the engine does not tell a policy pack."""

    @property
    def kind(self) -> str:
        return self.type.rsplit(":", 1)[1]


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a rule may know beyond its resource."""

    stage: str
    """development, staging or production."""
    protect_data: bool
    """Whether the stack promises to keep its data."""
    resources: tuple[Resource, ...] = ()
    """All resources of the stack; empty for a rule that is not `across`."""
    generated: frozenset[str] = frozenset()
    """Generated secrets, as far as they are known."""

    @property
    def keeps_data(self) -> bool:
        """Production keeps its data, whatever its configuration says."""
        return self.protect_data or self.stage == "production"

    def of_type(self, *types: str) -> list[Resource]:
        return [resource for resource in self.resources if resource.type in types]


class Check(Protocol):
    """Says what is wrong with a resource, one text for each place; nothing if all is well."""

    __name__: str

    def __call__(self, resource: Resource, context: Context, /) -> Iterator[str]: ...


@dataclass(frozen=True, kw_only=True)
class Rule:
    id: str
    severity: Severity
    controls: tuple[str, ...]
    """What the rule implements of a standard; empty for our own."""
    fix: str
    types: str
    """Pattern of the types that it judges, a regular expression for the whole type."""
    across: bool
    """Whether the rule needs the other resources of the stack too."""
    check: Check

    def judges(self, resource: Resource) -> bool:
        return _fits(self.types, resource.type)


@cache
def _fits(pattern: str, type_: str) -> bool:
    """Asked for each rule and resource, of which many have the same type."""
    return re.fullmatch(pattern, type_) is not None


def rule(
    severity: Severity, *controls: str, types: str, fix: str, across: bool = False
) -> Callable[[Check], Rule]:
    """Makes a function a rule that is called as the function is, with dashes."""

    def decorate(check: Check) -> Rule:
        return Rule(
            id=check.__name__.replace("_", "-"),
            severity=severity,
            controls=controls,
            fix=fix,
            types=types,
            across=across,
            check=check,
        )

    return decorate
