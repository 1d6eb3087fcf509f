"""Open-loop load: POSTs at a constant rate, each on its time whatever became of the others.

Leaves out finding out how much a site can take (wrk.py). No request is sent twice: a failure that
a browser's second try would hide is a failure here.
"""

import asyncio
import threading
import time
from dataclasses import dataclass
from typing import Any

import httpx

TIMEOUT_S = 10.0
IN_FLIGHT = 2000
"""Unanswered requests beyond which further ones fail at once: the site is down or overrun."""


@dataclass(frozen=True, kw_only=True)
class Sent:
    due: float
    """When it was to be sent, by `time.monotonic`."""
    latency_ms: float
    """From then on, so that waiting to be sent counts."""
    outcome: str
    """Status of the answer, or name of the error."""


class Sender:
    """Sends in a thread of its own from `with` to its end."""

    def __init__(self, url: str, body: dict[str, Any], per_s: float) -> None:
        self._url, self._body, self._per_s = url, body, per_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self.sent: list[Sent] = []

    def __enter__(self) -> "Sender":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    async def _run(self) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        tasks: set[asyncio.Task[None]] = set()
        async with httpx.AsyncClient(limits=limits, timeout=TIMEOUT_S) as client:
            start, number = time.monotonic(), 0
            while not self._stopped.is_set():
                due = start + number / self._per_s
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                number += 1
                if len(tasks) >= IN_FLIGHT:
                    self.sent.append(Sent(due=due, latency_ms=0, outcome="overrun"))
                    continue
                task = asyncio.create_task(self._post(client, due))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.gather(*tasks)

    async def _post(self, client: httpx.AsyncClient, due: float) -> None:
        try:
            outcome = str((await client.post(self._url, json=self._body)).status_code)
        except httpx.HTTPError as error:
            outcome = type(error).__name__
        latency_ms = (time.monotonic() - due) * 1000
        self.sent.append(Sent(due=due, latency_ms=latency_ms, outcome=outcome))
