"""What a change does to one stack, held against another revision: all that a reviewer has to know.

Leaves out how it is shown: view.py on a terminal and as JSON, comment.py in a pull request.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from offline import judge
from offline.cost import Estimate, estimate
from offline.recorder import PROJECT, Graph, Registered
from offline.review import compare, dangers, exposure
from offline.review.compare import Change, Property
from offline.review.dangers import Danger
from offline.review.snapshot import Snapshot
from policies.verdicts import Verdict, Violation
from policies.waivers import Waiver, read


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A danger, and who agreed to it."""

    id: str
    danger: Danger
    agreed: str
    """Where somebody said so; empty if nobody did."""


@dataclass(frozen=True, kw_only=True)
class Variables:
    """How the application's environment changes; names only."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    now_required: tuple[str, ...]
    now_optional: tuple[str, ...]
    now_built_in: tuple[str, ...]
    """Needed by the image build from now on."""
    now_run_time: tuple[str, ...]
    """No longer needed by the image build."""


@dataclass(frozen=True, kw_only=True)
class Report:
    stack: str
    is_new: bool
    """Whether the other revision does not have the stack."""
    changes: tuple[Change, ...]
    known: Mapping[str, Registered]
    """Every resource of either revision by its URN."""
    unchanged: int
    configuration: tuple[Property, ...]
    variables: Variables
    recovery_before: Mapping[str, Any]
    recovery: Mapping[str, Any]
    verdict: Verdict
    new: tuple[Violation, ...]
    """Violations that the other revision does not have."""
    fixed: tuple[Violation, ...]
    """Violations of the other revision that are gone."""
    findings: tuple[Finding, ...]
    cost_before: Estimate
    cost: Estimate
    budget: float
    """USD a month; 0 for none."""

    @property
    def remaining(self) -> int:
        """How many violations both revisions have."""
        return len(self.verdict.violations) - len(self.new)

    @property
    def open(self) -> tuple[Finding, ...]:
        """What nobody has agreed to."""
        return tuple(finding for finding in self.findings if not finding.agreed)

    @property
    def counts(self) -> dict[str, int]:
        """The engine's form of a summary."""
        return {**compare.counts(list(self.changes)), "same": self.unchanged}


def report(after: Snapshot, before: Snapshot | None, agreed: Mapping[str, str]) -> Report:
    """`agreed` says by a finding's id where somebody agreed to it."""
    # Where there was nothing before, all is new and nothing can be lost.
    base = before or after
    changes = compare.changes(base.resolved, after.resolved)
    old, verdict = _verdict(base), _verdict(after)
    known = {_key(v): v for v in old.violations}
    found = {_key(v): v for v in verdict.violations}
    given = [
        *dangers.dangers(changes),
        *exposure.dangers(changes, base.resolved),
        *dangers.addresses(base.outputs, after.outputs),
        *dangers.promises(_recovery(base), _recovery(after)),
        *dangers.variables(_required(base), _names(after)),
        *dangers.waived(_waived(verdict) - _waived(old)),
    ]
    if before is None:
        changes = compare.changes(Graph(), after.resolved)
    changed = sum(change.after is not None for change in changes)
    return Report(
        stack=after.stack,
        is_new=before is None,
        changes=tuple(changes),
        known={r.urn: r for graph in (base.resolved, after.resolved) for r in graph.resources},
        unchanged=len(after.resolved.resources) - 1 - changed,
        configuration=tuple(_configuration(base, after)),
        variables=_variables(base, after),
        recovery_before=_recovery(base),
        recovery=_recovery(after),
        verdict=verdict,
        new=tuple(v for key, v in found.items() if key not in known),
        fixed=tuple(v for key, v in known.items() if key not in found),
        findings=tuple(_finding(danger, after.stack, agreed) for danger in given),
        cost_before=estimate(Graph() if before is None else before.planned),
        cost=estimate(after.planned),
        budget=budget(after.settings),
    )


def budget(settings: Mapping[str, str]) -> float:
    """What a stack may cost, in USD a month; 0 for no limit."""
    return float(settings[f"{PROJECT['name']}:budgetMonthlyUsd"])


def _finding(danger: Danger, stack_name: str, agreed: Mapping[str, str]) -> Finding:
    id_ = danger.id(stack_name)
    return Finding(id=id_, danger=danger, agreed=agreed.get(id_, ""))


def _verdict(snapshot: Snapshot) -> Verdict:
    return judge.verdict(
        snapshot.planned, snapshot.stack, snapshot.settings, _waivers(snapshot.waivers)
    )


def _waivers(text: str) -> tuple[Waiver, ...]:
    """None for a file that names rules which are no more: it was written for another set."""
    try:
        return read(text)
    except ValueError:
        return ()


def _key(violation: Violation) -> tuple[str, str]:
    return violation.rule.id, violation.resource.urn


def _waived(verdict: Verdict) -> frozenset[tuple[str, str]]:
    return frozenset((v.rule.id, v.resource.name) for v in verdict.waived)


def _configuration(before: Snapshot, after: Snapshot) -> list[Property]:
    """Ciphertext is a secret, though a new one may hold the old value.

    A key that came or went counts if the stack's own file has it; of defaults, what they do counts.
    """
    prefix = f"{PROJECT['name']}:"
    keys = (before.values.keys() & after.values.keys()) | {*before.chosen, *after.chosen}
    old, new = ({k: v for k, v in s.values.items() if k in keys} for s in (before, after))
    return [
        Property(
            path=found.path.removeprefix(prefix).removesuffix(".secure"),
            before=found.before,
            after=found.after,
            secret=found.path.endswith(".secure"),
        )
        for found in compare.differences(old, new)
    ]


def _recovery(snapshot: Snapshot) -> Mapping[str, Any]:
    return snapshot.outputs.get("recoveryContract", {})


def _names(snapshot: Snapshot) -> frozenset[str]:
    """What the application gets, under the names that it knows."""
    return frozenset(snapshot.outputs.get("runtimeEnv", {}))


def _required(snapshot: Snapshot) -> frozenset[str]:
    """Those of them that every stack must have, or that this one says it must."""
    settings, prefix = snapshot.settings, f"{PROJECT['name']}:"
    chosen: dict[str, str] = json.loads(settings.get(f"{prefix}envNames", "{}"))
    own: list[str] = json.loads(settings.get(f"{prefix}requiredEnv", "[]"))
    needed = {name for name, variable in snapshot.contract.items() if variable.required} | {*own}
    return frozenset(chosen.get(name, name) for name in needed) & _names(snapshot)


def _built_in(snapshot: Snapshot) -> frozenset[str]:
    return frozenset(snapshot.outputs.get("buildEnv", {}))


def _variables(before: Snapshot, after: Snapshot) -> Variables:
    both = _names(before) & _names(after)
    required, build = (_required(before), _required(after)), (_built_in(before), _built_in(after))
    return Variables(
        added=_sorted(_names(after) - _names(before)),
        removed=_sorted(_names(before) - _names(after)),
        now_required=_sorted((required[1] - required[0]) & both),
        now_optional=_sorted((required[0] - required[1]) & both),
        now_built_in=_sorted(build[1] - build[0]),
        now_run_time=_sorted((build[0] - build[1]) & _names(after)),
    )


def _sorted(names: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(names))
