"""Makes what holds the stack's data, as the configuration picks it, with its pool and backups.

Leaves out how each backend works; this is the one place that chooses between them.
"""

from dataclasses import dataclass

import pulumi

from components.backups import ClusterBackups, ClusterBackupsArgs
from components.cache import Cache
from components.database import Database, connection_url
from components.generated_secrets import GeneratedSecrets
from components.pgbouncer import PgBouncer, PgBouncerArgs
from components.postgres import ClusterPostgres, ClusterPostgresArgs
from components.redis import RedisReplicaSet, RedisReplicaSetArgs
from components.redis_settings import Role
from components.sql_job import JobStep
from components.sql_maintenance import SqlMaintenance, SqlMaintenanceArgs
from components.stack import StackConfig


@dataclass(frozen=True, kw_only=True)
class Backends:
    secrets: GeneratedSecrets
    database: Database
    pooler: PgBouncer
    dump: JobStep
    """Saves the database before a migration."""
    cache: Cache
    queue: Cache | None
    """A second instance that never evicts; None where the stack asks for none."""

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
) -> Backends:
    """Everything behind the application; `stateful` are the options of what holds data."""
    image, keep = config.postgres.image, config.site.protect_data
    database = ClusterPostgres(
        "postgres",
        ClusterPostgresArgs(
            config=config.postgres, namespace=namespace, secrets=secrets, keep_volume=keep
        ),
        stateful,
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
            scratch_gib=config.postgres.storage_gib,
            keep_volume=keep,
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

    def replica_set(name: str, role: Role) -> RedisReplicaSet:
        args = RedisReplicaSetArgs(
            config=config.redis, namespace=namespace, secrets=secrets, keep_volume=keep, role=role
        )
        return RedisReplicaSet(name, args, stateful)

    return Backends(
        secrets=secrets,
        database=database,
        pooler=pooler,
        dump=backups.dump_step(),
        cache=replica_set("redis", Role.CACHE),
        queue=replica_set("redis-queue", Role.QUEUE) if config.redis.queue else None,
    )
