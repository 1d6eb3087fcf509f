"""What the local node does to the machine itself: checks it, borrows settings, gives them back."""

import json
import os
import platform
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


def refuse_unfit() -> None:
    """Raises unless a node can run here."""
    found = f"{platform.system()} as user {os.geteuid()}" if hasattr(os, "geteuid") else "Windows"
    if found != "Linux as user 0":
        raise RuntimeError(
            f"the local Kubernetes is skipped: got {found}, it needs Linux as root; "
            "run again with sudo, start Docker and install kind, or name a cluster by --kubeconfig"
        )


def remember_sysctls(file: Path) -> None:
    """Notes the settings before the kubelet changes them; a note that is there stays."""
    if not file.exists():
        file.write_text(json.dumps({name: _sysctl(name).read_text() for name in KUBELET_SYSCTLS}))


def restore_sysctls(file: Path) -> None:
    if file.exists():
        for name, value in json.loads(file.read_text()).items():
            if _sysctl(name).read_text() != value:
                _sysctl(name).write_text(value)


def unmount_below(*folders: Path) -> None:
    """Detaches every mount below the folders, the innermost first."""
    mounts = [
        Path(line.split()[4].encode().decode("unicode_escape"))  # a space is written \040
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
    ]
    for mount in reversed(mounts):
        if any(mount.is_relative_to(folder) for folder in folders):
            subprocess.run(["umount", "--lazy", mount], check=True)


def remove_links(state: Path) -> None:
    """Removes what the kubelet and the CNI library leave in folders that can't be configured."""
    for link in Path("/var/log/containers").glob("*.log"):
        if link.is_symlink() and link.readlink().is_relative_to(state):
            link.unlink()
    for result in Path("/var/lib/cni/results").glob("nextstack-*"):
        result.unlink()


def _sysctl(name: str) -> Path:
    return Path("/proc/sys") / name
