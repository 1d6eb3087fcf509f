"""One page for the stack: its alarms, its signals with the ladder's lines in them, its backups.

Leaves out whatever happens elsewhere: errors and web vitals are Sentry's.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import pulumi
from pulumi_aws import cloudwatch

from components.aws.alert_ladder import HOUR, LADDER, MINUTE, Notice, Rung, Severity, Signal
from components.aws.log_metrics import APPLICATION_METRICS
from components.aws.measurements import (
    CACHE,
    Measurement,
    Metric,
    Targets,
    measurements,
    vault_metric,
)

COLUMNS, WIDTH, HEIGHT = 24, 8, 6
COLOURS = {Severity.CRITICAL: "#d62728", Severity.HIGH: "#ff7f0e", Severity.MEDIUM: "#bcbd22"}
PERCENTILES = ("p50", "p95", "p99")
Widget = dict[str, Any]


def make_dashboard(
    name: str,
    targets: Targets,
    regions: tuple[str, str],
    log_group: str,
    alarms: Sequence[pulumi.Input[str]],
    opts: pulumi.ResourceOptions,
) -> str:
    """Its address; `regions` are the stack's own and the one of Route 53's metrics."""
    home, _ = regions
    widgets = [
        _widget("alarm", "alarms", {"alarms": alarms}),
        *_signals(targets, regions),
        *_extras(targets, home, log_group),
    ]
    cloudwatch.Dashboard(
        name,
        dashboard_name=name,
        dashboard_body=pulumi.Output.json_dumps({"widgets": _placed(widgets)}),
        opts=opts,
    )
    console = f"https://{home}.console.aws.amazon.com/cloudwatch/home"
    return f"{console}?region={home}#dashboards/dashboard/{name}"


def _placed(widgets: Sequence[Widget]) -> list[Widget]:
    """In rows; the first one, the alarms, has a row of its own."""
    first, *others = widgets
    per_row = COLUMNS // WIDTH
    return [
        first | {"x": 0, "y": 0, "width": COLUMNS, "height": HEIGHT},
        *(
            widget
            | {
                "x": index % per_row * WIDTH,
                "y": (index // per_row + 1) * HEIGHT,
                "width": WIDTH,
                "height": HEIGHT,
            }
            for index, widget in enumerate(others)
        ),
    ]


def _widget(kind: str, title: str, properties: Mapping[str, Any]) -> Widget:
    return {"type": kind, "properties": {"title": title, **properties}}


def _signals(targets: Targets, regions: tuple[str, str]) -> list[Widget]:
    """One graph for each signal that the stack has, with the lines of its rungs."""
    found: list[Widget] = []
    for signal, rungs in groupby(sorted(LADDER, key=lambda rung: _order(rung.signal)), _signal):
        ladder = [rung for rung in rungs if Notice.ALARM in rung.notices]
        measured = measurements(signal, targets) if ladder else []
        if measured:
            home, edge = regions
            found.append(_graph(signal, ladder, measured, edge if measured[0].at_edge else home))
    return found


def _signal(rung: Rung) -> Signal:
    return rung.signal


def _order(signal: Signal) -> int:
    return [*Signal].index(signal)


def _graph(
    signal: Signal, ladder: Sequence[Rung], measured: Sequence[Measurement], region: str
) -> Widget:
    period = min(rung.period_s for rung in ladder)
    lines = [
        {
            "value": rung.limit,
            "label": f"{rung.id} {rung.severity}",
            "color": COLOURS[rung.severity],
        }
        for rung in ladder
        if not measured[0].band
    ]
    metrics = [
        line for number, each in enumerate(measured) for line in _lines(each, number, period)
    ]
    return _widget(
        "metric",
        f"{', '.join(dict.fromkeys(rung.id for rung in ladder))} {signal}",
        {
            "view": "timeSeries",
            "region": region,
            "metrics": metrics,
            "annotations": {"horizontal": lines},
        },
    )


def _lines(measured: Measurement, number: int, period: int) -> list[list[Any]]:
    """What is compared with the lines; its parts stay hidden. Ids are unique in a graph."""
    ids = {key: f"{key}_{number}" for key in measured.metrics}
    shown = not measured.expression
    label = measured.subject or None
    lines = [
        _line(metric, period, id=ids[key], visible=shown, **({"label": label} if label else {}))
        for key, metric in measured.metrics.items()
    ]
    if measured.expression:
        expression = renamed(measured.expression, ids)
        lines.append(
            [{"expression": expression, "id": f"result_{number}", "label": label or "value"}]
        )
    if measured.band:
        band = f"ANOMALY_DETECTION_BAND({ids[measured.band]}, 2)"
        lines.append([{"expression": band, "id": f"band_{number}", "label": "usual"}])
    return lines


def renamed(expression: str, ids: Mapping[str, str]) -> str:
    """`expression` with other names for its metrics, which are whole words in it."""
    words = expression.replace("(", " ( ").replace(")", " ) ").replace("[", " [ ")
    words = words.replace("]", " ] ").replace(",", " , ")
    return " ".join(ids.get(word, word) for word in words.split())


def _line(metric: Metric, period: int, **options: Any) -> list[Any]:
    dimensions = [part for pair in metric.dimensions.items() for part in pair]
    return [
        metric.namespace,
        metric.name,
        *dimensions,
        {"stat": metric.statistic, "period": period, **options},
    ]


def _extras(targets: Targets, region: str, log_group: str) -> list[Widget]:
    """What no rung is about, but people ask for (MO-4, MO-5)."""

    def graph(title: str, metrics: Sequence[Metric], period: int) -> Widget:
        lines = [_line(metric, period) for metric in metrics]
        return _widget("metric", title, {"view": "timeSeries", "region": region, "metrics": lines})

    def own(name: str, statistic: str) -> Metric:
        return Metric(namespace=targets.own, name=name, statistic=statistic, dimensions={})

    items = [
        Metric(
            namespace=CACHE,
            name="CurrItems",
            statistic="Average",
            dimensions={"CacheClusterId": node, "CacheNodeId": "0001"},
        )
        for node in targets.cache_nodes
    ]
    jobs = [
        vault_metric(vault, name)
        for vault in targets.vaults
        for name in ("NumberOfBackupJobsCompleted", "NumberOfBackupJobsFailed")
    ]
    dumps = [own(name, "Sum") for name in ("DumpsDone", "BackupsFailed", "RestoreTestsDone")]
    return [
        graph("latency", [own("RequestSeconds", each) for each in PERCENTILES], 5 * MINUTE),
        graph("backup status", [*dumps, *jobs], HOUR),
        graph("dump size", [own("DumpBytes", "Maximum")], HOUR),
        *([graph("keys in the cache", items, 5 * MINUTE)] if items else []),
        graph(
            "from the application",
            [own(name, "Average") for name in APPLICATION_METRICS],
            5 * MINUTE,
        ),
        _routes(targets, region, log_group),
    ]


def _routes(targets: Targets, region: str, log_group: str) -> Widget:
    """Errors by route, asked of the log: as a metric each path would cost extra."""
    query = (
        f"SOURCE '{log_group}' | filter kubernetes.namespace_name = '{targets.namespace}' and "
        "kubernetes.container_name = 'nginx' | stats count(*) as requests, "
        "100 * sum(log_processed.status >= 500) / count(*) as error_percent, "
        "pct(log_processed.duration_s, 95) as p95_s by log_processed.path "
        "| sort error_percent desc, requests desc | limit 20"
    )
    return _widget("log", "routes", {"view": "table", "region": region, "query": query})
