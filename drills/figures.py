"""Measured figures: their statistics, the goals they are held against, and how they are printed.

Leaves out measuring: that is each drill's.
"""

import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from local.progress import console

# A stack without visitors takes 15 to 20 % of two processors.
QUIET_PERCENT = 65
QUIET_LIMIT_S = 30
WIDTH = 130  # of the table; also where the output is a file


@dataclass(frozen=True, kw_only=True)
class Figure:
    name: str
    unit: str
    values: Sequence[float]
    """One for each round."""
    at_most: float | None = None
    """Goal; nothing for what is only a reference."""
    at_least: float | None = None
    worst_counts: bool = False
    """Whether the goal is for the worst round; by default it is for the median."""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def reached(self) -> bool | None:
        """Whether the goal was met; nothing where there is none."""
        if self.at_most is not None:
            return (max(self.values) if self.worst_counts else self.median) <= self.at_most
        if self.at_least is not None:
            return (min(self.values) if self.worst_counts else self.median) >= self.at_least
        return None

    @property
    def goal(self) -> str:
        for sign, limit in (("<=", self.at_most), (">=", self.at_least)):
            if limit is not None:
                return f"{'every round' if self.worst_counts else 'median'} {sign} {limit:g}"
        return ""


def await_quiet() -> None:
    """Waits until other programs leave the processors alone, but not for ever."""
    deadline = time.monotonic() + QUIET_LIMIT_S
    while (idle := _idle_percent()) < QUIET_PERCENT:
        if time.monotonic() > deadline:
            console.print(f"other programs are at work ({idle:.0f} % idle): figures come out worse")
            return


def _idle_percent() -> float:
    """How much of all processors nobody used for a second."""
    before = _ticks()
    time.sleep(1)
    spent = [after - start for start, after in zip(before, _ticks(), strict=True)]
    return 100 * (spent[3] + spent[4]) / sum(spent)  # idle, and waiting for a disk


def _ticks() -> list[int]:
    return [int(number) for number in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]


def publish(title: str, figures: Sequence[Figure], *, as_json: bool) -> None:
    """Prints all figures on standard output."""
    if as_json:
        print(json.dumps({"bench": title, "machine": _machine()} | _plain(figures)))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("figure", "unit", "n", "min", "median", "max", "goal", ""):
        left = heading in ("figure", "unit", "goal", "")
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for f in figures:
        numbers = (f"{v:.4g}" for v in (min(f.values), f.median, max(f.values)))
        verdict = {True: "reached", False: "[red]missed[/red]", None: ""}[f.reached]
        table.add_row(f.name, f.unit, str(len(f.values)), *numbers, f.goal, verdict)
    out = Console(width=max(WIDTH, Console().width), highlight=False)
    out.print(f"{title}: {', '.join(_machine().values())}\n")
    out.print(table)


def _plain(figures: Sequence[Figure]) -> dict[str, Any]:
    return {
        "figures": [
            {
                "name": f.name,
                "unit": f.unit,
                "n": len(f.values),
                "min": min(f.values),
                "median": f.median,
                "max": max(f.values),
                "values": list(f.values),
                "goal": f.goal,
                "reached": f.reached,
            }
            for f in figures
        ]
    }


def _machine() -> dict[str, str]:
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processors": f"{os.cpu_count()} processors",
        "memory": f"{memory_gib:.0f} GiB",
        "system": platform.platform(terse=True),
        "load": f"load {os.getloadavg()[0]:.1f}",
    }
