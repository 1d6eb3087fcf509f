"""Faults of the cache in the cluster: how long writes stop, and which acknowledged ones are lost.

Leaves out managed caches, whose nodes nobody can kill from here.
"""

import base64
import contextlib
import json
import os
import signal
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, cast

import redis
import typer
from redis.backoff import NoBackoff
from redis.retry import Retry
from rich.console import Console

from drills import processes
from drills.writer import Writer, longest_gap
from local.cluster import LocalCluster
from offline.direct.kubernetes_api import Body, KubernetesApi

TIMEOUT_S = 1.5  # of one write
BEFORE_S = 1.0  # of undisturbed writes
RECOVERY_S = 30.0  # longest time to wait for the first write
AFTER_S = 3.0  # of writes after the first one: a second, late failover must not go unseen
HEALTHY_S = 120.0
KEY_LIFE_S = 3600  # what a drill that was stopped leaves behind goes by itself

log = Console(stderr=True)


class Fault(StrEnum):
    """What happens to the primary, or to all servers."""

    KILL = "kill"
    """Its process dies without a word."""
    DELETE = "delete"
    """Its pod is deleted politely, as a drain or a rollout does."""
    FORCE = "force"
    """Its pod is deleted without any grace."""
    FREEZE = "freeze"
    """Its process stands still, and goes on after the others have elected a new primary."""
    BLACKOUT = "blackout"
    """All servers' processes die at once."""
    SHUTDOWN = "shutdown"
    """All servers' pods are deleted politely at once."""


@dataclass(frozen=True, kw_only=True)
class Round:
    gap_s: float
    """Longest time without an acknowledged write."""
    acknowledged: int
    refused: int
    lost: int
    """Acknowledged writes that were not there afterwards."""


class Cache:
    """The servers of one namespace, found through the API."""

    def __init__(self, api: KubernetesApi, namespace: str, name: str) -> None:
        self._api, self._namespace, self._name = api, namespace, name
        found = api.get("apps/v1", "StatefulSet", name, namespace)
        if found is None:
            raise ValueError(
                f"no such cache: got {name!r} in namespace {namespace!r}, allowed the name of a "
                "StatefulSet of cache servers; name others with --namespace and --name"
            )
        env = found["spec"]["template"]["spec"]["containers"][0]["env"]
        self._settings = {e["name"]: e["value"] for e in env if "value" in e}
        reference = next(e for e in env if e["name"] == "REDISCLI_AUTH")["valueFrom"]
        self._password = self._secret(**reference["secretKeyRef"])
        self.nodes = self._settings["NODES"].split()

    def client(self, service: str, port: str) -> redis.Redis:
        """A connection that reports every error at once."""
        return redis.Redis(
            host=self._address(service),
            port=int(port),
            username="internal",
            password=self._password,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )

    def proxy(self) -> redis.Redis:
        """What applications use."""
        return self.client(self._name, self._settings["NODE_PORT"])

    def primary(self) -> str:
        """Name of the server that the first Sentinel calls the primary."""
        sentinel = self._settings["SENTINELS"].split()[0]
        with self.client(sentinel, self._settings["SENTINEL_PORT"]) as asked:
            ask = cast(Any, asked).execute_command
            answer = ask("SENTINEL", "get-master-addr-by-name", self._settings["SET_NAME"])
        return next(node for node in self.nodes if self._address(node) == answer[0])

    def is_healthy(self) -> bool:
        """Whether every pod is ready, and every replica follows the primary."""
        pods = [self.pod(node) for node in self.nodes]
        ready = all(pod is not None and _is_ready(pod) for pod in pods)
        with contextlib.suppress(redis.RedisError, StopIteration):
            with self.client(self.primary(), self._settings["NODE_PORT"]) as primary:
                info = cast(Any, primary).info("replication")
            return ready and info["connected_slaves"] == len(self.nodes) - 1
        return False

    def pod(self, node: str) -> Body | None:
        return self._api.get("v1", "Pod", node, self._namespace)

    def signal(self, node: str, sent: signal.Signals) -> None:
        pod = self.pod(node)
        if pod is not None:
            processes.send(pod["status"]["containerStatuses"][0]["containerID"], sent)

    def delete(self, node: str, grace_s: int | None = None) -> None:
        pod = self.pod(node)
        if pod is not None:
            self._api.delete(pod, grace_s=grace_s)

    def _secret(self, name: str, key: str) -> str:
        found = self._api.get("v1", "Secret", name, self._namespace)
        assert found is not None, f"the pods of {self._name} could not start without {name}"
        return base64.b64decode(found["data"][key]).decode()

    def _address(self, service: str) -> str:
        found = self._api.get("v1", "Service", service, self._namespace)
        assert found is not None, f"{service} belongs to the servers"
        return found["spec"]["clusterIP"]


def _is_ready(pod: Body) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _strike(cache: Cache, fault: Fault, primary: str) -> Callable[[], None]:
    """Does the damage; returns what ends it once writes go on."""
    match fault:
        case Fault.KILL:
            cache.signal(primary, signal.SIGKILL)
        case Fault.DELETE:
            cache.delete(primary)
        case Fault.FORCE:
            cache.delete(primary, grace_s=0)
        case Fault.FREEZE:
            cache.signal(primary, signal.SIGSTOP)
            return lambda: cache.signal(primary, signal.SIGCONT)
        case Fault.BLACKOUT:
            for node in cache.nodes:
                cache.signal(node, signal.SIGKILL)
        case Fault.SHUTDOWN:
            for node in cache.nodes:
                cache.delete(node)
    return lambda: None


def drill(cache: Cache, fault: Fault, number: int) -> Round:
    """One fault under writes; afterwards every acknowledged write is looked for."""
    _await_health(cache)
    run = f"drill:{os.getpid()}:{number}:"
    primary = cache.primary()
    client = cache.proxy()

    def write(record: int) -> None:
        client.set(f"{run}{record}", record, ex=KEY_LIFE_S)

    with Writer(write, (redis.RedisError,)) as writer:
        time.sleep(BEFORE_S)
        start = time.monotonic()
        log.print(f"round {number}: {fault} of {primary}")
        mend = _strike(cache, fault, primary)
        try:
            _await_write(writer, start)
        finally:
            mend()
        time.sleep(AFTER_S)
        end = time.monotonic()
    _await_health(cache)
    numbers = [a.number for a in writer.acknowledged]
    with cache.proxy() as reader:
        lost = _missing(reader, run, numbers)
    if fault in (Fault.KILL, Fault.BLACKOUT):
        _forget_restarts(cache, fault, primary)
    return Round(
        gap_s=round(longest_gap(writer.acknowledged, start, end), 2),
        acknowledged=len(numbers),
        refused=writer.refusals,
        lost=lost,
    )


def _await_write(writer: Writer, start: float) -> None:
    """Returns once a write was acknowledged after a second without: the fault's end."""
    while time.monotonic() - start < RECOVERY_S:
        time.sleep(0.05)
        recent = [a.at for a in writer.acknowledged[-1:]]
        if time.monotonic() - start > 2 * TIMEOUT_S and recent and recent[0] > time.monotonic() - 1:
            return


def _await_health(cache: Cache) -> None:
    deadline = time.monotonic() + HEALTHY_S
    while not cache.is_healthy():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the cache is not healthy after {HEALTHY_S:.0f} s; see its pods")
        time.sleep(0.5)


def _missing(reader: redis.Redis, run: str, numbers: list[int]) -> int:
    """How many records are not there; removes the others."""
    lost = 0
    for record in numbers:
        lost += reader.get(f"{run}{record}") != str(record)
        reader.unlink(f"{run}{record}")
    return lost


def _forget_restarts(cache: Cache, fault: Fault, primary: str) -> None:
    """New pods: kubelet restarts a container that died twice later and later."""
    for node in cache.nodes if fault is Fault.BLACKOUT else [primary]:
        cache.delete(node)
        time.sleep(2)
        _await_health(cache)


def main(
    fault: Annotated[Fault, typer.Option(help="What happens to the servers.")] = Fault.KILL,
    rounds: Annotated[int, typer.Option("--rounds", "-n", min=1, help="How often.")] = 4,
    namespace: Annotated[str, typer.Option(help="Of the stack.")] = "nextstack-dev",
    name: Annotated[str, typer.Option(help="Of the set of servers.")] = "redis",
    kubeconfig: Annotated[
        Path | None, typer.Option(envvar="KUBECONFIG", help="By default the local cluster's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Hits the cache's primary while a client writes; says how long and how much it cost.

    Runs where Services can be reached: on the machine of the local cluster, as root.
    """
    api = KubernetesApi(kubeconfig or LocalCluster().kubeconfig)
    cache = Cache(api, namespace, name)
    done = [drill(cache, fault, number + 1) for number in range(rounds)]
    gaps = sorted(r.gap_s for r in done)
    figures = {
        "fault": fault.value,
        "rounds": [asdict(r) for r in done],
        "gap_s": {"min": gaps[0], "median": statistics.median(gaps), "max": gaps[-1]},
        "lost": sum(r.lost for r in done),
    }
    if as_json:
        print(json.dumps(figures))
        return
    for number, r in enumerate(done, 1):
        print(
            f"{fault} {number}: {r.gap_s:.2f} s without a write, {r.lost} of {r.acknowledged} "
            f"acknowledged writes lost, {r.refused} refused"
        )
    print(
        f"{fault}: min {gaps[0]:.2f} s, median {statistics.median(gaps):.2f} s, "
        f"max {gaps[-1]:.2f} s, {figures['lost']} acknowledged writes lost"
    )
