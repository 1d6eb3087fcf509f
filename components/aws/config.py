"""Which account, regions and network of AWS a stack uses; plain values, so nothing is looked up.

Creates no resources, and leaves out pulumi_aws: stacks without AWS read this file too.
"""

import ipaddress
import re
from dataclasses import dataclass

from components.schedule import DAYS, Period, Weekday, malformed_time, minute_of_day, weekly
from components.stack_config import refuse

REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
ACCOUNT = re.compile(r"\d{12}")


@dataclass(frozen=True, kw_only=True)
class AwsConfig:
    region: str
    recovery_region: str
    account_id: str
    vpc_id: str
    subnet_ids: tuple[str, ...]
    subnet_ranges: tuple[str, ...]
    client_security_group_ids: tuple[str, ...]

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
        problems += _malformed_ids("vpc_id", "vpc", [self.vpc_id] if self.vpc_id else [])
        problems += _malformed_ids("subnet_ids", "subnet", self.subnet_ids)
        problems += _malformed_ids(
            "client_security_group_ids", "sg", self.client_security_group_ids
        )
        refuse(problems + malformed_ranges("subnet_ranges", self.subnet_ranges))

    @property
    def missing(self) -> list[str]:
        """The problems of a stack that uses AWS and says too little about it."""
        needed = {
            "aws_region": self.region,
            "aws_account_id": self.account_id,
            "aws_vpc_id": self.vpc_id,
            "aws_client_security_group_ids": self.client_security_group_ids,
            "aws_subnet_ranges": self.subnet_ranges,
        }
        problems = [
            f"{name} is empty, but the stack keeps data on AWS; set it, or choose database: "
            "cluster and cache: cluster"
            for name, value in needed.items()
            if not value
        ]
        if len(set(self.subnet_ids)) < 2:
            problems.append(
                f"aws_subnet_ids has too few: got {len(set(self.subnet_ids))}, allowed 2 or more "
                "private subnets in different zones (PL-10); AWS refuses fewer"
            )
        return problems


def _malformed_ids(field: str, kind: str, ids: tuple[str, ...] | list[str]) -> list[str]:
    return [
        f"{field} has a malformed id: got {given!r}, allowed {kind}- and 8 or 17 hex digits"
        for given in ids
        if not re.fullmatch(rf"{kind}-([0-9a-f]{{8}}|[0-9a-f]{{17}})", given)
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
