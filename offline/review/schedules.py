"""How often a schedule runs, so that two can be compared: cron of Kubernetes and of AWS, and rates.

Leaves out time zones and when exactly it runs.
"""

import re

MINUTES_A_DAY = 24 * 60
DAYS = 28
RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
UNITS = {"minute": 1, "hour": 60, "day": MINUTES_A_DAY}
NAMES = {
    name: str(number)
    for names in (
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
        ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    )
    for number, name in enumerate(names, 1)
}


def runs_in_four_weeks(schedule: str) -> float:
    """About how often; 0 for a schedule that can't be read, so that it counts as the rarest."""
    if rate := RATE.fullmatch(schedule):
        return DAYS * MINUTES_A_DAY / (int(rate[1]) * UNITS[rate[2]])
    fields = schedule.removeprefix("cron(").removesuffix(")").lower().split()
    if len(fields) not in (5, 6):
        return 0
    minute, hour, day, month, weekday = fields[:5]
    try:
        days = len(_values(day, 1, 31)) / 31, len(_values(weekday, 1, 7)) / 7
        share = min(days) * len(_values(month, 1, 12)) / 12
        return len(_values(minute, 0, 59)) * len(_values(hour, 0, 23)) * share * DAYS
    except ValueError:
        return 0


def _values(field: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        if first in ("*", "?"):
            begin, end = low, high
        else:
            begin = int(NAMES.get(first, first))
            end = int(NAMES.get(last, last)) if last else high if step else begin
        found |= set(range(begin, end + 1, int(step or 1)))
    return found
