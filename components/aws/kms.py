"""A key of its own for whatever a component stores on AWS. Leaves out who may use the data."""

import json
from collections.abc import Sequence

import pulumi
from pulumi_aws import kms

# The longest that AWS offers to change one's mind.
DELETION_DAYS = 30
Statement = dict[str, object]
"""Of a key's policy."""


def encryption_key(
    name: str,
    purpose: str,
    account_id: str,
    tags: dict[str, str],
    opts: pulumi.ResourceOptions,
    logs_in: str = "",
    statements: Sequence[Statement] = (),
) -> kms.Key:
    """A key that rotates each year; CloudWatch Logs of the region `logs_in` may use it, too, and
    whoever `statements` allow to.

    It stays when the stack goes: without it the last snapshot would be lost, too.
    """
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            # AWS's own default: roles of the account use the key as far as IAM lets them.
            {
                "Sid": "Account",
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{account_id}:root"},
                "Action": "kms:*",
                "Resource": "*",
            },
            *([_logs(logs_in, account_id)] if logs_in else []),
            *statements,
        ],
    }
    return kms.Key(
        f"{name}-key",
        description=purpose,
        key_usage="ENCRYPT_DECRYPT",
        customer_master_key_spec="SYMMETRIC_DEFAULT",
        enable_key_rotation=True,
        rotation_period_in_days=365,
        deletion_window_in_days=DELETION_DAYS,
        is_enabled=True,
        multi_region=False,
        bypass_policy_lockout_safety_check=False,
        policy=json.dumps(policy),
        tags=tags,
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(retain_on_delete=True)),
    )


def _logs(region: str, account_id: str) -> Statement:
    """What CloudWatch Logs needs of a key, for log groups of this account only."""
    return {
        "Sid": "Logs",
        "Effect": "Allow",
        "Principal": {"Service": f"logs.{region}.amazonaws.com"},
        "Action": ["kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey*", "kms:DescribeKey"],
        "Resource": "*",
        "Condition": {
            "ArnLike": {
                "kms:EncryptionContext:aws:logs:arn": f"arn:aws:logs:{region}:{account_id}:*"
            }
        },
    }
