"""The whole stack's configuration, and what must hold between its parts."""

import re
from dataclasses import dataclass, field

import pulumi

from components.app_config import AppConfig
from components.backups import BackupConfig
from components.environment import EnvironmentConfig
from components.generated_secrets import SecretsConfig
from components.image import unfixed
from components.nginx_config import NginxConfig
from components.pgbouncer import TEST_POOL_SIZE, PgBouncerConfig
from components.postgres import PostgresConfig
from components.recovery import RecoveryConfig
from components.redis_settings import RedisConfig
from components.schedule import DAY, DAYS, Period, every_hours, weekly
from components.sql_maintenance import MaintenanceConfig
from components.stack_config import UNPREFIXED, Check, refuse

# RFC 1123: labels of letters, digits and inner hyphens; an optional port for development.
DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*(:\d{1,5})?")
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

# Kubernetes: a label's value, which also fits an AWS tag.
LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class SiteConfig:
    domain: str
    https: bool
    image: str
    deployment_version: str
    owner: str
    cost_centre: str
    protect_data: bool
    cluster_identifier: str
    kube_context: str
    namespace: str

    def __post_init__(self) -> None:
        problems: list[str] = []
        if not DOMAIN.fullmatch(self.domain):
            problems.append(
                f"domain is malformed: got {self.domain!r}, allowed a host such as "
                "shop.example.com or localhost:3000; leave out the scheme and the path"
            )
        if not NAME.fullmatch(self.namespace):
            problems.append(
                f"namespace is malformed: got {self.namespace!r}, allowed a-z, 0-9 and inner "
                "hyphens, at most 63 characters"
            )
        problems += [
            f"{name} is no label: got {value!r}, allowed letters, digits, - _ and . inside, at "
            "most 63 characters"
            for name, value in (("owner", self.owner), ("cost_centre", self.cost_centre))
            if not LABEL.fullmatch(value)
        ]
        if not self.cluster_identifier:
            problems.append("cluster_identifier is empty; name the cluster, whatever its address")
        if self.image:
            problems += unfixed("image", self.image)
        if self.image and self.deployment_version in ("", "latest"):
            problems.append(
                f"deployment_version is not a version: got {self.deployment_version!r}, allowed "
                "the commit that the image was built from"
            )
        refuse(problems)

    @property
    def labels(self) -> dict[str, str]:
        """What every object of the stack carries (PL-9)."""
        return {
            "nextstack/project": pulumi.get_project(),
            "nextstack/stack": pulumi.get_stack(),
            "nextstack/owner": self.owner,
            "nextstack/cost-centre": self.cost_centre,
        }

    @property
    def url(self) -> str:
        """Address of the site."""
        return f"{'https' if self.https else 'http'}://{self.domain}"


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    site: SiteConfig = field(metadata=UNPREFIXED)
    secrets: SecretsConfig = field(metadata=UNPREFIXED)
    environment: EnvironmentConfig = field(metadata=UNPREFIXED)
    app: AppConfig
    nginx: NginxConfig
    redis: RedisConfig
    postgres: PostgresConfig
    pool: PgBouncerConfig
    backup: BackupConfig
    recovery: RecoveryConfig
    sql_maintenance: MaintenanceConfig

    @staticmethod
    def checks() -> list[Check]:
        """What must hold between parts; a parameter's name is that of its part."""
        return [
            connection_budget,
            wait_limits,
            pool_clients,
            rolling,
            api_timeout,
            recovery_contract,
            meeting_schedules,
        ]


def connection_budget(pool: PgBouncerConfig, postgres: PostgresConfig) -> list[str]:
    """Poolers with the one more of a roll-out, people and jobs fit into the server (PO-3)."""
    size = pool.size + (TEST_POOL_SIZE if postgres.test_database else 0)
    needed = (pool.replicas + 1) * size + pool.reserve + pool.direct_clients
    allowed = postgres.max_connections * pool.max_connections_percent // 100
    if needed <= allowed:
        return []
    return [
        f"pool_size is too large: got {pool.size}, which needs ({pool.replicas} + 1) x {size} + "
        f"{pool.reserve} + {pool.direct_clients} = {needed} server connections, allowed {allowed}, "
        f"{pool.max_connections_percent} % of postgresMaxConnections {postgres.max_connections}; "
        "lower poolSize or poolReplicas, or raise postgresMaxConnections"
    ]


def wait_limits(
    pool: PgBouncerConfig, postgres: PostgresConfig, environment: EnvironmentConfig
) -> list[str]:
    """The innermost limit fires first, so that its message is the one that is seen (S-9)."""
    problems: list[str] = []
    if pool.query_wait_timeout_s * 1000 >= postgres.statement_timeout_ms:
        problems.append(
            f"pool_query_wait_timeout_s is too long: got {pool.query_wait_timeout_s}, allowed less "
            f"than postgresStatementTimeoutMs {postgres.statement_timeout_ms}; waiting for a "
            "connection has to end before the statement would"
        )
    timeout = environment.plain("DATABASE_TIMEOUT")
    if timeout != str(postgres.statement_timeout_ms):
        problems.append(
            f"postgres_statement_timeout_ms differs from DATABASE_TIMEOUT: got "
            f"{postgres.statement_timeout_ms} and {timeout}, allowed the same number; change both"
        )
    return problems


def pool_clients(
    app: AppConfig, pool: PgBouncerConfig, environment: EnvironmentConfig
) -> list[str]:
    """All pods' connections are accepted even while one pooler is away."""
    each = environment.plain("DATABASE_POOL_SIZE")
    needed = app.most_pods * int(each)
    if needed <= pool.max_clients:
        return []
    return [
        f"pool_max_clients is too small: got {pool.max_clients}, allowed {needed} or more, "
        f"{app.most_pods} pods with DATABASE_POOL_SIZE {each}; raise it, or lower one of these"
    ]


def rolling(app: AppConfig, nginx: NginxConfig) -> list[str]:
    """A stopping pod serves until nginx has no connection to it and knows it no more (WB-3)."""
    # 5 s is the life of a pod's address in the cluster's DNS (CoreDNS, plugin kubernetes).
    needed = max(nginx.upstream_connection_life_s, 5 + nginx.dns_valid_s)
    if app.pre_stop_s > needed:
        return []
    return [
        f"app_pre_stop_s is too short: got {app.pre_stop_s}, allowed more than {needed}, the "
        f"greater of nginxUpstreamConnectionLifeS {nginx.upstream_connection_life_s} and "
        f"nginxDnsValidS {nginx.dns_valid_s} + 5 s in the cluster's DNS; else requests are lost "
        "in each roll-out"
    ]


def api_timeout(nginx: NginxConfig, environment: EnvironmentConfig) -> list[str]:
    """The database gives up no later than nginx, which does not know the cause (S-9)."""
    timeout = int(environment.plain("DATABASE_TIMEOUT"))
    if timeout <= nginx.api_timeout_s * 1000:
        return []
    return [
        f"nginx_api_timeout_s is too short: got {nginx.api_timeout_s}, allowed {timeout / 1000:g} "
        "or more, which is DATABASE_TIMEOUT; change either"
    ]


def recovery_contract(recovery: RecoveryConfig, backup: BackupConfig) -> list[str]:
    """A database with nothing but dumps can promise no more than they give (BK-19)."""
    problems: list[str] = []
    interval = backup.interval_hours * 60
    if recovery.rpo_minutes < interval:
        problems.append(
            f"recovery_rpo_minutes cannot be kept: got {recovery.rpo_minutes}, allowed {interval} "
            "or more, the time between two dumps; lower backupIntervalHours, or use a managed "
            "database for less than 60"
        )
    if recovery.rto_minutes < backup.verify_deadline_minutes:
        problems.append(
            f"recovery_rto_minutes is not proven: got {recovery.rto_minutes}, allowed "
            f"{backup.verify_deadline_minutes} or more, what the restore test may take; lower "
            "backupVerifyDeadlineMinutes"
        )
    if recovery.retention_days > backup.keep_days:
        problems.append(
            f"recovery_retention_days cannot be kept: got {recovery.retention_days}, allowed at "
            f"most backupKeepDays {backup.keep_days}; raise backupKeepDays"
        )
    scheduled = recovery.retention_days * 24 // backup.interval_hours
    if backup.keep_count < scheduled:
        problems.append(
            f"backup_keep_count is too small: got {backup.keep_count}, allowed {scheduled} or "
            f"more, the dumps of recoveryRetentionDays {recovery.retention_days}; each migration "
            "takes one more"
        )
    return problems


def meeting_schedules(backup: BackupConfig, sql_maintenance: MaintenanceConfig) -> list[str]:
    """Weekly SQL keeps clear of dumps and of the restore test, which all want the disk (BK-14)."""
    sql = weekly(sql_maintenance.day, sql_maintenance.time, sql_maintenance.deadline_minutes)
    test = weekly(backup.verify_day, backup.verify_time, backup.verify_deadline_minutes)
    dumps = [
        Period(number * DAY + minute, 1)
        for number in range(len(DAYS))
        for minute in every_hours(backup.time, backup.interval_hours)
    ]
    minutes = sql_maintenance.deadline_minutes
    got = f"got {sql_maintenance.day} {sql_maintenance.time} for {minutes} minutes"
    problems: list[str] = []
    if sql.meets(test):
        problems.append(
            f"sql_maintenance_time meets the restore test: {got}, allowed any time but "
            f"{backup.verify_day} {backup.verify_time} and {backup.verify_deadline_minutes} "
            "minutes from there; move one of them"
        )
    if any(sql.meets(dump) for dump in dumps):
        problems.append(
            f"sql_maintenance_time meets a dump: {got}, allowed a time between two dumps, which "
            f"start at {backup.time} UTC and every {backup.interval_hours} h; move or shorten it"
        )
    return problems
