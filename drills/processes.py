"""Signals to a container's main process from outside, where the node is this very machine.

Leaves out remote nodes: inside its own container, process 1 cannot be killed or stopped.
"""

import os
import signal
from pathlib import Path


def send(container_id: str, sent: signal.Signals) -> None:
    """Signals the first process of the container `containerd://<id>`."""
    identity = container_id.rpartition("/")[2]
    pids = [int(p.parent.name) for p in Path("/proc").glob("[0-9]*/cgroup") if _is_in(p, identity)]
    if not pids:
        raise ValueError(
            f"no process of the container is on this machine: got {identity[:12]}, allowed one "
            "on a node that runs here; use --fault delete, or run the drill as root on the node"
        )
    # What is executed inside, such as a probe, starts later and has a higher number.
    os.kill(min(pids), sent)


def _is_in(file: Path, identity: str) -> bool:
    try:
        return identity in file.read_text()
    except OSError:  # it ended meanwhile
        return False
