"""Makes what holds the stack's data, as the configuration picks it, with its pool and backups.

Leaves out how each backend works; this is the one place that chooses between them.
"""

from dataclasses import dataclass

import pulumi

from components.aws.network import Network
from components.aws.regions import Regions
from components.backend_config import CacheBackend, DatabaseBackend
from components.backups import ClusterBackups, ClusterBackupsArgs
from components.cache import Cache
from components.database import Database, connection_url
from components.dump_archive import DumpArchive, DumpArchiveArgs, OwnBucket
from components.external import ExternalArgs, ExternalCache, ExternalDatabase
from components.generated_secrets import GeneratedSecrets
from components.pgbouncer import PgBouncer, PgBouncerArgs
from components.pod_identity import PodIdentity, Pods
from components.postgres import ClusterPostgres, ClusterPostgresArgs
from components.redis import RedisReplicaSet, RedisReplicaSetArgs
from components.redis_settings import Role
from components.sql_job import JobStep
from components.sql_maintenance import SqlMaintenance, SqlMaintenanceArgs
from components.stack import StackConfig

ON_AWS = "a stack that uses AWS has its providers and its network"


@dataclass(frozen=True, kw_only=True)
class Backends:
    secrets: GeneratedSecrets
    database: Database
    analytics_url: pulumi.Output[str] | None
    """The read-only role's session with a read replica (DB-12); None where there is none."""
    pooler: PgBouncer
    before_migration: list[JobStep]
    """Steps that save the database before a migration (BK-9); none where `saved` does."""
    saved: list[pulumi.Resource]
    """What has to exist before a migration: the snapshot of RDS."""
    cache: Cache
    queue: Cache | None
    """A second instance that never evicts; None where the stack asks for none."""
    web_identity: PodIdentity | None
    """What the application's pods run as to use the bucket of uploads; None without one."""

    @property
    def ready(self) -> list[pulumi.Resource]:
        """The database and the cache, for what comes after them."""
        return [*self.database.ready, *self.cache.ready]

    @property
    def direct_url(self) -> pulumi.Output[str]:
        """The owner's session with the database itself, for migrations (DB-13); secret."""
        database = self.database
        return connection_url(
            database.owner, database.host, database.port, database.name, database.tls_mode
        )


def make_backends(
    config: StackConfig,
    secrets: GeneratedSecrets,
    namespace: pulumi.Input[str],
    plain: pulumi.ResourceOptions,
    stateful: pulumi.ResourceOptions,
    regions: Regions | None,
    network: Network | None,
) -> Backends:
    """Everything behind the application; `stateful` are the options of what holds data."""
    image = config.postgres.image
    database, analytics_url, saved = _database(
        config, secrets, namespace, stateful, regions, network
    )
    pooler = PgBouncer(
        "pgbouncer",
        PgBouncerArgs(
            config=config.pool,
            namespace=namespace,
            database=database,
            secrets=secrets,
            client_image=image,
            test_database=config.postgres.test_database,
        ),
        plain,
    )
    backups = ClusterBackups(
        "backups",
        ClusterBackupsArgs(
            config=config.backup,
            namespace=namespace,
            database=database,
            image=image,
            scratch_gib=config.database_gib,
            archive=_archive(config, namespace, plain, stateful, regions),
            keep_volume=config.site.protect_data,
        ),
        stateful,
    )
    SqlMaintenance(
        "maintenance",
        SqlMaintenanceArgs(
            config=config.sql_maintenance, namespace=namespace, database=database, image=image
        ),
        plain,
    )

    def cache(name: str, role: Role) -> Cache:
        return _cache(name, role, config, secrets, namespace, stateful, regions, network)

    return Backends(
        secrets=secrets,
        database=database,
        analytics_url=analytics_url,
        pooler=pooler,
        before_migration=[] if saved else [backups.dump_step()],
        saved=saved,
        cache=cache("redis", Role.CACHE),
        queue=cache("redis-queue", Role.QUEUE) if config.redis.queue else None,
        web_identity=_uploads(config, namespace, stateful, regions),
    )


def _archive(
    config: StackConfig,
    namespace: pulumi.Input[str],
    plain: pulumi.ResourceOptions,
    stateful: pulumi.ResourceOptions,
    regions: Regions | None,
) -> DumpArchive | None:
    if not config.archive.enabled:
        return None
    own = _own_bucket(config, namespace, stateful, regions) if config.archive.makes_bucket else None
    args = DumpArchiveArgs(config=config.archive, namespace=namespace, own=own)
    return DumpArchive("archive", args, plain)


def _own_bucket(
    config: StackConfig,
    namespace: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
    regions: Regions | None,
) -> OwnBucket:
    from components.aws.archive_bucket import ArchiveBucket, ArchiveBucketArgs

    assert regions is not None and regions.recovery is not None, ON_AWS
    made = ArchiveBucket(
        "archive-bucket",
        ArchiveBucketArgs(
            config=config.archive,
            aws=config.aws,
            recovery=regions.recovery,
            pods=_pods(config, namespace),
            keep_data=config.site.protect_data,
        ),
        pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(providers=[regions.home])),
    )
    return made.own


def _uploads(
    config: StackConfig,
    namespace: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
    regions: Regions | None,
) -> PodIdentity | None:
    if not config.uploads.enabled:
        return None
    from components.aws.uploads import Uploads, UploadsArgs

    assert regions is not None, ON_AWS
    args = UploadsArgs(
        config=config.uploads,
        aws=config.aws,
        recovery=regions.recovery,
        site_url=config.site.url,
        pods=_pods(config, namespace),
        keep_data=config.site.protect_data,
    )
    home = pulumi.ResourceOptions(providers=[regions.home])
    return Uploads("uploads", args, pulumi.ResourceOptions.merge(opts, home)).pods


def _pods(config: StackConfig, namespace: pulumi.Input[str]) -> Pods:
    return Pods(
        cluster_name=config.site.cluster_identifier,
        region=config.aws.region,
        account_id=config.aws.account_id,
        namespace=config.site.namespace,
        created=namespace,
    )


def _database(
    config: StackConfig,
    secrets: GeneratedSecrets,
    namespace: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
    regions: Regions | None,
    network: Network | None,
) -> tuple[Database, pulumi.Output[str] | None, list[pulumi.Resource]]:
    """The database, the URL of its first read replica, and what saves it before a migration."""
    keep = config.site.protect_data
    if config.backend.database is DatabaseBackend.EXTERNAL:
        external = ExternalArgs(config=config.external, namespace=namespace)
        return ExternalDatabase("postgres", external, opts), None, []
    if config.backend.database is DatabaseBackend.CLUSTER:
        args = ClusterPostgresArgs(
            config=config.postgres, namespace=namespace, secrets=secrets, keep_volume=keep
        )
        return ClusterPostgres("postgres", args, opts), None, []
    # Imported only where it is used: a third of a second and 20 MB (PL-3).
    from components.aws.rds import RdsPostgres, RdsPostgresArgs
    from components.aws.rds_backups import make_rds_backups

    assert regions and network, ON_AWS
    on_aws = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(providers=[regions.home]))
    rds = RdsPostgres(
        "postgres",
        RdsPostgresArgs(
            config=config.rds,
            postgres=config.postgres,
            aws=config.aws,
            network=network,
            recovery=regions.recovery,
            namespace=namespace,
            secrets=secrets,
            keep_data=keep,
        ),
        on_aws,
    )
    urls = [
        connection_url(rds.readonly, host, rds.port, rds.name, rds.tls_mode)
        for host in rds.replica_hosts
    ]
    saved = make_rds_backups(config, rds, regions, on_aws)
    return rds, urls[0] if urls else None, saved


def _cache(
    name: str,
    role: Role,
    config: StackConfig,
    secrets: GeneratedSecrets,
    namespace: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
    regions: Regions | None,
    network: Network | None,
) -> Cache:
    keep = config.site.protect_data
    if config.backend.cache is CacheBackend.EXTERNAL:
        external = ExternalArgs(config=config.external, namespace=namespace)
        return ExternalCache(name, external, opts, queue=role is Role.QUEUE)
    if config.backend.cache is CacheBackend.CLUSTER:
        args = RedisReplicaSetArgs(
            config=config.redis, namespace=namespace, secrets=secrets, keep_volume=keep, role=role
        )
        return RedisReplicaSet(name, args, opts)
    from components.aws.elasticache import ElastiCache, ElastiCacheArgs

    assert regions and network, ON_AWS
    return ElastiCache(
        name,
        ElastiCacheArgs(
            config=config.elasticache,
            eviction_policy=config.redis.eviction_policy,
            aws=config.aws,
            network=network,
            namespace=namespace,
            secrets=secrets,
            role=role,
            keep_data=keep,
        ),
        pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(providers=[regions.home])),
    )
