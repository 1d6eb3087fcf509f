"""What is kept in S3 and Secrets Manager: keys, owners, ends, copies.

Leaves out what holds for every bucket in every account (aws_platform.py).
"""

from collections.abc import Iterator

from policies.aws_platform import BUCKET, belonging
from policies.rule import Context, Resource, Severity, rule

ENCRYPTION = (
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
)
LIFECYCLE = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
SECRET = "aws:secretsmanager/secret:Secret"
LEAST_RECOVERY_DAYS = 7
"""Days in which a deleted secret can be had back; AWS allows 7 to 30, and 0 for none."""


@rule(
    Severity.MEDIUM,
    "Security Hub S3.17",
    types=BUCKET,
    across=True,
    fix="add a BucketServerSideEncryptionConfiguration with aws:kms, kmsMasterKeyId and "
    "bucketKeyEnabled",
)
def bucket_has_our_key(resource: Resource, context: Context) -> Iterator[str]:
    """BK-22."""
    given = [r for found in belonging(resource, context, ENCRYPTION) for r in found.inputs["rules"]]
    if not given:
        yield "no encryption of its own: whoever may read the bucket needs no right to a key"
    for entry in given:
        default = entry.get("applyServerSideEncryptionByDefault", {})
        if default.get("sseAlgorithm") != "aws:kms" or not default.get("kmsMasterKeyId"):
            yield "the encryption has no key of the stack"
        if entry.get("bucketKeyEnabled") is not True:
            yield "bucketKeyEnabled is off: each object costs a call of KMS"


@rule(
    Severity.MEDIUM,
    types=r"aws:s3/bucketOwnershipControls:BucketOwnershipControls",
    fix='set rule.objectOwnership to "BucketOwnerEnforced"',
)
def objects_belong_to_the_bucket(resource: Resource, context: Context) -> Iterator[str]:
    owner = resource.inputs.get("rule", {}).get("objectOwnership")
    if owner != "BucketOwnerEnforced":
        yield f"objectOwnership is {owner}: ACLs count, and a writer may keep what it wrote"


@rule(
    Severity.LOW,
    types=LIFECYCLE,
    fix="add a rule for the whole bucket with abortIncompleteMultipartUpload",
)
def abandoned_uploads_end(resource: Resource, context: Context) -> Iterator[str]:
    for entry in resource.inputs.get("rules", []):
        whole = not entry.get("filter", {}).get("prefix") and not entry.get("prefix")
        if whole and entry.get("status") == "Enabled" and "abortIncompleteMultipartUpload" in entry:
            return
    yield "parts of uploads that nobody finished are kept, unseen, and paid for"


@rule(
    Severity.HIGH,
    "Security Hub S3.7",
    types=r"aws:s3/bucketReplicationConfig:BucketReplicationConfig",
    fix="enable the rule and sseKmsEncryptedObjects, and set replicaKmsKeyId and replicationTime",
)
def copies_are_complete_and_encrypted(resource: Resource, context: Context) -> Iterator[str]:
    """BK-10, RO-9."""
    for index, entry in enumerate(resource.inputs.get("rules", [])):
        target = entry.get("destination", {})
        criteria = entry.get("sourceSelectionCriteria", {})
        if entry.get("status") != "Enabled":
            yield f"rules[{index}].status is not Enabled"
        if criteria.get("sseKmsEncryptedObjects", {}).get("status") != "Enabled":
            yield f"rules[{index}] leaves out what a key of KMS encrypts: everything"
        if not target.get("encryptionConfiguration", {}).get("replicaKmsKeyId"):
            yield f"rules[{index}].destination has no replicaKmsKeyId"
        if target.get("replicationTime", {}).get("status") != "Enabled":
            yield f"rules[{index}].destination has no replicationTime: nobody says how late it is"


@rule(
    Severity.MEDIUM,
    types=r"aws:s3/bucketCorsConfiguration:BucketCorsConfiguration",
    fix="name the site's own addresses as allowedOrigins",
)
def bucket_answers_our_pages_only(resource: Resource, context: Context) -> Iterator[str]:
    """PL-7."""
    for index, entry in enumerate(resource.inputs.get("corsRules", [])):
        for origin in entry.get("allowedOrigins", []):
            if "*" in origin or not origin.startswith("https://"):
                yield f"corsRules[{index}].allowedOrigins has {origin}"


@rule(
    Severity.MEDIUM,
    types=SECRET,
    fix="set kmsKeyId to the stack's key, and for each replica to one of its region",
)
def secret_has_our_key(resource: Resource, context: Context) -> Iterator[str]:
    """SC-5."""
    if not resource.inputs.get("kmsKeyId"):
        yield "kmsKeyId is missing: the account's default key can't be withheld from anybody"
    for index, replica in enumerate(resource.inputs.get("replicas", [])):
        if not replica.get("kmsKeyId"):
            yield f"replicas[{index}].kmsKeyId is missing"


@rule(
    Severity.HIGH,
    types=SECRET,
    fix=f"set recoveryWindowInDays to {LEAST_RECOVERY_DAYS} or more, or leave it out",
)
def secret_deletion_can_be_undone(resource: Resource, context: Context) -> Iterator[str]:
    days = resource.inputs.get("recoveryWindowInDays", 30)
    if context.keeps_data and not (isinstance(days, int) and days >= LEAST_RECOVERY_DAYS):
        yield f"recoveryWindowInDays is {days}"


@rule(
    Severity.HIGH,
    types=r"aws:secretsmanager/secretPolicy:SecretPolicy",
    fix="set blockPublicPolicy to true",
)
def secret_policy_is_checked(resource: Resource, context: Context) -> Iterator[str]:
    if resource.inputs.get("blockPublicPolicy") is not True:
        yield "blockPublicPolicy is off: AWS takes a policy that lets everybody read"
