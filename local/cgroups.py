"""The cgroups of the local node: everything it runs, daemons and pods alike, is below one folder.

So what belongs to the node is known by the kernel, survives a crash of the caller, and is never
mistaken for a process that got a reused pid. Leaves out limits: the kubelet sets those of pods.
"""

import os
import signal
import time
from pathlib import Path

NAME = "nextstack"


def hierarchies() -> list[Path]:
    """Mount points that hold the node's folders: one for cgroup v2, one per controller for v1."""
    mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [Path(folder) for folder, kind in mounts if kind in ("cgroup", "cgroup2")]


def prepare() -> None:
    """Makes the node's folder in every hierarchy; the kubelet demands that its root exists."""
    for hierarchy in hierarchies():
        (hierarchy / NAME).mkdir(exist_ok=True)
        if (hierarchy / "cgroup.controllers").exists():
            _delegate(hierarchy)
            _delegate(hierarchy / NAME)


def _delegate(folder: Path) -> None:
    """Lets the folders below use all controllers, which cgroup v2 does not do by itself."""
    controllers = (folder / "cgroup.controllers").read_text().split()
    (folder / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))


def daemons_folder() -> Path:
    """Parent of the daemons' cgroups, in the hierarchy that counts processes."""
    found = hierarchies()
    counting = next((folder for folder in found if folder.name == "pids"), found[0])
    return counting / NAME / "daemons"


def members(folder: Path) -> set[int]:
    """Ids of the processes in a cgroup and in those below it."""
    found: set[int] = set()
    for processes in folder.rglob("cgroup.procs"):
        try:
            found.update(int(line) for line in processes.read_text().split())
        except OSError:  # the cgroup was removed meanwhile
            continue
    return found


def all_members() -> set[int]:
    return set[int]().union(*(members(hierarchy / NAME) for hierarchy in hierarchies()))


def kill(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def stop_all(grace_s: float) -> None:
    """Asks every process of the node to end, and kills what is left after `grace_s` seconds."""
    kill(all_members(), signal.SIGTERM)
    if wait_until_empty(grace_s):
        return
    kill(all_members(), signal.SIGKILL)
    if not wait_until_empty(10):
        raise RuntimeError(f"processes of the node do not end: {sorted(all_members())}")


def wait_until_empty(timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while all_members():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def remove() -> None:
    """Removes the node's folders, which must be empty of processes."""
    for hierarchy in hierarchies():
        below = [folder for folder in (hierarchy / NAME).rglob("*") if folder.is_dir()]
        for folder in sorted(below, reverse=True):
            folder.rmdir()
        if (hierarchy / NAME).is_dir():
            (hierarchy / NAME).rmdir()
