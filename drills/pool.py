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
from drills.figures import Figure, await_quiet, publish
from drills.stack import running
from local.progress import step

MANY, EACH = 1000, 30
"""Clients at once (the limit of one pooler by default), and the transactions of each."""
SELECT = "echo 'select 1;'"
# The environment has the direct login, whose TLS the pool need not have.
POOL = 'PGSSLMODE=prefer pgbench "$DATABASE_URL"'
DIRECT = "pgbench"
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


@dataclass(frozen=True, kw_only=True)
class Crowd:
    per_s: float
    failed: int
    """Transactions, those of clients that could not connect included."""
    server_connections: int
    """The most that were seen."""


def pgbench(pod: ClientPod, command: str, options: str) -> Bench:
    """Runs `select 1`; each one must succeed."""
    text = pod.must(f"{SELECT} | {command} --no-vacuum --file=- {options}")
    return Bench(
        per_s=_number(r"^tps = ([\d.]+)", text),
        latency_us=1000 * _number(r"^latency average = ([\d.]+) ms", text),
    )


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"pgbench said nothing that matches {pattern}: {text}")
    return float(found[1])


def crowd(pod: ClientPod) -> Crowd:
    """A thousand clients at once."""
    ended = threading.Event()
    seen: list[int] = []

    def watch() -> None:
        while not ended.wait(SAMPLE_S):
            seen.append(int(pod.must(SERVER_CONNECTIONS)))

    options = f"--client={MANY} --jobs=2 --transactions={EACH}"
    with ThreadPoolExecutor(max_workers=1) as pool:
        watching = pool.submit(watch)
        try:
            text = pod.run(f"{SELECT} | {POOL} --no-vacuum --file=- {options}")
        finally:
            ended.set()
        watching.result()
    return Crowd(
        per_s=_number(r"^tps = ([\d.]+)", text),
        failed=MANY * EACH - int(_number(r"^number of transactions .*: (\d+)/\d+", text)),
        server_connections=max(seen),
    )


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
    found = running(stack, kubeconfig)
    found.await_ready()
    one = {"pool": list[Bench](), "direct": list[Bench]()}
    anew = {"pool": list[Bench](), "direct": list[Bench]()}
    crowds: list[Crowd] = []
    commands = {"pool": POOL, "direct": DIRECT}
    with step("queries", total=rounds * 5) as shown, client_pod(found) as pod:
        for number in range(rounds):
            await_quiet()
            for way in sorted(commands, reverse=bool(number % 2)):
                one[way].append(pgbench(pod, commands[way], f"--client=1 --time={seconds}"))
                shown.advance()
                anew[way].append(
                    pgbench(pod, commands[way], f"--client=8 --connect --time={seconds}")
                )
                shown.advance()
            crowds.append(crowd(pod))
            shown.advance()
    publish("pool", _figures(one, anew, crowds), as_json=as_json)


def _figures(
    one: dict[str, list[Bench]], anew: dict[str, list[Bench]], crowds: list[Crowd]
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
        Figure(name=f"{MANY} clients, transactions", unit="1/s", values=[c.per_s for c in crowds]),
        Figure(
            name=f"{MANY} clients, failed transactions",
            unit="",
            values=[c.failed for c in crowds],
            at_most=0,
            worst_counts=True,
        ),
        Figure(
            name=f"{MANY} clients, server connections",
            unit="",
            values=[c.server_connections for c in crowds],
            at_most=20,
            worst_counts=True,
        ),
    ]
