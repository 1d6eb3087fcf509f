"""`nextstack preview`: what a stack consists of, or what changes, without engine or credentials.

Exit codes: 1 if a policy is broken, 3 if a dangerous change is not acknowledged (which counts
more), 2 for wrong usage or configuration, 0 otherwise.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from commands.options import AsJson

if TYPE_CHECKING:
    from offline.review.report import Report

BROKEN, DANGEROUS = 1, 3

Stacks = Annotated[
    list[str] | None,
    typer.Option("--stack", help="Which Pulumi.<stack>.yaml to use (dev); again for more."),
]
Against = Annotated[
    str, typer.Option(metavar="REVISION", help="Show what changes against this git revision.")
]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print a pull request's comment.")]
Acknowledge = Annotated[
    list[str] | None,
    typer.Option(metavar="ID", help="Agree to a dangerous change; again for more."),
]


def preview(
    stack: Stacks = None,
    against: Against = "",
    as_json: AsJson = False,
    markdown: Markdown = False,
    acknowledge: Acknowledge = None,
) -> None:
    """Show what a stack consists of, or what changes, and which policies it breaks."""
    stacks = stack or ["dev"]
    if as_json and (markdown or len(stacks) > 1):
        raise ValueError("--json takes one --stack and no --markdown; run it once for each")
    if not against:
        if markdown or acknowledge:
            raise ValueError("--markdown and --acknowledge need --against; name a git revision")
        code = max([_alone(name, as_json) for name in stacks])
    else:
        code = _compared(stacks, against, acknowledge or [], as_json, markdown)
    if code:
        raise typer.Exit(code)


def _alone(stack: str, as_json: bool) -> int:
    from rich.console import Console

    from offline import judge, preview
    from offline.cost import estimate
    from offline.recorder import stack_settings
    from offline.review import view
    from offline.review.report import budget

    graph, settings = preview.preview(stack), stack_settings(stack)
    verdict, cost, limit = judge.verdict(graph, stack, settings), estimate(graph), budget(settings)
    if as_json:
        found = {
            **preview.as_json(graph),
            "policies": judge.as_json(verdict),
            "cost": view.price_as_json(cost, limit),
        }
        print(json.dumps(found, indent=2))
    else:
        bill = view.price(cost, limit)
        Console().print(preview.show(graph), "", judge.show(verdict), bill, sep="\n")
    return 0 if verdict.passed else BROKEN


def _compared(
    stacks: Sequence[str], against: str, given: Sequence[str], as_json: bool, markdown: bool
) -> int:
    from rich.console import Console

    from offline.review import comment, report, revision, snapshot, view

    base = revision.find(against)
    recording = revision.Recording(base, stacks)  # on another processor, as long as ours takes
    ours = [snapshot.take(name) for name in stacks]
    theirs = recording.wait()
    agreed = {found.finding: f"in {found.commit}" for found in revision.acknowledgements(base)}
    agreed |= {finding: "on the command line" for finding in given}
    reports = [report.report(after, theirs[after.stack], agreed) for after in ours]
    if as_json:
        print(json.dumps(view.as_json(reports[0], base), indent=2))
    elif markdown:
        print(comment.comment(reports, base))
    else:
        for found in reports:
            Console().print(view.show(found, base), soft_wrap=False)
    return max([exit_code(found) for found in reports])


def exit_code(report: "Report") -> int:
    """How a comparison ends: a danger counts more than a broken policy."""
    if report.open:
        return DANGEROUS
    return 0 if report.verdict.passed else BROKEN
