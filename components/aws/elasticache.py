"""Valkey on ElastiCache: a primary with replicas, its key, settings, user and snapshots.

Leaves out cluster mode, which a plain URL cannot address, and the network (network.py).
"""

from dataclasses import dataclass

import pulumi
import pulumi_random as random
from pulumi_aws import elasticache

from components.aws.config import AwsConfig
from components.aws.elasticache_config import ElastiCacheConfig
from components.aws.kms import encryption_key
from components.aws.network import Network
from components.aws.security_group import server_group
from components.generated_secrets import GeneratedSecrets
from components.network_policy import allow_addresses
from components.redis_settings import NODE_APP_RULES, EvictionPolicy, Role

PORT = 6379
USER = "app"
# Making and scaling a replicated group takes up to an hour; the provider waits for 60 and 40 min.
TIMEOUTS = pulumi.CustomTimeouts(create="60m", update="120m", delete="60m")


@dataclass(frozen=True, kw_only=True)
class ElastiCacheArgs:
    config: ElastiCacheConfig
    eviction_policy: EvictionPolicy
    """What goes when memory is full; a queue refuses writes instead."""
    aws: AwsConfig
    network: Network
    namespace: pulumi.Input[str]
    secrets: GeneratedSecrets
    """Where the passwords come from."""
    role: Role = Role.CACHE
    """By default keys may be evicted."""
    keep_data: bool = True
    """Whether the group outlives this component; by default so."""


class ElastiCache(pulumi.ComponentResource):
    """Satisfies `Cache`."""

    url: pulumi.Output[str]
    """URL that always reaches the primary; secret."""
    host: pulumi.Output[str]
    port: pulumi.Output[int]
    tls: bool
    ready: list[pulumi.Resource]

    def __init__(
        self, name: str, args: ElastiCacheArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:ElastiCache", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        # Holds no data, and changes or is replaced with its content.
        self._replaceable = pulumi.ResourceOptions(parent=self, protect=False)
        self._tags = {"nextstack/component": name}
        suffix = "-queue" if args.role is Role.QUEUE else ""
        self._id = f"{args.config.group_name}{suffix}"
        group = self._group(self._users())

        self.host = group.primary_endpoint_address
        self.port = pulumi.Output.from_input(PORT)
        self.tls = True
        self.url = pulumi.Output.format(
            "rediss://{0}:{1}@{2}:{3}", USER, args.secrets.cache.current, self.host, PORT
        )
        ranges = args.network.data_ranges
        allow_addresses(name, "redis", ranges, PORT, args.namespace, self._replaceable)
        self.ready = [group]
        self.register_outputs({"url": self.url, "host": self.host, "port": self.port})

    def _users(self) -> elasticache.UserGroup:
        """Who may log in: one user with the current and the previous password (SC-6)."""
        secrets = self._args.secrets
        app = self._user(
            USER, f"on {NODE_APP_RULES}", [secrets.cache.current, secrets.cache.previous]
        )
        # Every group needs a user of this name; off, it lets nobody in without one (CA-3).
        default = self._user("default", "off ~* -@all", [secrets.cache_internal])
        return elasticache.UserGroup(
            f"{self._name}-users",
            engine="valkey",
            user_group_id=f"{self._id}-users",
            user_ids=[app.user_id, default.user_id],
            tags=self._tags,
            opts=self._replaceable,
        )

    def _user(self, user: str, rules: str, passwords: list[pulumi.Output[str]]) -> elasticache.User:
        return elasticache.User(
            f"{self._name}-{user}",
            engine="valkey",
            user_id=f"{self._id}-{user}",
            user_name=user,
            access_string=rules,
            authentication_mode={"type": "password", "passwords": passwords},
            tags=self._tags,
            opts=self._replaceable,
        )

    def _parameter_group(self) -> elasticache.ParameterGroup:
        """Settings of its own for each role: AWS blocks CONFIG, and its groups are fixed (c4)."""
        args = self._args
        policy = EvictionPolicy.NOEVICTION if args.role is Role.QUEUE else args.eviction_policy
        family = args.config.family
        return elasticache.ParameterGroup(
            f"{self._name}-{family}",
            name=f"{self._id}-{family}",
            description=f"settings of {self._id}",
            family=family,
            parameters=[{"name": "maxmemory-policy", "value": policy}],
            tags=self._tags,
            opts=self._replaceable,
        )

    def _group(self, users: elasticache.UserGroup) -> elasticache.ReplicationGroup:
        args, config = self._args, self._args.config
        key = encryption_key(
            self._name,
            f"cache {self._id}: disk and snapshots",
            args.aws.account_id,
            self._tags,
            self._child,
        )
        subnets = elasticache.SubnetGroup(
            f"{self._name}-subnets",
            name=f"{self._id}-subnets",
            description=f"private subnets of {self._id}",
            subnet_ids=args.network.data_subnet_ids,
            tags=self._tags,
            opts=self._child,
        )
        firewall = server_group(self._name, args.network, PORT, self._tags, self._child)
        suffix = random.RandomId(
            f"{self._id}-final", byte_length=4, keepers={"of": self._id}, opts=self._replaceable
        )
        return elasticache.ReplicationGroup(
            self._id,
            replication_group_id=self._id,
            description=f"{args.role.value} of the application",
            engine="valkey",
            engine_version=config.engine_version,
            node_type=config.node_type,
            num_cache_clusters=config.nodes,
            cluster_mode="disabled",
            automatic_failover_enabled=True,
            multi_az_enabled=True,
            data_tiering_enabled=False,
            port=PORT,
            network_type="ipv4",
            ip_discovery="ipv4",
            subnet_group_name=subnets.name,
            security_group_ids=[firewall.id],
            parameter_group_name=self._parameter_group().name,
            user_group_ids=[users.user_group_id],
            transit_encryption_enabled=True,
            transit_encryption_mode="required",
            at_rest_encryption_enabled=True,
            kms_key_id=key.arn,
            snapshot_retention_limit=config.snapshot_retention_days,
            snapshot_window=config.snapshot_window.text,
            final_snapshot_identifier=pulumi.Output.format("{0}-final-{1}", self._id, suffix.hex),
            maintenance_window=config.maintenance_window.text,
            auto_minor_version_upgrade=True,
            apply_immediately=False,
            tags=self._tags,
            opts=pulumi.ResourceOptions.merge(
                self._child,
                pulumi.ResourceOptions(retain_on_delete=args.keep_data, custom_timeouts=TIMEOUTS),
            ),
        )
