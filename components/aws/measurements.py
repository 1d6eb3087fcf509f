"""Where each signal of the ladder is measured: metrics of CloudWatch, and the sums made of them.

Leaves out thresholds (alert_ladder.py) and how our own metrics come about (log_metrics.py).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pulumi

from components.aws.alert_ladder import Signal

RDS = "AWS/RDS"
CACHE = "AWS/ElastiCache"
PODS = "ContainerInsights"
HEALTH = "AWS/Route53"
BACKUP = "AWS/Backup"
CERTIFICATES = "AWS/CertificateManager"
# MO-3: fewer requests in a window than this say nothing.
LEAST_REQUESTS = 100


@dataclass(frozen=True, kw_only=True)
class Targets:
    """What the stack has that can be measured; empty where it has none."""

    own: str
    """Namespace of our own metrics."""
    cluster: str
    namespace: str
    deployments: tuple[str, ...]
    """Names of the Deployments whose pods are watched."""
    scaling: str
    """The one that scales, up to `most_pods`."""
    most_pods: int
    database: str
    """Identifier of the RDS instance."""
    replicas: tuple[str, ...]
    database_memory_gib: float
    database_storage_gib: int
    most_connections: int
    cache_nodes: tuple[str, ...]
    vaults: tuple[str, ...]
    """Names of the vaults of AWS Backup."""
    daily_vaults: tuple[str, ...]
    """Those that get a point each day, or more."""
    tested_vaults: tuple[str, ...]
    """Those whose points are restored each week."""
    certificates: tuple[pulumi.Input[str], ...]
    """Those of the load balancer, which are in the stack's region."""
    edge_certificates: tuple[pulumi.Input[str], ...]
    """Those of the CDN, which are in us-east-1."""
    health_check: pulumi.Input[str] | None
    checkers: tuple[str, ...]
    """Regions that the health check asks from."""

    @property
    def instances(self) -> tuple[str, ...]:
        """All of RDS."""
        return (self.database, *self.replicas) if self.database else ()


@dataclass(frozen=True, kw_only=True)
class Metric:
    namespace: str
    name: str
    statistic: str
    dimensions: Mapping[str, pulumi.Input[str]]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    subject: str
    """Of what; empty where the stack has only one."""
    metrics: Mapping[str, Metric]
    """By the names that `expression` uses."""
    expression: str = ""
    """What is compared with the threshold; empty where it is the only metric itself."""
    band: str = ""
    """The metric that is compared with the band of its past, instead of with a number."""
    at_edge: bool = False
    """Whether the metrics are in us-east-1, wherever the stack is."""


def measurements(signal: Signal, targets: Targets) -> list[Measurement]:
    """One for each thing that has the signal; none where the stack has no such thing."""
    measure = MEASURES.get(signal)
    return measure(targets) if measure else []


def _own(targets: Targets, name: str, statistic: str = "Sum") -> Metric:
    return Metric(namespace=targets.own, name=name, statistic=statistic, dimensions={})


def _count(
    name: str, statistic: str = "Sum", subject: str = ""
) -> Callable[[Targets], list[Measurement]]:
    """One of our own metrics as it is."""
    return lambda targets: [
        Measurement(subject=subject, metrics={"value": _own(targets, name, statistic)})
    ]


def _share(part: str, whole: str, scale: int = 100) -> Callable[[Targets], list[Measurement]]:
    """A ratio of two of our own metrics, silent where the whole is small (MO-3)."""
    return lambda targets: [
        Measurement(
            subject="",
            metrics={"part": _own(targets, part), "whole": _own(targets, whole)},
            expression=f"IF(whole >= {LEAST_REQUESTS}, {scale} * part / whole, 0)",
        )
    ]


def _checked(targets: Targets, metrics: dict[str, Metric], expression: str) -> list[Measurement]:
    if targets.health_check is None:
        return []
    return [Measurement(subject="", metrics=metrics, expression=expression, at_edge=True)]


def _health(targets: Targets) -> list[Measurement]:
    status = _health_metric(targets, "HealthCheckStatus", "Minimum")
    return _checked(targets, {"status": status}, "")


def _uptime(targets: Targets) -> list[Measurement]:
    status = _health_metric(targets, "HealthCheckStatus", "Average")
    return _checked(targets, {"status": status}, "100 * status")


def _health_latency(targets: Targets) -> list[Measurement]:
    """The mean of all regions that ask, in seconds."""
    metrics = {
        f"checker{number}": _health_metric(targets, "TimeToFirstByte", "Average", region)
        for number, region in enumerate(targets.checkers, 1)
    }
    return _checked(targets, metrics, f"AVG([{', '.join(metrics)}]) / 1000")


def _health_metric(targets: Targets, name: str, statistic: str, region: str = "") -> Metric:
    dimensions: dict[str, pulumi.Input[str]] = {"HealthCheckId": targets.health_check or ""}
    return Metric(
        namespace=HEALTH,
        name=name,
        statistic=statistic,
        dimensions=dimensions | ({"Region": region} if region else {}),
    )


def _latency(targets: Targets) -> list[Measurement]:
    return [
        Measurement(
            subject="",
            metrics={
                "p95": _own(targets, "RequestSeconds", "p95"),
                "requests": _own(targets, "Requests"),
            },
            expression=f"IF(requests >= {LEAST_REQUESTS}, p95, 0)",
        )
    ]


def _traffic(targets: Targets) -> list[Measurement]:
    return [
        Measurement(subject="", metrics={"requests": _own(targets, "Requests")}, band="requests")
    ]


def _of_database(
    metric: str, expression: Callable[[Targets], str]
) -> Callable[[Targets], list[Measurement]]:
    """A metric of the instance, and of each read replica."""

    def measure(targets: Targets) -> list[Measurement]:
        instances = {"database": targets.database} if targets.database else {}
        instances |= {f"replica-{n}": name for n, name in enumerate(targets.replicas, 1)}
        return [
            Measurement(
                subject=subject,
                metrics={"value": _rds(metric, instance)},
                expression=expression(targets),
            )
            for subject, instance in instances.items()
        ]

    return measure


def _rds(name: str, instance: str) -> Metric:
    return Metric(
        namespace=RDS,
        name=name,
        statistic="Average",
        dimensions={"DBInstanceIdentifier": instance},
    )


def _used(whole: Callable[[Targets], float]) -> Callable[[Targets], str]:
    """Percent in use, where RDS tells how many bytes are free."""
    return lambda targets: f"100 - 100 * value / {int(whole(targets) * 2**30)}"


_database_cpu = _of_database("CPUUtilization", lambda _: "")
_database_memory = _of_database("FreeableMemory", _used(lambda t: t.database_memory_gib))
_storage = _of_database("FreeStorageSpace", _used(lambda t: t.database_storage_gib))
_connections = _of_database(
    "DatabaseConnections", lambda targets: f"100 * value / {targets.most_connections}"
)


def _replica_lag(targets: Targets) -> list[Measurement]:
    return [
        Measurement(subject=f"replica-{n}", metrics={"lag": _rds("ReplicaLag", name)})
        for n, name in enumerate(targets.replicas, 1)
    ]


def _cache(targets: Targets, *metrics: tuple[str, str, str], expression: str) -> list[Measurement]:
    """For each node: (name in the expression, metric, statistic)."""
    return [
        Measurement(
            subject=node,
            metrics={
                key: Metric(
                    namespace=CACHE,
                    name=name,
                    statistic=statistic,
                    # Outside cluster mode each node is a cache cluster of its own.
                    dimensions={"CacheClusterId": node, "CacheNodeId": "0001"},
                )
                for key, name, statistic in metrics
            },
            expression=expression,
        )
        for node in targets.cache_nodes
    ]


def _hit_rate(targets: Targets) -> list[Measurement]:
    return _cache(
        targets,
        ("hits", "CacheHits", "Sum"),
        ("misses", "CacheMisses", "Sum"),
        expression=f"IF(hits + misses >= {LEAST_REQUESTS}, 100 * hits / (hits + misses), 100)",
    )


def _evictions(targets: Targets) -> list[Measurement]:
    return _cache(targets, ("evictions", "Evictions", "Sum"), expression="")


def _failover(targets: Targets) -> list[Measurement]:
    """A node that was both within the window has changed its role."""
    return _cache(
        targets,
        ("most", "IsMaster", "Maximum"),
        ("least", "IsMaster", "Minimum"),
        expression="most - least",
    )


def _pods(
    targets: Targets, *metrics: tuple[str, str, str], expression: str = ""
) -> list[Measurement]:
    """For each Deployment: (name in the expression, metric, statistic)."""
    return [
        Measurement(
            subject=deployment,
            metrics={
                key: _pod(targets, deployment, name, statistic) for key, name, statistic in metrics
            },
            expression=expression,
        )
        for deployment in targets.deployments
    ]


def _pod(targets: Targets, deployment: str, name: str, statistic: str) -> Metric:
    return Metric(
        namespace=PODS,
        name=name,
        statistic=statistic,
        # Container Insights calls the owner of the pods, such as a Deployment, PodName.
        dimensions={
            "PodName": deployment,
            "Namespace": targets.namespace,
            "ClusterName": targets.cluster,
        },
    )


def _cpu(targets: Targets) -> list[Measurement]:
    """Of pods in percent of what they request, as the autoscaler sees it: they have no limit."""
    return [
        *_database_cpu(targets),
        *_cache(targets, ("value", "CPUUtilization", "Average"), expression=""),
        *_pods(
            targets,
            ("used", "pod_cpu_utilization", "Average"),
            ("requested", "pod_cpu_reserved_capacity", "Average"),
            expression="100 * used / requested",
        ),
    ]


def _memory(targets: Targets) -> list[Measurement]:
    return [
        *_database_memory(targets),
        *_cache(targets, ("value", "DatabaseMemoryUsagePercentage", "Average"), expression=""),
        *_pods(targets, ("value", "pod_memory_utilization_over_pod_limit", "Maximum")),
    ]


def _restarts(targets: Targets) -> list[Measurement]:
    return _pods(targets, ("restarts", "pod_number_of_container_restarts", "Sum"))


def _out_of_memory(targets: Targets) -> list[Measurement]:
    return _pods(
        targets, ("killed", "pod_container_status_terminated_reason_oom_killed", "Maximum")
    )


def _at_maximum(targets: Targets) -> list[Measurement]:
    if not targets.scaling:
        return []
    return [
        Measurement(
            subject=targets.scaling,
            metrics={"pods": _pod(targets, targets.scaling, "replicas_desired", "Minimum")},
            expression=f"100 * pods / {targets.most_pods}",
        )
    ]


def _backups(targets: Targets) -> list[Measurement]:
    """The dump, and each vault's recovery points."""
    return [
        *_count("DumpsDone", subject="dump")(targets),
        *_jobs(targets.daily_vaults, "NumberOfBackupJobsCompleted"),
    ]


def _restores(targets: Targets) -> list[Measurement]:
    """Of the dump, and of each vault's recovery points."""
    return [
        *_count("RestoreTestsDone", subject="dump")(targets),
        *_jobs(targets.tested_vaults, "NumberOfRestoreJobsCompleted"),
    ]


def _jobs(vaults: tuple[str, ...], name: str) -> list[Measurement]:
    return [
        Measurement(subject=f"vault-{vault}", metrics={"value": vault_metric(vault, name)})
        for vault in vaults
    ]


def vault_metric(vault: str, name: str) -> Metric:
    dimensions = {"BackupVaultName": vault}
    return Metric(namespace=BACKUP, name=name, statistic="Sum", dimensions=dimensions)


def _certificates(targets: Targets) -> list[Measurement]:
    return [
        Measurement(
            subject=f"{server}-{number}" if number > 1 else server,
            metrics={
                "days": Metric(
                    namespace=CERTIFICATES,
                    name="DaysToExpiry",
                    statistic="Minimum",
                    dimensions={"CertificateArn": arn},
                )
            },
            at_edge=server == "cdn",
        )
        for server, arns in (
            ("balancer", targets.certificates),
            ("cdn", targets.edge_certificates),
        )
        for number, arn in enumerate(arns, 1)
    ]


def _active_users(targets: Targets) -> list[Measurement]:
    return [
        Measurement(
            subject="",
            metrics={
                "users": _own(targets, "DailyActiveUsers", "Maximum"),
                "mean": _own(targets, "DailyActiveUsersWeeklyMean", "Maximum"),
            },
            expression="100 * users / mean",
        )
    ]


def _logged(
    name: str, statistic: str = "Sum", expression: str = ""
) -> Callable[[Targets], list[Measurement]]:
    """What RDS writes into its log."""

    def measure(targets: Targets) -> list[Measurement]:
        if not targets.database:
            return []
        metrics = {"value": _own(targets, name, statistic)}
        return [Measurement(subject="", metrics=metrics, expression=expression)]

    return measure


MEASURES: Mapping[Signal, Callable[[Targets], list[Measurement]]] = {
    Signal.HEALTH: _health,
    Signal.UPTIME: _uptime,
    Signal.HEALTH_LATENCY: _health_latency,
    Signal.ERROR_RATE: _share("ServerErrors", "Requests"),
    Signal.LATENCY: _latency,
    Signal.CONNECTION_FAILURES: _count("PoolErrors"),
    Signal.CONNECTIONS: _connections,
    Signal.SLOW_STATEMENTS: _logged("SlowStatements"),
    Signal.CPU: _cpu,
    Signal.MEMORY: _memory,
    Signal.STORAGE: _storage,
    Signal.LOCK_WAIT: _logged("LockWaitMilliseconds", "Maximum", "value / 1000"),
    Signal.DEADLOCKS: _logged("Deadlocks"),
    Signal.REPLICA_LAG: _replica_lag,
    Signal.HIT_RATE: _hit_rate,
    Signal.EVICTIONS: _evictions,
    Signal.FAILOVER: _failover,
    Signal.RESTARTS: _restarts,
    Signal.OUT_OF_MEMORY: _out_of_memory,
    Signal.AT_MAXIMUM: _at_maximum,
    Signal.BACKUP_FAILED: _count("BackupsFailed"),
    Signal.BACKUPS: _backups,
    Signal.RESTORE_FAILED: _count("RestoreTestsFailed"),
    Signal.RESTORES: _restores,
    Signal.RESTORE_TIME: _count("RestoreTestSeconds", "Maximum"),
    Signal.CERTIFICATE: _certificates,
    Signal.TRAFFIC: _traffic,
    Signal.REFUSED: _share("RefusedRequests", "Requests"),
    Signal.THIRD_PARTY: _count("ThirdPartyDown", "Maximum"),
    Signal.ANALYSIS: _share("AnalysisFailures", "Analyses"),
    Signal.ACTIVE_USERS: _active_users,
    Signal.AI_COST: _count("AiUsd"),
    Signal.AI_COST_EACH: _share("AiUsd", "AiRequests", scale=1),
}
