"""Faults and changes of what serves the site, under a constant rate of writes through nginx.

Leaves out the servers behind it, which postgres.py and redis.py hit. Writes are POSTs to the sample
application; for as long as it lasts, nginx does not limit them.
"""

import json
import secrets
import signal
import statistics
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from commands.options import AsJson, Kubeconfig
from commands.options import Stack as StackName
from drills import processes
from drills.figures import Figure, await_quiet, publish
from drills.sender import Sender, Sent
from drills.stack import Stack, running, wait
from drills.wrk import wrk
from local.images import REGISTRY
from local.progress import console
from offline.direct.kubernetes_api import Body

PATH = "/api/tasks"
CREATED = "201"
MISSING = f"{REGISTRY}/app:missing"
WITHOUT_LIMIT = {"nginxRateExemptPaths": json.dumps([PATH])}
CONNECTIONS, CAPACITY_S = 16, 8
BEFORE_S, AFTER_S = 5.0, 5.0  # of load without a fault
GONE_S = 200  # longer than any pod's grace


class Fault(StrEnum):
    RELEASE = "release"
    """A new configuration replaces all application pods, by the stack's own update."""
    WEB_DELETE = "web-delete"
    """Every application pod is deleted politely, one after the other."""
    WEB_KILL = "web-kill"
    """The process of every application pod dies without a word, one after the other."""
    POOLER_DELETE = "pooler-delete"
    """A pod of the pool is deleted politely."""
    POOLER_KILL = "pooler-kill"
    """The process of a pod of the pool dies without a word."""
    NGINX_DELETE = "nginx-delete"
    """A pod of nginx is deleted politely."""
    BAD_IMAGE = "bad-image"
    """A release names an image that does not exist, fails, and is taken back."""


# Requests that are inside a process when it dies are lost: no goal for the kills.
GOALS = {
    Fault.RELEASE: 0,
    Fault.WEB_DELETE: 0,
    Fault.POOLER_DELETE: 0,
    Fault.NGINX_DELETE: 0,
    Fault.BAD_IMAGE: 0,
}
DEFAULT = [Fault.RELEASE, Fault.WEB_DELETE, Fault.POOLER_DELETE, Fault.BAD_IMAGE]


@dataclass(frozen=True, kw_only=True)
class Round:
    seconds: float
    """From the fault until everything is as before."""
    calm: list[Sent]
    """Requests before the fault."""
    hit: list[Sent]
    lost: int
    """Tasks that the site acknowledged and the database does not have."""

    @property
    def failed(self) -> int:
        return sum(s.outcome != CREATED for s in self.hit)


@contextmanager
def without_limit(stack: Stack) -> Generator[None]:
    """The stack without a limit on POSTs; nginx's pods are replaced before and after."""
    stack.up(**WITHOUT_LIMIT)
    try:
        stack.await_ready()
        yield
    finally:
        stack.up()


def capacity(url: str) -> float:
    """POSTs per second that the site answers at most."""
    task = {"application/json": json.dumps({"title": "Capacity drill"})}
    for seconds in (3, CAPACITY_S):  # the first one warms up
        load = wrk(url, connections=CONNECTIONS, seconds=seconds, post=task)
    return load.per_s


def drill(stack: Stack, url: str, fault: Fault, per_s: float) -> Round:
    """One fault under load; afterwards the acknowledged tasks are counted."""
    stack.await_ready()
    await_quiet()
    title = f"Drill {secrets.token_hex(4)}"
    with Sender(url, {"title": title}, per_s) as sender:
        time.sleep(BEFORE_S)
        start = time.monotonic()
        console.print(f"{fault} under {per_s:.0f} writes per second")
        _strike(stack, fault)
        stack.await_ready()
        # Old pods serve on for a while after their successors are ready.
        wait("stopping pods are gone", lambda: not stack.stopping(), GONE_S)
        seconds = time.monotonic() - start
        time.sleep(AFTER_S)
    found = int(stack.psql(f"select count(*) from tasks where title = '{title}'"))
    stack.psql(f"delete from tasks where title = '{title}'")
    acknowledged = sum(s.outcome == CREATED for s in sender.sent)
    done = Round(
        seconds=seconds,
        calm=[s for s in sender.sent if s.due < start],
        hit=[s for s in sender.sent if s.due >= start],
        lost=max(0, acknowledged - found),
    )
    outcomes = Counter(s.outcome for s in done.hit)
    console.print(f"{fault}: {seconds:.1f} s, outcomes {dict(outcomes)}", markup=False)
    return done


def _strike(stack: Stack, fault: Fault) -> None:
    """Returns when what was hit is gone; its successor may still be starting."""
    match fault:
        case Fault.RELEASE:
            stack.up(**WITHOUT_LIMIT, extraEnv=json.dumps({"DRILL": secrets.token_hex(4)}))
        case Fault.WEB_DELETE:
            for pod in stack.pods("web"):
                _delete(stack, pod)
        case Fault.WEB_KILL:
            for pod in stack.pods("web"):
                _kill(stack, pod)
        case Fault.POOLER_DELETE:
            _delete(stack, stack.pods("pgbouncer")[0])
        case Fault.POOLER_KILL:
            _kill(stack, stack.pods("pgbouncer")[0])
        case Fault.NGINX_DELETE:
            _delete(stack, stack.pods("nginx")[0])
        case Fault.BAD_IMAGE:
            fail_to_release(stack)


def _delete(stack: Stack, pod: Body) -> None:
    stack.api.delete(pod)
    wait(f"{pod['metadata']['name']} is gone", lambda: not stack.exists(pod), GONE_S)
    stack.await_ready()


def _kill(stack: Stack, pod: Body) -> None:
    container = pod["status"]["containerStatuses"][0]
    processes.send(container["containerID"], signal.SIGKILL)

    def restarted() -> bool:
        live = stack.api.get("v1", "Pod", pod["metadata"]["name"], stack.namespace)
        status = live["status"]["containerStatuses"][0] if live else container
        return status["restartCount"] > container["restartCount"] and status["ready"]

    wait(f"{pod['metadata']['name']} is back", restarted, GONE_S)
    stack.await_ready()


def fail_to_release(stack: Stack) -> None:
    """Without a migration, whose job would fail first and keep the pods out of it altogether."""
    broken = {
        "image": MISSING,
        "appMigrationCommand": "[]",
        "appProgressDeadlineS": "30",  # the least that is allowed
    }
    try:
        stack.up(**WITHOUT_LIMIT, **broken)
    except Exception as error:  # each engine has its own
        console.print(f"failed, as it should: {str(error).splitlines()[0]}", markup=False)
        images = [c["image"] for pod in stack.pods("web") for c in pod["spec"]["containers"]]
        if MISSING not in images:
            raise
    else:
        raise RuntimeError("a release of an image that does not exist went through")
    finally:
        stack.up(**WITHOUT_LIMIT)


def _p99_ms(sent: list[Sent]) -> float:
    return statistics.quantiles((s.latency_ms for s in sent), n=100)[98]


def main(
    fault: Annotated[
        list[Fault] | None, typer.Option(help="What happens; may be given several times.")
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", "-n", min=1, max=20, help="How often.")] = 1,
    share: Annotated[int, typer.Option(min=1, max=100, help="Load, in % of the capacity.")] = 70,
    stack: StackName = "dev",
    kubeconfig: Kubeconfig = None,
    as_json: AsJson = False,
) -> None:
    """Replaces and kills pods while writes go on; counts failed and lost ones. Needs wrk."""
    found = running(stack, kubeconfig)
    done: dict[Fault, list[Round]] = {}
    with without_limit(found):
        url = found.site() + PATH
        await_quiet()
        most = capacity(url)
        found.psql("delete from tasks where title = 'Capacity drill'")
        console.print(f"capacity: {most:.0f} writes per second")
        for _ in range(rounds):
            for wanted in fault or DEFAULT:
                done.setdefault(wanted, []).append(drill(found, url, wanted, most * share / 100))
    figures = [
        Figure(name="capacity", unit="POST/s", values=[most]),
        Figure(name="load", unit="POST/s", values=[most * share / 100]),
    ]
    for wanted, results in done.items():
        figures += _figures(wanted, results)
    publish("site", figures, as_json=as_json)


def _figures(fault: Fault, done: list[Round]) -> list[Figure]:
    return [
        Figure(name=f"{fault}: duration", unit="s", values=[r.seconds for r in done]),
        Figure(name=f"{fault}: requests", unit="", values=[len(r.hit) for r in done]),
        Figure(
            name=f"{fault}: failed",
            unit="",
            values=[r.failed for r in done],
            at_most=GOALS.get(fault),
            worst_counts=True,
        ),
        Figure(
            name=f"{fault}: failed before it (reference)",
            unit="",
            values=[sum(s.outcome != CREATED for s in r.calm) for r in done],
        ),
        Figure(
            name=f"{fault}: acknowledged and lost",
            unit="",
            values=[r.lost for r in done],
            at_most=0,
            worst_counts=True,
        ),
        Figure(name=f"{fault}: p99", unit="ms", values=[_p99_ms(r.hit) for r in done]),
        Figure(
            name=f"{fault}: p99 before it (reference)",
            unit="ms",
            values=[_p99_ms(r.calm) for r in done],
        ),
    ]
