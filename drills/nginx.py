"""What nginx in front of the application costs: throughput lost, latency added.

Leaves out paths below /api/, whose requests are limited per client.
"""

from itertools import pairwise
from typing import Annotated

import httpx
import typer

from commands.options import AsJson, Kubeconfig, Stack
from drills.figures import Figure, await_quiet, publish
from drills.stack import running
from drills.wrk import Load, wrk
from local.progress import step

PAGES = {"cached page": "/report/hour", "dynamic page": "/tasks"}
BUSY, ALONE = 16, 1
"""Connections: enough to keep all processors at work, and one that never waits for others."""


def main(
    stack: Stack = "dev",
    kubeconfig: Kubeconfig = None,
    rounds: Annotated[int, typer.Option("--rounds", "-n", min=1, max=50, help="How often.")] = 5,
    seconds: Annotated[int, typer.Option(min=1, max=60, help="Of each measurement.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Pages through nginx against the same pods asked directly; needs the program wrk."""
    found = running(stack, kubeconfig)
    found.await_ready()
    urls = {"direct": found.web(), "nginx": found.site()}
    figures: list[Figure] = []
    with step("pages", total=rounds * len(PAGES) * 4) as shown:
        for title, path in PAGES.items():
            same_page(urls, path)
            for url in urls.values():  # every pod compiles what it runs often
                wrk(url + path, connections=BUSY, seconds=2)
            loads: dict[tuple[str, int], list[Load]] = {}
            for number in range(rounds):
                await_quiet()
                order = [*urls.items()]
                for way, url in order if number % 2 else reversed(order):
                    for connections in (BUSY, ALONE):
                        load = wrk(url + path, connections=connections, seconds=seconds)
                        loads.setdefault((way, connections), []).append(load)
                        shown.advance()
            figures += compare(title, loads)
    publish("nginx", figures, as_json=as_json)


def same_page(urls: dict[str, str], path: str) -> None:
    """Both ways must answer the same, or the comparison is of two different things."""
    answers = [httpx.get(url + path, timeout=10) for url in urls.values()]
    for answer in answers:
        answer.raise_for_status()
    for one, other in pairwise(answers):
        if abs(len(one.content) - len(other.content)) > len(one.content) / 100:
            raise RuntimeError(
                f"{one.url} and {other.url} answer differently: {len(one.content)} and "
                f"{len(other.content)} bytes"
            )


def compare(title: str, loads: dict[tuple[str, int], list[Load]]) -> list[Figure]:
    busy = list(zip(loads["direct", BUSY], loads["nginx", BUSY], strict=True))
    alone = list(zip(loads["direct", ALONE], loads["nginx", ALONE], strict=True))
    return [
        Figure(
            name=f"{title}, direct (reference)",
            unit="requests/s",
            values=[d.per_s for d, _ in busy],
        ),
        Figure(name=f"{title}, nginx", unit="requests/s", values=[n.per_s for _, n in busy]),
        Figure(
            name=f"{title}, throughput lost",
            unit="%",
            values=[100 * (1 - n.per_s / d.per_s) for d, n in busy],
            at_most=10,
        ),
        Figure(
            name=f"{title}, p50 direct (reference)", unit="ms", values=[d.p50_ms for d, _ in alone]
        ),
        Figure(name=f"{title}, p50 nginx", unit="ms", values=[n.p50_ms for _, n in alone]),
        Figure(
            name=f"{title}, p50 added",
            unit="ms",
            values=[n.p50_ms - d.p50_ms for d, n in alone],
            at_most=1,
        ),
    ]
