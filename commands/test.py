"""`nextstack test`: the project's own checks; those that need a stack bring it up themselves."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer


def test(
    arguments: Annotated[
        list[str] | None, typer.Argument(help="Options and files for pytest, after --.")
    ] = None,
) -> None:
    """Run the tests: units everywhere, end to end where a cluster is possible."""
    # -rs names each test that was skipped, and why.
    command = [sys.executable, "-m", "pytest", "-rs", *(arguments or [])]
    root = Path(__file__).parent.parent
    raise typer.Exit(subprocess.run(command, cwd=root, check=False).returncode)
