"""Makes what answers people: the application's pods and nginx before them.

Leaves out what the pods are told (environment.py) and where their data lives (backends.py).
"""

import pulumi

from components.aws.edge import Edge, Entrance
from components.backends import Backends
from components.environment import Environment
from components.nginx import Nginx, NginxArgs
from components.nginx_config import shared_settings
from components.outputs import KEEP_ALIVE_MS
from components.pod_identity import SERVER
from components.stack import StackConfig
from components.web import Migration, WebApp, WebAppArgs


def make_site(
    config: StackConfig,
    backends: Backends,
    environment: Environment,
    namespace: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
    edge: Edge,
) -> Entrance | None:
    """The web tier; only where there is an image to run."""
    if not config.site.image:
        return None
    site = config.site
    caches = {"redis": backends.cache}
    if backends.queue:
        caches["redis-queue"] = backends.queue
    ready = [*backends.pooler.ready, *(part for cache in caches.values() for part in cache.ready)]
    ready += backends.saved
    identity = backends.web_identity
    if identity:
        ready += identity.ready
    web = WebApp(
        "web",
        WebAppArgs(
            config=config.app,
            namespace=namespace,
            image=site.image,
            deployment_version=site.deployment_version,
            config_map=environment.config_map,
            secret=environment.secret,
            ca_bundle=backends.database.ca_bundle,
            own_authority=config.own_authority,
            migration=Migration(
                # Under both names: some tools migrate over the address that the application has.
                env={
                    environment.name(name): backends.direct_url
                    for name in ("DIRECT_URL", "DATABASE_URL")
                },
                before=backends.before_migration,
                after=[backends.pooler.reconnect_step()],
            ),
            servers=("pgbouncer", *caches, *([SERVER] if identity else [])),
            service_account=identity.service_account if identity else None,
        ),
        pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=ready)),
    )
    nginx = Nginx(
        "nginx",
        NginxArgs(
            config=config.nginx,
            shared=shared_settings(
                config.environment.plain,
                https=site.https,
                deployment_version=site.deployment_version,
                cors_origins=(site.url,),
                keep_alive_ms=KEEP_ALIVE_MS,
            ),
            namespace=namespace,
            app_host=web.host,
            app_port=web.port,
            domain=site.domain.partition(":")[0],
            on_aws=config.backend.uses_aws,
            certificate_arn=edge.certificate_arn,
            cdn_secrets=edge.cdn_secrets,
        ),
        # Not after the application: its switches (maintenance, limits) must not wait for pods.
        opts,
    )
    return Entrance(address=nginx.address, nginx=nginx)
