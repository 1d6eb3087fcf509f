"""`nextstack preview`: what a stack consists of, without an engine, a cluster or credentials."""

import json

from commands.options import AsJson, Stack


def preview(stack: Stack = "dev", as_json: AsJson = False) -> None:
    """Show what a stack consists of, from its committed configuration alone."""
    from rich.console import Console

    from offline import preview

    graph = preview.preview(stack)
    if as_json:
        print(json.dumps(preview.as_json(graph), indent=2))
    else:
        Console().print(preview.show(graph))
