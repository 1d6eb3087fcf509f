"""Users' files on S3: a bucket that forgets nothing at once, and a copy of it elsewhere (BK-10).

Leaves out what the application does with them; its pods have a role, and the bucket's name.
"""

from dataclasses import dataclass

import pulumi
from pulumi_aws import iam, s3

from components.aws.bucket import BucketArgs, LifecycleRule, PrivateBucket, private_bucket
from components.aws.config import AwsConfig
from components.aws.pod_identity import Right, pod_role
from components.aws.service_role import service_role
from components.aws.uploads_config import UploadsConfig
from components.pod_identity import PodIdentity, Pods, allow_agent

# The next day: what is paid for such an object for at least 90 days is hardly ever wasted.
COLD_AFTER_DAYS = 1
# The only number that AWS takes, and what it answers for (RO-9 asks for an hour).
REPLICATED_MINUTES = 15
PREFLIGHT_S = 3600


@dataclass(frozen=True, kw_only=True)
class UploadsArgs:
    config: UploadsConfig
    aws: AwsConfig
    recovery: pulumi.ProviderResource | None
    """Provider of the region that gets the copy; needed only for one."""
    site_url: str
    """Whose pages may talk to the bucket."""
    pods: Pods
    """Where what uses it runs."""
    keep_data: bool = True
    """Whether the buckets outlive this component; by default so."""


class Uploads(pulumi.ComponentResource):
    pods: PodIdentity
    """What pods run as that may use the bucket."""

    def __init__(
        self, name: str, args: UploadsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:Uploads", name, {}, opts)
        self._name, self._args = name, args
        self._tags = {"nextstack/component": name}
        self._child = pulumi.ResourceOptions(parent=self)
        self._replaceable = pulumi.ResourceOptions(parent=self, protect=False)
        config = args.config
        made = self._bucket(name, config.bucket, self._child)
        s3.BucketCorsConfiguration(
            name,
            bucket=made.bucket.id,
            cors_rules=[
                {
                    "id": "site",
                    "allowed_origins": [args.site_url],
                    "allowed_methods": ["GET", "HEAD", "POST", "PUT"],
                    "allowed_headers": ["content-md5", "content-type", "x-amz-*"],
                    "expose_headers": ["ETag"],
                    "max_age_seconds": PREFLIGHT_S,
                }
            ],
            opts=self._replaceable,
        )
        if config.replica_bucket:
            elsewhere = pulumi.ResourceOptions(parent=self, provider=args.recovery)
            self._replicate(made, self._bucket(f"{name}-replica", config.replica_bucket, elsewhere))
        allow_agent(name, args.pods.created, self._replaceable)
        identity = pod_role(
            name,
            args.pods,
            "web",
            _rights(made, args.aws.region),
            self._tags,
            self._replaceable,
        )
        self.pods = PodIdentity(
            service_account=identity.service_account, ready=[*made.ready, *identity.ready]
        )
        self.register_outputs({"bucket": made.bucket.bucket})

    def _bucket(self, name: str, bucket_name: str, opts: pulumi.ResourceOptions) -> PrivateBucket:
        rule: LifecycleRule = {
            "id": "old-versions",
            "status": "Enabled",
            "filter": {"prefix": ""},
            # The only cold class that answers at once: RO-9 leaves four hours.
            "noncurrent_version_transitions": [
                {"noncurrent_days": COLD_AFTER_DAYS, "storage_class": "GLACIER_IR"}
            ],
            "noncurrent_version_expiration": {
                "noncurrent_days": COLD_AFTER_DAYS + self._args.config.old_version_days
            },
            # Of files whose last version went that way.
            "expiration": {"expired_object_delete_marker": True},
        }
        args = BucketArgs(
            bucket_name=bucket_name,
            holds="files of users",
            account_id=self._args.aws.account_id,
            rules=[rule],
            tags=self._tags,
            keep_data=self._args.keep_data,
        )
        return private_bucket(name, args, opts)

    def _replicate(self, source: PrivateBucket, target: PrivateBucket) -> None:
        """Each version within 15 minutes, which S3 measures and answers for (RO-9)."""
        role, permission = self._replication_role(source, target)
        s3.BucketReplicationConfig(
            f"{self._name}-replication",
            bucket=source.bucket.id,
            role=role.arn,
            rules=[
                {
                    "id": "everything",
                    "status": "Enabled",
                    "priority": 0,
                    "filter": {"prefix": ""},
                    # The copy looks as the original does; versions stay in both.
                    "delete_marker_replication": {"status": "Enabled"},
                    "source_selection_criteria": {
                        "sse_kms_encrypted_objects": {"status": "Enabled"},
                        "replica_modifications": {"status": "Disabled"},
                    },
                    "destination": {
                        "bucket": target.bucket.arn,
                        "storage_class": "STANDARD",
                        "encryption_configuration": {"replica_kms_key_id": target.key.arn},
                        "replication_time": {
                            "status": "Enabled",
                            "time": {"minutes": REPLICATED_MINUTES},
                        },
                        "metrics": {
                            "status": "Enabled",
                            "event_threshold": {"minutes": REPLICATED_MINUTES},
                        },
                    },
                }
            ],
            opts=pulumi.ResourceOptions.merge(
                self._replaceable,
                pulumi.ResourceOptions(depends_on=[permission, *source.ready, *target.ready]),
            ),
        )

    def _replication_role(
        self, source: PrivateBucket, target: PrivateBucket
    ) -> tuple[iam.Role, pulumi.Resource]:
        aws = self._args.aws
        # Without a condition on the source, which S3 documents for none of its replications; only
        # somebody of this account can give a bucket the role.
        role = service_role(
            f"{self._name}-replication",
            "s3.amazonaws.com",
            f"lets S3 copy {self._args.config.bucket} to the recovery region",
            self._tags,
            self._replaceable,
        )
        rights: list[Right] = [
            {"Action": ["s3:GetReplicationConfiguration", "s3:ListBucket"], "Resource": source.arn},
            {
                "Action": ["s3:GetObjectVersionForReplication", "s3:GetObjectVersionTagging"],
                "Resource": f"{source.arn}/*",
            },
            {
                "Action": ["s3:ReplicateDelete", "s3:ReplicateObject", "s3:ReplicateTags"],
                "Resource": f"{target.arn}/*",
            },
            _uses_key("kms:Decrypt", source, aws.region),
            _uses_key(["kms:Encrypt", "kms:GenerateDataKey"], target, aws.recovery_region),
        ]
        statements = [{"Effect": "Allow", **right} for right in rights]
        permission = iam.RolePolicy(
            f"{self._name}-replication",
            role=role.name,
            policy=pulumi.Output.json_dumps({"Version": "2012-10-17", "Statement": statements}),
            opts=self._replaceable,
        )
        return role, permission


def _uses_key(action: str | list[str], bucket: PrivateBucket, region: str) -> Right:
    """For objects of this bucket alone, and only through S3."""
    return {
        "Action": action,
        "Resource": bucket.key.arn,
        "Condition": {
            "StringEquals": {"kms:ViaService": f"s3.{region}.amazonaws.com"},
            # With a bucket key the context is the bucket, without one each object.
            "StringLike": {"kms:EncryptionContext:aws:s3:arn": [bucket.arn, f"{bucket.arn}/*"]},
        },
    }


def _rights(bucket: PrivateBucket, region: str) -> list[Right]:
    """To read, write and delete files; not to remove a version of one."""
    return [
        {"Action": "s3:ListBucket", "Resource": bucket.arn},
        {
            "Action": [
                "s3:AbortMultipartUpload",
                "s3:DeleteObject",
                "s3:GetObject",
                "s3:ListMultipartUploadParts",
                "s3:PutObject",
            ],
            "Resource": f"{bucket.arn}/*",
        },
        _uses_key(["kms:Decrypt", "kms:GenerateDataKey"], bucket, region),
    ]
