"""AWS Backup of the database: locked vaults in two regions, their schedule, a weekly restore test.

Leaves out point-in-time recovery and its replica, which are RDS's own (rds.py): two owners of the
same backups would change each other's settings. Leaves out who hears of a failed job.
"""

import json
from dataclasses import dataclass

import pulumi
from pulumi_aws import backup, iam

from components.aws.backup_config import BackupRule, VaultConfig, VaultLock
from components.aws.config import AwsConfig
from components.aws.kms import encryption_key
from components.aws.service_role import service_role

MANAGED = "arn:aws:iam::aws:policy/service-role/AWSBackupServiceRolePolicyFor"
# Whoever may do one of these can make recovery points vanish, at once or by another of them.
# AWS Backup knows no wildcard here.
GUARDED = (
    "backup:DeleteBackupVault",
    "backup:DeleteBackupVaultAccessPolicy",
    "backup:DeleteBackupVaultLockConfiguration",
    "backup:DeleteRecoveryPoint",
    "backup:DisassociateRecoveryPoint",
    "backup:PutBackupVaultAccessPolicy",
    "backup:PutBackupVaultLockConfiguration",
    "backup:UpdateRecoveryPointLifecycle",
)
TEST_WINDOW_DAYS = 7
"""How old the point may be that is restored; the newest one within is taken."""


@dataclass(frozen=True, kw_only=True)
class BackupVaultArgs:
    config: VaultConfig
    aws: AwsConfig
    recovery: pulumi.ProviderResource | None
    """Provider of the region that gets copies; None where none are made."""
    instance_name: str
    """Name of the database's instance."""
    instance_arn: pulumi.Input[str]
    subnet_group: pulumi.Input[str]
    """Where a copy is restored to for a test, as the database itself."""
    security_group_id: pulumi.Input[str]
    keep_data: bool = True
    """Whether the vaults outlive this component; by default so."""


class BackupVault(pulumi.ComponentResource):
    def __init__(
        self, name: str, args: BackupVaultArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:BackupVault", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        # Holds no data, and changes or is replaced with its content.
        self._replaceable = pulumi.ResourceOptions(parent=self, protect=False)
        self._tags = {"nextstack/component": name}
        home = self._vault("home", self._child)
        copies = None
        if args.config.copies:
            there = pulumi.ResourceOptions(provider=args.recovery)
            copies = self._vault("recovery", pulumi.ResourceOptions.merge(self._child, there))
        self._plan(home, copies)
        if args.config.test:
            self._restore_test(home)
        self.register_outputs({"vault": home.name})

    def _vault(self, where: str, opts: pulumi.ResourceOptions) -> backup.Vault:
        """A vault with a key of its own, which only the break-glass role can empty (BK-22)."""
        key = encryption_key(
            f"{self._name}-{where}",
            f"recovery points of {self._args.instance_name}",
            self._args.aws.account_id,
            self._tags,
            opts,
        )
        vault = backup.Vault(
            f"{self._name}-{where}",
            name=self._args.config.name,
            kms_key_arn=key.arn,
            force_destroy=False,
            tags=self._tags,
            opts=pulumi.ResourceOptions.merge(
                opts, pulumi.ResourceOptions(retain_on_delete=self._args.keep_data)
            ),
        )
        locks = self._lock(where, vault, opts)
        backup.VaultPolicy(
            f"{self._name}-{where}",
            backup_vault_name=vault.name,
            policy=json.dumps(guard(self._args.aws.account_id, self._args.config.break_glass_role)),
            # Last, because it forbids the deployment to change the lock, too.
            opts=pulumi.ResourceOptions.merge(
                opts,
                pulumi.ResourceOptions(depends_on=locks, retain_on_delete=self._args.keep_data),
            ),
        )
        return vault

    def _lock(
        self, where: str, vault: backup.Vault, opts: pulumi.ResourceOptions
    ) -> list[pulumi.Resource]:
        config = self._args.config
        if config.lock is VaultLock.NONE:
            return []
        compliance = config.lock is VaultLock.COMPLIANCE
        return [
            backup.VaultLockConfiguration(
                f"{self._name}-{where}",
                backup_vault_name=vault.name,
                # Its absence is what makes the lock one of governance.
                changeable_for_days=config.lock_changeable_days if compliance else None,
                min_retention_days=config.lock_min_days,
                max_retention_days=config.lock_max_days,
                opts=pulumi.ResourceOptions.merge(
                    opts, pulumi.ResourceOptions(retain_on_delete=self._args.keep_data)
                ),
            )
        ]

    def _role(self, purpose: str, policy: str) -> iam.Role:
        """What AWS Backup works as, with AWS's own list of rights for it."""
        # Without the account: AWS Backup is not documented to send one, and no other account can
        # hand this role to it.
        role = service_role(
            f"{self._name}-{purpose}",
            "backup.amazonaws.com",
            f"lets AWS Backup {purpose} {self._args.instance_name}",
            self._tags,
            self._replaceable,
        )
        iam.RolePolicyAttachment(
            f"{self._name}-{purpose}",
            role=role.name,
            policy_arn=f"{MANAGED}{policy}",
            opts=self._replaceable,
        )
        return role

    def _plan(self, home: backup.Vault, copies: backup.Vault | None) -> None:
        args = self._args
        plan = backup.Plan(
            f"{self._name}-plan",
            rules=[self._rule(rule, home, copies) for rule in args.config.rules],
            tags=self._tags,
            opts=self._replaceable,
        )
        backup.Selection(
            f"{self._name}-database",
            plan_id=plan.id,
            iam_role_arn=self._role("back-up", "Backup").arn,
            resources=[args.instance_arn],
            opts=self._replaceable,
        )

    def _rule(
        self, rule: BackupRule, home: backup.Vault, copies: backup.Vault | None
    ) -> backup.PlanRuleArgsDict:
        config = self._args.config
        return {
            "rule_name": rule.name,
            "target_vault_name": home.name,
            "schedule": rule.schedule,
            "schedule_expression_timezone": "Etc/UTC",
            "start_window": config.start_minutes,
            "completion_window": config.completion_minutes,
            # RDS owns point-in-time recovery (BK-1); two owners change each other's retention.
            "enable_continuous_backup": False,
            # No cold storage: it takes no points of RDS (S-6).
            "lifecycle": {"delete_after": rule.keep_days},
            "copy_actions": [
                {
                    "destination_vault_arn": copies.arn,
                    "lifecycle": {"delete_after": rule.copy_keep_days},
                }
            ]
            if copies and rule.copy_keep_days
            else [],
            "recovery_point_tags": self._tags,
        }

    def _restore_test(self, home: backup.Vault) -> None:
        """Restores the newest point each week, measures it, and takes the copy away (BK-15)."""
        args, config = self._args, self._args.config
        # AWS takes 50 letters, digits and underscores, and no other name later.
        name = args.instance_name.replace("-", "_")
        plan = backup.RestoreTestingPlan(
            f"{self._name}-restore-test",
            name=name,
            schedule_expression=config.test_schedule,
            schedule_expression_timezone="Etc/UTC",
            start_window_hours=config.test_start_hours,
            recovery_point_selection={
                "algorithm": "LATEST_WITHIN_WINDOW",
                "include_vaults": [home.arn],
                "recovery_point_types": ["SNAPSHOT"],
                "selection_window_days": TEST_WINDOW_DAYS,
            },
            tags=self._tags,
            opts=self._replaceable,
        )
        backup.RestoreTestingSelection(
            f"{self._name}-restore-test",
            name=name,
            restore_testing_plan_name=plan.name,
            iam_role_arn=self._role("restore", "Restores").arn,
            protected_resource_type="RDS",
            protected_resource_arns=[args.instance_arn],
            # Else it goes to the account's default network, where there may be none (e8).
            restore_metadata_overrides={
                "dbSubnetGroupName": args.subnet_group,
                "vpcSecurityGroupIds": pulumi.Output.json_dumps([args.security_group_id]),
            },
            validation_window_hours=config.test_validation_hours,
            opts=self._replaceable,
        )


def guard(account_id: str, role: str) -> dict[str, object]:
    """Forbids everybody but one role to delete recovery points, or to lift this rule."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "BreakGlassOnly",
                "Effect": "Deny",
                "Principal": "*",
                "Action": list(GUARDED),
                "Resource": "*",
                "Condition": {
                    "ArnNotEquals": {"aws:PrincipalArn": f"arn:aws:iam::{account_id}:role/{role}"}
                },
            }
        ],
    }
