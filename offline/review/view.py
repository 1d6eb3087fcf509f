"""A report on a terminal and as JSON.

Leaves out finding the changes (compare.py, report.py) and the pull request (comment.py).
"""

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from offline import judge
from offline.cost import Estimate
from offline.recorder import Registered
from offline.review.compare import SECRET, STACK, Change, Op, Property, differences
from offline.review.replacement import held
from offline.review.report import Finding, Report
from offline.review.revision import TRAILER, Revision
from policies.verdicts import Violation

VERSION = 1
"""Add 1 when a part of the JSON changes its meaning or goes."""
SIGNS = {Op.CREATE: "+", Op.DELETE: "-", Op.UPDATE: "~", Op.REPLACE: "±"}
STYLES = {"+": "green", "-": "red", "~": "yellow", "±": "bold magenta", "!": "bold red", " ": "dim"}
WORDS = {
    Op.CREATE.value: "created",
    Op.DELETE.value: "deleted",
    Op.REPLACE.value: "replaced",
    Op.UPDATE.value: "updated",
    "same": "unchanged",
}
LONG = 160
"""Characters of one value that are shown; the JSON has all of them."""
# What render.py makes of an object without a name of its own.
NAMED_BY_HASH = re.compile(r"(.+)-[0-9a-f]{10}")
VARIABLES = {
    "added": "+",
    "removed": "-",
    "now_required": "~",
    "now_optional": "~",
    "now_built_in": "~",
    "now_run_time": "~",
}


def show(report: Report, base: Revision) -> RenderableType:
    """From the whole to what matters: changes, contracts, policies, and at the end the dangers."""
    title = Text(f"{report.stack} against {base.name} ({base.commit[:7]})", "bold")
    return Group(title, *_changes(report), *_sections(report), *_dangers(report))


def as_json(report: Report, base: Revision) -> dict[str, Any]:
    """docs/preview.md says what the keys mean."""
    return {
        "version": VERSION,
        "stack": report.stack,
        "against": {"revision": base.name, "commit": base.commit, "hasStack": not report.is_new},
        "changeSummary": report.counts,
        "changes": [_change_as_json(change) for change in report.changes],
        "configuration": [_property_as_json(found) for found in report.configuration],
        "environment": {
            _camel(name): list(cast(tuple[str, ...], names))
            for name, names in vars(report.variables).items()
        },
        "recovery": {"before": dict(report.recovery_before), "after": dict(report.recovery)},
        "policies": {
            **judge.as_json(report.verdict),
            "new": judge.entries(report.new),
            "fixed": judge.entries(report.fixed),
        },
        "cost": {
            "before": price_as_json(report.cost_before, report.budget),
            "after": price_as_json(report.cost, report.budget),
        },
        "dangers": [
            {
                "id": finding.id,
                "kind": finding.danger.kind,
                "subject": finding.danger.subject,
                "problem": finding.danger.told,
                "fix": finding.danger.fix,
                "acknowledged": finding.agreed,
            }
            for finding in report.findings
        ],
    }


def summary(counts: Mapping[str, int]) -> str:
    """How many there are of each, those that there are none of left out."""
    return ", ".join(f"{number} {WORDS[op]}" for op, number in counts.items() if number)


def lines(found: Property) -> Iterator[tuple[str, str]]:
    """A changed property as lines, each with its sign; long texts line by line."""
    forced = "  (replaces it)" if found.forces else ""
    if found.secret:
        word = {(True, False): "added", (False, True): "removed"}.get(
            (found.before is None, found.after is None), "changed"
        )
        yield "~", f"{found.path}: {SECRET} {word}{forced}"
    elif _is_long(found.before) and _is_long(found.after):
        yield "~", f"{found.path}:{forced}"
        yield from _line_by_line(found.before, found.after)
    elif found.before is None or found.after is None:
        sign = "+" if found.before is None else "-"
        value = found.after if found.before is None else found.before
        yield sign, f"{found.path}: {words(value)}{forced}"
    elif (used := _same_object(found.before, found.after)) is not None:
        yield "~", f"{found.path}: the new {used}{forced}"
    else:
        yield "~", f"{found.path}: {words(found.before)} -> {words(found.after)}{forced}"


def _same_object(before: Any, after: Any) -> str | None:
    """What two names stand for that differ only by the hash of their object's content."""
    names = [NAMED_BY_HASH.fullmatch(str(value)) for value in (before, after)]
    if names[0] and names[1] and names[0][1] == names[1][1]:
        return names[0][1]
    return None


def words(value: Any) -> str:
    """A value on one line."""
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= LONG else f"{text[:LONG]}... ({len(text)} characters)"


def variables(report: Report) -> Iterator[tuple[str, str]]:
    """Each changed variable of the environment with its sign and what becomes of it."""
    for field, sign in VARIABLES.items():
        for name in getattr(report.variables, field):
            yield sign, f"{name}  {field.replace('_', ' ').replace('run time', 'run-time only')}"


def recovery(report: Report) -> Iterator[tuple[str, str]]:
    for found in differences(dict(report.recovery_before), dict(report.recovery)):
        yield from lines(found)


def price(cost: Estimate, budget: float, before: Estimate | None = None) -> str:
    """What a stack costs; empty if it costs nothing."""
    if not cost.total and not (before and before.total):
        return ""
    changed = ""
    if before is not None and round(before.total - cost.total, 2):
        changed = f"{before.total:,.2f} -> "
    limit = f", budget {budget:,.0f}" if budget else ""
    over = " exceeded" if 0 < budget < cost.total else ""
    return f"{changed}{cost.total:,.2f} USD a month{limit}{over}"


def prices(report: Report) -> Iterator[tuple[str, str]]:
    """The parts of the bill that change."""
    before, after = report.cost_before.by_component(), report.cost.by_component()
    for name in {**after, **before}:
        old, new = before.get(name, 0), after.get(name, 0)
        if round(new - old, 2):
            yield "~", f"{name}: {old:,.2f} -> {new:,.2f} ({new - old:+,.2f})"


def price_as_json(cost: Estimate, budget: float) -> dict[str, Any]:
    """The whole bill is `nextstack cost --json`."""
    return {
        "currency": "USD",
        "period": "month",
        "total": round(cost.total, 2),
        "fixed": round(cost.fixed, 2),
        "used": round(cost.used, 2),
        "budget": budget,
        "unpriced": cost.unpriced,
    }


def how_to_agree(finding: Finding) -> str:
    return f"--acknowledge {finding.id}, or in a commit's message {TRAILER}: {finding.id}"


def header(change: Change) -> str:
    """A change without its properties, for a list."""
    resource = change.resource
    return f"{WORDS[change.op]}  {resource.type}  {resource.name}{_remarks(change)}"


def _remarks(change: Change) -> str:
    marks = [f"holds {data}"] if (data := held(change.resource)) else []
    marks += ["protected"] if change.before and change.before.protect else []
    marks += ["stays, but leaves the program"] if change.kept else []
    return f"  ({', '.join(marks)})" if marks else ""


def _is_long(value: Any) -> bool:
    return isinstance(value, str) and "\n" in value


def _line_by_line(before: str, after: str) -> Iterator[tuple[str, str]]:
    compared = difflib.unified_diff(before.splitlines(), after.splitlines(), n=1, lineterm="")
    for line in list(compared)[2:]:
        if not line.startswith("@@") and line.strip():
            yield line[0], f"  {line[1:]}"


def _changes(report: Report) -> Iterable[RenderableType]:
    if report.is_new:
        yield Text("the revision does not have this stack: everything is created", "yellow")
    root = next(r for r in report.known.values() if r.type == STACK)
    nodes = {root.urn: Tree(Text(root.name, "bold"), guide_style="dim")}
    for change in report.changes:
        node = _node(change.resource.parent, nodes, report.known)
        branch = node.add(_line(change))
        nodes[change.resource.urn] = branch
        for found in change.properties:
            for sign, text in lines(found):
                branch.add(Text(f"{sign} {text}", STYLES[sign]))
    if report.changes:
        yield nodes[root.urn]
    yield Text(summary(report.counts), "bold")


def _node(urn: str, nodes: dict[str, Tree], known: Mapping[str, Registered]) -> Tree:
    """The tree's node of a component, grown from the root where it is not there yet."""
    if urn not in nodes:
        component = known[urn]
        parent = _node(component.parent, nodes, known)
        nodes[urn] = parent.add(Text(f"{component.name}  {component.type}", "dim"))
    return nodes[urn]


def _line(change: Change) -> Text:
    sign, resource = SIGNS[change.op], change.resource
    line = Text.assemble((f"{sign} ", STYLES[sign]), (resource.name, "bold"), "  ")
    return line.append(resource.type, "cyan").append(_remarks(change), "yellow")


def _sections(report: Report) -> Iterator[RenderableType]:
    bill = price(report.cost, report.budget, report.cost_before)
    sections = {
        "configuration": [line for found in report.configuration for line in lines(found)],
        "environment of the application": list(variables(report)),
        "recovery contract": list(recovery(report)),
        f"cost: {bill}": list(prices(report)),
    }
    for title, found in sections.items():
        if found or (bill and title.endswith(bill)):
            yield Text(f"\n{title}", "bold")
            yield from (Text(f"{sign} {text}", STYLES[sign]) for sign, text in found)
    yield ""
    yield judge.show(report.verdict)
    yield from _policies("new violations", report.new, "red")
    yield from _policies("fixed violations", report.fixed, "green")


def _policies(title: str, found: tuple[Violation, ...], style: str) -> Iterator[RenderableType]:
    if found:
        names = sorted({f"{v.rule.id} ({v.resource.name})" for v in found})
        yield Text(f"{title}: {', '.join(names)}", style)


def _dangers(report: Report) -> Iterator[RenderableType]:
    if not report.findings:
        return
    yield Text("\ndangerous changes", "bold red")
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    for finding in report.findings:
        danger = finding.danger
        told = Text.assemble((danger.subject, "bold"), f": {danger.told}\n", (danger.fix, "dim"))
        if finding.agreed:
            told.append(f"\nacknowledged {finding.agreed}", "green")
        table.add_row(Text(finding.id, "dim" if finding.agreed else "bold red"), told)
    yield table
    if report.open:
        yield Text(
            f"{len(report.open)} not acknowledged; once somebody who may decide that agrees: "
            f"{how_to_agree(report.open[0])}",
            "bold red",
        )


def _change_as_json(change: Change) -> dict[str, Any]:
    resource = change.resource
    return {
        "op": change.op,
        "urn": resource.urn,
        "type": resource.type,
        "name": resource.name,
        "holds": held(resource),
        "staysWhenDeleted": change.kept,
        "properties": [_property_as_json(found) for found in change.properties],
    }


def _property_as_json(found: Property) -> dict[str, Any]:
    return {
        "path": found.path,
        "before": SECRET if found.secret and found.before is not None else found.before,
        "after": SECRET if found.secret and found.after is not None else found.after,
        "secret": found.secret,
        "replaces": found.forces,
    }


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.title() for word in tail)
