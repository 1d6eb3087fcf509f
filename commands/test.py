"""`nextstack test`: the project's own checks; those that need a stack bring it up themselves."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

# -rs names each test that was skipped, and why.
PYTEST = ("pytest", "-rs")
# Units in a run of their own, first: they fail sooner, and both folders have a conftest.py. They
# record stacks, which takes one processor each; end-to-end tests share one cluster.
UNITS = ("-n", "auto", "--dist", "worksteal", "tests/unit")
CHECKS = (
    ("ruff", "check"),
    ("ruff", "format", "--check"),
    ("pyright", "--warnings"),
    (*PYTEST, *UNITS),
    (*PYTEST, "tests/e2e"),
)


def test(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(help="Options and files for pytest, after --; then only pytest runs."),
    ] = None,
) -> None:
    """Check lint, format and types, then run the tests: end to end where a cluster is possible."""
    checks = [(*PYTEST, *arguments)] if arguments else CHECKS
    failed = [check for check in checks if not _run(check)]
    for check in failed:
        print(f"failed: {' '.join(check)}", file=sys.stderr)
    raise typer.Exit(1 if failed else 0)


def _run(check: tuple[str, ...]) -> bool:
    print(f"$ {' '.join(check)}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", *check]
    root = Path(__file__).parent.parent
    return subprocess.run(command, cwd=root, check=False).returncode == 0
