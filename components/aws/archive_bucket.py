"""The stack's own bucket for dumps, in the recovery region (BK-6, BK-7, S-6, S-7).

Leaves out what puts them there (dump_archive.py).
"""

from dataclasses import dataclass

import pulumi

from components.aws.bucket import BucketArgs, LifecycleRule, private_bucket
from components.aws.config import AwsConfig
from components.aws.pod_identity import Right, pod_role
from components.dump_archive import ArchiveConfig, OwnBucket
from components.pod_identity import PodIdentity, Pods

# What was overwritten or deleted by mistake can be had back for so long.
REPLACED_DAYS = 7


@dataclass(frozen=True, kw_only=True)
class ArchiveBucketArgs:
    config: ArchiveConfig
    aws: AwsConfig
    recovery: pulumi.ProviderResource
    """Provider of the region that the bucket is in."""
    pods: Pods
    """Where what fills it runs."""
    keep_data: bool = True
    """Whether the bucket outlives this component; by default so."""


class ArchiveBucket(pulumi.ComponentResource):
    own: OwnBucket

    def __init__(
        self, name: str, args: ArchiveBucketArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:ArchiveBucket", name, {}, opts)
        tags = {"nextstack/component": name}
        made = private_bucket(
            name,
            BucketArgs(
                bucket_name=args.config.bucket,
                holds="dumps of the database",
                account_id=args.aws.account_id,
                rules=_rules(args.config),
                tags=tags,
                keep_data=args.keep_data,
            ),
            pulumi.ResourceOptions(parent=self, provider=args.recovery),
        )
        identity = pod_role(
            name,
            args.pods,
            "dump-archive",
            _rights(made.arn, made.key.arn, args.aws.recovery_region),
            tags,
            pulumi.ResourceOptions(parent=self, protect=False),
        )
        self.own = OwnBucket(
            region=args.aws.recovery_region,
            key_arn=made.key.arn,
            pods=PodIdentity(
                service_account=identity.service_account, ready=[*made.ready, *identity.ready]
            ),
        )
        self.register_outputs({"bucket": made.bucket.bucket})


def _rules(config: ArchiveConfig) -> list[LifecycleRule]:
    """Cold from a time on when the newest copies of a restore lie elsewhere (RO-8)."""
    return [
        {
            "id": "daily",
            "status": "Enabled",
            "filter": {"prefix": "daily/"},
            "expiration": {"days": config.daily_keep_days},
            "noncurrent_version_expiration": {"noncurrent_days": REPLACED_DAYS},
        },
        {
            "id": "weekly",
            "status": "Enabled",
            "filter": {"prefix": "weekly/"},
            "transitions": [{"days": config.cold_after_days, "storage_class": config.cold_class}],
            "expiration": {"days": config.weekly_keep_days},
            "noncurrent_version_expiration": {"noncurrent_days": REPLACED_DAYS},
        },
    ]


def _rights(arn: str, key_arn: pulumi.Input[str], region: str) -> list[Right]:
    """To add copies and to compare them; none to delete one."""
    return [
        {"Action": "s3:ListBucket", "Resource": arn},
        {
            "Action": [
                "s3:AbortMultipartUpload",
                "s3:GetObject",
                "s3:ListMultipartUploadParts",
                "s3:PutObject",
            ],
            "Resource": f"{arn}/*",
        },
        {
            "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
            "Resource": key_arn,
            "Condition": {"StringEquals": {"kms:ViaService": f"s3.{region}.amazonaws.com"}},
        },
    ]
