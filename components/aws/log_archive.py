"""Logs for longer than CloudWatch keeps them: a stream into a bucket, as they come (MO-6).

Leaves out the log groups themselves, and how long they keep what they have. A stream costs about a
fifteenth of what CloudWatch takes to read the lines in; there is no cheaper way that needs no code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import cloudwatch, iam, kinesis

from components.aws.bucket import BucketArgs, LifecycleRule, PrivateBucket, private_bucket
from components.aws.service_role import service_role

# Large objects: the cold class bills 128 KiB at least. The limits of Firehose.
BUFFER_MIB, BUFFER_S = 128, 900


@dataclass(frozen=True, kw_only=True)
class LogArchiveArgs:
    bucket_name: str
    account_id: str
    region: str
    days: int
    """How long the archive keeps a line."""
    groups: Mapping[str, tuple[str, str]]
    """By label: name of the log group, and the pattern of the lines to keep; empty for all."""
    ready: Sequence[pulumi.Resource]
    """What makes the log groups."""
    keep_data: bool = True
    """Whether the bucket outlives this component; by default so."""


class LogArchive(pulumi.ComponentResource):
    def __init__(
        self, name: str, args: LogArchiveArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:LogArchive", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._tags = {"nextstack/component": name}
        made = private_bucket(
            name,
            BucketArgs(
                bucket_name=args.bucket_name,
                holds="logs of pods and database",
                account_id=args.account_id,
                rules=[_rule(args.days)],
                tags=self._tags,
                keep_data=args.keep_data,
            ),
            pulumi.ResourceOptions(parent=self, protect=args.keep_data),
        )
        stream = self._stream(made)
        sender = self._role("sender", f"logs.{args.region}.amazonaws.com")
        permission = self._may(
            "sender", sender, {"Action": ["firehose:PutRecord*"], "Resource": stream.arn}
        )
        for label, (group, pattern) in args.groups.items():
            cloudwatch.LogSubscriptionFilter(
                f"{name}-{label}",
                log_group=group,
                filter_pattern=pattern,
                destination_arn=stream.arn,
                role_arn=sender.arn,
                distribution="ByLogStream",
                apply_on_transformed_logs=False,
                opts=pulumi.ResourceOptions.merge(
                    self._child, pulumi.ResourceOptions(depends_on=[permission, *args.ready])
                ),
            )
        self.register_outputs({"bucket": made.bucket.bucket})

    def _stream(self, made: PrivateBucket) -> kinesis.FirehoseDeliveryStream:
        writer = self._role("writer", "firehose.amazonaws.com")
        key = made.key.arn
        permission = self._may(
            "writer",
            writer,
            {
                "Action": [
                    "s3:AbortMultipartUpload",
                    "s3:GetBucketLocation",
                    "s3:ListBucket",
                    "s3:ListBucketMultipartUploads",
                    "s3:PutObject",
                ],
                "Resource": [made.arn, f"{made.arn}/*"],
            },
            {"Action": ["kms:GenerateDataKey", "kms:Decrypt"], "Resource": key},
        )
        return kinesis.FirehoseDeliveryStream(
            self._name,
            destination="extended_s3",
            extended_s3_configuration={
                "bucket_arn": made.bucket.arn,
                "role_arn": writer.arn,
                "kms_key_arn": key,
                "prefix": "logs/!{timestamp:yyyy/MM/dd}/",
                "error_output_prefix": "errors/!{firehose:error-output-type}/",
                "buffering_size": BUFFER_MIB,
                "buffering_interval": BUFFER_S,
                # CloudWatch Logs compresses what it sends.
                "compression_format": "UNCOMPRESSED",
                "s3_backup_mode": "Disabled",
            },
            server_side_encryption={
                "enabled": True,
                "key_type": "CUSTOMER_MANAGED_CMK",
                "key_arn": key,
            },
            tags=self._tags,
            opts=pulumi.ResourceOptions.merge(
                self._child, pulumi.ResourceOptions(depends_on=[permission, *made.ready])
            ),
        )

    def _role(self, name: str, service: str) -> iam.Role:
        return service_role(
            f"{self._name}-{name}",
            service,
            f"archive of logs: what {service} may do",
            self._tags,
            self._child,
            account_id=self._args.account_id,
        )

    def _may(
        self, name: str, role: iam.Role, *rights: Mapping[str, pulumi.Input[object]]
    ) -> iam.RolePolicy:
        statements = [{"Effect": "Allow", **right} for right in rights]
        return iam.RolePolicy(
            f"{self._name}-{name}",
            role=role.name,
            policy=pulumi.Output.json_dumps({"Version": "2012-10-17", "Statement": statements}),
            opts=self._child,
        )


def _rule(days: int) -> LifecycleRule:
    """Cold from the first day on: what is new, CloudWatch has."""
    return {
        "id": "archive",
        "status": "Enabled",
        "filter": {"prefix": ""},
        "transitions": [{"days": 0, "storage_class": "GLACIER_IR"}],
        "expiration": {"days": days},
        "noncurrent_version_expiration": {"noncurrent_days": 1},
    }
