"""The recovery contract: what a stack promises about lost data and time (BK-19).

Leaves out how a promise is kept: here is only what has to be there for it, and that the rest is
somebody else's.
"""

from dataclasses import dataclass
from enum import StrEnum

from components.aws.backup_config import VaultConfig
from components.aws.config import AwsConfig
from components.aws.rds_config import RdsConfig
from components.backend_config import BackendConfig, CacheBackend, DatabaseBackend
from components.backups import BackupConfig
from components.dump_archive import ArchiveConfig
from components.schedule import HOUR, WEEK
from components.stack_config import out_of_range, refuse

LEAST_REGION_RPO = 15
"""Minutes; the copy of the log in the other region lags behind RDS's own five (RO-7)."""
LEAST_REGION_RTO = 120
"""Minutes to build everything anew in another region from copies of the data (RO-7, S-15)."""
CACHE_RPO = 24 * 60
"""Minutes between two snapshots of a cache on ElastiCache (S-16)."""


class DrMode(StrEnum):
    """What is ready for the loss of the whole region."""

    NONE = "none"
    BACKUP = "backup"
    WARM = "warm"


@dataclass(frozen=True, kw_only=True)
class RecoveryConfig:
    rpo_minutes: int
    rto_minutes: int
    retention_days: int

    def __post_init__(self) -> None:
        ranges = {
            "rpo_minutes": (1, 10_080, "minutes of data that a disaster may cost"),
            "rto_minutes": (1, 10_080, "minutes that a restore may take"),
            "retention_days": (1, 3650, "days that a backup can be gone back to"),
        }
        refuse(out_of_range(self, ranges))


@dataclass(frozen=True, kw_only=True)
class DrConfig:
    mode: DrMode
    rpo_minutes: int
    rto_minutes: int

    def __post_init__(self) -> None:
        problems: list[str] = []
        if self.mode is DrMode.WARM:
            problems.append(
                "mode is not built: got warm, allowed none or backup; a stack that stands by needs "
                "a database that follows this one and the same secrets, which the program does not "
                "keep in step over regions; choose backup, and rehearse the restore of "
                "docs/recovery.md, which takes 2 h instead of 30 minutes"
            )
        if self.mode is DrMode.BACKUP:
            ranges = {
                "rpo_minutes": (LEAST_REGION_RPO, 10_080, "the copy lags behind the original"),
                "rto_minutes": (LEAST_REGION_RTO, 10_080, "everything is built anew"),
            }
            problems += out_of_range(self, ranges)
        refuse(problems)


def region_loss(
    backend: BackendConfig,
    dr: DrConfig,
    aws: AwsConfig,
    rds: RdsConfig,
    archive: ArchiveConfig,
    backup: BackupConfig,
) -> list[str]:
    """Who promises to outlive the region keeps the database elsewhere, too (BK-21, RO-7)."""
    if dr.mode is not DrMode.BACKUP:
        return []
    if backend.database is not DatabaseBackend.RDS:
        return _kept_by_archive(dr, archive, backup)
    if aws.recovery_region and rds.replicate_backups:
        return []
    return [
        f"dr_mode cannot be kept: got backup with awsRecoveryRegion {aws.recovery_region!r} and "
        f"rdsReplicateBackups {str(rds.replicate_backups).lower()}, allowed a region and true; "
        "without copies elsewhere the database goes with its region"
    ]


def _kept_by_archive(dr: DrConfig, archive: ArchiveConfig, backup: BackupConfig) -> list[str]:
    """Of other databases only the copies of our own dumps are elsewhere (BK-6)."""
    if not archive.enabled:
        return [
            "dr_mode cannot be kept: got backup with archiveEnabled false, allowed true; of a "
            "database that is not on RDS only the copies of its dumps are elsewhere"
        ]
    interval = backup.interval_hours * HOUR if archive.daily else WEEK
    if dr.rpo_minutes >= interval:
        return []
    return [
        f"dr_rpo_minutes cannot be kept: got {dr.rpo_minutes}, allowed {interval} or more, the "
        "time between two dumps that are copied elsewhere"
    ]


def contract(
    recovery: RecoveryConfig,
    dr: DrConfig,
    backend: BackendConfig,
    aws: AwsConfig,
    vault: VaultConfig,
) -> dict[str, object]:
    """What a person needs in a disaster."""
    saved = vault.used and backend.database is DatabaseBackend.RDS
    promised: dict[str, object] = {
        "rpoMinutes": recovery.rpo_minutes,
        "rtoMinutes": recovery.rto_minutes,
        "retentionDays": recovery.retention_days,
        "regionLoss": {"mode": dr.mode.value},
        "weeklyDays": vault.weekly_keep_days if saved else 0,
        "vault": vault.name if saved else "",
        "notControlled": [
            f"{what}: snapshots, point-in-time recovery and copies are its operator's"
            for what, external in (
                ("database", backend.database is DatabaseBackend.EXTERNAL),
                ("cache", backend.cache is CacheBackend.EXTERNAL),
            )
            if external
        ],
    }
    if dr.mode is DrMode.BACKUP:
        promised["regionLoss"] = {
            "mode": dr.mode.value,
            "region": aws.recovery_region,
            "rpoMinutes": dr.rpo_minutes,
            "rtoMinutes": dr.rto_minutes,
        }
    if backend.cache is CacheBackend.ELASTICACHE:
        promised["cacheRpoMinutes"] = CACHE_RPO
    return promised
