"""Processes that go on running after the program that started them, found again through cgroups.

Leaves out supervision: a daemon that ended is started again by the next `ensure`.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from local import cgroups

# Joins the cgroup before it lets go of the caller, so there is no moment in which it isn't found.
JOIN_AND_FORK = 'echo $$ > "$0" && exec setsid --fork "$@"'

# A log is started afresh beyond this size; the one before is kept.
LOG_LIMIT_BYTES = 16 << 20


@dataclass(frozen=True, kw_only=True)
class File:
    """A configuration file that a daemon reads when it starts."""

    path: Path
    text: str


@dataclass(frozen=True, kw_only=True)
class Daemon:
    """A process wanted by the node; another command line means another daemon."""

    name: str
    command: tuple[str, ...]
    network: Path | None = None
    """File of the network namespace it runs in; by default the host's."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Besides PATH, which is the caller's by default."""
    files: Sequence[File] = ()
    """Written before it starts."""

    def pid(self) -> int | None:
        """Id of the process that runs this command line, or is about to."""
        wanted = "\0".join([*self.command, ""]).encode()
        for pid in cgroups.members(self._cgroup):
            # Before it runs, the command stands behind setsid's and nsenter's own arguments.
            if _command_line(pid).endswith(wanted):
                return pid
        return None

    def has_process(self) -> bool:
        """Whether anything of it runs, under an older command line too."""
        return bool(cgroups.members(self._cgroup))

    def ensure(self, logs: Path) -> bool:
        """Starts the daemon unless it runs; whether it had to."""
        if self.pid() is not None:
            return False
        self._end_outdated()
        for file in self.files:
            write(file.path, file.text)
        self._cgroup.mkdir(parents=True, exist_ok=True)
        processes = self._cgroup / "cgroup.procs"
        enter = ["nsenter", f"--net={self.network}"] if self.network else []
        with _log(logs / f"{self.name}.log") as log:
            subprocess.run(
                ["sh", "-c", JOIN_AND_FORK, processes, *enter, *self.command],
                check=True,
                cwd="/",
                # Nothing else of the caller's, least of all a proxy: it can't reach the node.
                env={"PATH": os.environ["PATH"], **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return True

    @property
    def _cgroup(self) -> Path:
        return cgroups.daemons_folder() / self.name

    def _end_outdated(self) -> None:
        """Ends this daemon's process with an older command line, but not what it started.

        The children of containerd are the pods' shims, which must survive its restart.
        """
        program = Path(self.command[0]).name
        old = {pid for pid in cgroups.members(self._cgroup) if _program(pid) == program}
        cgroups.kill(old, signal.SIGTERM)
        deadline = time.monotonic() + 10
        while old & cgroups.members(self._cgroup):
            if time.monotonic() > deadline:
                cgroups.kill(old, signal.SIGKILL)
            time.sleep(0.05)


def write(file: Path, text: str) -> None:
    """Replaces in one step, so that a crash leaves the old file or the new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.partial")
    partial.touch(mode=0o600)
    partial.write_text(text)
    partial.rename(file)


def _log(file: Path) -> IO[bytes]:
    if file.exists() and file.stat().st_size > LOG_LIMIT_BYTES:
        file.replace(file.with_suffix(".old.log"))
    return file.open("ab")


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has just ended
        return b""


def _program(pid: int) -> str:
    return Path(_command_line(pid).split(b"\0")[0].decode()).name
