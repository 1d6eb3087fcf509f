"""Looks at a site until something is wrong or time is up: probes, access logs, CloudWatch alarms.

Leaves out what follows from it (watch.py).
"""

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from commands.probe import Visitor
from commands.smoke import HEALTH_PATH
from commands.triggers import Judge, Rules, Trigger, Verdict

ALARM_S = 30.0
AWS_LIMIT_S = 60
TICK_S = 0.1
WORKERS = 32


@dataclass(frozen=True, kw_only=True)
class Site:
    url: str
    """Without a slash at the end."""
    paths: Sequence[str]
    """What is asked for all the time."""
    logged: bool
    """Whether the judge gets nginx's log, in which each answered probe is, too."""
    alarms: Sequence[str] = ()
    """Names of CloudWatch alarms."""


def observe(site: Site, judge: Judge, rules: Rules, seconds: float) -> Verdict | None:
    """What was wrong, as soon as it is; None at the end of the time."""
    visitor = Visitor()

    def probe(path: str) -> None:
        answer = visitor.get(f"{site.url}{path}")
        if not site.logged or answer.status == 0:
            judge.request(time.monotonic(), answer.status, answer.seconds)

    def ask_health() -> None:
        judge.health(visitor.get(f"{site.url}{HEALTH_PATH}").status)

    due = [_Every(rules.health_interval_s, ask_health)]
    due += [_Every(rules.probe_interval_s, partial(probe, path)) for path in site.paths]
    alarms = _Every(ALARM_S, lambda: None)
    end = time.monotonic() + seconds
    pool = ThreadPoolExecutor(WORKERS)
    try:
        while (now := time.monotonic()) < end:
            for task in due:
                if task.is_due(now):
                    pool.submit(task.run)
            if found := judge.verdict(now):
                return found
            if site.alarms and alarms.is_due(now) and (ringing := ringing_alarm(site.alarms)):
                return Verdict(trigger=Trigger.ALARM, why=f"alarm {ringing} rings")
            time.sleep(min(TICK_S, rules.probe_interval_s))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return None


class _Every:
    """Something to do at regular times."""

    def __init__(self, seconds: float, run: Callable[[], None]) -> None:
        self._seconds, self.run = seconds, run
        self._next = time.monotonic()

    def is_due(self, now: float) -> bool:
        if now < self._next:
            return False
        self._next = max(self._next + self._seconds, now)
        return True


def ringing_alarm(names: Sequence[str]) -> str:
    """The first of the alarms that is in state ALARM; empty if none is."""
    kinds = ["CompositeAlarm", "MetricAlarm"]
    command = ["aws", "cloudwatch", "describe-alarms", "--output", "json"]
    done = subprocess.run(
        [*command, "--alarm-names", *names, "--alarm-types", *kinds],
        capture_output=True,
        text=True,
        timeout=AWS_LIMIT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the AWS CLI can't tell alarms: {done.stderr.strip()}")
    found = json.loads(done.stdout)
    states = {a["AlarmName"]: a["StateValue"] for kind in kinds for a in found[f"{kind}s"]}
    if missing := set(names) - set(states):
        raise ValueError(f"alarm is unknown: got {', '.join(sorted(missing))}; correct --alarm")
    return next((name for name in names if states[name] == "ALARM"), "")
