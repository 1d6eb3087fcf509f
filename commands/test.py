"""`nextstack test`: the project's own checks; those that need a stack bring it up themselves."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

CHECKS = (("ruff", "check"), ("ruff", "format", "--check"), ("pyright", "--warnings"))


def test(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(help="Options and files for pytest, after --; then only pytest runs."),
    ] = None,
) -> None:
    """Check lint, format and types, then run the tests: end to end where a cluster is possible."""
    # -rs names each test that was skipped, and why.
    tests = ("pytest", "-rs", *(arguments or []))
    failed = [check for check in ([tests] if arguments else [*CHECKS, tests]) if not _run(check)]
    for check in failed:
        print(f"failed: {' '.join(check)}", file=sys.stderr)
    raise typer.Exit(1 if failed else 0)


def _run(check: tuple[str, ...]) -> bool:
    print(f"$ {' '.join(check)}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", *check]
    root = Path(__file__).parent.parent
    return subprocess.run(command, cwd=root, check=False).returncode == 0
