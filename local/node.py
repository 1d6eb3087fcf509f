"""The running node: brings its processes up side by side, waits until it is Ready, takes it down.

Leaves out where its programs come from (binaries.py) and what they are told (settings.py).
"""

import datetime
import json
import os
import shutil
import signal
import ssl
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from local import cgroups, machine, network
from local.daemons import Daemon
from local.paths import RUN_FOLDER
from local.settings import DNS_READY_PORT, NODE_NAME, SERVER, Settings

# Longer than a loaded machine needs (4 s when idle), shorter than a person's patience.
READY_TIMEOUT_S = 120

# A daemon that ends this often while the node comes up will not get better.
MOST_RESTARTS = 5

# What stopping pods get to end by themselves.
STOP_GRACE_S = 3

SYSCTLS = RUN_FOLDER / "sysctls.json"


def launch(settings: Settings) -> list[Daemon]:
    """Prepares the machine and starts whatever does not run yet, without waiting for it."""
    settings.write_identities()
    if network.ensure():
        # What still runs is in a namespace that is gone.
        cgroups.stop_all(0)
    cgroups.prepare()
    machine.remember_sysctls(SYSCTLS)
    daemons = settings.daemons()
    for daemon in daemons:
        daemon.ensure(settings.logs)
    return daemons


def wait(
    settings: Settings,
    daemons: list[Daemon],
    what: str,
    done: Callable[[], bool],
) -> None:
    """Waits for `done`; meanwhile starts again what ended because another part came later."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    restarts = 0
    while not done():
        for daemon in daemons:
            if daemon.ensure(settings.logs):
                restarts += 1
                if restarts > MOST_RESTARTS:
                    raise RuntimeError(
                        f"{daemon.name} keeps ending while waiting for {what}:\n"
                        f"{_tail(settings.logs / f'{daemon.name}.log')}"
                    )
        if time.monotonic() > deadline:
            raise RuntimeError(
                f"{what} took more than {READY_TIMEOUT_S} s; see the logs in {settings.logs}"
            )
        time.sleep(0.1)


def is_api_ready(settings: Settings) -> bool:
    return _get(settings, "/readyz") is not None


def is_ready(settings: Settings, kubelet: int | None) -> bool:
    """Whether the node is Ready by the word of its present kubelet, given by process id."""
    if kubelet is None:
        return False
    answer = _get(settings, f"/api/v1/nodes/{NODE_NAME}")
    return answer is not None and says_ready(answer, _started_at(kubelet))


def says_ready(answer: bytes, since: float) -> bool:
    """Whether a Node object said Ready at or after a time in seconds since 1970.

    An older word is worth nothing: it stays for 40 s after a kubelet ends.
    """
    conditions = json.loads(answer).get("status", {}).get("conditions", [])
    ready = next((found for found in conditions if found["type"] == "Ready"), None)
    if ready is None or ready["status"] != "True":
        return False
    said = datetime.datetime.fromisoformat(ready["lastHeartbeatTime"])
    # The API keeps whole seconds.
    return said.timestamp() >= int(since)


def resident_mib(pid: int) -> int:
    """Nothing where the process has ended since it was listed."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


def take_down(state: Path, images: Path) -> None:
    """Ends every process of the node and removes its traces outside the two folders."""
    # First the daemons, which would start pods again; then the pods, with time to end themselves.
    cgroups.kill(cgroups.members(cgroups.daemons_folder()), signal.SIGKILL)
    cgroups.stop_all(STOP_GRACE_S)
    machine.unmount_below(RUN_FOLDER / "containerd", state, images)
    network.remove()
    cgroups.remove()
    machine.restore_sysctls(SYSCTLS)
    machine.remove_leftovers(state)
    shutil.rmtree(RUN_FOLDER, ignore_errors=True)


def is_dns_ready() -> bool:
    return _open(f"http://{network.NODE_ADDRESS}:{DNS_READY_PORT}/ready") is not None


def _get(settings: Settings, path: str) -> bytes | None:
    context = ssl.create_default_context(cafile=str(settings.keys / "ca.crt"))
    context.load_cert_chain(settings.keys / "admin.crt", settings.keys / "admin.key")
    return _open(SERVER + path, context)


def _open(url: str, context: ssl.SSLContext | None = None) -> bytes | None:
    # No proxy of the environment stands between this machine and its own node.
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(url, timeout=5) as answer:
            return answer.read()
    except OSError:
        return None


def _started_at(pid: int) -> float:
    """When a process started, in seconds since 1970."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    ticks = int(stat.rpartition(")")[2].split()[19])
    up_s = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - up_s + ticks / os.sysconf("SC_CLK_TCK")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-10:])
