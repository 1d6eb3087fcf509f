"""Knobs of the cache on ElastiCache. Creates no resources, and leaves out pulumi_aws."""

import re
from dataclasses import dataclass

from components.aws.config import DailyWindow, WeeklyWindow, refused_windows
from components.schedule import Weekday
from components.stack_config import out_of_range, refuse

# GiB of each type that is smaller than CA-2 asks for.
TOO_SMALL = {
    "cache.t4g.micro": 0.5,
    "cache.t3.micro": 0.5,
    "cache.t2.micro": 0.555,
    "cache.m1.small": 0.9,
}


@dataclass(frozen=True, kw_only=True)
class ElastiCacheConfig:
    group_name: str
    engine_version: str
    node_type: str
    nodes: int
    snapshot_retention_days: int
    snapshot_time: str
    snapshot_minutes: int
    maintenance_day: Weekday
    maintenance_time: str
    maintenance_minutes: int

    def __post_init__(self) -> None:
        problems = _names(self)
        ranges = {
            "nodes": (2, 6, "one node has nobody to take over (CA-1)"),
            "snapshot_retention_days": (1, 35, "0 would take none"),
        }
        problems += out_of_range(self, ranges)
        problems += refused_windows(
            "snapshot_time",
            DailyWindow(self.snapshot_time, self.snapshot_minutes),
            "maintenance_time",
            WeeklyWindow(self.maintenance_day, self.maintenance_time, self.maintenance_minutes),
            60,
        )
        refuse(problems)

    @property
    def snapshot_window(self) -> DailyWindow:
        return DailyWindow(self.snapshot_time, self.snapshot_minutes)

    @property
    def maintenance_window(self) -> WeeklyWindow:
        return WeeklyWindow(self.maintenance_day, self.maintenance_time, self.maintenance_minutes)

    @property
    def family(self) -> str:
        """Of the parameter group: one for each major version."""
        return f"valkey{self.engine_version.split('.')[0]}"


def _names(config: ElastiCacheConfig) -> list[str]:
    problems: list[str] = []
    name = config.group_name
    # 24 of ElastiCache's 40 characters: the queue and the users append to it.
    well_formed = re.fullmatch(r"[a-z][a-z0-9-]{0,23}", name) and "--" not in name
    if name and (not well_formed or name.endswith("-")):
        problems.append(
            f"group_name is malformed: got {name!r}, allowed at most 24 of a-z, 0-9 and single "
            "inner hyphens, starting with a letter"
        )
    if not re.fullmatch(r"8(\.\d+)?", config.engine_version):
        problems.append(
            f"engine_version is not supported: got {config.engine_version!r}, allowed Valkey 8.0 "
            "or another minor version of 8"
        )
    if not re.fullmatch(r"cache\.[a-z0-9]+\.[a-z0-9]+", config.node_type):
        problems.append(
            f"node_type is malformed: got {config.node_type!r}, allowed such as cache.m7g.large"
        )
    elif config.node_type in TOO_SMALL:
        problems.append(
            f"node_type is too small: got {config.node_type}, which has "
            f"{TOO_SMALL[config.node_type]} GiB, allowed 1 GiB or more (CA-2), such as "
            "cache.t4g.small"
        )
    return problems
