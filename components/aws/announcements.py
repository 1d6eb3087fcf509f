"""What AWS tells by itself: events of RDS, and how backup, copy and restore jobs ended.

Leaves out ElastiCache, which speaks to no encrypted topic: its roles are watched by an alarm.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import cloudwatch, rds

from components.aws.alarms import Topics
from components.aws.alert_ladder import Channel

INSTANCE_EVENTS = (
    "configuration change",
    "failover",
    "failure",
    "low storage",
    "maintenance",
    "read replica",
    "recovery",
    "restoration",
)
# What the job is called, what holds its state, and what that is when it went wrong. The events do
# not all name the vault, so that those of other stacks in the region are heard, too.
JOBS = {
    "backup": ("Backup Job State Change", "state", ("ABORTED", "EXPIRED", "FAILED")),
    "copy": ("Copy Job State Change", "state", ("FAILED",)),
    "restore": ("Restore Job State Change", "status", ("ABORTED", "FAILED")),
}


@dataclass(frozen=True, kw_only=True)
class AnnouncementsArgs:
    topics: Topics
    instances: tuple[str, ...]
    """Identifiers of the RDS instances."""
    vaults: Sequence[str]
    """Names of the backup vaults."""
    ready: Sequence[pulumi.Resource]
    """What makes the instances: RDS tells of none that it does not have."""


class Announcements(pulumi.ComponentResource):
    def __init__(
        self, name: str, args: AnnouncementsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:Announcements", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._tags = {"nextstack/component": name}
        if args.instances:
            self._subscription("db-instance", INSTANCE_EVENTS, args.instances)
            # Groups are named by Pulumi: those of other stacks in the region are heard, too.
            self._subscription("db-parameter-group", ("configuration change",), None)
        if args.vaults:
            for job, (detail, key, bad) in JOBS.items():
                self._rule(f"{job}-failed", detail, {key: bad}, Channel.HIGH)
                self._rule(f"{job}-done", detail, {key: ("COMPLETED",)}, Channel.MEDIUM)
        self.register_outputs({})

    def _subscription(
        self, source: str, categories: tuple[str, ...], ids: tuple[str, ...] | None
    ) -> None:
        rds.EventSubscription(
            f"{self._name}-{source}",
            sns_topic=self._args.topics[Channel.HIGH],
            source_type=source,
            source_ids=ids,
            event_categories=categories,
            enabled=True,
            tags=self._tags,
            opts=pulumi.ResourceOptions.merge(
                self._child, pulumi.ResourceOptions(depends_on=self._args.ready)
            ),
        )

    def _rule(
        self, name: str, detail: str, state: dict[str, tuple[str, ...]], channel: Channel
    ) -> None:
        rule = cloudwatch.EventRule(
            f"{self._name}-{name}",
            description=f"{detail}: {', '.join(*state.values())}",
            event_pattern=json.dumps(
                {"source": ["aws.backup"], "detail-type": [detail], "detail": state}
            ),
            event_bus_name="default",
            state="ENABLED",
            force_destroy=False,
            tags=self._tags,
            opts=self._child,
        )
        cloudwatch.EventTarget(
            f"{self._name}-{name}",
            rule=rule.name,
            event_bus_name="default",
            # No role: SNS's own policy admits EventBridge, and with a role delivery may fail.
            arn=self._args.topics[channel],
            opts=self._child,
        )
