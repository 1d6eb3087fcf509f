"""Draws a diagram: SVG for a page, Mermaid for Markdown. Leaves out what is in it."""

import html
import json
import shutil
import subprocess
from collections.abc import Iterable, Iterator

from offline.diagram.model import Diagram, Node, Shape

STYLES = {
    Shape.PERSON: {"shape": "oval", "fillcolor": "#fff7d6"},
    Shape.SERVER: {"shape": "box", "style": "rounded,filled", "fillcolor": "#e3efff"},
    Shape.STORE: {"shape": "cylinder", "fillcolor": "#dff3e4"},
    Shape.JOB: {"shape": "box", "style": "rounded,filled,dashed", "fillcolor": "#f3f4f6"},
    Shape.SERVICE: {"shape": "box", "style": "rounded,filled", "fillcolor": "#fdeae0"},
}
FONT = {"fontname": "Helvetica,Arial,sans-serif"}
PICTURE = {"rankdir": "LR", "labelloc": "b", "nodesep": "0.25", "ranksep": "0.7", "fontsize": "11"}
NODES = {"style": "filled", "color": "#8a94a6", "fontsize": "12", "margin": "0.15,0.08"}
FLOWS = {"color": "#5b6577", "fontsize": "10", "fontcolor": "#5b6577", "arrowsize": "0.7"}
COPIES = {"style": "dashed", "color": "#2e8b57"}
FRAME = {"style": "rounded,filled", "color": "#a9b4c6", "labeljust": "l", "labelloc": "t"} | {
    "fontsize": "12",
    "fontcolor": "#333a47",
    "margin": "12",
}
# Fill of a frame, from the outermost inwards.
WALLS = ("#fbfbfd", "#f3f6fb", "#ebf0f8", "#e3e9f3", "#dbe2ee")
MERMAID = {
    Shape.PERSON: ("([", "])"),
    Shape.SERVER: ("[", "]"),
    Shape.STORE: ("[(", ")]"),
    Shape.JOB: ("[/", "/]"),
    Shape.SERVICE: ("{{", "}}"),
}


def svg(diagram: Diagram) -> str:
    """Raises RuntimeError where Graphviz is not installed."""
    if shutil.which("dot") is None:
        raise RuntimeError(
            "Graphviz is missing: got no `dot` on the path, it lays the picture out; install it "
            "(apt-get install graphviz), or use --format mermaid"
        )
    done = subprocess.run(
        ["dot", "-Tsvg"], input=dot(diagram), capture_output=True, text=True, check=True
    )
    return done.stdout


def dot(diagram: Diagram) -> str:
    """The diagram in the language of Graphviz."""
    lines = [
        "digraph stack {",
        f"graph {_attributes(PICTURE | FONT | {'label': _caption(diagram)})}",
        f"node {_attributes(NODES | FONT)}",
        f"edge {_attributes(FLOWS | FONT)}",
        *_enclosed(diagram.nodes, 0),
    ]
    for flow in diagram.flows:
        style = {"label": f" {flow.label} "} | (COPIES if flow.copies else {})
        lines.append(f"{_name(flow.source)} -> {_name(flow.target)} {_attributes(style)}")
    return "\n".join([*lines, "}"]) + "\n"


def _enclosed(nodes: Iterable[Node], depth: int) -> Iterator[str]:
    """Nodes at this depth, and a frame for each wall that begins here."""
    outside, inside = _by_wall(nodes, depth)
    for node in outside:
        # Between angle brackets Graphviz reads markup.
        yield f"{_name(node.id)} [label=<{_label(node)}> {_pairs(STYLES[node.shape])}]"
    for wall, members in inside.items():
        frame = FRAME | {"fillcolor": WALLS[depth % len(WALLS)], "label": wall}
        yield f"subgraph cluster_{_wall_name(members, depth)} {{ graph {_attributes(frame)}"
        yield from _enclosed(members, depth + 1)
        yield "}"


def _by_wall(nodes: Iterable[Node], depth: int) -> tuple[list[Node], dict[str, list[Node]]]:
    """Those at this depth, and those further inside by the next wall."""
    outside: list[Node] = []
    inside: dict[str, list[Node]] = {}
    for node in nodes:
        if len(node.walls) > depth:
            inside.setdefault(node.walls[depth], []).append(node)
        else:
            outside.append(node)
    return outside, inside


def _wall_name(members: list[Node], depth: int) -> str:
    return _name("/".join(members[0].walls[: depth + 1]))


def _label(node: Node) -> str:
    detail = f'<br/><font point-size="10" color="#555555">{html.escape(node.detail)}</font>'
    return f"<b>{html.escape(node.title)}</b>{detail if node.detail else ''}"


def _attributes(values: dict[str, str]) -> str:
    return f"[{_pairs(values)}]"


def _pairs(values: dict[str, str]) -> str:
    return " ".join(f"{name}={json.dumps(value)}" for name, value in values.items())


def _caption(diagram: Diagram) -> str:
    """The title, and what is there but not drawn."""
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(diagram.supporting.items()))
    return f"{diagram.title}\nnot drawn: {counts}" if counts else diagram.title


def mermaid(diagram: Diagram) -> str:
    """A flowchart for a fenced block of Markdown."""
    lines = ["flowchart LR", *_mermaid_nodes(diagram.nodes, 0)]
    for flow in diagram.flows:
        arrow = "-.->" if flow.copies else "-->"
        # Quotes, because brackets would end the label.
        label = f'|"{flow.label}"|' if flow.label else ""
        lines.append(f"  {_name(flow.source)} {arrow}{label} {_name(flow.target)}")
    return "\n".join(lines) + "\n"


def _mermaid_nodes(nodes: Iterable[Node], depth: int) -> Iterator[str]:
    indent = "  " * (depth + 1)
    outside, inside = _by_wall(nodes, depth)
    for node in outside:
        opening, closing = MERMAID[node.shape]
        text = f"{node.title}<br/>{node.detail}" if node.detail else node.title
        yield f'{indent}{_name(node.id)}{opening}"{text}"{closing}'
    for wall, members in inside.items():
        yield f'{indent}subgraph {_wall_name(members, depth)}["{wall}"]'
        yield from _mermaid_nodes(members, depth + 1)
        yield f"{indent}end"


def _name(id_: str) -> str:
    """An identifier that both languages take."""
    return "".join(letter if letter.isalnum() else "_" for letter in id_)
