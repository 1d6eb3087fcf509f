"""Reports as one comment on a pull request: a summary, the dangers, everything else folded.

A hidden first line lets a workflow find the comment and replace it. Leaves out talking to GitHub.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from offline.recorder import PROJECT
from offline.review import view
from offline.review.compare import Change, Op
from offline.review.replacement import held
from offline.review.report import Report
from offline.review.revision import TRAILER, Revision

MARKER = f"<!-- {PROJECT['name']}-preview -->"
# GitHub refuses more than 65,536 characters; the rest is for what a workflow may add.
LIMIT = 65_000
# What could make a name or value more than text: Markdown, HTML, a mention, a reference.
SPECIAL = re.compile(r"[\\`*_\[\]<>#|!~@&$:]")
# In a diff block, GitHub colours lines by their first character.
DIFF_SIGNS = {"+": "+", "-": "-", "~": "!", "±": "!", " ": " "}


@dataclass(frozen=True, kw_only=True)
class Block:
    """A part of the comment that may be cut."""

    title: str
    lines: Sequence[str]
    folded: bool = True
    """Whether it is a diff behind a title; otherwise it is a list."""


def comment(reports: Sequence[Report], base: Revision) -> str:
    """The comment's Markdown, shorter than GitHub's limit."""
    head = "\n".join([MARKER, *_summary(reports, base), ""])
    blocks = [block for report in reports for block in _blocks(report)]
    more = f"`./nextstack preview --against {base.commit[:7]} --stack STACK` shows all"
    parts, room = [head], LIMIT - len(head)
    for number, block in enumerate(blocks):
        # Each gets its share, and what those before it left.
        part = _written(block, room // (len(blocks) - number), more)
        parts.append(part)
        room -= len(part) + 1
    return "\n".join(parts)


def _summary(reports: Sequence[Report], base: Revision) -> Iterable[str]:
    yield f"### Infrastructure against `{base.commit[:7]}`"
    yield ""
    if waiting := sum(len(report.open) for report in reports):
        yield "> [!CAUTION]"
        yield (
            f"> **{_count(waiting, 'dangerous change')} not acknowledged.** They lose data, open a "
            "door, or take away what protects. Take them back, or let somebody who may decide that "
            f"agree: a line `{TRAILER}: ID` at the end of a commit's message."
        )
        yield ""
    yield "| stack | resources | dangerous | policies | cost |"
    yield "|---|---|---|---|---|"
    for report in reports:
        bill = view.price(report.cost, report.budget, report.cost_before) or "none"
        cells = (_resources(report), _dangerous(report), _policies(report), bill)
        yield f"| **{_text(report.stack)}** | {' | '.join(cells)} |"


def _resources(report: Report) -> str:
    new = "new stack: " if report.is_new else ""
    return new + view.summary(report.counts)


def _dangerous(report: Report) -> str:
    if not report.findings:
        return "none"
    agreed = len(report.findings) - len(report.open)
    parts = [f"**{len(report.open)} open**"] if report.open else []
    return ", ".join(parts + ([f"{agreed} acknowledged"] if agreed else []))


def _policies(report: Report) -> str:
    parts = [f"**{_count(len(report.verdict.violations), 'violation')}**"]
    parts = parts if report.verdict.violations else ["kept"]
    parts += [f"{len(report.new)} new"] if report.new else []
    parts += [f"{len(report.fixed)} fixed"] if report.fixed else []
    parts += [f"{len(report.verdict.waived)} waived"] if report.verdict.waived else []
    return ", ".join(parts)


def _blocks(report: Report) -> Iterable[Block]:
    stack = _text(report.stack)
    dangers = [
        f"- {'~~' if f.agreed else ''}`{f.id}`{'~~' if f.agreed else ''} "
        f"**{_text(f.danger.subject)}**: {_text(f.danger.told)}<br>"
        + (f"acknowledged {_text(f.agreed)}" if f.agreed else f"<sub>{_text(f.danger.fix)}</sub>")
        for f in report.findings
    ]
    yield Block(title=f"#### {stack}: dangerous changes", lines=dangers, folded=False)
    changes = [
        line
        for change in report.changes
        for line in (
            f"{_colour(change)} {view.header(change)}",
            *_plain(line for found in change.properties for line in view.lines(found)),
        )
    ]
    yield Block(title=f"{stack}: {_resources(report)}", lines=changes)
    contracts = {
        "configuration": (line for found in report.configuration for line in view.lines(found)),
        "environment of the application": view.variables(report),
        "recovery contract": view.recovery(report),
        "cost": view.prices(report),
    }
    for title, found in contracts.items():
        yield Block(title=f"{stack}: {title}", lines=list(_diff(found)))
    broken = [f"- {v.rule.id}  {v.resource.name}: {v.message}" for v in report.verdict.violations]
    fixed = [f"+ {v.rule.id}  {v.resource.name}: fixed" for v in report.fixed]
    yield Block(title=f"{stack}: policies", lines=[*broken, *fixed])


def _colour(change: Change) -> str:
    """Red for what takes data with it."""
    loses = change.op is Op.REPLACE and held(change.resource)
    return "-" if loses else DIFF_SIGNS[view.SIGNS[change.op]]


def _plain(found: Iterable[tuple[str, str]]) -> Iterable[str]:
    """Properties stand back behind their resources; what comes or goes keeps its colour."""
    return _diff((" " if sign == "~" else sign, text) for sign, text in found)


def _diff(found: Iterable[tuple[str, str]]) -> Iterable[str]:
    return (f"{DIFF_SIGNS[sign]}   {line}" for sign, text in found for line in text.splitlines())


def _written(block: Block, room: int, more: str) -> str:
    """The block in at most `room` characters; what does not fit is counted."""
    if not block.lines:
        return ""
    ticks = max((len(run) for line in block.lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, ticks + 1)
    begin, end, close = f"{block.title}\n\n", "\n", ""
    if block.folded:
        begin = f"<details><summary>{block.title}</summary>\n\n{fence}diff\n"
        end, close = f"\n{fence}\n", "\n</details>\n"
    left = room - len(begin + end + close + _cut(len(block.lines), more))
    kept: list[str] = []
    for line in block.lines:
        left -= len(line) + 1
        if left < 0:
            break
        kept.append(line)
    missing = len(block.lines) - len(kept)
    note = _cut(missing, more) if missing else ""
    return begin + "\n".join(kept) + end + note + close


def _cut(missing: int, more: str) -> str:
    return f"\n**{_count(missing, 'line')} left out**, because a comment has a limit: {more}.\n"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _text(text: str) -> str:
    """`text` as nothing but text."""
    return SPECIAL.sub(lambda found: f"&#{ord(found[0])};", text)
