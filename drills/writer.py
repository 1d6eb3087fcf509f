"""A client that writes one numbered record after the other and notes which were acknowledged.

Leaves out what a record is and where it goes: that is the drill's.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

PAUSE_S = 0.01  # between writes: about 90 a second, so a gap is known to a few hundredths
RETRY_S = 0.02


@dataclass(frozen=True, kw_only=True)
class Acknowledged:
    number: int
    at: float
    """When the answer came, by `time.monotonic`."""


class Writer:
    """Writes in a thread of its own from `with` to its end."""

    def __init__(self, write: Callable[[int], None], refused: tuple[type[Exception], ...]) -> None:
        """`write` raises one of `refused` if its record was not acknowledged."""
        self._write, self._refused = write, refused
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.acknowledged: list[Acknowledged] = []
        self.refusals = 0

    def __enter__(self) -> "Writer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._stopped.is_set():
            number += 1
            try:
                self._write(number)
            except self._refused:
                self.refusals += 1
                self._stopped.wait(RETRY_S)
            else:
                self.acknowledged.append(Acknowledged(number=number, at=time.monotonic()))
                self._stopped.wait(PAUSE_S)


def longest_gap(acknowledged: list[Acknowledged], start: float, end: float) -> float:
    """The longest time in `start` to `end` without an acknowledged write, ends included.

    The tail counts: a gap that never closed would otherwise look like none.
    """
    times = [start, *(a.at for a in acknowledged if start <= a.at <= end), end]
    return max(later - earlier for earlier, later in pairwise(times))
