"""All that the application is told, kept in Secrets Manager too, and in a second region (SC-5).

Leaves out reading it: the pods have a Secret of Kubernetes. It is for people who rebuild the stack
elsewhere and for tools beside it; the program writes a new version with each change (BK-11).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import secretsmanager

from components.aws.config import AwsConfig
from components.aws.kms import encryption_key
from components.aws.secrets_copy_config import SecretsCopyConfig


@dataclass(frozen=True, kw_only=True)
class SecretsCopyArgs:
    config: SecretsCopyConfig
    aws: AwsConfig
    recovery: pulumi.ProviderResource | None
    """Provider of the second region; needed only for a replica."""
    values: pulumi.Input[Mapping[str, str]]
    """What is kept; secret."""
    keep_data: bool = True
    """Whether the copy outlives this component; by default so."""


class SecretsCopy(pulumi.ComponentResource):
    arn: pulumi.Output[str]

    def __init__(
        self, name: str, args: SecretsCopyArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:SecretsCopy", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        kept = pulumi.ResourceOptions(parent=self, retain_on_delete=args.keep_data)
        config, account = args.config, args.aws.account_id
        tags = {"nextstack/component": name}
        purpose = f"secret {config.name}"
        replicas: list[secretsmanager.SecretReplicaArgsDict] = []
        if config.replicate:
            elsewhere = pulumi.ResourceOptions(parent=self, provider=args.recovery)
            copy = encryption_key(f"{name}-replica", purpose, account, tags, elsewhere)
            replicas = [{"region": args.aws.recovery_region, "kms_key_id": copy.arn}]
        secret = secretsmanager.Secret(
            name,
            name=config.name,
            description="what the application is told, as JSON; written by the program",
            kms_key_id=encryption_key(name, purpose, account, tags, child).arn,
            recovery_window_in_days=config.recovery_window_days,
            replicas=replicas,
            # A secret of this name there is somebody else's.
            force_overwrite_replica_secret=False,
            tags=tags,
            opts=kept,
        )
        secretsmanager.SecretPolicy(
            name,
            secret_arn=secret.arn,
            policy=_policy(account),
            block_public_policy=True,
            opts=pulumi.ResourceOptions(parent=self, protect=False),
        )
        secretsmanager.SecretVersion(
            name,
            secret_id=secret.id,
            secret_string=pulumi.Output.secret(pulumi.Output.json_dumps(args.values)),
            # Each change makes a version; to delete the one before would take its label
            # AWSPREVIOUS away, by which it can still be read.
            opts=pulumi.ResourceOptions(parent=self, protect=False, retain_on_delete=True),
        )
        self.arn = secret.arn
        self.register_outputs({"arn": self.arn})


def _policy(account_id: str) -> str:
    """Whatever IAM of another account says; who of this one may read it, its IAM says."""
    statement = {
        "Sid": "OwnAccountOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "secretsmanager:*",
        "Resource": "*",
        "Condition": {"StringNotEquals": {"aws:PrincipalAccount": account_id}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
