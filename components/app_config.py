"""What a stack may say about the application's pods, and what it is refused for.

Leaves out the variables that the pods get (environment.py).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from components.aws.config import malformed_ranges
from components.stack_config import refuse

# Longest that Next.js takes to finish open requests after SIGTERM, as long as nginx waits for /api.
DRAIN_S = 30
# Requirement PL-7: enough room above the usual three to take a peak.
LEAST_MAXIMUM = 5


@dataclass(frozen=True, kw_only=True)
class AppConfig:
    port: int
    uid: int
    gid: int
    pull_secret: str
    writable_mib: dict[str, int]
    memory_mib: int
    memory_request_mib: int
    heap_percent: int
    cpu_millis: int
    min_replicas: int
    max_replicas: int
    scale_cpu_percent: int
    scale_memory_percent: int
    min_available: int
    readiness_path: str
    readiness_timeout_s: int
    readiness_period_s: int
    readiness_failures: int
    startup_s: int
    pre_stop_s: int
    grace_s: int
    progress_deadline_s: int
    migration_command: tuple[str, ...]
    migration_timeout_s: int
    seed_command: tuple[str, ...]
    seed_generation: int
    inject_direct_url: bool
    private_ranges: tuple[str, ...]

    def __post_init__(self) -> None:
        refuse(
            [
                *_out_of_range(self),
                *_replicas(self),
                *_memory(self),
                *_probes(self),
                *_folders(self.writable_mib),
                *malformed_ranges("private_ranges", self.private_ranges),
            ]
        )

    @property
    def scales(self) -> bool:
        """Whether the number of pods follows the load."""
        return self.max_replicas > 0

    @property
    def most_pods(self) -> int:
        """How many pods there may be at once, with the extra one of a roll-out."""
        return max(self.min_replicas, self.max_replicas) + 1

    @property
    def node_options(self) -> str:
        """Value of NODE_OPTIONS; what the heap leaves is for buffers, images and threads."""
        return f"--max-old-space-size={self.memory_mib * self.heap_percent // 100}"


RANGES = {
    # Below 1024 a container without capabilities may not listen.
    "port": (1024, 65535),
    "uid": (1, 2**31 - 1),
    "gid": (1, 2**31 - 1),
    "memory_mib": (128, 1024**2),
    "heap_percent": (25, 90),
    "cpu_millis": (1, 128_000),
    "scale_cpu_percent": (10, 100),
    "scale_memory_percent": (10, 100),
    "readiness_timeout_s": (1, 60),
    "readiness_period_s": (1, 60),
    "readiness_failures": (1, 30),
    "startup_s": (5, 3600),
    "progress_deadline_s": (30, 3600),
    "migration_timeout_s": (10, 86_400),
    "seed_generation": (1, 1_000_000),
}


def _out_of_range(config: AppConfig) -> list[str]:
    return [
        f"{name} is out of range: got {value}, allowed {low} to {high}"
        for name, (low, high) in RANGES.items()
        if not low <= (value := getattr(config, name)) <= high
    ]


def _replicas(config: AppConfig) -> list[str]:
    problems: list[str] = []
    if config.min_replicas < 2:
        problems.append(
            f"min_replicas is too small: got {config.min_replicas}, allowed 2 or more; one pod "
            "cannot be replaced without an outage"
        )
    if not 1 <= config.min_available < config.min_replicas:
        problems.append(
            f"min_available is out of range: got {config.min_available}, allowed 1 to one less "
            f"than appMinReplicas ({config.min_replicas}); else no node can be drained"
        )
    least = max(LEAST_MAXIMUM, config.min_replicas)
    if config.scales and config.max_replicas < least:
        problems.append(
            f"max_replicas is too small: got {config.max_replicas}, allowed {least} or more, or 0 "
            "for a fixed number of pods"
        )
    return problems


def _memory(config: AppConfig) -> list[str]:
    problems: list[str] = []
    if not 1 <= config.memory_request_mib <= config.memory_mib:
        problems.append(
            f"memory_request_mib is out of range: got {config.memory_request_mib}, allowed 1 to "
            f"appMemoryMib ({config.memory_mib})"
        )
    elif config.scales and config.memory_request_mib != config.memory_mib:
        problems.append(
            f"memory_request_mib differs from the limit: got {config.memory_request_mib}, allowed "
            f"{config.memory_mib}; scaling measures against the request and would always be at "
            "the maximum"
        )
    return problems


def _probes(config: AppConfig) -> list[str]:
    problems: list[str] = []
    path = config.readiness_path
    if path and not re.fullmatch(r"/[!-~]*", path):
        problems.append(
            f"readiness_path is malformed: got {path!r}, allowed a path that starts with /, or "
            "nothing for a TCP probe"
        )
    if path.split("?")[0].rstrip("/") == "/api/health":
        problems.append(
            f"readiness_path is for monitoring: got {path!r}, allowed any other path, or nothing "
            "for a TCP probe; it fails with third parties and would empty the Service"
        )
    if config.pre_stop_s < 1:
        problems.append(
            f"pre_stop_s is too short: got {config.pre_stop_s}, allowed 1 or more; a pod has to "
            "go on serving until nobody sends to it"
        )
    if config.grace_s < config.pre_stop_s + DRAIN_S:
        problems.append(
            f"grace_s is too short: got {config.grace_s}, allowed {config.pre_stop_s + DRAIN_S} "
            f"or more, which is appPreStopS and {DRAIN_S} s for open requests"
        )
    return problems


def _folders(writable_mib: Mapping[str, int]) -> list[str]:
    problems: list[str] = []
    for folder, size in writable_mib.items():
        parts = PurePosixPath(folder).parts
        if str(PurePosixPath(folder)) != folder or parts[0] != "/" or len(parts) < 2:
            problems.append(
                f"writable_mib.{folder} is no folder, allowed an absolute path such as /tmp"
            )
        elif ".next" in parts and parts[-1] != "cache":
            problems.append(
                f"writable_mib.{folder} would hide the build, allowed below .next is only "
                ".next/cache"
            )
        if not 1 <= size <= 1024**2:
            problems.append(
                f"writable_mib.{folder} is out of range: got {size}, allowed 1 to {1024**2} MiB"
            )
    return problems
