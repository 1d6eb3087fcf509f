"""How long `nextstack up` and `down` take where programs and images are present.

Leaves out the very first `up` of a machine, which builds them.
"""

import re
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Annotated

import typer

from commands.options import AsJson
from drills.figures import Figure, await_quiet, publish
from drills.stack import running
from local.progress import console
from offline.recorder import ROOT

LIMIT_S = 900
# As the command sums up what it did.
CHANGES = re.compile(r"(\d+) (?:created|changed|replaced|deleted)")


@dataclass(frozen=True, kw_only=True)
class Run:
    seconds: float
    changes: int


def nextstack(*arguments: str) -> Run:
    """One of our commands on the dev stack; it must succeed."""
    console.print(f"nextstack {' '.join(arguments)}")
    began = time.monotonic()
    command = [sys.executable, "-m", "commands", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    seconds = time.monotonic() - began
    if done.returncode != 0:
        raise RuntimeError(f"nextstack {arguments[0]} failed:\n{done.stderr}")
    return Run(seconds=seconds, changes=sum(map(int, CHANGES.findall(done.stderr))))


def main(
    rounds: Annotated[int, typer.Option("--rounds", "-n", min=1, help="How often.")] = 3,
    from_nothing: Annotated[
        bool,
        typer.Option(
            "--from-nothing", help="Also take the dev stack and its cluster down; DELETES ITS DATA."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """How long up and down take with all images present; by default only the up without changes."""
    downs: list[Run] = []
    ups: list[Run] = []
    again: list[Run] = []
    for _ in range(rounds):
        await_quiet()
        if from_nothing:
            downs.append(nextstack("down"))
            ups.append(nextstack("up"))
            running("dev", None).await_ready()
        again.append(nextstack("up"))
    figures = [
        Figure(name="up without changes", unit="s", values=[r.seconds for r in again], at_most=5),
        Figure(
            name="objects that it changed",
            unit="",
            values=[r.changes for r in again],
            at_most=0,
            worst_counts=True,
        ),
    ]
    if from_nothing:
        figures = [
            Figure(
                name="up from a stopped cluster to all ready",
                unit="s",
                values=[r.seconds for r in ups],
                at_most=25,
            ),
            *figures,
            Figure(
                name="down, cluster included",
                unit="s",
                values=[r.seconds for r in downs],
                at_most=20,
            ),
        ]
    publish("up", figures, as_json=as_json)
