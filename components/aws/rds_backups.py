"""What saves a database on RDS beside RDS itself: AWS Backup, and a snapshot before migrations.

Leaves out both of them (backup_vault.py, migration_snapshot.py); here is which of them a stack has.
"""

import pulumi

from components.aws.backup_vault import BackupVault, BackupVaultArgs
from components.aws.migration_snapshot import MigrationSnapshot, MigrationSnapshotArgs
from components.aws.rds import RdsPostgres
from components.aws.regions import Regions
from components.stack import StackConfig


def make_rds_backups(
    config: StackConfig, rds: RdsPostgres, regions: Regions, opts: pulumi.ResourceOptions
) -> list[pulumi.Resource]:
    """Returns what a migration has to wait for; nothing where no migration comes."""
    if config.vault.used:
        BackupVault(
            "vault",
            BackupVaultArgs(
                config=config.vault,
                aws=config.aws,
                recovery=regions.recovery,
                instance_name=config.rds.instance_name,
                instance_arn=rds.arn,
                subnet_group=rds.subnet_group,
                security_group_id=rds.security_group_id,
                keep_data=config.site.protect_data,
            ),
            opts,
        )
    site = config.site
    if not (site.image and config.app.migration_command):
        return []
    snapshot = MigrationSnapshot(
        "migration",
        MigrationSnapshotArgs(
            instance_name=config.rds.instance_name,
            identifier=rds.identifier,
            release={"image": site.image, "version": site.deployment_version},
            keep_days=config.rds.migration_keep_days,
            region=config.aws.region,
            account_id=config.aws.account_id,
        ),
        opts,
    )
    return snapshot.ready
