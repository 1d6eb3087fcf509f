"""Memory of the control plane and of a stack's pods, as the kernel of this machine sees it.

Leaves out page cache and kernel memory, and clusters whose processes run elsewhere.
"""

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from commands.options import AsJson, Kubeconfig, Stack
from drills.figures import Figure, publish
from drills.stack import running
from local.cluster import LocalCluster
from local.progress import step
from local.settings import CONTAINERD_SOCKET

PAUSE_S = 2
SYSTEM = "kube-system"


@dataclass(frozen=True, kw_only=True)
class Memory:
    rss_mib: float
    """Resident; what processes share counts in each."""
    pss_mib: float
    """Resident; what processes share is divided among them."""


def memory_of(pids: Iterable[int]) -> Memory:
    rolled = [text for pid in pids if (text := _read(Path(f"/proc/{pid}/smaps_rollup")))]
    return Memory(rss_mib=_sum_mib(rolled, "Rss"), pss_mib=_sum_mib(rolled, "Pss"))


def _sum_mib(rolled: list[str], name: str) -> float:
    found = (re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE) for text in rolled)
    return sum(int(match[1]) for match in found if match) / 1024


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:  # it ended meanwhile
        return ""


def _processes() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _in_pods(uids: set[str]) -> list[int]:
    """Processes of the pods' containers; their cgroups carry the pods' ids."""
    return [
        pid
        for pid in _processes()
        if any(f"pod{uid}" in _read(Path(f"/proc/{pid}/cgroup")) for uid in uids)
    ]


def _shims(children: Iterable[int]) -> set[int]:
    """The processes that hold the containers of `children` for containerd."""
    # The second field after the name in brackets is the parent.
    after_name = (_read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split() for pid in children)
    parents = {int(fields[1]) for fields in after_name if fields}
    return {pid for pid in parents if str(CONTAINERD_SOCKET) in _read(Path(f"/proc/{pid}/cmdline"))}


def main(
    stack: Stack = "dev",
    kubeconfig: Kubeconfig = None,
    rounds: Annotated[int, typer.Option("--rounds", "-n", min=1, help="How often.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Memory of the control plane and the stack's pods; on the machine of the local cluster."""
    found = running(stack, kubeconfig)
    found.await_ready()
    taken: dict[str, list[Memory]] = {"control plane": [], "pods": [], "shims": []}
    with step("memory", total=rounds) as shown:
        for number in range(rounds):
            time.sleep(PAUSE_S if number else 0)
            pods = [p for n in (found.namespace, SYSTEM) for p in found.api.list("v1", "Pod", n)]
            inside = _in_pods({pod["metadata"]["uid"] for pod in pods})
            taken["control plane"].append(memory_of(LocalCluster().status().pids.values()))
            taken["pods"].append(memory_of(inside))
            taken["shims"].append(memory_of(_shims(inside)))
            shown.advance()
    figures = [
        Figure(name=f"{part}, RSS", unit="MiB", values=[m.rss_mib for m in measured])
        for part, measured in taken.items()
    ] + [
        Figure(name=f"{part}, PSS", unit="MiB", values=[m.pss_mib for m in measured])
        for part, measured in taken.items()
    ]
    rounds_together = list(zip(*taken.values(), strict=True))
    figures += [
        Figure(
            name="all, RSS",
            unit="MiB",
            values=[sum(m.rss_mib for m in parts) for parts in rounds_together],
            at_most=1536,
        ),
        Figure(
            name="all, PSS",
            unit="MiB",
            values=[sum(m.pss_mib for m in parts) for parts in rounds_together],
        ),
    ]
    publish("memory", figures, as_json=as_json)
