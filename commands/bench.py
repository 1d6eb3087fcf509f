"""`nextstack bench`: faults and load against a running stack; what measures is in drills/."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer


def bench(
    arguments: Annotated[
        list[str] | None, typer.Argument(help="A drill and its options; none lists the drills.")
    ] = None,
) -> None:
    """Measure a running stack: how fast it is, and how fast it recovers from faults."""
    command = [sys.executable, "-m", "drills", *(arguments or ["--help"])]
    root = Path(__file__).parent.parent
    raise typer.Exit(subprocess.run(command, cwd=root, check=False).returncode)
