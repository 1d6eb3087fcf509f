"""Metrics made of log lines: nginx's requests, the pool's and the database's troubles, results of
dumps and restore tests, and whatever numbers the application writes.

Leaves out who ships the lines: the add-on amazon-cloudwatch-observability, and RDS itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pulumi
from pulumi_aws import cloudwatch

from components.backups import RESTORE_TEST

# What the application may write to its standard output, as {"metric": NAME, "value": NUMBER}.
APPLICATION_METRICS = {
    "ThirdPartyDown": "1 at each check that finds a third party down, else 0 (AL-32)",
    "Analyses": "1 for each AI analysis (AL-33)",
    "AnalysisFailures": "1 for each that failed (AL-33)",
    "DailyActiveUsers": "once a day: people of the last day (AL-34)",
    "DailyActiveUsersWeeklyMean": "once a day: their mean over 7 days (AL-34)",
    "AiUsd": "US dollars that a request to the AI cost (AL-35)",
    "AiRequests": "1 for each request to it (AL-35)",
    "ActiveSessions": "people signed in now (MO-4)",
}


@dataclass(frozen=True, kw_only=True)
class LogMetric:
    name: str
    pattern: str
    value: str = "1"
    """What a matching line adds: a number, or a part of the line."""
    unit: str = "Count"
    label: str = ""
    """Tells filters apart that make the same metric."""
    default: str | None = None
    """What is written while no line matches but others come; "0" lets a sum be 0."""


def pod_metrics(namespace: str) -> Iterator[LogMetric]:
    """Of the pods' log. The add-on keeps each line as `log`, and its JSON as `log_processed`."""

    def lines(container: str, *conditions: str) -> str:
        every = (
            f'($.kubernetes.namespace_name = "{namespace}")',
            f'($.kubernetes.container_name = "{container}")',
            *(f"({condition})" for condition in conditions),
        )
        return f"{{ {' && '.join(every)} }}"

    status, seconds = "$.log_processed.status", "$.log_processed.duration_s"
    yield LogMetric(name="Requests", pattern=lines("nginx", f"{status} = *"), default="0")
    yield LogMetric(name="ServerErrors", pattern=lines("nginx", f"{status} >= 500"), default="0")
    yield LogMetric(name="RefusedRequests", pattern=lines("nginx", f"{status} = 429"), default="0")
    yield LogMetric(
        name="RequestSeconds",
        pattern=lines("nginx", f"{seconds} = *"),
        value=seconds,
        unit="Seconds",
    )
    # What PgBouncer cannot do for a client: no server, no login, no connection in time.
    pool = lines("pgbouncer", '$.log = "*pooler error*"')
    yield LogMetric(name="PoolErrors", pattern=pool, default="0")
    # The scripts' last line, see components/scripts/.
    dump, test, ok = "dump", RESTORE_TEST, "$.log_processed.ok"
    yield LogMetric(name="DumpsDone", pattern=lines(dump, f"{ok} IS TRUE"))
    for container in (dump, "archive"):
        failed = lines(container, f"{ok} IS FALSE")
        yield LogMetric(name="BackupsFailed", pattern=failed, label=container)
    yield LogMetric(
        name="DumpBytes",
        pattern=lines(dump, f"{ok} IS TRUE", "$.log_processed.bytes = *"),
        value="$.log_processed.bytes",
        unit="Bytes",
    )
    yield LogMetric(name="RestoreTestsDone", pattern=lines(test, f"{ok} IS TRUE"))
    yield LogMetric(name="RestoreTestsFailed", pattern=lines(test, f"{ok} IS FALSE"))
    yield LogMetric(
        name="RestoreTestSeconds",
        pattern=lines(test, f"{ok} IS TRUE", "$.log_processed.seconds = *"),
        value="$.log_processed.seconds",
        unit="Seconds",
    )
    for name in APPLICATION_METRICS:
        yield LogMetric(
            name=name,
            pattern=lines("app", f'$.log_processed.metric = "{name}"', "$.log_processed.value = *"),
            value="$.log_processed.value",
            unit="None",
        )


def database_metrics() -> Iterator[LogMetric]:
    """Of PostgreSQL's log, as `log_min_duration_statement` and `log_lock_waits` fill it."""
    yield LogMetric(name="SlowStatements", pattern='"LOG:  duration: "', default="0")
    yield LogMetric(name="Deadlocks", pattern='"deadlock detected"', default="0")
    # "... still waiting for ShareLock on transaction 7 after 1000.1 ms", and "... acquired ...".
    yield LogMetric(
        name="LockWaitMilliseconds",
        pattern="[..., after=after, wait, unit=ms]",
        value="$wait",
        unit="Milliseconds",
    )


def make_log_metrics(
    name: str,
    metrics: Iterator[LogMetric],
    log_group: pulumi.Input[str],
    namespace: str,
    opts: pulumi.ResourceOptions,
) -> None:
    """`namespace` is that of the metrics."""
    for metric in metrics:
        cloudwatch.LogMetricFilter(
            "-".join(part for part in (name, metric.name, metric.label) if part),
            log_group_name=log_group,
            pattern=metric.pattern,
            metric_transformation={
                "name": metric.name,
                "namespace": namespace,
                "value": metric.value,
                "default_value": metric.default,
                "unit": metric.unit,
            },
            apply_on_transformed_logs=False,
            opts=opts,
        )
