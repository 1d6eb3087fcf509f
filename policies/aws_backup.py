"""AWS Backup, and snapshots of databases: what is saved is kept, elsewhere too, and proven.

Leaves out the backups that a database or a cache takes itself (aws_database.py).
"""

from collections.abc import Iterator
from typing import Any

from policies.aws_database import INSTANCE, is_replica
from policies.aws_platform import belonging, statements
from policies.rule import UNKNOWN, Context, Resource, Severity, rule

VAULT = "aws:backup/vault:Vault"
VAULT_POLICY = "aws:backup/vaultPolicy:VaultPolicy"
PLAN = "aws:backup/plan:Plan"
SELECTION = "aws:backup/selection:Selection"
TEST = "aws:backup/restoreTestingSelection:RestoreTestingSelection"
SNAPSHOT = "aws:rds/snapshot:Snapshot"
KEPT_FROM_DELETION = {
    "backup:DeleteRecoveryPoint",
    "backup:PutBackupVaultAccessPolicy",
    "backup:UpdateRecoveryPointLifecycle",
}
"""What AWS Config asks a vault's policy to deny."""
COLD_DAYS = 90
"""What AWS keeps, and bills, in cold storage at least."""


def is_kept(resource: Resource, context: Context) -> bool:
    """Whether a production promises to have the database again, whatever happens."""
    return context.stage == "production" and not is_replica(resource)


@rule(
    Severity.MEDIUM,
    "FSBP Backup.1",
    types=VAULT,
    fix="set kmsKeyArn to the stack's key",
)
def backups_are_encrypted_with_our_key(resource: Resource, context: Context) -> Iterator[str]:
    if not resource.inputs.get("kmsKeyArn"):
        yield "kmsKeyArn is missing: the account's default key can't be shared or revoked"


@rule(
    Severity.HIGH,
    "AWS Config backup-recovery-point-manual-deletion-disabled",
    types=VAULT,
    across=True,
    fix="add a VaultPolicy that denies deletion to everybody but a break-glass role",
)
def vault_refuses_deletion(resource: Resource, context: Context) -> Iterator[str]:
    """BK-22."""
    policies = [p.inputs.get("policy") for p in belonging(resource, context, VAULT_POLICY)]
    if any(isinstance(policy, str) and UNKNOWN in policy for policy in policies):
        return
    denied = {
        action
        for policy in policies
        for statement in statements(policy)
        if statement.get("Effect") == "Deny" and statement.get("Principal") == "*"
        for action in statement.get("Action", [])
    }
    for action in sorted(KEPT_FROM_DELETION - denied):
        yield f"no policy of the vault denies {action}"


@rule(
    Severity.HIGH,
    types=VAULT,
    fix="set forceDestroy to false",
)
def vault_keeps_its_points(resource: Resource, context: Context) -> Iterator[str]:
    if context.keeps_data and resource.inputs.get("forceDestroy", False) is not False:
        yield "forceDestroy: whoever removes the vault removes every recovery point"


def rules(resource: Resource) -> list[dict[str, Any]]:
    return resource.inputs.get("rules", [])


@rule(
    Severity.MEDIUM,
    types=PLAN,
    fix="set schedule, startWindow, completionWindow and lifecycle.deleteAfter of each rule",
)
def backup_plan_windows(resource: Resource, context: Context) -> Iterator[str]:
    for index, entry in enumerate(rules(resource)):
        for key in ("schedule", "startWindow", "completionWindow"):
            if not entry.get(key):
                yield f"rules[{index}].{key} is missing"
        if not entry.get("lifecycle", {}).get("deleteAfter"):
            yield f"rules[{index}].lifecycle.deleteAfter is missing: points are kept for ever"


@rule(
    Severity.MEDIUM,
    types=PLAN,
    fix=f"set deleteAfter to coldStorageAfter + {COLD_DAYS} or more, or leave cold storage out",
)
def cold_storage_pays(resource: Resource, context: Context) -> Iterator[str]:
    """S-6."""
    for index, entry in enumerate(rules(resource)):
        lives = [entry.get("lifecycle", {})]
        lives += [copy.get("lifecycle", {}) for copy in entry.get("copyActions", [])]
        for life in lives:
            cold, end = life.get("coldStorageAfter"), life.get("deleteAfter", 0)
            if cold is not None and end < cold + COLD_DAYS:
                yield f"rules[{index}] moves to cold storage after {cold} of {end} days"


@rule(
    Severity.HIGH,
    types=PLAN,
    fix="set enableContinuousBackup to false; RDS owns point-in-time recovery",
)
def backup_plan_leaves_the_log_to_rds(resource: Resource, context: Context) -> Iterator[str]:
    """BK-1: AWS Backup would take over the retention that the instance declares."""
    for index, entry in enumerate(rules(resource)):
        if entry.get("enableContinuousBackup", False) is not False:
            yield f"rules[{index}].enableContinuousBackup: two owners of one retention"


@rule(
    Severity.HIGH,
    types=PLAN,
    fix="give one rule a copyAction to a vault in another region",
)
def backups_are_copied_away(resource: Resource, context: Context) -> Iterator[str]:
    """BK-5."""
    copied = any(entry.get("copyActions") for entry in rules(resource))
    if context.stage == "production" and not copied:
        yield "no rule has copyActions: the backups are lost with their region"


@rule(
    Severity.MEDIUM,
    "Security Hub RDS.26",
    types=INSTANCE,
    across=True,
    fix="name the instance in a Selection of a backup Plan",
)
def database_is_in_a_backup_plan(resource: Resource, context: Context) -> Iterator[str]:
    """BK-3, BK-5."""
    if is_kept(resource, context) and not belonging(resource, context, SELECTION):
        yield "no backup plan selects it"


@rule(
    Severity.HIGH,
    types=INSTANCE,
    across=True,
    fix="name the instance in a RestoreTestingSelection",
)
def restores_are_tested(resource: Resource, context: Context) -> Iterator[str]:
    """BK-15."""
    if is_kept(resource, context) and not belonging(resource, context, TEST):
        yield "no restore test selects it: backups that were never restored are hopes"


@rule(
    Severity.CRITICAL,
    "FSBP RDS.1",
    types=SNAPSHOT,
    fix="leave sharedAccounts empty",
)
def snapshot_is_private(resource: Resource, context: Context) -> Iterator[str]:
    if "all" in resource.inputs.get("sharedAccounts", []):
        yield "sharedAccounts gives the whole database to everybody"
