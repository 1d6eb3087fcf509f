"""Knobs of AWS Backup: when it saves the database, how long, how well locked, how it is proven.

Creates no resources, and leaves out pulumi_aws: stacks without AWS read this file too. Leaves out
point-in-time recovery, which RDS itself does (rds_config.py).
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from components.aws.config import AwsConfig
from components.aws.rds_config import RdsConfig
from components.backend_config import BackendConfig, DatabaseBackend
from components.schedule import (
    DAYS,
    HOUR,
    WEEK,
    Period,
    Weekday,
    aws_daily_cron,
    aws_weekly_cron,
    malformed_time,
    weekly,
)
from components.sql_maintenance import MaintenanceConfig
from components.stack_config import out_of_range, refuse

DISTANCE = HOUR
"""AWS Backup starts nothing this near to a window of the database that it saves (S-2)."""
LEAST_START = 60
"""Minutes; AWS Backup refuses a shorter window to start in."""
# The least days for which AWS lets a lock in compliance mode be taken back.
LEAST_CHANGEABLE = 3


class VaultLock(StrEnum):
    NONE = "none"
    GOVERNANCE = "governance"
    COMPLIANCE = "compliance"


@dataclass(frozen=True, kw_only=True)
class BackupRule:
    """One row of the schedule."""

    name: str
    schedule: str
    keep_days: int
    copy_keep_days: int
    """Days for which the recovery region keeps its copy; 0 for no copy."""
    starts: tuple[Period, ...]
    """When a backup may start, in every week."""


@dataclass(frozen=True, kw_only=True)
class VaultConfig:
    name: str
    hours: tuple[int, ...]
    minute: int
    hourly_keep_days: int
    weekly_day: Weekday
    weekly_time: str
    weekly_keep_days: int
    copy_keep_days: int
    start_minutes: int
    completion_minutes: int
    lock: VaultLock
    lock_changeable_days: int
    lock_min_days: int
    lock_max_days: int
    break_glass_role: str
    test: bool
    test_day: Weekday
    test_time: str
    test_start_hours: int
    test_validation_hours: int

    def __post_init__(self) -> None:
        malformed = [
            *malformed_time("weekly_time", self.weekly_time),
            *malformed_time("test_time", self.test_time),
        ]
        refuse([*malformed, *_numbers(self), *_hours(self), *([] if malformed else _rules(self))])

    @property
    def used(self) -> bool:
        return bool(self.rules)

    @property
    def rules(self) -> tuple[BackupRule, ...]:
        """The schedule (BK-3, BK-5); empty where the stack leaves AWS Backup alone."""
        hourly = BackupRule(
            name="hourly",
            schedule=aws_daily_cron(self.minute, self.hours),
            keep_days=self.hourly_keep_days,
            copy_keep_days=0,
            starts=tuple(
                weekly(day, f"{hour:02}:{self.minute:02}", self.start_minutes)
                for day in DAYS
                for hour in self.hours
            ),
        )
        of_the_week = BackupRule(
            name="weekly",
            schedule=aws_weekly_cron(self.weekly_day, self.weekly_time),
            keep_days=self.weekly_keep_days,
            copy_keep_days=self.copy_keep_days,
            starts=(weekly(self.weekly_day, self.weekly_time, self.start_minutes),),
        )
        return tuple(rule for rule in (hourly, of_the_week) if rule.keep_days and rule.starts)

    @property
    def test_schedule(self) -> str:
        return aws_weekly_cron(self.test_day, self.test_time)

    @property
    def copies(self) -> bool:
        return any(rule.copy_keep_days for rule in self.rules)


def _numbers(config: VaultConfig) -> list[str]:
    ranges = {
        "minute": (0, 59, "the minute of each hour in vaultHours"),
        "hourly_keep_days": (1, 365, "vaultHours [] takes no hourly points at all"),
        "weekly_keep_days": (0, 3650, "0 takes no weekly points"),
        "copy_keep_days": (0, 3650, "0 copies nothing"),
        "start_minutes": (LEAST_START, 720, "AWS Backup accepts no less than an hour"),
        "test_start_hours": (1, 168, "hours in which the restore test may start"),
        "test_validation_hours": (1, 168, "hours for which the restored copy is kept"),
    }
    if config.lock is not VaultLock.NONE:
        ranges["lock_min_days"] = (1, 36_500, "what is kept for less is refused by the vault")
        ranges["lock_max_days"] = (1, 36_500, "what is kept for longer is refused by the vault")
    if config.lock is VaultLock.COMPLIANCE:
        hint = "after them nobody, not even AWS, takes the lock away"
        ranges["lock_changeable_days"] = (LEAST_CHANGEABLE, 36_500, hint)
    problems = out_of_range(config, ranges)
    if config.name and not re.fullmatch(r"[A-Za-z0-9_-]{2,50}", config.name):
        problems.append(
            f"name is malformed: got {config.name!r}, allowed 2 to 50 letters, digits, - and _"
        )
    if config.completion_minutes < config.start_minutes + HOUR:
        problems.append(
            f"completion_minutes is too short: got {config.completion_minutes}, allowed "
            f"{config.start_minutes + HOUR} or more, an hour beyond vaultStartMinutes"
        )
    if config.break_glass_role and not re.fullmatch(
        r"([\w+=,.@-]+/)*[\w+=,.@-]{1,64}", config.break_glass_role
    ):
        problems.append(
            f"break_glass_role is no role: got {config.break_glass_role!r}, allowed the name of an "
            "IAM role of the account, with its path if it has one, without arn:"
        )
    return problems


def _hours(config: VaultConfig) -> list[str]:
    problems = [
        f"hours has no hour: got {hour}, allowed 0 to 23"
        for hour in config.hours
        if not 0 <= hour <= 23
    ]
    if len(set(config.hours)) < len(config.hours):
        problems.append("hours has an hour twice; list each hour once")
    return problems


def _rules(config: VaultConfig) -> list[str]:
    """What the schedule, the lock and the restore test say against each other."""
    problems: list[str] = []
    if config.lock is not VaultLock.NONE:
        low, high = config.lock_min_days, config.lock_max_days
        kept = {
            "hourly_keep_days": config.hourly_keep_days if config.hours else 0,
            "weekly_keep_days": config.weekly_keep_days,
            "copy_keep_days": config.copy_keep_days,
        }
        problems += [
            f"{name} does not fit the lock: got {days}, allowed vaultLockMinDays {low} to "
            f"vaultLockMaxDays {high}; the vault would refuse each point"
            for name, days in kept.items()
            if days and not low <= days <= high
        ]
    if config.copy_keep_days and not config.weekly_keep_days:
        problems.append(
            f"copy_keep_days copies nothing: got {config.copy_keep_days} with vaultWeeklyKeepDays "
            "0, allowed 0; weekly points are what is copied"
        )
    if config.test and not config.used:
        problems.append(
            "test has nothing to restore: got true, allowed false without vaultHours and "
            "vaultWeeklyKeepDays"
        )
    if config.used and not config.name:
        problems.append("name is empty; name the vault, such as shop-production")
    if config.used and not config.break_glass_role:
        problems.append(
            "break_glass_role is empty; name the IAM role that alone may delete recovery points, "
            "and that the deployment cannot assume (BK-22)"
        )
    return problems + _test_after_weekly(config)


def _test_after_weekly(config: VaultConfig) -> list[str]:
    """The restore test proves this week's point, not last week's (BK-14)."""
    point = weekly(config.weekly_day, config.weekly_time, config.completion_minutes)
    test = weekly(config.test_day, config.test_time, 1)
    waits = (test.start - point.start) % WEEK
    if not (config.test and config.weekly_keep_days) or point.minutes <= waits:
        return []
    return [
        f"test_time is too early: got {config.test_day} {config.test_time}, allowed "
        f"{point.minutes} minutes (vaultCompletionMinutes) or more after the weekly point of "
        f"{config.weekly_day} {config.weekly_time}"
    ]


def vault_needs(backend: BackendConfig, vault: VaultConfig, aws: AwsConfig) -> list[str]:
    """Copies go to another region only if there is one."""
    kept = backend.database is DatabaseBackend.RDS and vault.copies
    if not kept or aws.recovery_region:
        return []
    return [
        f"vault_copy_keep_days needs another region: got {vault.copy_keep_days} without "
        "awsRecoveryRegion; name the region, or set it to 0"
    ]


def vault_windows(
    backend: BackendConfig,
    vault: VaultConfig,
    rds: RdsConfig,
    sql_maintenance: MaintenanceConfig,
) -> list[str]:
    """No backup starts near a window of RDS, nor while SQL rewrites tables (BK-14, S-2, S-3)."""
    if backend.database is not DatabaseBackend.RDS:
        return []
    patching, saving = rds.maintenance_window, rds.backup_window
    closed = [window.widened(DISTANCE) for window in (patching.period, *saving.periods)]
    sql = weekly(sql_maintenance.day, sql_maintenance.time, sql_maintenance.deadline_minutes)
    fields = {"hourly": "vault_hours", "weekly": "vault_weekly_time"}
    problems: list[str] = []
    for rule in vault.rules:
        if any(start.meets(window) for start in rule.starts for window in closed):
            problems.append(
                f"{fields[rule.name]} comes too near to a window of RDS: got {rule.schedule} with "
                f"{vault.start_minutes} minutes to start in, allowed an hour's distance from "
                f"{saving.text} each day and from {patching.text}; AWS Backup would fail"
            )
    if any(
        sql.meets(start) for rule in vault.rules if rule.name == "weekly" for start in rule.starts
    ):
        problems.append(
            f"sql_maintenance_time meets the weekly backup: got {sql_maintenance.day} "
            f"{sql_maintenance.time} for {sql_maintenance.deadline_minutes} minutes, allowed to "
            f"end before {vault.weekly_day} {vault.weekly_time}"
        )
    return problems
