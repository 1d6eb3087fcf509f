"""What the stack hands over: the variables that it computes, and its outputs (PL-4).

Leaves out the table of variables itself, which is environment.py's.
"""

from collections.abc import Mapping

import pulumi

from components.aws.monitoring_config import HEALTH_PATH
from components.aws.services import Services
from components.backends import Backends
from components.database import CA_FILE
from components.environment import Environment
from components.recovery import contract
from components.stack import StackConfig

OUTPUTS_VERSION = 1
"""Add 1 when an output changes its meaning or goes."""

# WB-3: above nginx's 60 s, else nginx reuses a socket that Node just closed: 502
# (vercel/next.js#22204).
KEEP_ALIVE_MS = 75_000


def computed_variables(config: StackConfig, backends: Backends) -> dict[str, pulumi.Input[str]]:
    """Values of the environment contract that nobody configures, by their names."""
    site, secrets = config.site, backends.secrets
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
        "NODE_OPTIONS": config.app.node_options,
        "MALLOC_ARENA_MAX": "2",
        "NEXT_SERVER_ACTIONS_ENCRYPTION_KEY": secrets.server_actions,
        "NEXTAUTH_SECRET": secrets.nextauth,
        "JWT_SECRET": secrets.jwt,
        "ENCRYPTION_KEY": secrets.encryption.current,
        "DATABASE_URL": backends.pooler.url,
        "REDIS_URL": backends.cache.url,
    }
    if config.own_authority:
        values["NODE_EXTRA_CA_CERTS"] = CA_FILE
    if config.secrets.encryption_key_epoch > 1:
        values["ENCRYPTION_KEY_PREVIOUS"] = secrets.encryption.previous
    if config.app.inject_direct_url:
        values["DIRECT_URL"] = backends.direct_url
    if config.postgres.test_database:
        values["DATABASE_URL_DEV"] = backends.pooler.url
        values["DATABASE_URL_TEST"] = backends.pooler.test_url
    if backends.queue:
        values["QUEUE_REDIS_URL"] = backends.queue.url
    if config.uploads.enabled:
        values["UPLOAD_BUCKET"] = config.uploads.bucket
        values["UPLOAD_REGION"] = config.aws.region
    return values


def stack_outputs(
    config: StackConfig, backends: Backends, environment: Environment, services: Services
) -> Mapping[str, pulumi.Input[object]]:
    """The outputs of PL-4; every key is there in every stack, credentials are secret."""
    url, analytics = config.site.url, backends.analytics_url
    return {
        "outputsVersion": OUTPUTS_VERSION,
        "appUrl": url,
        "apiUrl": f"{url}/api",
        "healthUrl": f"{url}{HEALTH_PATH}",
        "oauthCallbackUrls": [f"{url}/api/auth/callback/{p}" for p in ("github", "google")],
        "namespace": config.site.namespace,
        "deploymentVersion": config.site.deployment_version,
        "databaseUrl": backends.pooler.url,
        "directUrl": backends.direct_url,
        "analyticsDatabaseUrl": "" if analytics is None else analytics,
        "redisUrl": backends.cache.url,
        "serverActionsEncryptionKey": backends.secrets.server_actions,
        "buildEnv": environment.build_env,
        "runtimeEnv": environment.runtime_env,
        "recoveryContract": contract(
            config.recovery, config.dr, config.backend, config.aws, config.vault
        ),
        "alertTopics": services.alert_topics,
        "dashboardUrl": services.dashboard_url,
        "registryUrl": services.registry_url,
        "nameServers": services.name_servers,
        "ciRoles": {
            kind: f"arn:aws:iam::{config.aws.account_id}:role/{name}"
            for kind, name in config.ci.role_names(config.prefix).items()
        },
    }
