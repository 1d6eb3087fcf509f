"""What surrounds a database at AWS: keys, networks, rights, logs, alarms, buckets.

Leaves out the databases and caches themselves (aws_database.py), and their backups (aws_backup.py).
"""

import json
from collections.abc import Iterator
from typing import Any, cast

from policies.rule import UNKNOWN, Context, Resource, Severity, rule

BUCKET = r"aws:s3/(bucket:Bucket|bucketV2:BucketV2)"
ACCESS_BLOCK = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
BUCKET_POLICY = "aws:s3/bucketPolicy:BucketPolicy"
LIFECYCLES = (
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
    "aws:s3/bucketLifecycleConfigurationV2:BucketLifecycleConfigurationV2",
)
VERSIONINGS = (
    "aws:s3/bucketVersioning:BucketVersioning",
    "aws:s3/bucketVersioningV2:BucketVersioningV2",
)
KEY = r"aws:kms/key:Key"
EVERYWHERE = ("0.0.0.0/0", "::/0")
MINIMUM_KEY_DAYS = 14
"""Days in which a key's deletion can be taken back; AWS allows 7 to 30."""


def as_list(value: Any) -> list[Any]:
    return cast(list[Any], value) if isinstance(value, list) else [value]


def statements(policy: Any) -> list[dict[str, Any]]:
    """The statements of an access policy; none while it is not known."""
    if not policy or (isinstance(policy, str) and UNKNOWN in policy):
        return []
    document: Any = json.loads(policy) if isinstance(policy, str) else policy
    return as_list(document.get("Statement", []))


def for_everybody(statement: dict[str, Any]) -> bool:
    """Whether a statement grants something to whoever asks."""
    principal = statement.get("Principal")
    names = (
        as_list(cast(dict[str, Any], principal).get("AWS"))
        if isinstance(principal, dict)
        else [principal]
    )
    return statement.get("Effect") == "Allow" and "*" in names and not statement.get("Condition")


def belonging(resource: Resource, context: Context, *types: str) -> list[Resource]:
    """The resources of `types` that refer to `resource`."""
    return [r for r in context.of_type(*types) if resource.urn in r.depends_on]


@rule(
    Severity.MEDIUM,
    "Security Hub KMS.4",
    "CIS AWS Foundations 3.6",
    types=KEY,
    fix="set enableKeyRotation to true",
)
def key_rotates(resource: Resource, context: Context) -> Iterator[str]:
    if resource.inputs.get("enableKeyRotation") is not True:
        yield "enableKeyRotation is off"


@rule(
    Severity.HIGH,
    types=KEY,
    fix=f"set deletionWindowInDays to {MINIMUM_KEY_DAYS} or more, or leave it out",
)
def key_deletion_can_be_undone(resource: Resource, context: Context) -> Iterator[str]:
    days = resource.inputs.get("deletionWindowInDays", 30)
    if context.keeps_data and not (isinstance(days, int) and days >= MINIMUM_KEY_DAYS):
        yield f"deletionWindowInDays is {days}: what the key encrypts is lost after that"


@rule(
    Severity.CRITICAL,
    "FSBP KMS.5",
    "FSBP SNS.4",
    "FSBP S3.2",
    "FSBP S3.3",
    types=rf"{KEY}|aws:kms/keyPolicy:KeyPolicy|aws:sns/topic:Topic|aws:sns/topicPolicy:TopicPolicy"
    rf"|{BUCKET}|{BUCKET_POLICY}|aws:backup/vaultPolicy:VaultPolicy",
    fix='name accounts or roles as Principal instead of "*", or add a Condition',
)
def nothing_is_for_everybody(resource: Resource, context: Context) -> Iterator[str]:
    for index, statement in enumerate(statements(resource.inputs.get("policy"))):
        if for_everybody(statement):
            yield f"policy.Statement[{index}] grants rights to everybody"


@rule(
    Severity.HIGH,
    "FSBP KMS.1",
    "FSBP KMS.2",
    "FSBP IAM.1",
    "FSBP IAM.21",
    types=r"aws:iam/(policy:Policy|rolePolicy:RolePolicy|userPolicy:UserPolicy)",
    fix="name the actions and the resources",
)
def rights_are_named(resource: Resource, context: Context) -> Iterator[str]:
    for index, statement in enumerate(statements(resource.inputs.get("policy"))):
        actions = [str(action) for action in as_list(statement.get("Action", []))]
        decrypts = any(action in ("kms:Decrypt", "kms:ReEncryptFrom") for action in actions)
        everything = any(action == "*" or action.endswith(":*") for action in actions)
        anywhere = "*" in as_list(statement.get("Resource", []))
        if statement.get("Effect") == "Allow" and (everything or (decrypts and anywhere)):
            yield f"policy.Statement[{index}] allows {', '.join(actions)}"


@rule(
    Severity.CRITICAL,
    "FSBP EC2.18",
    "FSBP EC2.19",
    "CIS AWS Foundations 5.2",
    "CIS AWS Foundations 5.3",
    types=r"aws:ec2/(securityGroup:SecurityGroup|securityGroupRule:SecurityGroupRule)"
    r"|aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
    fix="name the security group of the clients instead of an address range",
)
def network_is_closed(resource: Resource, context: Context) -> Iterator[str]:
    given = resource.inputs
    entries = [given, *given.get("ingress", [])] if given.get("type") != "egress" else []
    for entry in entries:
        ranges = [*entry.get("cidrBlocks", []), *entry.get("ipv6CidrBlocks", [])]
        ranges += [entry.get("cidrIpv4"), entry.get("cidrIpv6")]
        for found in ranges:
            if found in EVERYWHERE:
                yield f"{found} may connect: the whole Internet"


@rule(
    Severity.MEDIUM,
    "Security Hub CloudWatch.16",
    types=r"aws:cloudwatch/logGroup:LogGroup",
    fix="set retentionInDays",
)
def logs_end(resource: Resource, context: Context) -> Iterator[str]:
    days = resource.inputs.get("retentionInDays", 0)
    if not (isinstance(days, int) and days > 0):
        yield "retentionInDays is not set: logs are kept, and paid for, for ever"


@rule(
    Severity.CRITICAL,
    "FSBP S3.8",
    types=BUCKET,
    across=True,
    fix="add a BucketPublicAccessBlock with its four settings on",
)
def bucket_is_private(resource: Resource, context: Context) -> Iterator[str]:
    blocks = belonging(resource, context, ACCESS_BLOCK)
    for key in (
        "blockPublicAcls",
        "blockPublicPolicy",
        "ignorePublicAcls",
        "restrictPublicBuckets",
    ):
        if not any(block.inputs.get(key) is True for block in blocks):
            yield f"no public access block sets {key}"


@rule(
    Severity.HIGH,
    "FSBP S3.5",
    types=BUCKET,
    across=True,
    fix="add a BucketPolicy that denies requests with aws:SecureTransport false",
)
def bucket_refuses_plain_text(resource: Resource, context: Context) -> Iterator[str]:
    policies = [p.inputs.get("policy") for p in belonging(resource, context, BUCKET_POLICY)]
    unknown = any(isinstance(policy, str) and UNKNOWN in policy for policy in policies)
    found = [statement for policy in policies for statement in statements(policy)]
    if not unknown and not any(denies_plain_text(statement) for statement in found):
        yield "no bucket policy refuses requests without TLS"


def denies_plain_text(statement: dict[str, Any]) -> bool:
    secure = statement.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport")
    return statement.get("Effect") == "Deny" and str(secure).lower() == "false"


@rule(
    Severity.MEDIUM,
    "FSBP S3.12",
    types=rf"{BUCKET}|aws:s3/bucketAcl(V2)?:BucketAcl(V2)?",
    fix="remove the ACL and use a bucket policy",
)
def bucket_has_no_acl(resource: Resource, context: Context) -> Iterator[str]:
    if resource.inputs.get("acl", "private") != "private" or resource.inputs.get("grants"):
        yield "an ACL opens the bucket"


@rule(
    Severity.LOW,
    "FSBP S3.13",
    "Security Hub S3.14",
    types=BUCKET,
    across=True,
    fix="add a BucketLifecycleConfiguration and a BucketVersioning with status Enabled",
)
def bucket_keeps_versions_for_a_time(resource: Resource, context: Context) -> Iterator[str]:
    if not belonging(resource, context, *LIFECYCLES):
        yield "no lifecycle: old objects are kept, and paid for, for ever"
    given = [v.inputs for v in belonging(resource, context, *VERSIONINGS)]
    states = {v.get("versioningConfiguration", {}).get("status") for v in given}
    if "Enabled" not in states:
        yield "no versioning: what is overwritten is lost"
