"""`nextstack preview`: what a stack consists of, without an engine, a cluster or credentials.

Ends with exit code 1 if the stack breaks a policy.
"""

import json

import typer

from commands.options import AsJson, Stack


def preview(stack: Stack = "dev", as_json: AsJson = False) -> None:
    """Show what a stack consists of and which policies it breaks, from its configuration alone."""
    from rich.console import Console

    from offline import judge, preview
    from offline.recorder import stack_settings

    graph = preview.preview(stack)
    verdict = judge.verdict(graph, stack, stack_settings(stack))
    if as_json:
        found = {**preview.as_json(graph), "policies": judge.as_json(verdict)}
        print(json.dumps(found, indent=2))
    else:
        Console().print(preview.show(graph), "", judge.show(verdict), sep="\n")
    if not verdict.passed:
        raise typer.Exit(1)
