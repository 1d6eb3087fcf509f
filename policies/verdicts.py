"""Runs the rules over a stack and says what is wrong, what is waived and what has run out.

Leaves out where the resources come from: offline/judge.py and the policy pack (__main__.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from policies.catalogue import RULES
from policies.rule import Context, Resource, Rule, Severity
from policies.waivers import Waiver

ORDER = tuple(reversed(Severity))


@dataclass(frozen=True, kw_only=True)
class Violation:
    rule: Rule
    resource: Resource
    problem: str
    waiver: Waiver | None = None

    @property
    def message(self) -> str:
        controls = f" ({', '.join(self.rule.controls)})" if self.rule.controls else ""
        return f"{self.problem}{controls}; {self.rule.fix}"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    violations: tuple[Violation, ...]
    """Worst first."""
    waived: tuple[Violation, ...]
    expired: tuple[Waiver, ...]

    @property
    def passed(self) -> bool:
        return not self.violations and not self.expired


def problems(rule: Rule, resource: Resource, context: Context) -> Iterator[str]:
    """What one rule says of one resource."""
    if rule.judges(resource):
        yield from rule.check(resource, context)


def judge(stack: str, context: Context, given: tuple[Waiver, ...], today: date) -> Verdict:
    """The verdict on a whole stack."""
    valid = [waiver for waiver in given if not waiver.expired(today)]
    found = [
        Violation(
            rule=rule,
            resource=resource,
            problem=problem,
            waiver=next((w for w in valid if w.covers(rule.id, stack, resource.name)), None),
        )
        for rule in RULES
        for resource in context.resources
        for problem in problems(rule, resource, context)
    ]
    found.sort(key=lambda v: (ORDER.index(v.rule.severity), v.rule.id, v.resource.name))
    return Verdict(
        violations=tuple(v for v in found if not v.waiver),
        waived=tuple(v for v in found if v.waiver),
        expired=tuple(waiver for waiver in given if waiver.expired(today)),
    )
