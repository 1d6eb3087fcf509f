"""Logs for longer than CloudWatch keeps them: a stream into a bucket, as they come (MO-6).

Leaves out the log groups themselves, and how long they keep what they have. A stream costs about a
fifteenth of what CloudWatch takes to read the lines in; there is no cheaper way that needs no code.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import cloudwatch, iam, kinesis, s3

from components.aws.kms import encryption_key

# Large objects: the cold class bills 128 KiB at least. The limits of Firehose.
BUFFER_MIB, BUFFER_S = 128, 900


@dataclass(frozen=True, kw_only=True)
class LogArchiveArgs:
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
        kept = pulumi.ResourceOptions(parent=self, protect=args.keep_data)
        key = encryption_key(name, "archive of logs", args.account_id, self._tags, kept)
        bucket = self._bucket(key.arn, kept)
        stream = self._stream(bucket, key.arn)
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
        self.register_outputs({"bucket": bucket.bucket})

    def _bucket(self, key: pulumi.Output[str], kept: pulumi.ResourceOptions) -> s3.Bucket:
        name, child = self._name, self._child
        bucket = s3.Bucket(
            name,
            force_destroy=False,
            tags=self._tags,
            opts=pulumi.ResourceOptions.merge(
                kept, pulumi.ResourceOptions(retain_on_delete=self._args.keep_data)
            ),
        )
        s3.BucketServerSideEncryptionConfiguration(
            name,
            bucket=bucket.id,
            rules=[
                {
                    "apply_server_side_encryption_by_default": {
                        "sse_algorithm": "aws:kms",
                        "kms_master_key_id": key,
                    },
                    "bucket_key_enabled": True,
                }
            ],
            opts=child,
        )
        s3.BucketPublicAccessBlock(
            name,
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=child,
        )
        s3.BucketPolicy(
            name, bucket=bucket.id, policy=bucket.arn.apply(refusing_plain_text), opts=child
        )
        s3.BucketVersioning(
            name, bucket=bucket.id, versioning_configuration={"status": "Enabled"}, opts=child
        )
        s3.BucketLifecycleConfiguration(
            name,
            bucket=bucket.id,
            rules=[
                {
                    "id": "archive",
                    "status": "Enabled",
                    "filter": {"prefix": ""},
                    "transitions": [{"days": 0, "storage_class": "GLACIER_IR"}],
                    "expiration": {"days": self._args.days},
                    "noncurrent_version_expiration": {"noncurrent_days": 1},
                    "abort_incomplete_multipart_upload": {"days_after_initiation": 7},
                }
            ],
            opts=child,
        )
        return bucket

    def _stream(self, bucket: s3.Bucket, key: pulumi.Output[str]) -> kinesis.FirehoseDeliveryStream:
        writer = self._role("writer", "firehose.amazonaws.com")
        objects = bucket.arn.apply(lambda arn: [arn, f"{arn}/*"])
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
                "Resource": objects,
            },
            {"Action": ["kms:GenerateDataKey", "kms:Decrypt"], "Resource": key},
        )
        return kinesis.FirehoseDeliveryStream(
            self._name,
            destination="extended_s3",
            extended_s3_configuration={
                "bucket_arn": bucket.arn,
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
                self._child, pulumi.ResourceOptions(depends_on=[permission])
            ),
        )

    def _role(self, name: str, service: str) -> iam.Role:
        condition = {"StringEquals": {"aws:SourceAccount": self._args.account_id}}
        return iam.Role(
            f"{self._name}-{name}",
            description=f"archive of logs: what {service} may do",
            assume_role_policy=json.dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Principal": {"Service": service},
                            "Action": "sts:AssumeRole",
                            "Condition": condition,
                        }
                    ],
                }
            ),
            force_detach_policies=True,
            max_session_duration=3600,
            path="/",
            tags=self._tags,
            opts=self._child,
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


def refusing_plain_text(bucket_arn: str) -> str:
    """The policy of a bucket that only speaks TLS."""
    statement = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [bucket_arn, f"{bucket_arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
