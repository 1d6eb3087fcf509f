"""Open-loop load at a constant rate, each request on its time whatever became of the others.

A program of its own (`python -m drills.sender URL BODY RATE`), because a busy caller would slow
down threads. It ends when its input does. No request is sent twice: a failure that a browser's
second try would hide is a failure here. Leaves out finding out how much a site can take (wrk.py).
"""

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp

from offline.recorder import ROOT

TIMEOUT_S = 10.0
END_S = TIMEOUT_S + 20
IN_FLIGHT = 2000
"""Unanswered requests beyond which further ones fail at once: the site is down or overrun."""


@dataclass(frozen=True, kw_only=True)
class Sent:
    due: float
    """When it was to be sent, by `time.monotonic`, which all processes of a machine share."""
    latency_ms: float
    """From then on, so that waiting to be sent counts."""
    outcome: str
    """Status of the answer, or name of the error."""


class Sender:
    """Sends from `with` to its end; then it knows what became of each request."""

    def __init__(self, url: str, body: dict[str, Any] | None, per_s: float) -> None:
        """POSTs the body as JSON; without one it is GETs."""
        self._command = [
            sys.executable,
            "-m",
            "drills.sender",
            url,
            json.dumps(body) if body else "",
            str(per_s),
        ]
        self.sent: list[Sent] = []

    def __enter__(self) -> "Sender":
        self._child = subprocess.Popen(
            self._command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        output = self._child.communicate(timeout=END_S)[0]
        if self._child.returncode != 0:
            raise RuntimeError(f"the sender ended with {self._child.returncode}")
        self.sent = [Sent(**one) for one in json.loads(output)]


async def send(url: str, body: str, per_s: float, stopped: asyncio.Event) -> list[Sent]:
    """Posts the JSON text `body`, or gets the page where that is empty, until `stopped`."""
    sent: list[Sent] = []
    tasks: set[asyncio.Task[Sent]] = set()
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, headers=headers
    ) as session:
        start, number = time.monotonic(), 0
        while not stopped.is_set():
            due = start + number / per_s
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            number += 1
            if len(tasks) >= IN_FLIGHT:
                sent.append(Sent(due=due, latency_ms=0, outcome="overrun"))
                continue
            task = asyncio.create_task(_request(session, url, body, due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            task.add_done_callback(lambda done: sent.append(done.result()))
        await asyncio.gather(*tasks)
    return sent


async def _request(session: aiohttp.ClientSession, url: str, body: str, due: float) -> Sent:
    try:
        async with session.request("POST" if body else "GET", url, data=body or None) as answer:
            await answer.read()
            outcome = str(answer.status)
    except (aiohttp.ClientError, TimeoutError) as error:
        outcome = type(error).__name__
    return Sent(due=due, latency_ms=(time.monotonic() - due) * 1000, outcome=outcome)


async def _until_input_ends(url: str, body: str, per_s: float) -> list[Sent]:
    stopped = asyncio.Event()
    reading = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    reading.add_done_callback(lambda _: stopped.set())
    return await send(url, body, per_s, stopped)


if __name__ == "__main__":
    done = asyncio.run(_until_input_ends(sys.argv[1], sys.argv[2], float(sys.argv[3])))
    print(json.dumps([asdict(one) for one in done]))
