"""The alert ladder as data: from which value on, and for how long, who does what (AL-1 to AL-37).

Leaves out where a signal is measured (measurements.py) and what is made of it (alarms.py).
"""

from dataclasses import dataclass
from enum import StrEnum

MINUTE, HOUR, DAY = 60, 3600, 86_400
LONGEST_WINDOW_S = 7 * DAY
"""No alarm of CloudWatch looks further back."""
EACH_ONE = "no window is asked for: each one counts"


class Severity(StrEnum):
    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"


class Channel(StrEnum):
    """A topic: one for each severity, and one for what concerns cost and business (MO-2)."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    BUSINESS = "business"


class Missing(StrEnum):
    """What an alarm makes of a period without data (MO-3), as CloudWatch calls it."""

    FIRE = "breaching"
    SILENT = "notBreaching"


class Over(StrEnum):
    """When a value is too bad."""

    ABOVE = "GreaterThanThreshold"
    FROM = "GreaterThanOrEqualToThreshold"
    BELOW = "LessThanThreshold"
    OUTSIDE = "LessThanLowerOrGreaterThanUpperThreshold"


class Notice(StrEnum):
    """What notices that a rung is reached."""

    ALARM = "alarm"
    EVENT = "event"  # RDS and AWS Backup tell it themselves (announcements.py)
    BUDGET = "budget"  # AWS Budgets (budget.py)
    WORKFLOW = "workflow"  # the deployment, which knows first (.github/workflows/deploy.yml)


class Signal(StrEnum):
    """What is measured; the names become part of the alarms'."""

    HEALTH = "health"
    UPTIME = "uptime"
    HEALTH_LATENCY = "health-latency"
    ERROR_RATE = "error-rate"
    LATENCY = "latency-p95"
    CONNECTION_FAILURES = "connection-failures"
    CONNECTIONS = "connections"
    SLOW_STATEMENTS = "slow-statements"
    CPU = "cpu"
    MEMORY = "memory"
    STORAGE = "storage"
    LOCK_WAIT = "lock-wait"
    DEADLOCKS = "deadlocks"
    REPLICA_LAG = "replica-lag"
    HIT_RATE = "hit-rate"
    EVICTIONS = "evictions"
    FAILOVER = "failover"
    RESTARTS = "restarts"
    OUT_OF_MEMORY = "out-of-memory"
    AT_MAXIMUM = "at-maximum"
    BACKUP_FAILED = "backup-failed"
    BACKUPS = "backups"
    RESTORE_FAILED = "restore-failed"
    RESTORES = "restores"
    RESTORE_TIME = "restore-time"
    CERTIFICATE = "certificate"
    TRAFFIC = "traffic"
    REFUSED = "refused"
    THIRD_PARTY = "third-party"
    ANALYSIS = "analysis"
    ACTIVE_USERS = "active-users"
    AI_COST = "ai-cost"
    AI_COST_EACH = "ai-cost-each"
    DATABASE_COST = "database-cost"
    DEPLOYMENT = "deployment"


@dataclass(frozen=True, kw_only=True)
class Rung:
    id: str
    """Of the requirement; a row with two thresholds, or two signals, has two rungs."""
    signal: Signal
    severity: Severity
    over: Over = Over.ABOVE
    threshold: float = 0
    """In percent for rates, seconds for times, else a number."""
    window_s: int = 0
    """0 where it is not a matter of time."""
    reaction: str
    missing: Missing = Missing.SILENT
    periods: int = 1
    """Into how many the window is cut, each of which has to be bad; 1 looks at it as a whole."""
    notices: tuple[Notice, ...] = (Notice.ALARM,)
    business: bool = False
    """Whether it goes to who answers for cost and business."""
    alarm_threshold: float | None = None
    """What the alarm uses instead, where CloudWatch cannot do what is asked."""
    alarm_window_s: int | None = None
    why: str = ""
    """Why the alarm uses something else."""

    @property
    def channel(self) -> Channel:
        return Channel.BUSINESS if self.business else Channel(self.severity)

    @property
    def limit(self) -> float:
        """The threshold of the alarm."""
        return self.threshold if self.alarm_threshold is None else self.alarm_threshold

    @property
    def period_s(self) -> int:
        """The period of the alarm."""
        window = self.window_s if self.alarm_window_s is None else self.alarm_window_s
        return window // self.periods


CRITICAL, HIGH, MEDIUM = Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM

LADDER = (
    Rung(
        id="AL-1",
        signal=Signal.HEALTH,
        severity=CRITICAL,
        over=Over.BELOW,
        threshold=1,
        window_s=90,
        alarm_window_s=MINUTE,
        why="the check itself fails only after 3 misses, 30 s apart",
        missing=Missing.FIRE,
        reaction="roll back (RB-3) within 30 minutes of a release, later fail over (RB-7)",
    ),
    Rung(
        id="AL-2",
        signal=Signal.UPTIME,
        severity=CRITICAL,
        over=Over.BELOW,
        threshold=99.5,
        window_s=DAY,
        missing=Missing.FIRE,
        reaction="page",
    ),
    Rung(
        id="AL-3",
        signal=Signal.UPTIME,
        severity=MEDIUM,
        over=Over.BELOW,
        threshold=99.9,
        window_s=30 * DAY,
        # 43.2 minutes of 30 days are the whole budget; as a part of 7 days.
        alarm_threshold=99.571,
        alarm_window_s=LONGEST_WINDOW_S,
        why="CloudWatch looks back 7 days: it tells when they alone used up the 43.2 minutes; the "
        "30 days are on the dashboard",
        missing=Missing.FIRE,
        reaction="report",
    ),
    Rung(
        id="AL-4",
        signal=Signal.ERROR_RATE,
        severity=HIGH,
        threshold=1,
        window_s=5 * MINUTE,
        reaction="investigate",
    ),
    Rung(
        id="AL-5",
        signal=Signal.ERROR_RATE,
        severity=CRITICAL,
        threshold=5,
        window_s=5 * MINUTE,
        reaction="roll back (RB-1)",
    ),
    Rung(
        id="AL-6",
        signal=Signal.ERROR_RATE,
        severity=CRITICAL,
        threshold=10,
        window_s=5 * MINUTE,
        reaction="fail over (RB-7)",
    ),
    Rung(
        id="AL-7",
        signal=Signal.LATENCY,
        severity=MEDIUM,
        threshold=1,
        window_s=10 * MINUTE,
        reaction="watch",
    ),
    Rung(
        id="AL-8",
        signal=Signal.LATENCY,
        severity=HIGH,
        threshold=3,
        window_s=10 * MINUTE,
        reaction="scale: more pods (OP-4)",
    ),
    Rung(
        id="AL-9",
        signal=Signal.LATENCY,
        severity=CRITICAL,
        threshold=5,
        window_s=10 * MINUTE,
        reaction="roll back (RB-2)",
    ),
    Rung(
        id="AL-10",
        signal=Signal.LATENCY,
        severity=CRITICAL,
        over=Over.FROM,
        threshold=30,
        window_s=5 * MINUTE,
        reaction="fail over (RB-7)",
    ),
    Rung(
        id="AL-11",
        signal=Signal.HEALTH_LATENCY,
        severity=MEDIUM,
        threshold=2,
        window_s=5 * MINUTE,
        missing=Missing.FIRE,
        reaction="watch",
    ),
    Rung(
        id="AL-12",
        signal=Signal.CONNECTION_FAILURES,
        severity=CRITICAL,
        over=Over.FROM,
        threshold=1,
        window_s=2 * MINUTE,
        periods=2,
        reaction="runbook: database unreachable",
    ),
    Rung(
        id="AL-13",
        signal=Signal.CONNECTIONS,
        severity=HIGH,
        threshold=80,
        window_s=5 * MINUTE,
        periods=5,
        reaction="raise poolSize within PO-3 (OP-4)",
    ),
    Rung(
        id="AL-14",
        signal=Signal.SLOW_STATEMENTS,
        severity=MEDIUM,
        threshold=10,
        window_s=HOUR,
        reaction="index, or a read replica (OP-4)",
    ),
    Rung(
        id="AL-15",
        signal=Signal.CPU,
        severity=MEDIUM,
        threshold=70,
        window_s=15 * MINUTE,
        periods=3,
        reaction="scale (OP-4)",
    ),
    Rung(
        id="AL-16",
        signal=Signal.MEMORY,
        severity=MEDIUM,
        threshold=80,
        window_s=10 * MINUTE,
        periods=2,
        reaction="scale (OP-4)",
    ),
    Rung(
        id="AL-17",
        signal=Signal.MEMORY,
        severity=CRITICAL,
        threshold=90,
        window_s=5 * MINUTE,
        periods=5,
        reaction="scale or restart",
    ),
    Rung(
        id="AL-18",
        signal=Signal.STORAGE,
        severity=HIGH,
        threshold=80,
        window_s=15 * MINUTE,
        periods=3,
        reaction="archive, or raise rdsStorageGib (OP-4)",
    ),
    Rung(
        id="AL-19",
        signal=Signal.LOCK_WAIT,
        severity=MEDIUM,
        threshold=30,
        window_s=5 * MINUTE,
        reaction="runbook: locks",
    ),
    Rung(
        id="AL-19",
        signal=Signal.DEADLOCKS,
        severity=MEDIUM,
        over=Over.FROM,
        threshold=1,
        window_s=5 * MINUTE,
        reaction="runbook: locks",
    ),
    Rung(
        id="AL-20",
        signal=Signal.REPLICA_LAG,
        severity=HIGH,
        threshold=300,
        window_s=5 * MINUTE,
        periods=5,
        reaction="runbook: replica",
    ),
    Rung(
        id="AL-21",
        signal=Signal.HIT_RATE,
        severity=MEDIUM,
        over=Over.BELOW,
        threshold=80,
        window_s=HOUR,
        reaction="cache size, TTLs, layers (OP-4)",
    ),
    Rung(
        id="AL-21",
        signal=Signal.EVICTIONS,
        severity=MEDIUM,
        threshold=0,
        window_s=15 * MINUTE,
        reaction="cache size, TTLs, layers (OP-4)",
    ),
    Rung(
        id="AL-22",
        signal=Signal.FAILOVER,
        severity=HIGH,
        threshold=0,
        alarm_window_s=5 * MINUTE,
        why=EACH_ONE,
        # RDS tells it by itself; ElastiCache tells no encrypted topic, so its roles are watched.
        notices=(Notice.EVENT, Notice.ALARM),
        reaction="verify",
    ),
    Rung(
        id="AL-23",
        signal=Signal.RESTARTS,
        severity=HIGH,
        threshold=3,
        window_s=15 * MINUTE,
        reaction="runbook: restarting pods",
    ),
    Rung(
        id="AL-23",
        signal=Signal.OUT_OF_MEMORY,
        severity=HIGH,
        over=Over.FROM,
        threshold=1,
        window_s=15 * MINUTE,
        reaction="runbook: restarting pods",
    ),
    Rung(
        id="AL-24",
        signal=Signal.AT_MAXIMUM,
        severity=HIGH,
        over=Over.FROM,
        threshold=100,
        window_s=15 * MINUTE,
        periods=15,
        reaction="raise appMaxReplicas",
    ),
    Rung(
        id="AL-25",
        signal=Signal.BACKUP_FAILED,
        severity=HIGH,
        threshold=0,
        alarm_window_s=5 * MINUTE,
        why=EACH_ONE,
        notices=(Notice.EVENT, Notice.ALARM),
        reaction="run it again",
    ),
    Rung(
        id="AL-26",
        signal=Signal.BACKUPS,
        severity=CRITICAL,
        over=Over.BELOW,
        threshold=1,
        window_s=26 * HOUR,
        periods=26,
        missing=Missing.FIRE,
        reaction="runbook: no backup",
    ),
    Rung(
        id="AL-27",
        signal=Signal.RESTORE_FAILED,
        severity=HIGH,
        threshold=0,
        alarm_window_s=5 * MINUTE,
        why=EACH_ONE,
        notices=(Notice.EVENT, Notice.ALARM),
        reaction="runbook: restore test",
    ),
    Rung(
        id="AL-27",
        signal=Signal.RESTORES,
        severity=HIGH,
        over=Over.BELOW,
        threshold=1,
        window_s=8 * DAY,
        periods=168,
        alarm_window_s=LONGEST_WINDOW_S,
        why="CloudWatch looks back 7 days, in which a weekly test has run once; the workflow "
        "backup-test.yml looks back 8",
        missing=Missing.FIRE,
        reaction="runbook: restore test",
    ),
    Rung(
        id="AL-28",
        signal=Signal.RESTORE_TIME,
        severity=MEDIUM,
        threshold=30 * MINUTE,
        alarm_window_s=HOUR,
        why=EACH_ONE,
        reaction="revise the recovery contract",
    ),
    Rung(
        id="AL-28",
        signal=Signal.RESTORE_TIME,
        severity=HIGH,
        threshold=4 * HOUR,
        alarm_window_s=HOUR,
        why=EACH_ONE,
        reaction="revise the recovery contract",
    ),
    Rung(
        id="AL-29",
        signal=Signal.CERTIFICATE,
        severity=MEDIUM,
        over=Over.BELOW,
        threshold=30,
        window_s=DAY,
        reaction="renew",
    ),
    Rung(
        id="AL-29",
        signal=Signal.CERTIFICATE,
        severity=CRITICAL,
        over=Over.BELOW,
        threshold=7,
        window_s=DAY,
        reaction="renew",
    ),
    Rung(
        id="AL-30",
        signal=Signal.TRAFFIC,
        severity=MEDIUM,
        over=Over.OUTSIDE,
        threshold=2,
        window_s=15 * MINUTE,
        reaction="watch",
    ),
    Rung(
        id="AL-31",
        signal=Signal.REFUSED,
        severity=MEDIUM,
        threshold=10,
        window_s=10 * MINUTE,
        reaction="consider SECURITY_MODE=enhanced",
    ),
    Rung(
        id="AL-32",
        signal=Signal.THIRD_PARTY,
        severity=HIGH,
        over=Over.FROM,
        threshold=1,
        alarm_window_s=3 * MINUTE,
        periods=3,
        why="asked for are 3 checks in a row, whenever the application makes them: one a minute",
        reaction="DEGRADED_MODE=true",
    ),
    Rung(
        id="AL-33",
        signal=Signal.ANALYSIS,
        severity=HIGH,
        threshold=5,
        window_s=15 * MINUTE,
        reaction="other provider",
    ),
    Rung(
        id="AL-34",
        signal=Signal.ACTIVE_USERS,
        severity=MEDIUM,
        over=Over.BELOW,
        threshold=50,
        window_s=DAY,
        business=True,
        reaction="review",
    ),
    Rung(
        id="AL-35",
        signal=Signal.AI_COST,
        severity=MEDIUM,
        threshold=100,
        window_s=DAY,
        business=True,
        reaction="smaller model, shorter prompts",
    ),
    Rung(
        id="AL-35",
        signal=Signal.AI_COST_EACH,
        severity=MEDIUM,
        threshold=0.05,
        window_s=DAY,
        business=True,
        reaction="smaller model, shorter prompts",
    ),
    Rung(
        id="AL-36",
        signal=Signal.DATABASE_COST,
        severity=HIGH,
        threshold=150,
        notices=(Notice.BUDGET,),
        reaction="review",
    ),
    Rung(
        id="AL-37",
        signal=Signal.DEPLOYMENT,
        severity=HIGH,
        notices=(Notice.WORKFLOW,),
        reaction="the table of RB-1 to RB-9",
    ),
)

ROLLBACK = ("AL-1", "AL-5", "AL-9")
"""What undoes a release of the last 30 minutes, and pages later (RB-3, RB-1, RB-2, S-12)."""
FAILOVER = ("AL-1", "AL-6", "AL-10")
"""What moves traffic to the recovery region if a rollback does not help (RB-7)."""
