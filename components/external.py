"""A database and a cache that somebody else runs: logins from the configuration, a way out.

Leaves out what only their owner can do: roles, settings, snapshots, point-in-time recovery.
"""

from dataclasses import dataclass

import pulumi

from components.aws.rds_config import authorities
from components.database import Login, TlsMode
from components.external_config import ExternalConfig, address
from components.network_policy import allow_addresses

DATABASE_PORT = 5432
CACHE_PORT = 6379


@dataclass(frozen=True, kw_only=True)
class ExternalArgs:
    config: ExternalConfig
    namespace: pulumi.Input[str]


class ExternalDatabase(pulumi.ComponentResource):
    """Satisfies `Database`."""

    host: pulumi.Output[str]
    port: pulumi.Output[int]
    name: pulumi.Output[str]
    owner: Login
    app: Login
    app_previous: Login
    """The same: its owner rotates the password, and both are valid as long as that allows."""
    ca_bundle: pulumi.Output[str]
    tls_mode: TlsMode = TlsMode.VERIFY_FULL
    ready: list[pulumi.Resource]

    def __init__(
        self, name: str, args: ExternalArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:ExternalDatabase", name, {}, opts)
        config = args.config
        app = address(config.database_url, DATABASE_PORT)
        owner = address(config.database_owner_url or config.database_url, DATABASE_PORT)
        self.host = pulumi.Output.from_input(app.host)
        self.port = pulumi.Output.from_input(app.port)
        self.name = pulumi.Output.from_input(app.name)
        self.app = self.app_previous = _login(config, app.username, "database")
        self.owner = _login(
            config, owner.username, "databaseOwner" if config.database_owner_url else "database"
        )
        bundle = authorities(config.database_ca_file)[0] if config.database_ca_file else ""
        self.ca_bundle = pulumi.Output.from_input(bundle)
        child = pulumi.ResourceOptions(parent=self)
        allow_addresses(name, "postgres", config.database_ranges, app.port, args.namespace, child)
        self.ready = []
        self.register_outputs({"host": self.host, "port": self.port, "name": self.name})


class ExternalCache(pulumi.ComponentResource):
    """Satisfies `Cache`."""

    url: pulumi.Output[str]
    """URL that reaches the service; secret."""
    host: pulumi.Output[str]
    port: pulumi.Output[int]
    tls: bool
    ready: list[pulumi.Resource]

    def __init__(
        self,
        name: str,
        args: ExternalArgs,
        opts: pulumi.ResourceOptions | None = None,
        *,
        queue: bool = False,
    ) -> None:
        super().__init__("nextstack:index:ExternalCache", name, {}, opts)
        config = args.config
        place = address(config.queue_url if queue else config.cache_url, CACHE_PORT)
        password = pulumi.Output.secret(config.passwords["queue" if queue else "cache"])
        self.host = pulumi.Output.from_input(place.host)
        self.port = pulumi.Output.from_input(place.port)
        self.tls = True
        self.url = pulumi.Output.format(
            "rediss://{0}:{1}@{2}:{3}", place.username, password, place.host, place.port
        )
        child = pulumi.ResourceOptions(parent=self)
        allow_addresses(name, "redis", config.cache_ranges, place.port, args.namespace, child)
        self.ready = []
        self.register_outputs({"url": self.url, "host": self.host, "port": self.port})


def _login(config: ExternalConfig, username: str, password: str) -> Login:
    """Without a verifier, so that the pool keeps the password itself: it has to log in with it."""
    return Login(
        username=pulumi.Output.from_input(username),
        password=pulumi.Output.secret(config.passwords[password]),
    )
