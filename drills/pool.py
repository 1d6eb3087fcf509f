"""What PgBouncer costs a query, and what it saves those that connect anew or are many.

Leaves out faults of the pool (site.py).
"""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated

import typer

from commands.options import AsJson, Kubeconfig, Stack
from drills.client_pod import ClientPod, client_pod
from drills.figures import Figure, publish, warn_if_busy
from drills.stack import running
from local.progress import step

MANY = 1000
"""Clients at once; the limit of one pooler by default."""
POOL = '"$DATABASE_URL"'
DIRECT = '""'
"""libpq's login in the environment."""
# Only counts: the pool's logins are those of the application.
SERVER_CONNECTIONS = (
    'psql --no-psqlrc --tuples-only --no-align --command="select count(*) from pg_stat_activity '
    "where datname = current_database() and usename like 'app%'\""
)
SAMPLE_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Bench:
    per_s: float
    """Transactions; each with its own connection where that was asked for."""
    latency_us: float
    failed: int


def pgbench(pod: ClientPod, target: str, options: str, seconds: int) -> Bench:
    """Runs `select 1` for some seconds; what could not connect makes it fail as a whole."""
    script = f"echo 'select 1;' | pgbench --no-vacuum --file=- --time={seconds} {options} {target}"
    text = pod.must(script)
    return Bench(
        per_s=_number(r"^tps = ([\d.]+)", text),
        latency_us=1000 * _number(r"^latency average = ([\d.]+) ms", text),
        failed=int(_number(r"^number of failed transactions: (\d+)", text)),
    )


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"pgbench said nothing that matches {pattern}: {text}")
    return float(found[1])


def crowd(pod: ClientPod, seconds: int) -> tuple[Bench, int]:
    """A thousand clients at once, and the most server connections that were seen meanwhile."""
    ended = threading.Event()
    seen: list[int] = []

    def watch() -> None:
        while not ended.wait(SAMPLE_S):
            seen.append(int(pod.must(SERVER_CONNECTIONS)))

    with ThreadPoolExecutor(max_workers=1) as pool:
        watching = pool.submit(watch)
        try:
            bench = pgbench(pod, POOL, f"--client={MANY} --jobs=2", seconds)
        finally:
            ended.set()
        watching.result()
    return bench, max(seen)


def main(
    stack: Stack = "dev",
    kubeconfig: Kubeconfig = None,
    rounds: Annotated[int, typer.Option("--rounds", "-n", min=1, max=50, help="How often.")] = 5,
    seconds: Annotated[int, typer.Option(min=1, max=60, help="Of each measurement.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Queries through the pool against the database asked directly, from a pod beside both.

    Direct connections use TLS, because the server insists on it; the pool's clients use none.
    """
    warn_if_busy()
    found = running(stack, kubeconfig)
    found.await_ready()
    one = {"pool": list[Bench](), "direct": list[Bench]()}
    anew = {"pool": list[Bench](), "direct": list[Bench]()}
    crowds: list[tuple[Bench, int]] = []
    targets = {"pool": POOL, "direct": DIRECT}
    with step("queries", total=rounds * 5) as shown, client_pod(found) as pod:
        for number in range(rounds):
            for way in sorted(targets, reverse=bool(number % 2)):
                one[way].append(pgbench(pod, targets[way], "--client=1", seconds))
                shown.advance()
                anew[way].append(pgbench(pod, targets[way], "--client=8 --connect", seconds))
                shown.advance()
            crowds.append(crowd(pod, seconds))
            shown.advance()
    publish("pool", _figures(one, anew, crowds), as_json=as_json)


def _figures(
    one: dict[str, list[Bench]], anew: dict[str, list[Bench]], crowds: list[tuple[Bench, int]]
) -> list[Figure]:
    pairs = list(zip(one["direct"], one["pool"], strict=True))
    connects = list(zip(anew["direct"], anew["pool"], strict=True))
    return [
        Figure(name="query, direct (ref.)", unit="us", values=[d.latency_us for d, _ in pairs]),
        Figure(name="query, pool", unit="us", values=[p.latency_us for _, p in pairs]),
        Figure(
            name="query, added by the pool",
            unit="us",
            values=[p.latency_us - d.latency_us for d, p in pairs],
            at_most=30,
        ),
        Figure(
            name="new connections, direct (reference)",
            unit="1/s",
            values=[d.per_s for d, _ in connects],
        ),
        Figure(
            name="new connections, pool",
            unit="1/s",
            values=[p.per_s for _, p in connects],
        ),
        Figure(
            name="new connections, pool to direct",
            unit="x",
            values=[p.per_s / d.per_s for d, p in connects],
            at_least=10,
        ),
        Figure(
            name=f"{MANY} clients, transactions", unit="1/s", values=[b.per_s for b, _ in crowds]
        ),
        Figure(
            name=f"{MANY} clients, failed transactions",
            unit="",
            values=[b.failed for b, _ in crowds],
            at_most=0,
            worst_counts=True,
        ),
        Figure(
            name=f"{MANY} clients, server connections",
            unit="",
            values=[c for _, c in crowds],
            at_most=20,
            worst_counts=True,
        ),
    ]
