"""Alarms of CloudWatch, one for each rung of the ladder and thing it is measured on.

Leaves out the rungs (alert_ladder.py), their metrics (measurements.py) and who is told (topics.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import cloudwatch

from components.aws.alert_ladder import (
    FAILOVER,
    LADDER,
    ROLLBACK,
    Channel,
    Notice,
    Rung,
    Severity,
)
from components.aws.measurements import Measurement, Targets, measurements

Topics = Mapping[Channel, pulumi.Output[str]]
COMPOSITES = {
    "rollback": (ROLLBACK, "undo the release if it is younger than 30 minutes (RB-1 to RB-3)"),
    "failover": (FAILOVER, "move traffic if no rollback is possible or helps (RB-7)"),
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """A region: alarms are where their metrics are, and call topics of the same region only."""

    topics: Topics
    provider: pulumi.ProviderResource | None = None
    """By default that of the component."""


@dataclass(frozen=True, kw_only=True)
class AlarmsArgs:
    prefix: str
    """Of the alarms' names."""
    targets: Targets
    home: Place
    edge: Place
    """us-east-1, where Route 53 keeps its metrics; `home` itself if that is the stack's region."""


class Alarms(pulumi.ComponentResource):
    arns: Sequence[pulumi.Output[str]]
    """Of those in the home region, for the dashboard."""

    def __init__(
        self, name: str, args: AlarmsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:Alarms", name, {}, opts)
        self._args = args
        self._tags = {"nextstack/component": name}
        arns: list[pulumi.Output[str]] = []
        for place in (args.home, args.edge) if args.edge is not args.home else (args.home,):
            made = self._alarms(place)
            for purpose, (rungs, reaction) in COMPOSITES.items():
                alarms = [alarm for rung, alarm in made if rung.id in rungs]
                if alarms:
                    self._composite(purpose, reaction, alarms, place)
            if place is args.home:
                arns = [alarm.arn for _, alarm in made]
        self.arns = arns
        self.register_outputs({"arns": self.arns})

    def _alarms(self, place: Place) -> list[tuple[Rung, cloudwatch.MetricAlarm]]:
        return [
            (rung, self._alarm(rung, measured, place))
            for rung in LADDER
            if Notice.ALARM in rung.notices
            for measured in measurements(rung.signal, self._args.targets)
            if (self._args.edge if measured.at_edge else self._args.home) is place
        ]

    def _alarm(self, rung: Rung, measured: Measurement, place: Place) -> cloudwatch.MetricAlarm:
        parts = (self._args.prefix, rung.id, rung.severity, rung.signal, measured.subject)
        name = "-".join(part for part in parts if part)
        topic = [place.topics[rung.channel]]
        return cloudwatch.MetricAlarm(
            name,
            name=name,
            alarm_description=describe(rung, measured.subject),
            comparison_operator=rung.over,
            threshold=None if measured.band else rung.limit,
            threshold_metric_id="band" if measured.band else None,
            evaluation_periods=rung.periods,
            datapoints_to_alarm=rung.periods,
            treat_missing_data=rung.missing,
            metric_queries=queries(rung, measured),
            actions_enabled=True,
            alarm_actions=topic,
            # Closes the incident in PagerDuty, and says in Slack that it is over.
            ok_actions=topic,
            insufficient_data_actions=[],
            tags=self._tags,
            opts=pulumi.ResourceOptions(parent=self, provider=place.provider),
        )

    def _composite(
        self,
        purpose: str,
        reaction: str,
        alarms: list[cloudwatch.MetricAlarm],
        place: Place,
    ) -> None:
        """What the workflow asks for after a release: one name in each region."""
        name = f"{self._args.prefix}-{purpose}"
        rule = pulumi.Output.all(*(alarm.name for alarm in alarms)).apply(any_of)
        topic = [place.topics[Channel(Severity.CRITICAL)]]
        cloudwatch.CompositeAlarm(
            f"{name}-edge" if place is not self._args.home else name,
            alarm_name=name,
            alarm_description=reaction,
            alarm_rule=rule,
            actions_enabled=True,
            alarm_actions=topic,
            ok_actions=topic,
            insufficient_data_actions=[],
            tags=self._tags,
            opts=pulumi.ResourceOptions(parent=self, provider=place.provider),
        )


def any_of(alarms: Sequence[str]) -> str:
    """The rule that at least one of `alarms` is in alarm."""
    return " OR ".join(f'ALARM("{name}")' for name in alarms)


def describe(rung: Rung, subject: str) -> str:
    """What the person reads who is woken by it."""
    what = f"{rung.id} {rung.signal}{f' of {subject}' if subject else ''}: {rung.reaction}."
    return f"{what} {rung.why[:1].upper()}{rung.why[1:]}." if rung.why else what


def queries(rung: Rung, measured: Measurement) -> list[cloudwatch.MetricAlarmMetricQueryArgsDict]:
    """The metrics and the sum made of them; exactly one is compared with the threshold."""
    found: list[cloudwatch.MetricAlarmMetricQueryArgsDict] = [
        {
            "id": key,
            "metric": {
                "namespace": metric.namespace,
                "metric_name": metric.name,
                "dimensions": metric.dimensions,
                "period": rung.period_s,
                "stat": metric.statistic,
            },
            "return_data": bool(measured.band) or not measured.expression,
        }
        for key, metric in measured.metrics.items()
    ]
    if measured.band:
        band = f"ANOMALY_DETECTION_BAND({measured.band}, {rung.threshold:g})"
        found.append({"id": "band", "expression": band, "label": "usual", "return_data": True})
    if measured.expression:
        label = rung.signal.value
        found.append(
            {
                "id": "result",
                "expression": measured.expression,
                "label": label,
                "return_data": True,
            }
        )
    return found
