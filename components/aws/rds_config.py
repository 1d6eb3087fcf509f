"""Knobs of PostgreSQL on RDS, and the server settings made of them.

Creates no resources, and leaves out pulumi_aws: stacks without AWS read this file too.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from cryptography import x509

from components.aws.config import (
    LOG_RETENTION_DAYS,
    DailyWindow,
    WeeklyWindow,
    refused_windows,
)
from components.postgres_config import PostgresConfig
from components.schedule import Weekday
from components.stack_config import out_of_range, refuse

ROOT = Path(__file__).parent.parent.parent
MAJORS = ("17", "18")
# Below, a gp3 volume has 3000 IOPS and 125 MiB/s, and RDS refuses other numbers (e3).
STRIPED_GIB = 400
INSIGHTS_DAYS = {"standard": 7, "advanced": 465}
"""What each mode of Database Insights keeps; AWS accepts no less for `advanced`."""
# RDS for PostgreSQL reads these only when the server starts; `immediate` would be refused.
STATIC_PARAMETERS = ("max_connections", "shared_preload_libraries")
RDS_RPO_MINUTES = 5
"""How old the newest point is that RDS can restore: it saves its log every five minutes."""
SAMPLE_AUTHORITY = "nextstack sample"
# Automated backups, replicated or of a deleted instance: region, account, and RDS's own id.
COPIED = re.compile(r"arn:aws:rds:([a-z0-9-]+):(\d{12}):auto-backup:ab-[a-z0-9]+")
# A snapshot of our own, of RDS (rds:) or of AWS Backup (awsbackup:), or any of them by its ARN.
SNAPSHOT = re.compile(
    r"(arn:aws:rds:[a-z0-9-]+:\d{12}:snapshot:)?((rds|awsbackup):)?[A-Za-z][A-Za-z0-9:-]{0,254}"
)
INSTANCE = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,62}")


class InsightsMode(StrEnum):
    STANDARD = "standard"
    ADVANCED = "advanced"


@dataclass(frozen=True, kw_only=True)
class RdsConfig:
    instance_name: str
    engine_version: str
    instance_class: str
    multi_az: bool
    storage_gib: int
    max_storage_gib: int
    iops: int
    throughput_mibps: int
    ca_file: str
    backup_retention_days: int
    backup_time: str
    backup_minutes: int
    replicate_backups: bool
    migration_keep_days: int
    maintenance_day: Weekday
    maintenance_time: str
    maintenance_minutes: int
    read_replicas: int
    monitoring_interval_s: int
    insights_mode: InsightsMode
    log_retention_days: int
    restore_snapshot: str
    restore_source: str
    restore_time: str

    def __post_init__(self) -> None:
        refuse(
            [
                *_names(self),
                *_numbers(self),
                *_storage(self),
                *_restore(self),
                *refused_windows(
                    "backup_time",
                    DailyWindow(self.backup_time, self.backup_minutes),
                    "maintenance_time",
                    WeeklyWindow(
                        self.maintenance_day, self.maintenance_time, self.maintenance_minutes
                    ),
                    30,
                ),
            ]
        )

    @property
    def backup_window(self) -> DailyWindow:
        return DailyWindow(self.backup_time, self.backup_minutes)

    @property
    def maintenance_window(self) -> WeeklyWindow:
        return WeeklyWindow(self.maintenance_day, self.maintenance_time, self.maintenance_minutes)

    @property
    def restores_a_copy(self) -> bool:
        """Whether the new instance comes from backups without their instance (RO-7)."""
        return COPIED.fullmatch(self.restore_source) is not None

    @property
    def family(self) -> str:
        """Of the parameter group: one for each major version."""
        return f"postgres{self.engine_version.split('.')[0]}"


def _names(config: RdsConfig) -> list[str]:
    problems: list[str] = []
    name = config.instance_name
    # 50 of RDS's 63 characters: replicas and the final snapshot append to it.
    well_formed = re.fullmatch(r"[a-z][a-z0-9-]{0,49}", name) and "--" not in name
    if name and (not well_formed or name.endswith("-")):
        problems.append(
            f"instance_name is malformed: got {name!r}, allowed at most 50 of a-z, 0-9 and single "
            "inner hyphens, starting with a letter"
        )
    if config.engine_version.split(".")[0] not in MAJORS or not re.fullmatch(
        r"\d+(\.\d+)?", config.engine_version
    ):
        problems.append(
            f"engine_version is not supported: got {config.engine_version!r}, allowed "
            f"{' or '.join(MAJORS)}, alone or with a minor version"
        )
    if not re.fullmatch(r"db\.[a-z0-9]+(\.[a-z0-9-]+)+", config.instance_class):
        problems.append(
            f"instance_class is malformed: got {config.instance_class!r}, allowed such as "
            "db.m7g.large"
        )
    return problems


def _numbers(config: RdsConfig) -> list[str]:
    ranges = {
        "storage_gib": (20, 65_536, "RDS makes no smaller gp3 volume"),
        "max_storage_gib": (20, 65_536, "where automatic growth ends"),
        "backup_retention_days": (1, 35, "0 would switch point-in-time recovery off"),
        "migration_keep_days": (1, 35, "AWS keeps at most 100 snapshots of this kind a region"),
        "read_replicas": (0, 5, "DB-12"),
    }
    problems = out_of_range(config, ranges)
    choices = {
        "monitoring_interval_s": (1, 5, 10, 15, 30, 60),
        "log_retention_days": LOG_RETENTION_DAYS,
    }
    problems += [
        f"{name} is not offered by AWS: got {getattr(config, name)}, allowed "
        f"{', '.join(map(str, allowed))}"
        for name, allowed in choices.items()
        if getattr(config, name) not in allowed
    ]
    return problems


def _storage(config: RdsConfig) -> list[str]:
    problems: list[str] = []
    # RDS asks for a tenth more than there is.
    least = config.storage_gib + -(-config.storage_gib // 10)
    if config.max_storage_gib < least:
        problems.append(
            f"max_storage_gib is too small: got {config.max_storage_gib}, allowed {least} or more, "
            f"a tenth above rdsStorageGib {config.storage_gib}; a full volume stops the database"
        )
    for name, value, low, high in (
        ("iops", config.iops, 12_000, 64_000),
        ("throughput_mibps", config.throughput_mibps, 500, 4000),
    ):
        if value and config.storage_gib < STRIPED_GIB:
            problems.append(
                f"{name} cannot be chosen: got {value} with rdsStorageGib {config.storage_gib}, "
                f"allowed 0 below {STRIPED_GIB} GiB, where gp3 is fixed at 3000 IOPS and 125 MiB/s"
            )
        elif value and not low <= value <= high:
            problems.append(
                f"{name} is out of range: got {value}, allowed 0 for what is included, or {low} "
                f"to {high}"
            )
    if config.throughput_mibps and config.iops and config.throughput_mibps * 4 > config.iops:
        problems.append(
            f"throughput_mibps is too high: got {config.throughput_mibps}, allowed a quarter of "
            f"rdsIops {config.iops}"
        )
    return problems


def _restore(config: RdsConfig) -> list[str]:
    problems: list[str] = []
    if config.restore_snapshot and config.restore_source:
        problems.append(
            "restore_snapshot and rdsRestoreSource are both set, allowed one of them; a new "
            "instance has one origin"
        )
    if bool(config.restore_source) != bool(config.restore_time):
        problems.append(
            f"restore_time and rdsRestoreSource go together: got {config.restore_time!r} and "
            f"{config.restore_source!r}, allowed both or none; the time may be `latest`"
        )
    if config.restore_time not in ("", "latest") and not _is_utc(config.restore_time):
        problems.append(
            f"restore_time is no time: got {config.restore_time!r}, allowed latest, or UTC such "
            "as 2026-05-04T03:02:01Z"
        )
    if config.restore_source and not (
        config.restores_a_copy or INSTANCE.fullmatch(config.restore_source)
    ):
        problems.append(
            f"restore_source is malformed: got {config.restore_source!r}, allowed the name of an "
            "instance, or the ARN of its automated backups in this region, "
            "arn:aws:rds:REGION:ACCOUNT:auto-backup:ab-..."
        )
    if config.restore_snapshot and not SNAPSHOT.fullmatch(config.restore_snapshot):
        problems.append(
            f"restore_snapshot is malformed: got {config.restore_snapshot!r}, allowed the name of "
            "a snapshot in this region, or its ARN"
        )
    if config.restore_source and config.restore_source == config.instance_name:
        problems.append(
            f"restore_source is the instance itself: got {config.restore_source!r}; a restore "
            "makes a new one, so change rdsInstanceName, and the damaged one is kept (BK-18)"
        )
    return problems


def foreign_copy(config: RdsConfig, region: str, account_id: str) -> list[str]:
    """RDS restores automated backups only where they are."""
    found = COPIED.fullmatch(config.restore_source)
    if not found or found.groups() == (region, account_id):
        return []
    return [
        f"rds_restore_source is elsewhere: got {config.restore_source}, allowed backups in "
        f"awsRegion {region} of account {account_id}; a restore in the recovery region is a stack "
        "whose awsRegion it is (docs/recovery.md)"
    ]


def _is_utc(text: str) -> bool:
    try:
        datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return False
    return True


def authorities(ca_file: str) -> tuple[str, list[str]]:
    """The PEM certificates in `ca_file`, relative to the program, and what is wrong with it."""
    path = ROOT / ca_file
    if not ca_file or not path.is_file():
        return "", [f"got {ca_file!r}, which is no file"]
    text = path.read_text()
    try:
        x509.load_pem_x509_certificates(text.encode())
    except ValueError as error:
        return "", [f"got {ca_file!r}, which holds no PEM certificates ({error})"]
    return text, []


def is_sample(bundle: str) -> bool:
    """Whether `bundle` is what this repository came with instead of Amazon's authorities."""
    return any(
        SAMPLE_AUTHORITY in certificate.subject.rfc4514_string()
        for certificate in x509.load_pem_x509_certificates(bundle.encode())
    )


def parameters(config: PostgresConfig) -> dict[str, str]:
    """The server's settings; whatever is not here has the default of RDS."""
    return {
        "rds.force_ssl": "1",
        "ssl_min_protocol_version": "TLSv1.3",
        "rds.accepted_password_auth_method": "scram",
        # Set, because the pool's budget (PO-3) counts on it; RDS derives it from the memory.
        "max_connections": str(config.max_connections),
        "shared_preload_libraries": "pg_stat_statements",
        "log_min_duration_statement": str(config.log_min_duration_ms),
        "idle_in_transaction_session_timeout": str(config.idle_in_transaction_timeout_ms),
        "log_lock_waits": "1",
    }


def apply_method(parameter: str) -> str:
    return "pending-reboot" if parameter in STATIC_PARAMETERS else "immediate"
