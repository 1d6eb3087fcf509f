"""A snapshot of the database before each release's migration, gone after some days (BK-9).

Leaves out point-in-time recovery, which reaches back further; a snapshot has a name that a person
finds in a hurry. Neither RDS nor AWS Backup ends the life of such a snapshot, so a state machine
waits and deletes it.
"""

import json
from dataclasses import dataclass

import pulumi
import pulumi_random as random
from pulumi_aws import cloudwatch, iam, rds, sfn

from components.aws.service_role import service_role
from components.schedule import DAY

# "Manual snapshot created": of all events of a snapshot the one that comes when it is complete.
CREATED = "RDS-EVENT-0042"


@dataclass(frozen=True, kw_only=True)
class MigrationSnapshotArgs:
    instance_name: str
    identifier: pulumi.Input[str]
    """The same, once the instance is there."""
    release: dict[str, str]
    """What makes a release another one; a change takes another snapshot."""
    keep_days: int
    region: str
    account_id: str


class MigrationSnapshot(pulumi.ComponentResource):
    ready: list[pulumi.Resource]
    """What must exist before a migration may start."""

    def __init__(
        self, name: str, args: MigrationSnapshotArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:MigrationSnapshot", name, {}, opts)
        self._name, self._args = name, args
        # Replaced with each release, so the engine must not protect it.
        self._child = pulumi.ResourceOptions(parent=self, protect=False)
        self._tags = {"nextstack/component": name, "nextstack/stack": pulumi.get_stack()}
        expiry = self._expiry()
        # Going back to an earlier release is another one, too: names of snapshots are unique.
        suffix = random.RandomId(
            f"{name}-release", byte_length=4, keepers=args.release, opts=self._child
        )
        snapshot = rds.Snapshot(
            f"{name}-snapshot",
            db_instance_identifier=args.identifier,
            db_snapshot_identifier=pulumi.Output.format(
                "{0}-before-{1}", args.instance_name, suffix.hex
            ),
            shared_accounts=[],
            tags=self._tags,
            opts=pulumi.ResourceOptions.merge(
                self._child,
                # The next release makes another one, and this one stays for its days.
                pulumi.ResourceOptions(retain_on_delete=True, depends_on=expiry),
            ),
        )
        self.ready = [snapshot]
        self.register_outputs({"snapshot": snapshot.db_snapshot_identifier})

    def _expiry(self) -> list[pulumi.Resource]:
        """Made before the snapshot, whose creation is the event that starts its days."""
        args = self._args
        snapshots = f"arn:aws:rds:{args.region}:{args.account_id}:snapshot:*"
        worker = self._role(
            "expiry",
            "states",
            {
                "Effect": "Allow",
                "Action": "rds:DeleteDBSnapshot",
                "Resource": snapshots,
                # By tag, not by name: an instance that a restore has replaced had another name.
                "Condition": {
                    "StringEquals": {
                        f"aws:ResourceTag/{key}": tag for key, tag in self._tags.items()
                    }
                },
            },
        )
        machine = sfn.StateMachine(
            f"{self._name}-expiry",
            type="STANDARD",
            role_arn=worker.arn,
            definition=json.dumps(expiry_steps(args.keep_days)),
            encryption_configuration={"type": "AWS_OWNED_KEY"},
            # Each execution keeps its own history for 90 days, longer than a snapshot lives.
            logging_configuration={"level": "OFF", "include_execution_data": False},
            tracing_configuration={"enabled": False},
            publish=False,
            tags=self._tags,
            opts=self._child,
        )
        created = cloudwatch.EventRule(
            f"{self._name}-created",
            description=f"a snapshot of {args.instance_name} before a migration is complete",
            event_bus_name="default",
            event_pattern=json.dumps(
                {
                    "source": ["aws.rds"],
                    "detail-type": ["RDS DB Snapshot Event"],
                    "detail": {
                        "EventID": [CREATED],
                        "SourceIdentifier": [{"prefix": f"{args.instance_name}-before-"}],
                    },
                }
            ),
            state="ENABLED",
            force_destroy=False,
            tags=self._tags,
            opts=self._child,
        )
        caller = self._role(
            "starter",
            "events",
            {"Effect": "Allow", "Action": "states:StartExecution", "Resource": machine.arn},
        )
        target = cloudwatch.EventTarget(
            f"{self._name}-expiry",
            rule=created.name,
            event_bus_name="default",
            target_id="expiry",
            arn=machine.arn,
            role_arn=caller.arn,
            force_destroy=False,
            opts=self._child,
        )
        return [target]

    def _role(self, purpose: str, service: str, right: pulumi.Input[object]) -> iam.Role:
        """A role of one AWS service in this account, with one right."""
        role = service_role(
            f"{self._name}-{purpose}",
            f"{service}.amazonaws.com",
            f"{purpose} of snapshots of {self._args.instance_name}",
            self._tags,
            self._child,
            account_id=self._args.account_id,
        )
        iam.RolePolicy(
            f"{self._name}-{purpose}",
            role=role.name,
            policy=pulumi.Output.json_dumps({"Version": "2012-10-17", "Statement": [right]}),
            opts=self._child,
        )
        return role


def expiry_steps(keep_days: int) -> dict[str, object]:
    """In Amazon's States Language: wait, then delete the snapshot that the event is about."""
    return {
        "StartAt": "Keep",
        "States": {
            "Keep": {"Type": "Wait", "Seconds": keep_days * DAY * 60, "Next": "Delete"},
            "Delete": {
                "Type": "Task",
                "Resource": "arn:aws:states:::aws-sdk:rds:deleteDBSnapshot",
                "Parameters": {"DbSnapshotIdentifier.$": "$.detail.SourceIdentifier"},
                # For an hour and a half: a snapshot that is being copied cannot be deleted yet.
                "Retry": [
                    {
                        "ErrorEquals": ["States.ALL"],
                        "IntervalSeconds": 180,
                        "MaxAttempts": 5,
                        "BackoffRate": 2.0,
                    }
                ],
                "End": True,
            },
        },
    }
