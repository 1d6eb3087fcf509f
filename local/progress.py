"""Shows what long work is doing: a live line on a terminal, one plain line per step elsewhere.

Leaves out logging: what a step prints about itself belongs to its caller.
"""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

# Standard output stays free for data, such as a kubeconfig's path.
console = Console(stderr=True, highlight=False)


class _Display:
    """One live area shared by all open steps, because steps may run in parallel threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.open_steps = 0
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("[dim]{task.fields[detail]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )

    def add(self, label: str, total: float | None) -> TaskID:
        with self.lock:
            self.open_steps += 1
            if self.open_steps == 1 and console.is_terminal:
                self.progress.start()
            return self.progress.add_task(label, total=total, detail="")

    def remove(self, task: TaskID) -> None:
        with self.lock:
            self.progress.remove_task(task)
            self.open_steps -= 1
            if self.open_steps == 0 and console.is_terminal:
                self.progress.stop()


_display = _Display()


@dataclass(frozen=True, kw_only=True)
class Step:
    """One open step; its methods may be called from any thread."""

    task: TaskID

    def advance(self, amount: float = 1) -> None:
        """Moves the bar, for a step that knows its total."""
        _display.progress.advance(self.task, amount)

    def update(
        self,
        *,
        completed: float | None = None,
        total: float | None = None,
        detail: str | None = None,
    ) -> None:
        """Sets what is given: the bar's position, its end, the small text behind it."""
        if detail is None:
            _display.progress.update(self.task, completed=completed, total=total)
        else:
            _display.progress.update(self.task, completed=completed, total=total, detail=detail)


@contextmanager
def step(label: str, total: float | None = None) -> Generator[Step]:
    """Shows `label` and the time while the body runs, then leaves one line with the time it took.

    Without `total` the bar pulses until the body ends or `Step.update` gives one.
    """
    task = _display.add(label, total)
    began = time.monotonic()
    outcome = "failed after "
    try:
        yield Step(task=task)
        outcome = ""
    finally:
        _display.remove(task)
        console.print(f"{label} ... {outcome}{time.monotonic() - began:.1f} s", markup=False)
