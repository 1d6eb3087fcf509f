"""What a stack consists of, shown without an engine: a tree of its components, counts, JSON.

Leaves out what changes against another revision (review.py), and against a running stack, because
that needs the stack's state.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from offline.recorder import (
    Graph,
    Providers,
    Registered,
    encrypted_keys,
    program,
    record,
    stack_settings,
)
from offline.review.compare import STACK, masked


def preview(stack_name: str, **overrides: Any) -> Graph:
    """The graph of a committed stack as the engine previews it: generated values are unknown."""
    settings = stack_settings(stack_name, **overrides)
    return record(
        program,
        Providers(preview=True),
        settings,
        stack_name,
        preview=True,
        secret_keys=encrypted_keys(stack_name),
    )


def show(graph: Graph) -> RenderableType:
    """The tree of components and resources, then how many there are of each type."""
    root = next(r for r in graph.resources if r.type == STACK)
    children: dict[str, list[Registered]] = {}
    for resource in sorted(graph.resources, key=lambda r: (r.name, r.type)):
        children.setdefault(resource.parent, []).append(resource)
    tree = Tree(_line(root), guide_style="dim")
    _grow(tree, root.urn, children)
    return Group(tree, "", _counts(graph), *_outputs(graph.outputs.get(root.name, {})))


def as_json(graph: Graph) -> dict[str, Any]:
    """The shape of `pulumi preview --json`; secrets are masked."""
    steps = [
        {
            "op": "create",
            "urn": resource.urn,
            "newState": {
                "urn": resource.urn,
                "type": resource.type,
                "parent": resource.parent,
                "protect": resource.protect,
                "dependencies": list(resource.depends_on),
                "inputs": masked(resource.secrets),
            },
        }
        for resource in sorted(graph.resources, key=lambda r: r.urn)
    ]
    return {"steps": steps, "changeSummary": {"create": len(steps)}}


def _grow(tree: Tree, parent: str, children: dict[str, list[Registered]]) -> None:
    for resource in children.get(parent, []):
        _grow(tree.add(_line(resource)), resource.urn, children)


def _line(resource: Registered) -> Text:
    line = Text.assemble((resource.type, "cyan"), "  ", (resource.name, "bold"))
    return line.append("  protected", "yellow") if resource.protect else line


def _counts(graph: Graph) -> Table:
    counts = Counter(r.type for r in graph.resources if r.type != STACK)
    table = Table.grid(padding=(0, 2))
    for kind, count in sorted(counts.items()):
        table.add_row(Text(str(count), justify="right"), kind)
    table.add_row(Text(str(counts.total()), "bold", justify="right"), Text("resources", "bold"))
    return table


def _outputs(outputs: dict[str, Any]) -> Iterable[RenderableType]:
    if not outputs:
        return
    table = Table.grid(padding=(0, 2))
    for key in sorted(outputs):
        table.add_row(key, Text(str(masked(outputs[key])), overflow="ellipsis", no_wrap=True))
    yield ""
    yield Text("outputs", "bold")
    yield table
