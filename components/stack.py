"""The whole stack's configuration, and what must hold between its parts."""

import re
from dataclasses import dataclass, field

import pulumi

from components.app_config import AppConfig
from components.aws.backup_config import VaultConfig, vault_needs, vault_windows
from components.aws.ci_access_config import CiConfig
from components.aws.config import AwsConfig
from components.aws.edge_config import CdnConfig, EdgeConfig, cdn_needs, tls_needs, zone_needs
from components.aws.eks_config import CLUSTER_NAME, EksConfig
from components.aws.elasticache_config import ElastiCacheConfig
from components.aws.monitoring_config import BudgetConfig, MonitoringConfig
from components.aws.network_config import NetworkConfig, overlapping, within
from components.aws.rds_config import RDS_RPO_MINUTES, RdsConfig, authorities, foreign_copy
from components.aws.rds_memory import memory_gib
from components.aws.registry_config import RegistryConfig
from components.aws.secrets_copy_config import SecretsCopyConfig
from components.aws.uploads_config import UploadsConfig
from components.backend_config import (
    BackendConfig,
    CacheBackend,
    DatabaseBackend,
    NetworkSource,
)
from components.backups import BackupConfig
from components.contract import Stage
from components.dump_archive import ArchiveConfig
from components.environment import EnvironmentConfig
from components.external_config import ExternalConfig
from components.generated_secrets import SecretsConfig
from components.image import unfixed
from components.namespace import NamespaceArgs
from components.nginx_config import ANY_HOST, NginxConfig
from components.pgbouncer import METRICS_PORT, TEST_POOL_SIZE, PgBouncerConfig
from components.postgres_config import PostgresConfig
from components.recovery import DrConfig, RecoveryConfig, region_loss
from components.redis_settings import RedisConfig
from components.schedule import DAY, DAYS, Period, every_hours, weekly
from components.sql_maintenance import MaintenanceConfig
from components.stack_config import UNPREFIXED, Check, refuse

# RFC 1123: labels of letters, digits and inner hyphens; an optional port for development.
DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*(:\d{1,5})?")
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

# Kubernetes: a label's value, which also fits an AWS tag.
LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")

LEAST_CACHE_MIB = 1024
"""Requirement CA-2."""


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
    metrics_namespace: str

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
        if self.metrics_namespace and not NAME.fullmatch(self.metrics_namespace):
            problems.append(
                f"metrics_namespace is malformed: got {self.metrics_namespace!r}, allowed the "
                "name of a namespace, or nothing"
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
    backend: BackendConfig = field(metadata=UNPREFIXED)
    aws: AwsConfig
    network: NetworkConfig = field(metadata={"prefix": "aws"})
    eks: EksConfig
    rds: RdsConfig
    vault: VaultConfig
    elasticache: ElastiCacheConfig
    external: ExternalConfig
    monitoring: MonitoringConfig
    budget: BudgetConfig
    secrets: SecretsConfig = field(metadata=UNPREFIXED)
    environment: EnvironmentConfig = field(metadata=UNPREFIXED)
    app: AppConfig
    nginx: NginxConfig
    edge: EdgeConfig
    cdn: CdnConfig
    registry: RegistryConfig
    ci: CiConfig
    redis: RedisConfig
    postgres: PostgresConfig
    pool: PgBouncerConfig
    backup: BackupConfig
    archive: ArchiveConfig
    uploads: UploadsConfig
    secrets_copy: SecretsCopyConfig
    recovery: RecoveryConfig
    dr: DrConfig
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
            region_loss,
            vault_needs,
            vault_windows,
            meeting_schedules,
            meeting_windows,
            aws_needs,
            network_needs,
            eks_needs,
            rds_needs,
            elasticache_needs,
            monitoring_needs,
            storage_needs,
            beyond_development,
            edge_needs,
            account_needs,
            external_needs,
        ]

    @property
    def in_namespace(self) -> NamespaceArgs:
        """The stack's namespace, and who may read the metrics of its pods (PO-9)."""
        return NamespaceArgs(
            name=self.site.namespace,
            metrics_namespace=self.site.metrics_namespace,
            metrics_ports=(METRICS_PORT, self.app.port),
        )

    @property
    def prefix(self) -> str:
        """What names that an account has once start with."""
        return f"{pulumi.get_project()}-{pulumi.get_stack()}".replace(".", "-")

    @property
    def own_authority(self) -> bool:
        """Whether the database's certificate comes from an authority that systems do not know."""
        external = self.backend.database is DatabaseBackend.EXTERNAL
        return not external or bool(self.external.database_ca_file)

    @property
    def log_group(self) -> str:
        """Where CloudWatch's add-on puts what the cluster's pods write."""
        default = f"/aws/containerinsights/{self.site.cluster_identifier}/application"
        return self.monitoring.log_group or default

    @property
    def database_gib(self) -> int:
        """How much a restored copy of the database may take."""
        rds = self.backend.database is DatabaseBackend.RDS
        return self.rds.storage_gib if rds else self.postgres.storage_gib


def beyond_development(
    site: SiteConfig,
    environment: EnvironmentConfig,
    backend: BackendConfig,
    postgres: PostgresConfig,
    redis: RedisConfig,
    nginx: NginxConfig,
) -> list[str]:
    """What a stage that other people use may not do without (WB-2, CA-2, PL-7)."""
    if environment.stage is Stage.DEVELOPMENT:
        return []
    problems: list[str] = []
    if not site.https:
        problems.append(
            f"https is off in {environment.stage}: got false, allowed true; sessions would travel "
            "in clear"
        )
    if ANY_HOST in nginx.extra_hosts:
        problems.append(
            f"nginx_extra_hosts takes any host in {environment.stage}: got {ANY_HOST!r}, allowed "
            "names; else somebody else's name gets our pages, and links made of it"
        )
    if postgres.test_database:
        problems.append(
            f"postgres_test_database is on in {environment.stage}: got true, allowed false; tests "
            "belong to development"
        )
    if backend.cache is CacheBackend.CLUSTER and redis.max_memory_mib < LEAST_CACHE_MIB:
        problems.append(
            f"redis_max_memory_mib is too small for {environment.stage}: got "
            f"{redis.max_memory_mib}, allowed {LEAST_CACHE_MIB} or more"
        )
    return problems


def edge_needs(
    site: SiteConfig,
    nginx: NginxConfig,
    edge: EdgeConfig,
    cdn: CdnConfig,
    aws: AwsConfig,
    backend: BackendConfig,
) -> list[str]:
    """The way to nginx is complete: a certificate, a name, a CDN that keeps up (WB-2, DT-1)."""
    return [
        *tls_needs(site.https, nginx, edge),
        *zone_needs(site.domain, site.https, nginx, edge, aws, backend),
        *cdn_needs(nginx, edge, cdn),
    ]


def account_needs(backend: BackendConfig, registry: RegistryConfig, ci: CiConfig) -> list[str]:
    """What is kept in an account needs a stack that has one."""
    if backend.uses_aws:
        return []
    return [
        f"{key} has no account: got {value!r}, allowed nothing unless the stack uses AWS"
        for key, value in (("registry_name", registry.name), ("ci_repository", ci.repository))
        if value
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


def recovery_contract(
    backend: BackendConfig, recovery: RecoveryConfig, backup: BackupConfig, rds: RdsConfig
) -> list[str]:
    """A stack promises no more than its backups give (BK-19).

    RDS has point-in-time recovery; of the others only our own dumps are certain, because the
    program controls no snapshot of a service that somebody else runs.
    """
    problems: list[str] = []
    if recovery.rto_minutes < backup.verify_deadline_minutes:
        problems.append(
            f"recovery_rto_minutes is not proven: got {recovery.rto_minutes}, allowed "
            f"{backup.verify_deadline_minutes} or more, what the restore test may take; lower "
            "backupVerifyDeadlineMinutes"
        )
    if backend.database is DatabaseBackend.RDS:
        return problems + _kept_by_rds(recovery, rds)
    return problems + _kept_by_dumps(recovery, backup)


def _kept_by_rds(recovery: RecoveryConfig, rds: RdsConfig) -> list[str]:
    problems: list[str] = []
    if recovery.rpo_minutes < RDS_RPO_MINUTES:
        problems.append(
            f"recovery_rpo_minutes cannot be kept: got {recovery.rpo_minutes}, allowed "
            f"{RDS_RPO_MINUTES} or more, the age of the newest point that RDS restores"
        )
    if recovery.retention_days > rds.backup_retention_days:
        problems.append(
            f"recovery_retention_days cannot be kept: got {recovery.retention_days}, allowed at "
            f"most rdsBackupRetentionDays {rds.backup_retention_days}; raise it, up to 35"
        )
    return problems


def _kept_by_dumps(recovery: RecoveryConfig, backup: BackupConfig) -> list[str]:
    problems: list[str] = []
    interval = backup.interval_hours * 60
    if recovery.rpo_minutes < interval:
        problems.append(
            f"recovery_rpo_minutes cannot be kept: got {recovery.rpo_minutes}, allowed {interval} "
            "or more, the time between two dumps; lower backupIntervalHours, or use a managed "
            "database for less than 60"
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


def meeting_windows(
    backend: BackendConfig,
    rds: RdsConfig,
    elasticache: ElastiCacheConfig,
    backup: BackupConfig,
    sql_maintenance: MaintenanceConfig,
) -> list[str]:
    """What AWS restarts is not restarted together, nor while SQL or a dump runs on it (BK-14)."""
    if backend.database is not DatabaseBackend.RDS:
        return []
    patching, saving = rds.maintenance_window, rds.backup_window
    sql = weekly(sql_maintenance.day, sql_maintenance.time, sql_maintenance.deadline_minutes)
    dumps = [
        Period(number * DAY + minute, backup.deadline_minutes)
        for number in range(len(DAYS))
        for minute in every_hours(backup.time, backup.interval_hours)
    ]
    problems: list[str] = []
    if backend.cache is CacheBackend.ELASTICACHE and elasticache.maintenance_window.period.meets(
        patching.period
    ):
        problems.append(
            f"elasticache_maintenance_time meets the database's: got "
            f"{elasticache.maintenance_window.text}, allowed no minute of {patching.text}; else "
            "both may restart at once (S-1)"
        )
    if any(sql.meets(window) for window in (patching.period, *saving.periods)):
        problems.append(
            f"sql_maintenance_time meets a window of RDS: got {sql_maintenance.day} "
            f"{sql_maintenance.time} for {sql_maintenance.deadline_minutes} minutes, allowed no "
            f"minute of {patching.text} or of {saving.text} on any day"
        )
    if any(dump.meets(patching.period) for dump in dumps):
        problems.append(
            f"backup_time meets the maintenance of RDS: got {backup.time}, every "
            f"{backup.interval_hours} h for up to {backup.deadline_minutes} minutes, allowed no "
            f"minute of {patching.text}; a restart breaks off a dump"
        )
    return problems


def aws_needs(backend: BackendConfig, aws: AwsConfig) -> list[str]:
    return aws.missing if backend.uses_aws else []


def network_needs(backend: BackendConfig, aws: AwsConfig, network: NetworkConfig) -> list[str]:
    """A network is complete for what lives in it, and in the stack's region (PL-10)."""
    created = backend.aws_network is NetworkSource.CREATED
    problems = network.missing_of_created if created else []
    if created:
        problems += [
            f"aws_zones is elsewhere: got {zone!r}, allowed zones of awsRegion {aws.region}"
            for zone in network.zones
            if zone[:-1] != aws.region
        ]
    if backend.servers_on_aws and not created:
        problems += network.missing_for_servers
    if backend.runs_on_eks and not created:
        problems += network.missing_for_nodes
    clients = network.client_security_group_ids or backend.runs_on_eks
    if backend.servers_on_aws and not clients:
        problems.append(
            "aws_client_security_group_ids is empty, but the stack keeps data on AWS; set those of "
            "the cluster's nodes, or choose clusterSource: eks"
        )
    return problems


def eks_needs(
    backend: BackendConfig, site: SiteConfig, network: NetworkConfig, eks: EksConfig
) -> list[str]:
    """A cluster that can be made, and entered by whoever deploys into it (PL-2)."""
    if not backend.runs_on_eks:
        return []
    problems: list[str] = []
    if not CLUSTER_NAME.fullmatch(site.cluster_identifier):
        problems.append(
            f"cluster_identifier is no name for EKS: got {site.cluster_identifier!r}, allowed at "
            "most 100 letters, digits, - and _"
        )
    if site.kube_context:
        problems.append(
            f"kube_context has no use: got {site.kube_context!r} with clusterSource: eks, whose "
            "kubeconfig the program writes; remove it"
        )
    if not eks.admin_role_arns:
        problems.append(
            "eks_admin_role_arns is empty; name the IAM role that this program runs as, else it "
            "makes a cluster that nobody can enter"
        )
    networks = {
        "awsVpcRange": (network.vpc_range,) if network.vpc_range else (),
        "awsSubnetRanges": network.subnet_ranges,
        "awsPeerRanges": network.peer_ranges,
    }
    for name, ranges in networks.items():
        problems += overlapping("eks_service_range", eks.service_range, name, ranges)
    if backend.aws_network is NetworkSource.CREATED:
        problems += [
            f"eks_private_access_ranges is not let in: got {given}, allowed a part of "
            "awsPeerRanges, which the created network opens to; add it there"
            for given in eks.private_access_ranges
            if not any(within(given, peer) for peer in network.peer_ranges)
        ]
    return problems


def rds_needs(backend: BackendConfig, rds: RdsConfig, aws: AwsConfig) -> list[str]:
    if backend.database is not DatabaseBackend.RDS:
        return []
    problems: list[str] = []
    if not rds.instance_name:
        problems.append("rds_instance_name is empty; name the instance, such as shop-production-1")
    problems += [
        f"rds_ca_file cannot be read: {problem}; fetch "
        "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem into it"
        for problem in authorities(rds.ca_file)[1]
    ]
    if rds.replicate_backups and not aws.recovery_region:
        problems.append(
            "rds_replicate_backups is true without awsRecoveryRegion; name the region, or set it "
            "to false"
        )
    return problems + foreign_copy(rds, aws.region, aws.account_id)


def elasticache_needs(backend: BackendConfig, elasticache: ElastiCacheConfig) -> list[str]:
    if backend.cache is not CacheBackend.ELASTICACHE or elasticache.group_name:
        return []
    return ["elasticache_group_name is empty; name the group, such as shop-production"]


def monitoring_needs(
    site: SiteConfig, backend: BackendConfig, rds: RdsConfig, monitoring: MonitoringConfig
) -> list[str]:
    """What alarms have to know; they are made for stacks on AWS only."""
    if not (monitoring.on and backend.uses_aws):
        return []
    problems: list[str] = []
    if not site.https:
        problems.append(
            f"monitoring_level is {monitoring.level} and https false; the health check asks by "
            "HTTPS; set https, or choose off"
        )
    if backend.database is DatabaseBackend.RDS and memory_gib(rds.instance_class) is None:
        problems.append(
            f"rds_instance_class has an unknown memory: got {rds.instance_class!r}, allowed "
            "classes of the families m, r, t and x, whose alarms know it (AL-16); else choose "
            "monitoringLevel: off"
        )
    return problems


def external_needs(
    backend: BackendConfig, external: ExternalConfig, redis: RedisConfig
) -> list[str]:
    """Every external service has its address and its password."""
    needed: dict[str, tuple[str, str]] = {}
    if backend.database is DatabaseBackend.EXTERNAL:
        needed["database"] = ("external_database_url", external.database_url)
        if external.database_owner_url:
            needed["databaseOwner"] = ("external_database_owner_url", external.database_owner_url)
    if backend.cache is CacheBackend.EXTERNAL:
        needed["cache"] = ("external_cache_url", external.cache_url)
        if redis.queue:
            needed["queue"] = ("external_queue_url", external.queue_url)
    problems = [f"{key} is empty; set the service's URL" for key, url in needed.values() if not url]
    problems += [
        f"external_passwords.{name} is missing; set it with: pulumi config set --secret --path "
        f"externalPasswords.{name} value"
        for name in needed
        if name not in external.passwords
    ]
    if backend.database is DatabaseBackend.EXTERNAL and external.database_ca_file:
        problems += [
            f"external_database_ca_file cannot be read: {problem}"
            for problem in authorities(external.database_ca_file)[1]
        ]
    return problems


def storage_needs(
    backend: BackendConfig,
    aws: AwsConfig,
    archive: ArchiveConfig,
    uploads: UploadsConfig,
    secrets_copy: SecretsCopyConfig,
    backup: BackupConfig,
) -> list[str]:
    """What is kept in S3 and Secrets Manager has an account, and copies have a second region."""
    on_aws = {
        "archive_enabled is true without archiveEndpoint": archive.makes_bucket,
        "uploads_enabled is true": uploads.enabled,
        "secrets_copy_enabled is true": secrets_copy.enabled,
    }
    problems = [
        f"{what}, but the stack has nothing on AWS; make it false, or say what it has there "
        "(docs/own-cluster.md)"
        for what, wanted in on_aws.items()
        if wanted and not backend.uses_aws
    ]
    elsewhere = {
        "archive_endpoint is empty": archive.makes_bucket,
        "uploads_replica_bucket is set": uploads.enabled and bool(uploads.replica_bucket),
        "secrets_copy_replicate is true": secrets_copy.enabled and secrets_copy.replicate,
    }
    problems += [
        f"{what} without awsRecoveryRegion; name the region of the copy"
        for what, wanted in elsewhere.items()
        if wanted and not aws.recovery_region
    ]
    if archive.enabled and not archive.daily and backup.interval_hours < 24:
        problems.append(
            f"archive_daily is false with {24 // backup.interval_hours} dumps a day: got "
            f"backupIntervalHours {backup.interval_hours}, allowed 24; all of a day's would be "
            "kept for archiveWeeklyKeepDays"
        )
    return problems
