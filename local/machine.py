"""What the local node does to the machine itself: checks it, borrows settings, gives them back."""

import json
import os
import platform
import socket
import subprocess
from pathlib import Path

# The kubelet sets these for the whole machine when it starts.
KUBELET_SYSCTLS = (
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)


# Made by the kubelet and the CNI library, whatever they are told.
LEFT_FOLDERS = tuple(
    Path(folder)
    for folder in (
        "/var/lib/cni/results",
        "/var/lib/cni",
        "/var/lib/kubelet/device-plugins",
        "/var/lib/kubelet",
        "/var/log/containers",
    )
)


def refuse_unfit() -> None:
    """Raises unless a node can run here."""
    found = f"{platform.system()} as user {os.geteuid()}" if hasattr(os, "geteuid") else "Windows"
    if found != "Linux as user 0":
        raise RuntimeError(
            f"the local Kubernetes is skipped: got {found}, it needs Linux as root; "
            "run again with sudo, start Docker and install kind, or name a cluster by --kubeconfig"
        )


def refuse_taken_port(port: int) -> None:
    """Raises if a program listens on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise RuntimeError(
                f"the site's port is taken: got {port} ({error.strerror}), it must be free; "
                "end the program that listens there, or choose another site port"
            ) from error


def remember_sysctls(file: Path) -> None:
    """Notes the settings before the kubelet changes them; a note that is there stays."""
    if not file.exists():
        file.write_text(json.dumps({name: _sysctl(name).read_text() for name in KUBELET_SYSCTLS}))


def restore_sysctls(file: Path) -> None:
    if file.exists():
        for name, value in json.loads(file.read_text()).items():
            if _sysctl(name).read_text() != value:
                _sysctl(name).write_text(value)


def mounts() -> list[Path]:
    """Where something is mounted, files included, in the order of mounting."""
    return [
        Path(line.split()[4].encode().decode("unicode_escape"))  # a space is written \040
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
    ]


def unmount_below(*folders: Path) -> None:
    """Detaches every mount below the folders, the innermost first."""
    for mount in reversed(mounts()):
        if any(mount.is_relative_to(folder) for folder in folders):
            subprocess.run(["umount", "--lazy", mount], check=True)


def remove_leftovers(state: Path) -> None:
    """Removes what goes to folders that can't be configured, and the folders if they are empty."""
    for link in Path("/var/log/containers").glob("*.log"):
        if link.readlink().is_relative_to(state):
            link.unlink()
    results = Path("/var/lib/cni/results")
    for result in results.glob("nextstack-*-eth0"):
        pod = result.name.split("-")[1]
        (results / f"cni-loopback-{pod}-lo").unlink(missing_ok=True)
        result.unlink()
    Path("/var/lib/kubelet/device-plugins/kubelet.sock").unlink(missing_ok=True)
    for folder in LEFT_FOLDERS:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _sysctl(name: str) -> Path:
    return Path("/proc/sys") / name
