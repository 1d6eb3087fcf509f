"""Which account and regions of AWS a stack uses; plain values, so nothing is looked up.

Creates no resources, and leaves out pulumi_aws: stacks without AWS read this file too.
"""

import ipaddress
import re
from dataclasses import dataclass

from components.schedule import DAYS, Period, Weekday, malformed_time, minute_of_day, weekly
from components.stack_config import refuse

REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
ACCOUNT = re.compile(r"\d{12}")
LOG_RETENTION_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400)
"""Days for which CloudWatch can be told to keep a log, up to the year that is ever asked for."""


@dataclass(frozen=True, kw_only=True)
class AwsConfig:
    region: str
    recovery_region: str
    account_id: str

    def __post_init__(self) -> None:
        problems = [
            f"{name} is no region: got {region!r}, allowed a name such as us-east-1"
            for name, region in (("region", self.region), ("recovery_region", self.recovery_region))
            if region and not REGION.fullmatch(region)
        ]
        if self.recovery_region and self.recovery_region == self.region:
            problems.append(
                f"recovery_region is the home region: got {self.recovery_region!r}, allowed "
                "another one; a copy beside the original is lost with it"
            )
        if self.account_id and not ACCOUNT.fullmatch(self.account_id):
            problems.append(
                f"account_id is no account: got {self.account_id!r}, allowed 12 digits in quotes"
            )
        refuse(problems)

    @property
    def missing(self) -> list[str]:
        """The problems of a stack that uses AWS and does not say where."""
        return [
            f"aws_{name} is empty, but the stack uses AWS; set it, or choose database: cluster, "
            "cache: cluster, clusterSource: kubeconfig and awsNetwork: existing"
            for name in ("region", "account_id")
            if not getattr(self, name)
        ]


def malformed_ranges(field: str, ranges: tuple[str, ...]) -> list[str]:
    """The problems of CIDR ranges."""
    problems: list[str] = []
    for given in ranges:
        try:
            ipaddress.IPv4Network(given)
        except ValueError as error:
            problems.append(
                f"{field} has no range: got {given!r} ({error}), allowed such as 10.0.1.0/24"
            )
    return problems


@dataclass(frozen=True)
class DailyWindow:
    """A part of every day in which AWS takes its backup."""

    time: str
    minutes: int

    @property
    def text(self) -> str:
        start = minute_of_day(self.time)
        return f"{_clock(start)}-{_clock(start + self.minutes)}"

    @property
    def periods(self) -> list[Period]:
        return [weekly(day, self.time, self.minutes) for day in DAYS]


@dataclass(frozen=True)
class WeeklyWindow:
    """A part of every week in which AWS may patch and restart."""

    day: Weekday
    time: str
    minutes: int

    @property
    def text(self) -> str:
        start = minute_of_day(self.time)
        last = DAYS[(DAYS.index(self.day) + (start + self.minutes) // (24 * 60)) % len(DAYS)]
        end = _clock(start + self.minutes)
        return f"{self.day.lower()}:{_clock(start)}-{last.lower()}:{end}"

    @property
    def period(self) -> Period:
        return weekly(self.day, self.time, self.minutes)


def _clock(minute: int) -> str:
    return f"{minute // 60 % 24:02}:{minute % 60:02}"


def refused_windows(
    daily_field: str, daily: DailyWindow, weekly_field: str, week: WeeklyWindow, least: int
) -> list[str]:
    """The problems of a service's backup and maintenance windows (BK-14).

    The fields are those of the times; `least` are the minutes below which AWS refuses the daily
    one. AWS also refuses a backup window that meets its maintenance window.
    """
    malformed = malformed_time(daily_field, daily.time) + malformed_time(weekly_field, week.time)
    if malformed:
        return malformed
    problems = [
        f"{field.removesuffix('_time')}_minutes is out of range: got {got}, allowed {low} to {high}"
        for field, got, low, high in (
            (daily_field, daily.minutes, least, 12 * 60),
            (weekly_field, week.minutes, max(least, 30), 24 * 60),
        )
        if not low <= got <= high
    ]
    if any(week.period.meets(period) for period in daily.periods):
        problems.append(
            f"{weekly_field} meets the daily backup: got {week.text}, allowed no minute of "
            f"{daily.text}; AWS refuses both at once"
        )
    return problems
