"""`nextstack render`: a stack's Kubernetes manifests as files."""

from pathlib import Path
from typing import Annotated

import typer

from commands.options import Stack


def render(
    out: Annotated[Path, typer.Option(help="Folder to write to; secrets go to secrets/ in it.")],
    stack: Stack = "dev",
) -> None:
    """Write a stack's Kubernetes manifests, to be looked at or applied by other means."""
    from local.progress import console
    from offline.render import render

    files = render(stack, out)
    console.print(f"{len(files)} files in {out}; apply them with: kubectl apply -k {out}")
