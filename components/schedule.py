"""When regular work runs: times of the day and of the week in UTC, and whether they meet.

Leaves out dates and time zones: a schedule that moves with daylight saving meets others twice a
year.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

HOUR = 60
DAY = 24 * HOUR
WEEK = 7 * DAY


class Weekday(StrEnum):
    SUNDAY = "Sun"
    MONDAY = "Mon"
    TUESDAY = "Tue"
    WEDNESDAY = "Wed"
    THURSDAY = "Thu"
    FRIDAY = "Fri"
    SATURDAY = "Sat"


DAYS = tuple(Weekday)
"""In cron's order: Sunday is 0."""


@dataclass(frozen=True)
class Period:
    """Some minutes of every week, counted from Sunday 00:00."""

    start: int
    minutes: int

    def meets(self, other: "Period") -> bool:
        """Whether the two share a minute; a period may reach into the next week."""
        return (other.start - self.start) % WEEK < self.minutes or (
            self.start - other.start
        ) % WEEK < other.minutes

    def widened(self, minutes: int) -> "Period":
        """With so many minutes before it and after it."""
        return Period(self.start - minutes, self.minutes + 2 * minutes)


def malformed_time(field: str, text: str) -> list[str]:
    """The problem with a time of the day, if there is one."""
    if re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
        return []
    return [f"{field} is no time: got {text!r}, allowed 00:00 to 23:59 (UTC), two digits each"]


def minute_of_day(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * HOUR + int(minutes)


def weekly(day: Weekday, time: str, minutes: int) -> Period:
    return Period(DAYS.index(day) * DAY + minute_of_day(time), minutes)


def weekly_cron(day: Weekday, time: str) -> str:
    minute = minute_of_day(time)
    return f"{minute % HOUR} {minute // HOUR} * * {DAYS.index(day)}"


def every_hours(time: str, interval_hours: int) -> list[int]:
    """Minutes of the day of something that runs at `time` and every so many hours from there."""
    first = minute_of_day(time)
    return sorted((first + hours * HOUR) % DAY for hours in range(0, 24, interval_hours))


def daily_cron(time: str, interval_hours: int) -> str:
    minutes = every_hours(time, interval_hours)
    return f"{minutes[0] % HOUR} {','.join(str(m // HOUR) for m in minutes)} * * *"


def aws_daily_cron(minute: int, hours: tuple[int, ...]) -> str:
    """For AWS, which writes years, and a question mark for the day that another field decides."""
    return f"cron({minute} {_ranges(hours)} * * ? *)"


def aws_weekly_cron(day: Weekday, time: str) -> str:
    minute = minute_of_day(time)
    return f"cron({minute % HOUR} {minute // HOUR} ? * {day.upper()} *)"


def _ranges(numbers: tuple[int, ...]) -> str:
    """The numbers in order, neighbours drawn together: 0,6-23."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and spans[-1][-1] == number - 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    return ",".join(f"{span[0]}-{span[-1]}" if len(span) > 1 else f"{span[0]}" for span in spans)
