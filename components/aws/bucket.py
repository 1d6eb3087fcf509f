"""A private bucket on S3 with a key of its own: encrypted, versioned, TLS only, no ACLs.

Leaves out who may use it, copies elsewhere, and an access log: CloudTrail's data events, which are
the account's, name the caller, and a log of S3's would need one more bucket to be protected.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import kms, s3

from components.aws.kms import encryption_key

LEAST_TLS = "1.2"
# A part of an upload that nobody finished is invisible, and paid for.
ABANDONED_DAYS = 7
LifecycleRule = s3.BucketLifecycleConfigurationRuleArgsDict


@dataclass(frozen=True, kw_only=True)
class BucketArgs:
    bucket_name: str
    """All accounts of the world share the names."""
    holds: str
    """What is in it, in a few words."""
    account_id: str
    rules: Sequence[LifecycleRule]
    """When objects move and go; what nobody finished goes anyway."""
    tags: dict[str, str]
    keep_data: bool = True
    """Whether the bucket outlives the program, and refuses to lose a version; by default so."""


@dataclass(frozen=True, kw_only=True)
class PrivateBucket:
    bucket: s3.Bucket
    arn: str
    key: kms.Key
    ready: list[pulumi.Resource]
    """What must exist before something is put into it."""


def private_bucket(name: str, args: BucketArgs, opts: pulumi.ResourceOptions) -> PrivateBucket:
    replaceable = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(protect=False))
    purpose = f"bucket {args.bucket_name}: {args.holds}"
    key = encryption_key(name, purpose, args.account_id, args.tags, opts)
    bucket = s3.Bucket(
        name,
        bucket=args.bucket_name,
        force_destroy=not args.keep_data,
        object_lock_enabled=False,
        tags=args.tags,
        opts=pulumi.ResourceOptions.merge(
            opts, pulumi.ResourceOptions(retain_on_delete=args.keep_data)
        ),
    )
    closed = s3.BucketPublicAccessBlock(
        name,
        bucket=bucket.id,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
        skip_destroy=args.keep_data,
        opts=replaceable,
    )
    # One after the other: S3 refuses two changes of a bucket's access at once.
    owned = s3.BucketOwnershipControls(
        name,
        bucket=bucket.id,
        rule={"object_ownership": "BucketOwnerEnforced"},
        opts=_after(replaceable, closed),
    )
    arn = f"arn:aws:s3:::{args.bucket_name}"
    policy = s3.BucketPolicy(
        name, bucket=bucket.id, policy=_policy(arn, args.keep_data), opts=_after(replaceable, owned)
    )
    encrypted = s3.BucketServerSideEncryptionConfiguration(
        name,
        bucket=bucket.id,
        rules=[
            {
                "apply_server_side_encryption_by_default": {
                    "sse_algorithm": "aws:kms",
                    "kms_master_key_id": key.arn,
                },
                # One call of KMS for many objects.
                "bucket_key_enabled": True,
            }
        ],
        opts=replaceable,
    )
    versioned = s3.BucketVersioning(
        name,
        bucket=bucket.id,
        versioning_configuration={"status": "Enabled", "mfa_delete": "Disabled"},
        opts=replaceable,
    )
    s3.BucketLifecycleConfiguration(
        name,
        bucket=bucket.id,
        rules=[*args.rules, _abandoned()],
        # Each small object would cost more in a cold class than it does here.
        transition_default_minimum_object_size="all_storage_classes_128K",
        opts=_after(replaceable, versioned),
    )
    return PrivateBucket(bucket=bucket, arn=arn, key=key, ready=[policy, encrypted, versioned])


def _after(opts: pulumi.ResourceOptions, first: pulumi.Resource) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[first]))


def _abandoned() -> LifecycleRule:
    return {
        "id": "abandoned-uploads",
        "status": "Enabled",
        "filter": {"prefix": ""},
        "abort_incomplete_multipart_upload": {"days_after_initiation": ABANDONED_DAYS},
    }


def _policy(arn: str, keep_data: bool) -> str:
    """Refusals only: IAM of the account says who may do what."""
    everything = {"Effect": "Deny", "Principal": "*", "Resource": [arn, f"{arn}/*"]}
    refused: list[dict[str, object]] = [
        {
            "Sid": "TlsOnly",
            **everything,
            "Action": "s3:*",
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        },
        {
            "Sid": "NoOldTls",
            **everything,
            "Action": "s3:*",
            "Condition": {"NumericLessThan": {"s3:TlsVersion": LEAST_TLS}},
        },
    ]
    if keep_data:
        # Whoever wants to delete for good has to change this first (BK-22); lifecycle rules may.
        actions = ["s3:DeleteBucket", "s3:DeleteObjectVersion"]
        refused.append({"Sid": "NothingIsLost", **everything, "Action": actions})
    return json.dumps({"Version": "2012-10-17", "Statement": refused})
