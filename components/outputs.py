"""What the stack hands over: the variables that it computes, and its outputs (PL-4).

Leaves out the table of variables itself, which is environment.py's.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from components.cache import Cache
from components.database import CA_FILE, Database, connection_url
from components.environment import Environment
from components.generated_secrets import GeneratedSecrets
from components.pgbouncer import PgBouncer
from components.stack import StackConfig
from components.web import KEEP_ALIVE_MS, heap_mib

OUTPUTS_VERSION = 1
"""Add 1 when an output changes its meaning or goes."""
HEALTH_PATH = "/api/health"


@dataclass(frozen=True, kw_only=True)
class Backends:
    secrets: GeneratedSecrets
    database: Database
    pooler: PgBouncer
    cache: Cache


def computed_variables(config: StackConfig, backends: Backends) -> dict[str, pulumi.Input[str]]:
    """Values of the environment contract that nobody configures, by their names."""
    site, secrets, database = config.site, backends.secrets, backends.database
    version = site.deployment_version or "unreleased"
    stack = pulumi.get_stack()
    values: dict[str, pulumi.Input[str]] = {
        "NODE_ENV": "production",
        "APP_ENV": config.environment.stage,
        "PORT": str(config.app.port),
        "HOSTNAME": "0.0.0.0",
        "AUTH_TRUST_HOST": "true",
        "NEXT_PUBLIC_APP_URL": site.url,
        "NEXT_PUBLIC_API_URL": f"{site.url}/api",
        "NEXTAUTH_URL": site.url,
        "CORS_ORIGINS": site.url,
        "NEXT_DEPLOYMENT_ID": version,
        "DEPLOYMENT_VERSION": version,
        "SENTRY_RELEASE": version,
        "SENTRY_ENVIRONMENT": stack,
        "CACHE_KEY_PREFIX": f"{pulumi.get_project()}:{stack}:{version}:",
        "KEEP_ALIVE_TIMEOUT": str(KEEP_ALIVE_MS),
        "NODE_OPTIONS": f"--max-old-space-size={heap_mib(config.app)}",
        "MALLOC_ARENA_MAX": "2",
        "NODE_EXTRA_CA_CERTS": CA_FILE,
        "NEXT_SERVER_ACTIONS_ENCRYPTION_KEY": secrets.server_actions,
        "NEXTAUTH_SECRET": secrets.nextauth,
        "JWT_SECRET": secrets.jwt,
        "ENCRYPTION_KEY": secrets.encryption.current,
        "DATABASE_URL": backends.pooler.url,
        "REDIS_URL": backends.cache.url,
    }
    if config.secrets.encryption_key_epoch > 1:
        values["ENCRYPTION_KEY_PREVIOUS"] = secrets.encryption.previous
    if config.app.inject_direct_url:
        values["DIRECT_URL"] = direct_url(database)
    return values


def direct_url(database: Database) -> pulumi.Output[str]:
    """For migrations: the owner's session with the database itself (DB-13)."""
    return connection_url(
        database.owner, database.host, database.port, database.name, database.tls_mode
    )


def stack_outputs(
    config: StackConfig, backends: Backends, environment: Environment
) -> Mapping[str, pulumi.Input[object]]:
    """The outputs of PL-4; every key is there in every stack, credentials are secret."""
    url = config.site.url
    return {
        "outputsVersion": OUTPUTS_VERSION,
        "appUrl": url,
        "apiUrl": f"{url}/api",
        "healthUrl": f"{url}{HEALTH_PATH}",
        "oauthCallbackUrls": [f"{url}/api/auth/callback/{p}" for p in ("github", "google")],
        "namespace": config.site.namespace,
        "deploymentVersion": config.site.deployment_version,
        "databaseUrl": backends.pooler.url,
        "directUrl": direct_url(backends.database),
        "analyticsDatabaseUrl": "",
        "redisUrl": backends.cache.url,
        "serverActionsEncryptionKey": backends.secrets.server_actions,
        "buildEnv": environment.build_env,
        "runtimeEnv": environment.runtime_env,
        "recoveryContract": {
            "rpoMinutes": config.recovery.rpo_minutes,
            "rtoMinutes": config.recovery.rto_minutes,
            "retentionDays": config.recovery.retention_days,
        },
        "alertTopics": {},
        "dashboardUrl": "",
    }
