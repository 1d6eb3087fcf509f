"""Alarms and graphs refer to metrics and dimensions that exist (MO-4): those of AWS by a table with
its sources, our own by the filters that make them, and these by lines as they are written."""

import json
import re
from collections.abc import Iterator
from typing import Any, cast

import pytest
from conftest import deploy_stack
from test_monitoring import IMAGE, ON_AWS

from components.aws.log_metrics import APPLICATION_METRICS
from components.aws.rds_memory import memory_gib
from offline.recorder import ROOT, Graph

RDS = ("DBInstanceIdentifier",)
CACHE = ("CacheClusterId", "CacheNodeId")
POD = ("PodName", "Namespace", "ClusterName")
HEALTH = ("HealthCheckId",)
VAULT = ("BackupVaultName",)
KNOWN = {
    # Amazon RDS User Guide, "Amazon CloudWatch metrics for Amazon RDS", and "... dimensions ...".
    "AWS/RDS": {
        ("CPUUtilization", RDS),
        ("DatabaseConnections", RDS),
        ("FreeStorageSpace", RDS),
        ("FreeableMemory", RDS),
        ("ReplicaLag", RDS),
    },
    # Amazon ElastiCache User Guide, "Metrics for Valkey and Redis OSS" and "Host-Level Metrics";
    # github.com/awsdocs/amazon-elasticache-docs, doc_source/redis/CacheMetrics*.md.
    "AWS/ElastiCache": {
        ("CPUUtilization", CACHE),
        ("DatabaseMemoryUsagePercentage", CACHE),
        ("CacheHits", CACHE),
        ("CacheMisses", CACHE),
        ("CurrItems", CACHE),
        ("Evictions", CACHE),
        ("IsMaster", CACHE),
    },
    # github.com/aws/amazon-cloudwatch-agent, translator/translate/otel/exporter/awsemf/
    # kubernetes.go: what enhanced Container Insights writes, with its dimensions.
    "ContainerInsights": {
        ("pod_cpu_utilization", POD),
        ("pod_cpu_reserved_capacity", POD),
        ("pod_memory_utilization_over_pod_limit", POD),
        ("pod_number_of_container_restarts", POD),
        ("pod_container_status_terminated_reason_oom_killed", POD),
        ("replicas_desired", POD),
    },
    # Amazon Route 53 Developer Guide, "Monitoring health checks using CloudWatch".
    "AWS/Route53": {
        ("HealthCheckStatus", HEALTH),
        ("TimeToFirstByte", (*HEALTH, "Region")),
    },
    # AWS Backup Developer Guide, "AWS Backup metrics with CloudWatch".
    "AWS/Backup": {
        ("NumberOfBackupJobsCompleted", VAULT),
        ("NumberOfBackupJobsFailed", VAULT),
        ("NumberOfRestoreJobsCompleted", VAULT),
    },
    # AWS Certificate Manager User Guide, "Supported CloudWatch metrics".
    "AWS/CertificateManager": {("DaysToExpiry", ("CertificateArn",))},
}
FUNCTIONS = {"IF", "AVG", "ANOMALY_DETECTION_BAND"}


@pytest.fixture(scope="module", params=ON_AWS)
def graph(request: pytest.FixtureRequest) -> Graph:
    return deploy_stack(request.param, **IMAGE)


def in_alarms(graph: Graph) -> Iterator[dict[str, Any]]:
    for alarm in graph.all("MetricAlarm"):
        for query in alarm.inputs["metricQueries"]:
            if "metric" in query:
                yield query["metric"]


def in_dashboard(graph: Graph) -> Iterator[dict[str, Any]]:
    for widget in json.loads(graph.one("Dashboard").inputs["dashboardBody"])["widgets"]:
        for line in widget["properties"].get("metrics", []):
            if isinstance(line[0], str):
                pairs = line[2:-1]
                yield {
                    "namespace": line[0],
                    "metricName": line[1],
                    "dimensions": dict(zip(pairs[::2], pairs[1::2], strict=True)),
                }


def test_every_metric_exists_with_its_dimensions(graph: Graph) -> None:
    own = {r.inputs["metricTransformation"]["name"] for r in graph.all("LogMetricFilter")}
    [namespace] = {
        r.inputs["metricTransformation"]["namespace"] for r in graph.all("LogMetricFilter")
    }
    seen: set[str] = set()
    for metric in [*in_alarms(graph), *in_dashboard(graph)]:
        seen.add(metric["namespace"])
        if metric["namespace"] == namespace:
            assert metric["metricName"] in own
            assert not metric.get("dimensions")
        else:
            known = {(name, frozenset(of)) for name, of in KNOWN[metric["namespace"]]}
            assert (metric["metricName"], frozenset(metric["dimensions"])) in known
    assert seen >= KNOWN.keys() - {"AWS/Backup"} | {namespace}


def test_every_dimension_names_something_of_the_stack(graph: Graph) -> None:
    caches = {
        f"{r.inputs['replicationGroupId']}-{number:03}"
        for r in graph.all("ReplicationGroup")
        for number in range(1, r.inputs["numCacheClusters"] + 1)
    }
    settings = graph.one("HealthCheck").inputs
    exists = {
        "DBInstanceIdentifier": {r.inputs["identifier"] for r in graph.all("Instance")},
        "CacheClusterId": caches,
        "CacheNodeId": {"0001"},
        "PodName": {r.object_name for r in graph.all("Deployment")},
        "Namespace": {r.object_name for r in graph.all("Namespace")},
        "HealthCheckId": {"health-id"},
        "Region": {*settings["regions"]},
        "CertificateArn": {
            f"arn:aws:acm:zz-none-1:000000000000:{r.name}"
            for r in graph.all("Certificate")
            if r.type.startswith("aws:acm/")
        },
        "BackupVaultName": {r.inputs["name"] for r in graph.all("Vault")},
        "ClusterName": {"example-production", "example-staging"},
    }
    used: set[str] = set()
    for metric in [*in_alarms(graph), *in_dashboard(graph)]:
        for name, value in metric.get("dimensions", {}).items():
            assert value in exists[name], (name, value)
            used.add(f"{name}={value}")
    # All of them are watched, not only some.
    assert {f"CacheClusterId={node}" for node in caches} <= used
    assert {f"DBInstanceIdentifier={i}" for i in exists["DBInstanceIdentifier"]} <= used


def test_sums_use_their_metrics_and_nothing_else(graph: Graph) -> None:
    for alarm in graph.all("MetricAlarm"):
        queries = alarm.inputs["metricQueries"]
        names = {query["id"] for query in queries if "metric" in query}
        for query in queries:
            words = set(re.findall(r"[A-Za-z_]\w*", query.get("expression", "")))
            assert words - FUNCTIONS <= names, alarm.name
            if query.get("expression"):
                assert names <= words, alarm.name
        periods = {query["metric"]["period"] for query in queries if "metric" in query}
        assert len(periods) == 1, "metrics of a sum have the same period"


def test_percentiles_come_from_single_values(graph: Graph) -> None:
    """CloudWatch knows percentiles of a metric filter only if it never counts in between."""
    [latency] = [r for r in graph.all("LogMetricFilter") if "RequestSeconds" in r.name]
    assert "defaultValue" not in latency.inputs["metricTransformation"]
    assert latency.inputs["metricTransformation"]["unit"] == "Seconds"
    assert {m["stat"] for m in in_alarms(graph) if m["metricName"] == "RequestSeconds"} == {"p95"}


def matches(pattern: str, event: dict[str, Any]) -> bool:
    """The part of CloudWatch's filter language for JSON that the program uses."""
    inner = pattern.removeprefix("{ ").removesuffix(" }")
    conditions = [part.strip("()") for part in inner.split(" && ")]
    return all(_holds(condition, event) for condition in conditions)


def _holds(condition: str, event: dict[str, Any]) -> bool:
    found = re.fullmatch(r"\$\.(\S+) (=|>=|IS) (.+)", condition)
    assert found, condition
    path, operator, wanted = found.groups()
    value: Any = event
    for step in path.split("."):
        value = cast(dict[str, Any], value).get(step) if isinstance(value, dict) else None
    if operator == "IS":
        return value is {"TRUE": True, "FALSE": False}[wanted]
    if operator == ">=":
        return isinstance(value, int) and value >= int(wanted)
    if wanted == "*":
        return value is not None
    if wanted.startswith('"'):
        text = wanted.strip('"')
        return text.strip("*") in str(value) if "*" in text else value == text
    return value == int(wanted)


def event(container: str, line: str, namespace: str = "nextstack-production") -> dict[str, Any]:
    """A line as the add-on's Fluent Bit ships it (github.com/aws-observability/helm-charts,
    amazon-cloudwatch-observability: Merge_Log On, Merge_Log_Key log_processed)."""
    shipped: dict[str, Any] = {
        "time": "2026-05-04T03:02:01.123456789Z",
        "stream": "stdout",
        "_p": "F",
        "log": line,
        "kubernetes": {
            "pod_name": f"{container}-7d9c5-x2x4q",
            "namespace_name": namespace,
            "container_name": container,
        },
    }
    if line.startswith("{"):
        shipped["log_processed"] = json.loads(line)
    return shipped


def nginx_line(status: int, duration: float = 0.012) -> str:
    return json.dumps({"path": "/", "status": status, "duration_s": duration})


DUMPED = (
    '{"dump":"20260504T010000Z","ok":true,"bytes":1024,"tables":3,"rows":9,"kept":2,"seconds":4}'
)
TESTED = '{"dump":"20260504T010000Z","ok":true,"tables":3,"rows":9,"statements":1,"seconds":71}'
FAILED = '{"dump":"20260504T010000Z","ok":false,"error":"the restore failed","seconds":7}'
POOL = "WARNING C-0x55: app/app@10.0.0.7:5512 pooler error: server login has been failing"


@pytest.mark.parametrize(
    ("container", "line", "metrics"),
    [
        ("nginx", nginx_line(200), {"Requests", "RequestSeconds"}),
        ("nginx", nginx_line(499), {"Requests", "RequestSeconds"}),
        ("nginx", nginx_line(500), {"Requests", "RequestSeconds", "ServerErrors"}),
        ("nginx", nginx_line(503), {"Requests", "RequestSeconds", "ServerErrors"}),
        ("nginx", nginx_line(429), {"Requests", "RequestSeconds", "RefusedRequests"}),
        ("nginx", "2026/05/04 03:02:01 [crit] 1#1: malloc() failed", set[str]()),
        ("pgbouncer", POOL, {"PoolErrors"}),
        ("pgbouncer", "LOG kernel file descriptor limit: 1024", set[str]()),
        ("dump", DUMPED, {"DumpsDone", "DumpBytes"}),
        ("dump", '{"ok":false,"error":"the dump failed"}', {"BackupsFailed"}),
        (
            "archive",
            '{"dump":"x","ok":false,"error":"no such bucket","seconds":2}',
            {"BackupsFailed"},
        ),
        ("archive", '{"dump":"x","ok":true,"copied":2,"seconds":2}', set[str]()),
        ("restore-test", TESTED, {"RestoreTestsDone", "RestoreTestSeconds"}),
        ("restore-test", FAILED, {"RestoreTestsFailed"}),
        ("app", '{"level":"info","status":500,"duration_s":1}', set[str]()),
        ("app", '{"metric":"DailyActiveUsers","value":12}', {"DailyActiveUsers"}),
        ("app", '{"metric":"AiUsd","value":0.03}', {"AiUsd"}),
    ],
)
def test_lines_become_metrics(container: str, line: str, metrics: set[str]) -> None:
    """MO-4, AL-4, AL-7, AL-12, AL-25 to AL-28, AL-31 to AL-35."""
    graph = deploy_stack("production", **IMAGE)
    filters = [
        (r.inputs["metricTransformation"]["name"], r.inputs["pattern"])
        for r in graph.all("LogMetricFilter")
        if r.inputs["logGroupName"] == "/aws/containerinsights/example-production/application"
    ]
    found = [name for name, pattern in filters if matches(pattern, event(container, line))]
    assert sorted(found) == sorted(metrics)
    other = event(container, line, "nextstack-staging")
    assert not [name for name, pattern in filters if matches(pattern, other)]


def test_filters_read_fields_that_are_written() -> None:
    """WB-14, BK-16: the names in nginx's configuration and in the scripts."""
    graph = deploy_stack("production", **IMAGE)
    nginx = graph.one("ConfigMap", "nginx-config").inputs["data"]
    [text] = nginx.values()
    assert '"status":$status' in text
    assert '"duration_s":$request_time' in text
    for script, fields in {
        "dump.sh": ('"ok":true', '"bytes":%d', '{"ok":false,"error":"the dump failed"}\' | tee'),
        "archive.sh": ('"ok":%s', 'tee "$RESULT"'),
        "restore-test.sh": ('"ok":%s', '"seconds":%d'),
    }.items():
        written = (ROOT / "components" / "scripts" / script).read_text()
        assert all(field in written for field in fields), script
    containers = {
        container["name"]
        for kind in ("Deployment", "CronJob")
        for r in graph.all(kind)
        for container in _containers(r.inputs)
    }
    assert {"nginx", "pgbouncer", "app", "dump", "restore-test"} <= containers


def _containers(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for item in cast(list[Any], value):
            yield from _containers(item)
    if isinstance(value, dict):
        for key, item in cast(dict[str, Any], value).items():
            if key in ("containers", "initContainers"):
                yield from item
            yield from _containers(item)


WAITING = "2026-05-04 03:02:01 UTC:10.0.0.7(5512):app@app:[42]:LOG:  process 42 {} after {} ms"


@pytest.mark.parametrize(
    ("line", "metrics"),
    [
        (WAITING.format("still waiting for ShareLock on transaction 7", 1000.12), {"1000.12"}),
        (WAITING.format("acquired ShareLock on transaction 7", 31000.5), {"31000.5"}),
        ("... UTC:10.0.0.7(5512):app@app:[42]:ERROR:  deadlock detected", {"Deadlocks"}),
        ("... :[42]:LOG:  duration: 1200.3 ms  statement: SELECT 1", {"SlowStatements"}),
        ("... :[42]:LOG:  checkpoint complete: wrote 3 buffers", set[str]()),
    ],
)
def test_lines_of_the_database_become_metrics(line: str, metrics: set[str]) -> None:
    """AL-14, AL-19."""
    graph = deploy_stack("production", **IMAGE)
    group = "/aws/rds/instance/nextstack-production-1/postgresql"
    assert group in {r.inputs["name"] for r in graph.all("LogGroup")}
    found: set[str] = set()
    for r in graph.all("LogMetricFilter"):
        if r.inputs["logGroupName"] != group:
            continue
        pattern, made = r.inputs["pattern"], r.inputs["metricTransformation"]
        if pattern.startswith('"') and pattern.strip('"') in line:
            found.add(made["name"])
        if pattern == "[..., after=after, wait, unit=ms]":
            *_, after, wait, unit = line.split()
            assert made["value"] == "$wait"
            found |= {wait} if (after, unit) == ("after", "ms") else set()
    assert found == metrics


def test_filters_are_within_the_limits_of_cloudwatch(graph: Graph) -> None:
    groups: dict[str, int] = {}
    for r in graph.all("LogMetricFilter"):
        assert 0 < len(r.inputs["pattern"]) <= 1024
        groups[r.inputs["logGroupName"]] = groups.get(r.inputs["logGroupName"], 0) + 1
    assert len(groups) == 2
    assert max(groups.values()) <= 100


def test_the_application_may_write_these_and_no_others() -> None:
    """AL-32 to AL-35: what the ladder needs of it."""
    asked = {"AL-32", "AL-33", "AL-34", "AL-35", "MO-4"}
    assert {
        found for text in APPLICATION_METRICS.values() for found in asked if found in text
    } == asked


@pytest.mark.parametrize(
    ("instance_class", "gib"),
    [
        ("db.t4g.micro", 1),
        ("db.t4g.medium", 4),
        ("db.t3.2xlarge", 32),
        ("db.m7g.large", 8),
        ("db.m7g.xlarge", 16),
        ("db.m6gd.4xlarge", 64),
        ("db.r8g.large", 16),
        ("db.r6i.16xlarge", 512),
        ("db.x2g.large", 32),
        ("db.z1d.large", None),
        ("db.m7g.4large", None),
        ("db.r6i.tiny", None),
    ],
)
def test_the_memory_of_a_class_follows_from_its_name(instance_class: str, gib: int | None) -> None:
    """AL-16, AL-17; Amazon RDS User Guide, "Hardware specifications for DB instance classes"."""
    assert memory_gib(instance_class) == gib
