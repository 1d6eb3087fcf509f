"""When a release has to be taken back (RB-1 to RB-3), from what its visitors got.

Leaves out where the requests are seen.
"""

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, replace
from enum import StrEnum


class Trigger(StrEnum):
    ERRORS = "RB-1"
    SLOW = "RB-2"
    HEALTH = "RB-3"
    ALARM = "alarm"
    """A CloudWatch alarm that was named."""


EXIT_CODES = {Trigger.ERRORS: 11, Trigger.SLOW: 12, Trigger.HEALTH: 13, Trigger.ALARM: 14}


@dataclass(frozen=True, kw_only=True)
class Rules:
    error_percent: float = 5.0
    error_window_s: float = 300.0
    slow_s: float = 5.0
    """Limit of the 95th percentile; it is above as soon as more than 5 % took longer."""
    slow_percent: float = 5.0
    slow_window_s: float = 600.0
    least_requests: int = 100
    """In a window; of fewer a percentage says nothing (MO-3)."""
    health_failures: int = 3
    """One after the other."""
    health_interval_s: float = 30.0
    probe_interval_s: float = 1.0
    """For each path: more than 100 in five minutes, which a percentage needs."""

    @property
    def longest_s(self) -> float:
        return max(self.error_window_s, self.slow_window_s)

    def scaled(self, factor: float) -> "Rules":
        """With other windows and intervals, for drills; what counts as wrong stays."""
        return replace(
            self,
            error_window_s=self.error_window_s * factor,
            slow_window_s=self.slow_window_s * factor,
            health_interval_s=self.health_interval_s * factor,
            probe_interval_s=self.probe_interval_s * factor,
        )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    trigger: Trigger
    why: str


@dataclass(kw_only=True)
class _Bucket:
    """The requests of a moment, counted: so a busy site needs no more memory than a quiet one."""

    at: float
    requests: int = 0
    errors: int = 0
    slow: int = 0


class Judge:
    """Counts requests and answers of the health page, and says when it is enough."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._lock = threading.Lock()  # logs and probes come from several threads
        self._buckets: deque[_Bucket] = deque()
        self._width_s = min(rules.error_window_s, rules.slow_window_s) / 100
        self._health_failures = 0
        self._outcomes: Counter[int] = Counter()

    def request_now(self, status: int, seconds: float) -> None:
        self.request(time.monotonic(), status, seconds)

    def request(self, at: float, status: int, seconds: float) -> None:
        """One request of a visitor; a status of 0 is no answer."""
        with self._lock:
            self._count(at, status, seconds)

    def _count(self, at: float, status: int, seconds: float) -> None:
        if not self._buckets or at - self._buckets[-1].at >= self._width_s:
            self._buckets.append(_Bucket(at=at))
        bucket, failed = self._buckets[-1], status == 0 or status >= 500
        bucket.requests += 1
        bucket.errors += failed
        bucket.slow += seconds > self._rules.slow_s
        self._outcomes[status] += 1

    def outcomes(self) -> dict[int, int]:
        """How often each status was answered."""
        with self._lock:
            return dict(self._outcomes)

    def health(self, status: int) -> None:
        """One answer of the health page; 429 says nothing about it."""
        if status != 429:
            self._health_failures = 0 if status == 200 else self._health_failures + 1

    def verdict(self, now: float) -> Verdict | None:
        """The first rule that is broken; those that need no numbers come first."""
        rules = self._rules
        if self._health_failures >= rules.health_failures:
            why = f"the health page failed {self._health_failures} times one after the other"
            return Verdict(trigger=Trigger.HEALTH, why=why)
        recent = self._since(now - rules.error_window_s)
        if _above(recent.errors, recent.requests, rules.error_percent, rules):
            window = f"{rules.error_window_s:g} s"
            why = f"{recent.errors} of {recent.requests} requests failed in {window}"
            return Verdict(trigger=Trigger.ERRORS, why=why)
        recent = self._since(now - rules.slow_window_s)
        if _above(recent.slow, recent.requests, rules.slow_percent, rules):
            limits = f"{rules.slow_s:g} s in {rules.slow_window_s:g} s"
            why = f"{recent.slow} of {recent.requests} requests took longer than {limits}"
            return Verdict(trigger=Trigger.SLOW, why=why)
        return None

    def _since(self, start: float) -> _Bucket:
        """The sum of what came since then; what no rule looks at any more is dropped."""
        with self._lock:
            return self._sum(start)

    def _sum(self, start: float) -> _Bucket:
        rules, total = self._rules, _Bucket(at=start)
        while self._buckets and self._buckets[0].at < self._buckets[-1].at - rules.longest_s:
            self._buckets.popleft()
        for bucket in self._buckets:
            if bucket.at >= start:
                total.requests += bucket.requests
                total.errors += bucket.errors
                total.slow += bucket.slow
        return total


def _above(part: int, whole: int, percent: float, rules: Rules) -> bool:
    return whole >= rules.least_requests and 100 * part > percent * whole
