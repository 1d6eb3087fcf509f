"""The folders of the local platform, by the XDG base directory rules; none is in the checkout."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """What can be made again: programs, images."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nextstack"


def state_folder() -> Path:
    """What the cluster remembers: its objects, volumes, certificates, logs."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "nextstack"


# Sockets and leases, gone after a reboot; short, because a socket's path has at most 107 bytes.
RUN_FOLDER = Path("/run/nextstack")
