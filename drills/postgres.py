"""Faults of the database in the cluster: how long until the next commit, and which were lost.

Leaves out managed databases, whose servers nobody can kill from here.
"""

import re
import secrets
import signal
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from commands.options import AsJson, Kubeconfig
from commands.options import Stack as StackName
from drills import processes
from drills.client_pod import ClientPod, client_pod
from drills.figures import Figure, await_quiet, publish
from drills.stack import Stack, running, wait
from drills.writer import Acknowledged, longest_gap
from local.progress import console

WRITE_LIMIT_S = 1.5
BEFORE_S = 2.0  # of undisturbed writes
AFTER_S = 3.0  # of writes after the first one
RECOVERY_S = 60.0
SERVER = "postgres-0"


class Fault(StrEnum):
    KILL = "kill"
    """The server's first process dies without a word; the kubelet starts it again in place."""
    DELETE = "delete"
    """Its pod is deleted politely, as an upgrade does."""


@dataclass(frozen=True, kw_only=True)
class Round:
    gap_s: float
    """Longest time without an acknowledged commit."""
    acknowledged: int
    lost: int


def writes(table: str) -> str:
    """A shell loop of commits by the pool, each from a new client; tells of each acknowledged."""
    return f"""
export PGSSLMODE=prefer  # the environment is the direct login's, whose TLS the pool need not have
n=0
while [ $n -lt 100000 ]; do
    n=$((n + 1))
    if timeout {WRITE_LIMIT_S} psql --no-psqlrc --quiet \
        --command="insert into {table} values ($n)" "$DATABASE_URL_TEST" 2>/dev/null
    then echo "$n $(date +%s.%N)"
    else sleep 0.02
    fi
done"""


def drill(stack: Stack, fault: Fault, number: int) -> Round:
    """One fault under writes; afterwards every acknowledged commit is looked for."""
    stack.await_ready()
    await_quiet()
    table = f"drill_{secrets.token_hex(4)}"
    database = re.sub(r".*/([^/?]+).*", r"\1", stack.outputs["runtimeEnv"]["DATABASE_URL_TEST"])
    stack.psql(f"create table {table} (n int); grant insert on {table} to app", database)
    with client_pod(stack, writes(table)) as pod:
        wait("the first commit", lambda: len(_acknowledged(pod)) > 3, RECOVERY_S)
        time.sleep(BEFORE_S)
        console.print(f"round {number}: {fault} of {SERVER}")
        start = time.time()
        _strike(stack, fault)
        wait("commits go on", lambda: _goes_on(pod, start), RECOVERY_S)
        time.sleep(AFTER_S)
        end = time.time()
        acknowledged = _acknowledged(pod)
    stack.await_ready()
    found = set(stack.psql(f"select n from {table}", database).split())
    stack.psql(f"drop table {table}", database)
    if fault is Fault.KILL:
        _forget_restart(stack)
    return Round(
        gap_s=longest_gap(acknowledged, start, end),
        acknowledged=len(acknowledged),
        lost=sum(str(a.number) not in found for a in acknowledged),
    )


def _strike(stack: Stack, fault: Fault) -> None:
    [pod] = stack.pods("postgres")
    match fault:
        case Fault.KILL:
            processes.send(pod["status"]["containerStatuses"][0]["containerID"], signal.SIGKILL)
        case Fault.DELETE:
            stack.api.delete(pod)


def _acknowledged(pod: ClientPod) -> list[Acknowledged]:
    parts = (line.split() for line in pod.log())
    return [Acknowledged(number=int(p[0]), at=float(p[1])) for p in parts if len(p) == 2]


def _goes_on(pod: ClientPod, start: float) -> bool:
    """Whether commits came in the last second, once the fault has had time to show."""
    if time.time() - start < 2 * WRITE_LIMIT_S:
        return False
    return any(a.at > time.time() - 1 for a in _acknowledged(pod))


def _forget_restart(stack: Stack) -> None:
    """A new pod: the kubelet restarts a container that died twice later and later."""
    [pod] = stack.pods("postgres")
    stack.api.delete(pod)
    wait("the old pod is gone", lambda: not stack.exists(pod), RECOVERY_S)
    stack.await_ready()


def main(
    fault: Annotated[Fault, typer.Option(help="What happens to the server.")] = Fault.KILL,
    rounds: Annotated[int, typer.Option("--rounds", "-n", min=1, max=100, help="How often.")] = 5,
    stack: StackName = "dev",
    kubeconfig: Kubeconfig = None,
    as_json: AsJson = False,
) -> None:
    """Hits the database while a client writes; says how long and how much it cost.

    Writes go to the test database; to kill, it runs on the machine of the local cluster, as root.
    """
    found = running(stack, kubeconfig)
    done = [drill(found, fault, number + 1) for number in range(rounds)]
    figures = [
        Figure(
            name=f"{fault}: time without a commit",
            unit="s",
            values=[r.gap_s for r in done],
            at_most=3.5 if fault is Fault.KILL else None,
            worst_counts=True,
        ),
        Figure(name="commits", unit="", values=[r.acknowledged for r in done]),
        Figure(
            name="acknowledged commits lost",
            unit="",
            values=[r.lost for r in done],
            at_most=0,
            worst_counts=True,
        ),
    ]
    publish("postgres", figures, as_json=as_json)
