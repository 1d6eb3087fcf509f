"""How long the program takes to start, and what it loads: without a cluster.

Leaves out bringing anything up (up.py).
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Annotated

import typer

from commands.options import AsJson
from drills.figures import Figure, await_quiet, publish
from local.progress import step
from offline.recorder import ROOT

AWS = "pulumi_aws"
GRAPH_OF_DEV = f"""
import re, sys
from pathlib import Path
from offline.preview import preview
preview("dev")
modules = sum(name.split(".")[0] == "{AWS}" for name in sys.modules)
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(modules, peak[1])
"""


@dataclass(frozen=True, kw_only=True)
class Run:
    seconds: float
    output: str


def run(*arguments: str) -> Run:
    """One run of our Python, which may keep what it compiles, as it does for a user."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    return Run(seconds=time.monotonic() - began, output=done.stdout)


def main(
    rounds: Annotated[int, typer.Option("--rounds", "-n", min=1, help="How often.")] = 7,
    tests: Annotated[bool, typer.Option(help="Also run the unit tests, once.")] = True,
    as_json: AsJson = False,
) -> None:
    """How fast the program starts, previews and tests itself; needs no cluster."""
    commands = {
        "python": ("-c", "pass"),
        "libraries": ("-c", "import pulumi, pulumi_kubernetes, pulumi_random"),
        "dev": ("-c", GRAPH_OF_DEV),
        "production": ("-m", "commands", "preview", "--stack", "production", "--json"),
        "help": ("-m", "commands", "--help"),
    }
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    with step("program starts", total=rounds * len(commands)) as shown:
        for command in commands.values():
            run(*command)  # compiles modules and fills the file cache
        for _ in range(rounds):  # side by side, so that other load hits all alike
            await_quiet()
            for name, command in commands.items():
                runs[name].append(run(*command))
                shown.advance()
    times = {name: [r.seconds for r in done] for name, done in runs.items()}
    loaded = [r.output.split() for r in runs["dev"]]
    figures = [
        Figure(name="Python alone (reference)", unit="s", values=times["python"]),
        Figure(
            name="import of Pulumi's libraries (reference)", unit="s", values=times["libraries"]
        ),
        Figure(name="imports and graph of dev", unit="s", values=times["dev"], at_most=0.8),
        Figure(
            name="memory for it",
            unit="MiB",
            values=[int(peak) / 1024 for _, peak in loaded],
            at_most=100,
        ),
        Figure(
            name="AWS modules imported for it",
            unit="",
            values=[int(modules) for modules, _ in loaded],
            at_most=0,
            worst_counts=True,
        ),
        Figure(name="preview of production", unit="s", values=times["production"], at_most=2),
        Figure(name="./nextstack --help", unit="s", values=times["help"]),
    ]
    if tests:
        with step("unit tests"):
            taken = run("-m", "pytest", "-q", "tests/unit").seconds
        figures.append(
            Figure(name="unit tests over all stacks", unit="s", values=[taken], at_most=10)
        )
    publish("start", figures, as_json=as_json)
