"""The alert ladder (AL-1 to AL-37, MO-1 to MO-8, S-10 to S-14): each rung, and what it fires at."""

import json
import re
from collections import Counter
from statistics import mean
from typing import Any

import pytest
from conftest import deploy_stack

from components.aws.alert_ladder import (
    FAILOVER,
    LADDER,
    LONGEST_WINDOW_S,
    ROLLBACK,
    Channel,
    Missing,
    Notice,
    Over,
    Rung,
    Severity,
    Signal,
)
from components.aws.measurements import MEASURES
from offline.recorder import Graph, Registered

IMAGE: dict[str, Any] = {"image": f"shop@sha256:{'0' * 64}", "deploymentVersion": "3f2a9c1"}
ON_AWS = ("production", "staging")
AWAY: dict[str, Any] = {
    "awsRegion": "eu-central-1",
    "awsZones": json.dumps([f"eu-central-1{zone}" for zone in "abc"]),
}
MINUTE, HOUR, DAY = 60, 3600, 86_400
C, H, M = Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM
# As the table of requirements has it: severity, comparison, threshold, window in seconds (0: none).
REQUIRED: dict[str, list[tuple[Severity, Over, float, int]]] = {
    "AL-1": [(C, Over.BELOW, 1, 90)],
    "AL-2": [(C, Over.BELOW, 99.5, DAY)],
    "AL-3": [(M, Over.BELOW, 99.9, 30 * DAY)],
    "AL-4": [(H, Over.ABOVE, 1, 5 * MINUTE)],
    "AL-5": [(C, Over.ABOVE, 5, 5 * MINUTE)],
    "AL-6": [(C, Over.ABOVE, 10, 5 * MINUTE)],
    "AL-7": [(M, Over.ABOVE, 1, 10 * MINUTE)],
    "AL-8": [(H, Over.ABOVE, 3, 10 * MINUTE)],
    "AL-9": [(C, Over.ABOVE, 5, 10 * MINUTE)],
    "AL-10": [(C, Over.FROM, 30, 5 * MINUTE)],
    "AL-11": [(M, Over.ABOVE, 2, 5 * MINUTE)],
    "AL-12": [(C, Over.FROM, 1, 2 * MINUTE)],
    "AL-13": [(H, Over.ABOVE, 80, 5 * MINUTE)],
    "AL-14": [(M, Over.ABOVE, 10, HOUR)],
    "AL-15": [(M, Over.ABOVE, 70, 15 * MINUTE)],
    "AL-16": [(M, Over.ABOVE, 80, 10 * MINUTE)],
    "AL-17": [(C, Over.ABOVE, 90, 5 * MINUTE)],
    "AL-18": [(H, Over.ABOVE, 80, 15 * MINUTE)],
    "AL-19": [(M, Over.ABOVE, 30, 5 * MINUTE), (M, Over.FROM, 1, 5 * MINUTE)],
    "AL-20": [(H, Over.ABOVE, 300, 5 * MINUTE)],
    "AL-21": [(M, Over.BELOW, 80, HOUR), (M, Over.ABOVE, 0, 15 * MINUTE)],
    "AL-22": [(H, Over.ABOVE, 0, 0)],
    "AL-23": [(H, Over.ABOVE, 3, 15 * MINUTE), (H, Over.FROM, 1, 15 * MINUTE)],
    "AL-24": [(H, Over.FROM, 100, 15 * MINUTE)],
    "AL-25": [(H, Over.ABOVE, 0, 0)],
    "AL-26": [(C, Over.BELOW, 1, 26 * HOUR)],
    "AL-27": [(H, Over.ABOVE, 0, 0), (H, Over.BELOW, 1, 8 * DAY)],
    "AL-28": [(M, Over.ABOVE, 30 * MINUTE, 0), (H, Over.ABOVE, 4 * HOUR, 0)],
    "AL-29": [(M, Over.BELOW, 30, DAY), (C, Over.BELOW, 7, DAY)],
    "AL-30": [(M, Over.OUTSIDE, 2, 15 * MINUTE)],
    "AL-31": [(M, Over.ABOVE, 10, 10 * MINUTE)],
    "AL-32": [(H, Over.FROM, 1, 0)],
    "AL-33": [(H, Over.ABOVE, 5, 15 * MINUTE)],
    "AL-34": [(M, Over.BELOW, 50, DAY)],
    "AL-35": [(M, Over.ABOVE, 100, DAY), (M, Over.ABOVE, 0.05, DAY)],
    "AL-36": [(H, Over.ABOVE, 150, 0)],
    "AL-37": [(H, Over.ABOVE, 0, 0)],
}


@pytest.fixture(scope="module", params=ON_AWS)
def graph(request: pytest.FixtureRequest) -> Graph:
    return deploy_stack(request.param, **IMAGE)


def alarms(graph: Graph, rung_id: str) -> list[Registered]:
    return [r for r in graph.all("MetricAlarm") if f"-{rung_id}-" in r.name]


def rung_of(alarm: Registered) -> Rung:
    """The one with the longest name, because one signal's may begin with another's."""
    name = alarm.name.split("-", 2)[2]
    found = [r for r in LADDER if name.startswith(f"{r.id}-{r.severity}-{r.signal}")]
    return max(found, key=lambda rung: len(rung.signal))


def rungs(rung_id: str) -> list[Rung]:
    return [rung for rung in LADDER if rung.id == rung_id]


@pytest.mark.parametrize("rung_id", REQUIRED)
def test_each_rung_is_as_required(rung_id: str) -> None:
    """S-10, S-11, S-14: one ladder."""
    found = [(r.severity, r.over, r.threshold, r.window_s) for r in rungs(rung_id)]
    assert found == REQUIRED[rung_id]
    assert all(rung.reaction for rung in rungs(rung_id))


def test_the_ladder_has_these_rungs_and_no_others() -> None:
    assert [*dict.fromkeys(rung.id for rung in LADDER)] == [f"AL-{n}" for n in range(1, 38)]
    assert {rung.id for rung in LADDER} == REQUIRED.keys()


@pytest.mark.parametrize("rung_id", REQUIRED)
def test_each_rung_makes_alarms_or_says_who_notices(rung_id: str, graph: Graph) -> None:
    """Nothing of the ladder is silently missing in a stack on AWS."""
    made = alarms(graph, rung_id)
    if rung_id == "AL-36":
        assert [r.name for r in graph.all("Budget") if r.name.endswith("database")]
    elif rung_id == "AL-37":
        assert {rung.notices for rung in rungs(rung_id)} == {(Notice.WORKFLOW,)}
    elif rung_id == "AL-20" and len(graph.all("Instance")) == 1:
        assert not made  # a lag of nobody
    else:
        assert made
    for alarm in made:
        allowed = {(rung.over.value, rung.limit) for rung in rungs(rung_id)}
        inputs = alarm.inputs
        assert (inputs["comparisonOperator"], inputs.get("threshold", 2)) in allowed


@pytest.mark.parametrize("rung", LADDER, ids=lambda rung: f"{rung.id}-{rung.signal}")
def test_each_window_is_one_that_cloudwatch_can_look_at(rung: Rung) -> None:
    """Its own limits: a multiple of a minute; a day, or 7 for periods of an hour and more."""
    if Notice.ALARM not in rung.notices:
        return
    window = rung.period_s * rung.periods
    assert window > 0
    assert rung.period_s % MINUTE == 0
    assert window <= (LONGEST_WINDOW_S if rung.period_s >= HOUR else DAY)
    asked = rung.window_s or window
    assert window == asked or rung.why, "an alarm that differs from the table says why"
    assert rung.limit == rung.threshold or rung.why


def test_the_budget_of_30_days_is_what_7_days_may_lose() -> None:
    """AL-3, S-14: 43.2 minutes."""
    [rung] = rungs("AL-3")
    lost = (100 - rung.limit) / 100 * LONGEST_WINDOW_S / MINUTE
    assert lost == pytest.approx(43.2, abs=0.1)


def test_silence_alarms_where_health_and_backups_are_concerned(graph: Graph) -> None:
    """MO-3."""
    fire = {r.id for r in LADDER if r.missing is Missing.FIRE}
    assert fire == {"AL-1", "AL-2", "AL-3", "AL-11", "AL-26", "AL-27"}
    assert {r.signal for r in LADDER if r.missing is Missing.FIRE} == {
        Signal.HEALTH,
        Signal.UPTIME,
        Signal.HEALTH_LATENCY,
        Signal.BACKUPS,
        Signal.RESTORES,
    }
    for alarm in graph.all("MetricAlarm"):
        rung = rung_of(alarm)
        assert alarm.inputs["treatMissingData"] == rung.missing
        assert alarm.inputs["evaluationPeriods"] == rung.periods
        assert alarm.inputs["datapointsToAlarm"] == rung.periods


def value_of(alarm: Registered, metrics: dict[str, float]) -> float:
    """What the alarm compares, computed from its metrics as CloudWatch does."""
    queries = {query["id"]: query for query in alarm.inputs["metricQueries"]}
    assert metrics.keys() == {key for key, query in queries.items() if "metric" in query}
    [result] = [query for query in queries.values() if query["returnData"]]
    if "metric" in result:
        return metrics[result["id"]]
    names: dict[str, Any] = {**metrics, "AVG": mean}
    expression = re.sub(
        r"IF\((.*?), (.*), (\S+)\)$", r"(\2) if (\1) else (\3)", result["expression"]
    )
    return float(eval(expression, {}, names))


def fires(alarm: Registered, metrics: dict[str, float]) -> bool:
    value, limit = value_of(alarm, metrics), alarm.inputs["threshold"]
    return {
        Over.ABOVE: value > limit,
        Over.FROM: value >= limit,
        Over.BELOW: value < limit,
    }[Over(alarm.inputs["comparisonOperator"])]


GIB = 2**30
# id and signal, of what; values that are just good; values that are just bad.
BOUNDARIES: list[tuple[str, str, dict[str, float], dict[str, float]]] = [
    ("AL-1", "health", {"status": 1}, {"status": 0}),
    ("AL-2", "uptime", {"status": 0.995}, {"status": 0.9949}),
    ("AL-3", "uptime", {"status": 0.9958}, {"status": 0.9957}),
    ("AL-4", "error-rate", {"part": 1, "whole": 100}, {"part": 2, "whole": 199}),
    ("AL-4", "error-rate", {"part": 99, "whole": 99}, {"part": 2, "whole": 100}),
    ("AL-5", "error-rate", {"part": 5, "whole": 100}, {"part": 51, "whole": 1000}),
    ("AL-6", "error-rate", {"part": 10, "whole": 100}, {"part": 101, "whole": 1000}),
    ("AL-7", "latency-p95", {"p95": 1, "requests": 100}, {"p95": 1.01, "requests": 100}),
    ("AL-8", "latency-p95", {"p95": 9, "requests": 99}, {"p95": 3.01, "requests": 100}),
    ("AL-9", "latency-p95", {"p95": 5, "requests": 100}, {"p95": 5.01, "requests": 100}),
    # Not above: nginx ends requests at 30 s.
    ("AL-10", "latency-p95", {"p95": 29.9, "requests": 100}, {"p95": 30, "requests": 100}),
    (
        "AL-11",
        "health-latency",
        {"checker1": 1000, "checker2": 2000, "checker3": 3000},
        {"checker1": 1000, "checker2": 2000, "checker3": 3001},
    ),
    ("AL-12", "connection-failures", {"value": 0}, {"value": 1}),
    ("AL-13", "connections-database", {"value": 160}, {"value": 161}),
    ("AL-14", "slow-statements", {"value": 10}, {"value": 11}),
    ("AL-15", "cpu-database", {"value": 70}, {"value": 70.1}),
    ("AL-15", "cpu-replica-1", {"value": 70}, {"value": 70.1}),
    ("AL-15", "cpu-nextstack-production-001", {"value": 70}, {"value": 70.1}),
    ("AL-15", "cpu-web-server", {"used": 7, "requested": 10}, {"used": 8, "requested": 10}),
    ("AL-16", "memory-database", {"value": 1.61 * GIB}, {"value": 1.59 * GIB}),
    ("AL-16", "memory-nextstack-production-002", {"value": 80}, {"value": 80.1}),
    ("AL-16", "memory-pgbouncer-server", {"value": 80}, {"value": 80.1}),
    ("AL-17", "memory-database", {"value": 0.81 * GIB}, {"value": 0.79 * GIB}),
    ("AL-17", "memory-nginx-server", {"value": 90}, {"value": 90.1}),
    ("AL-18", "storage-database", {"value": 20 * GIB}, {"value": 19.9 * GIB}),
    ("AL-19", "lock-wait", {"value": 30_000}, {"value": 30_001}),
    ("AL-19", "deadlocks", {"value": 0}, {"value": 1}),
    ("AL-20", "replica-lag-replica-1", {"lag": 300}, {"lag": 301}),
    (
        "AL-21",
        "hit-rate-nextstack-production-001",
        {"hits": 0, "misses": 99},
        {"hits": 79, "misses": 21},
    ),
    ("AL-21", "evictions-nextstack-production-001", {"evictions": 0}, {"evictions": 1}),
    (
        "AL-22",
        "failover-nextstack-production-001",
        {"most": 1, "least": 1},
        {"most": 1, "least": 0},
    ),
    ("AL-23", "restarts-web-server", {"restarts": 3}, {"restarts": 4}),
    ("AL-23", "out-of-memory-web-server", {"killed": 0}, {"killed": 1}),
    ("AL-24", "at-maximum-web-server", {"pods": 9}, {"pods": 10}),
    ("AL-25", "backup-failed", {"value": 0}, {"value": 1}),
    ("AL-26", "backups-dump", {"value": 1}, {"value": 0}),
    ("AL-26", "backups-vault-nextstack-production", {"value": 1}, {"value": 0}),
    ("AL-27", "restore-failed", {"value": 0}, {"value": 1}),
    ("AL-27", "restores-dump", {"value": 1}, {"value": 0}),
    ("AL-27", "restores-vault-nextstack-production", {"value": 1}, {"value": 0}),
    ("AL-28", "medium-restore-time", {"value": 1800}, {"value": 1801}),
    ("AL-28", "high-restore-time", {"value": 14_400}, {"value": 14_401}),
    ("AL-29", "medium-certificate-balancer", {"days": 30}, {"days": 29}),
    ("AL-29", "critical-certificate-balancer", {"days": 7}, {"days": 6}),
    ("AL-31", "refused", {"part": 10, "whole": 100}, {"part": 11, "whole": 100}),
    ("AL-32", "third-party", {"value": 0}, {"value": 1}),
    ("AL-33", "analysis", {"part": 50, "whole": 99}, {"part": 6, "whole": 100}),
    ("AL-34", "active-users", {"users": 50, "mean": 100}, {"users": 49, "mean": 100}),
    ("AL-35", "ai-cost", {"value": 100}, {"value": 100.01}),
    ("AL-35", "ai-cost-each", {"part": 5, "whole": 100}, {"part": 5.01, "whole": 100}),
]


@pytest.mark.parametrize(
    ("rung_id", "what", "good", "bad"), BOUNDARIES, ids=[f"{b[0]}-{b[1]}" for b in BOUNDARIES]
)
def test_each_alarm_fires_from_its_threshold_on(
    rung_id: str, what: str, good: dict[str, float], bad: dict[str, float]
) -> None:
    graph = deploy_stack("production", **IMAGE)
    [alarm] = [a for a in alarms(graph, rung_id) if a.name.endswith(what)]
    assert not fires(alarm, good)
    assert fires(alarm, bad)


def test_every_alarm_has_a_boundary() -> None:
    checked = {rung_id for rung_id, *_ in BOUNDARIES}
    assert checked | {"AL-30", "AL-36", "AL-37"} == REQUIRED.keys()
    assert {rung.signal for rung in LADDER if Notice.ALARM in rung.notices} == MEASURES.keys()


@pytest.mark.parametrize(
    ("signal", "threshold", "action"),
    [
        (Signal.CPU, 70, "scale"),
        (Signal.MEMORY, 80, "scale"),
        (Signal.LATENCY, 3, "more pods"),
        (Signal.CONNECTIONS, 80, "poolSize"),
        (Signal.STORAGE, 80, "rdsStorageGib"),
        (Signal.SLOW_STATEMENTS, 10, "replica"),
        (Signal.HIT_RATE, 80, "cache size"),
    ],
)
def test_what_calls_for_more_says_of_what(signal: Signal, threshold: float, action: str) -> None:
    """OP-4."""
    [rung] = [r for r in LADDER if r.signal is signal and r.threshold == threshold]
    assert action in rung.reaction
    assert "(OP-4)" in rung.reaction


def test_unusual_traffic_is_outside_two_deviations(graph: Graph) -> None:
    """AL-30."""
    [alarm] = alarms(graph, "AL-30")
    assert "threshold" not in alarm.inputs
    assert alarm.inputs["thresholdMetricId"] == "band"
    [requests, band] = alarm.inputs["metricQueries"]
    assert band["expression"] == f"ANOMALY_DETECTION_BAND({requests['id']}, 2)"
    assert requests["returnData"] is True
    assert band["returnData"] is True


def test_each_alarm_calls_the_topic_of_its_severity(graph: Graph) -> None:
    """MO-2."""
    channels: Counter[str] = Counter()
    for alarm in graph.all("MetricAlarm"):
        [topic] = alarm.inputs["alarmActions"]
        channel = topic.rsplit("-", 1)[1]
        channels[channel] += 1
        wanted = "business" if re.search(r"-AL-3[45]-", alarm.name) else None
        severity = next(s for s in Severity if f"-{s}-" in alarm.name)
        assert channel == (wanted or severity), alarm.name
        assert alarm.inputs["okActions"] == [topic]
        assert alarm.inputs["actionsEnabled"] is True
    assert channels.keys() == {*Channel}


@pytest.mark.parametrize(
    ("purpose", "ids"), [("rollback", ROLLBACK), ("failover", FAILOVER)], ids=["RB-1-2-3", "RB-7"]
)
def test_what_the_workflow_asks_after_a_release(
    purpose: str, ids: tuple[str, ...], graph: Graph
) -> None:
    """RB-1, RB-2, RB-3, RB-7, S-12, S-13: one alarm out of those that decide."""
    alarm = graph.one("CompositeAlarm", purpose)
    parts = re.findall(r'ALARM\("[a-z]+-[a-z]+-(AL-\d+)-[^"]+"\)', alarm.inputs["alarmRule"])
    assert sorted(parts) == sorted(ids)
    assert alarm.inputs["alarmRule"].count(" OR ") == len(ids) - 1
    assert alarm.inputs["alarmActions"][0].endswith("-critical")
    expected = {"rollback": {"AL-1", "AL-5", "AL-9"}, "failover": {"AL-1", "AL-6", "AL-10"}}
    assert {*ids} == expected[purpose]


def test_elsewhere_health_is_watched_where_its_metrics_are() -> None:
    """MO-7: an alarm calls topics of its own region only."""
    graph = deploy_stack("production", **IMAGE, **AWAY)
    at_edge = [r for r in graph.resources if "::aws-edge::" in r.provider]
    found = {r.name.split("-", 2)[2] for r in at_edge if r.type.endswith(":MetricAlarm")}
    assert found == {
        "AL-1-critical-health",
        "AL-2-critical-uptime",
        "AL-3-medium-uptime",
        "AL-11-medium-health-latency",
    }
    for alarm in graph.all("MetricAlarm") + graph.all("CompositeAlarm"):
        region = "us-east-1" if alarm in at_edge else "eu-central-1"
        topics = [r for r in graph.all("Topic") if r.urn in alarm.depends_on]
        assert {"alerts-edge" in t.name for t in topics} == {alarm in at_edge}, (alarm.name, region)
    rules = {r.inputs["alarmRule"] for r in graph.all("CompositeAlarm") if r in at_edge}
    assert rules == {'ALARM("nextstack-production-AL-1-critical-health")'}
    assert len(graph.all("CompositeAlarm")) == 4


def test_the_certificate_of_the_cdn_is_watched_where_it_is() -> None:
    """AL-29."""
    graph = deploy_stack("production", **IMAGE, **AWAY, cdnEnabled=True)
    found = {a.name.rsplit("-", 1)[1]: a.provider for a in alarms(graph, "AL-29")}
    assert "::aws-home::" in found["balancer"]
    assert "::aws-edge::" in found["cdn"]


def test_the_site_is_asked_from_outside(graph: Graph) -> None:
    """MO-7, AL-1."""
    check = graph.one("HealthCheck").inputs
    assert check["type"] == "HTTPS"
    assert check["resourcePath"] == "/api/health"
    assert (check["requestInterval"], check["failureThreshold"]) == (30, 3)
    assert len(check["regions"]) == 3
    assert check["measureLatency"] is True
    assert check["fqdn"].endswith(".example.com")


def test_without_the_application_nothing_asks_for_it() -> None:
    """The platform comes up before the first image."""
    graph = deploy_stack("production", **{**IMAGE, "image": ""})
    assert not graph.all("HealthCheck")
    names = {alarm.name for alarm in graph.all("MetricAlarm")}
    assert not [name for name in names if "web-server" in name or "-AL-1-" in name]
    assert any("pgbouncer-server" in name for name in names)


def test_names_and_numbers_are_within_the_limits_of_aws(graph: Graph) -> None:
    names = [alarm.inputs["name"] for alarm in graph.all("MetricAlarm")]
    assert len({*names}) == len(names)
    for alarm in graph.all("MetricAlarm"):
        assert len(alarm.inputs["name"]) <= 255
        assert len(alarm.inputs["alarmDescription"]) <= 1024
        queries = alarm.inputs["metricQueries"]
        assert len(queries) <= 20
        assert all(re.fullmatch(r"[a-z]\w*", query["id"]) for query in queries)
        assert [q["returnData"] for q in queries].count(True) == (
            2 if "-AL-30-" in alarm.name else 1
        )
        assert alarm.inputs["alarmDescription"].startswith(
            alarm.name.split("-", 2)[2].split("-", 2)[0]
        )
    for composite in graph.all("CompositeAlarm"):
        assert len(composite.inputs["alarmRule"]) <= 10_240


def test_monitoring_can_be_off() -> None:
    """MO-1: dev has none of it, whatever is configured."""
    kinds = {"MetricAlarm", "Topic", "Dashboard", "HealthCheck", "Budget", "LogMetricFilter"}
    for graph in (
        deploy_stack("dev", **IMAGE),
        deploy_stack("staging", **IMAGE, monitoringLevel="off"),
    ):
        assert not [kind for kind in kinds if graph.all(kind)]
        stack = next(name for name in graph.outputs if name.startswith("nextstack-"))
        assert graph.outputs[stack]["alertTopics"] == {}
        assert graph.outputs[stack]["dashboardUrl"] == ""


def test_topics_and_dashboard_are_handed_over(graph: Graph) -> None:
    """PL-4, MO-5."""
    stack = next(name for name in graph.outputs if name.startswith("nextstack-"))
    topics = graph.outputs[stack]["alertTopics"]
    assert topics.keys() == {"critical", "high", "medium", "business"}
    assert all(arn.endswith(f"-{channel}") for channel, arn in topics.items())
    assert graph.outputs[stack]["dashboardUrl"] == (
        "https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1"
        f"#dashboards/dashboard/{stack}"
    )
    assert json.loads(graph.one("Dashboard").inputs["dashboardBody"])["widgets"]
