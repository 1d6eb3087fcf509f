"""`nextstack graph`: a stack as a picture."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from commands.options import Stack


class Format(StrEnum):
    SVG = "svg"
    MERMAID = "mermaid"


def graph(
    stack: Stack = "dev",
    format: Annotated[
        Format, typer.Option(help="A picture, or a flowchart for Markdown.")
    ] = Format.SVG,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; by default print it.")
    ] = None,
) -> None:
    """Draw what runs, who talks to whom, and which walls are between them.

    From the committed files alone; svg needs Graphviz on the machine.
    """
    from offline.diagram import draw, of_stack

    write = draw.svg if format is Format.SVG else draw.mermaid
    picture = write(of_stack(stack))
    if output is None:
        print(picture, end="")
    else:
        output.write_text(picture)
