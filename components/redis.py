"""Redis-protocol cache in the cluster: a primary, replicas, Sentinels, and a proxy to the primary.

Leaves out TLS, which only the managed backend offers, and snapshots: the append-only file is kept.
"""

from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_kubernetes as k8s

from components.generated_secrets import GeneratedSecrets
from components.network_policy import allow_clients, reaches
from components.pod import CONTAINER_SECURITY, labels, spread, unprivileged
from components.redis_settings import (
    DATA,
    HEALTH_PORT,
    NODE_APP_RULES,
    PORT,
    PROXY_HARD_STOP_S,
    RUN,
    SENTINEL_APP_RULES,
    SENTINEL_PORT,
    SET_NAME,
    USERS,
    RedisConfig,
    Role,
    node_settings,
    proxy_settings,
    sentinel_settings,
)

VALKEY_ID = 999  # user and group of the official image's Debian variant
PROXY_ID = 99  # of the official HAProxy image
SCRIPTS = Path(__file__).parent / "scripts"
FILES = "/etc/redis"
# preStop hands over for at most 10 s; then the server waits up to 3 s for lagging replicas.
NODE_GRACE_S = 30
PROXY_DRAIN_S = 3  # until every node's kube-proxy has taken a stopping pod out of the Service
SENTINEL_STORAGE = "64Mi"
# A rewrite of the append-only file forks: in the worst case every page is written meanwhile.
FORK_FACTOR = 2
OVERHEAD_MIB = 64  # replication buffers and the server itself, which maxmemory does not count


@dataclass(frozen=True, kw_only=True)
class RedisReplicaSetArgs:
    config: RedisConfig
    namespace: pulumi.Input[str]
    secrets: GeneratedSecrets
    keep_volume: bool
    """Whether the volumes outlive this component."""
    role: Role = Role.CACHE
    """By default keys may be evicted; a queue refuses writes instead."""


class RedisReplicaSet(pulumi.ComponentResource):
    url: pulumi.Output[str]
    """URL that always reaches the primary; secret."""
    host: pulumi.Output[str]
    """DNS name of the proxy."""
    port: pulumi.Output[int]
    """TCP port of the proxy."""
    tls: bool
    """Never: traffic stays in the cluster, behind network policies."""
    sentinels: pulumi.Output[str]
    """`host:port,...` for clients that ask Sentinels for SET_NAME, with the URL's password; their
    pods need `reaches` for this component's nodes and Sentinels."""
    ready: list[pulumi.Resource]
    """What must exist before a client can connect."""

    def __init__(
        self, name: str, args: RedisReplicaSetArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:RedisReplicaSet", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        # Holds no data, and is replaced whenever its content changes.
        self._replaceable = pulumi.ResourceOptions(parent=self, protect=False)
        self._metadata: k8s.meta.v1.ObjectMetaArgsDict = {"namespace": args.namespace}
        config, secrets = args.config, args.secrets
        self._nodes = [f"{name}-{i}" for i in range(1 + config.replicas)]
        self._sentinels = [f"{name}-sentinel-{i}" for i in range(config.sentinels)]
        internal = self._secret("internal", {"password": secrets.cache_internal})

        service = self._service(name, labels("redis-proxy", name), PORT)
        sentinels = self._sentinel_set(internal)
        # Servers ask the Sentinels for their role. In a rotation these learn the password first.
        nodes = self._node_set(internal, [sentinels])
        proxy = self._proxy(internal)
        self._network()

        self.host = pulumi.Output.format("{0}.{1}.svc", service.metadata.name, args.namespace)
        self.port = pulumi.Output.from_input(PORT)
        self.tls = False
        self.url = pulumi.Output.format(
            "redis://default:{0}@{1}:{2}", secrets.cache.current, self.host, PORT
        )
        self.sentinels = pulumi.Output.format(
            ",".join(f"{sentinel}.{{0}}.svc:{SENTINEL_PORT}" for sentinel in self._sentinels),
            args.namespace,
        )
        self.ready = [service, nodes, proxy]
        self.register_outputs({"url": self.url, "host": self.host, "port": self.port})

    def _node_set(
        self, internal: k8s.core.v1.Secret, after: list[pulumi.Resource]
    ) -> k8s.apps.v1.StatefulSet:
        """The data servers; any of them may be the primary."""
        config = self._args.config
        container: k8s.core.v1.ContainerArgsDict = {
            "name": "redis",
            "image": config.image,
            "command": ["sh", f"{FILES}/redis-node.sh"],
            "env": self._environment(internal),
            "ports": [{"container_port": PORT}],
            # The port opens late: a server waits for other pods before it starts.
            "startup_probe": _listens(PORT) | {"period_seconds": 1, "failure_threshold": 600},
            "readiness_probe": _is_ready(PORT),
            # An error is an answer too: only a server that hangs is restarted, after 90 s.
            "liveness_probe": {
                "exec_": {"command": ["timeout", "5", "valkey-cli", "-p", str(PORT), "ping"]},
                "period_seconds": 30,
                "timeout_seconds": 6,
            },
            "lifecycle": {"pre_stop": {"exec_": {"command": ["sh", f"{FILES}/redis-stop.sh"]}}},
            "resources": _resources("50m", FORK_FACTOR * config.max_memory_mib + OVERHEAD_MIB),
        }
        files = self._config_map(
            "node",
            {
                **_scripts("redis-ask.sh", "redis-node.sh", "redis-ready.sh", "redis-stop.sh"),
                "redis.conf": node_settings(config, self._args.role),
            },
        )
        return self._stateful_set(
            self._name,
            container,
            files=files,
            users=self._users("node", NODE_APP_RULES),
            selector=labels("redis", self._name),
            replicas=len(self._nodes),
            port=PORT,
            storage=f"{config.storage_gib}Gi",
            grace_s=NODE_GRACE_S,
            after=after,
        )

    def _sentinel_set(self, internal: k8s.core.v1.Secret) -> k8s.apps.v1.StatefulSet:
        """The Sentinels, which agree on the primary; each remembers its vote on a volume."""
        config = self._args.config
        container: k8s.core.v1.ContainerArgsDict = {
            "name": "sentinel",
            "image": config.image,
            "command": ["sh", f"{FILES}/redis-sentinel.sh"],
            "env": self._environment(internal),
            "ports": [{"container_port": SENTINEL_PORT}],
            "readiness_probe": _is_ready(SENTINEL_PORT),
            "liveness_probe": _listens(SENTINEL_PORT) | {"period_seconds": 10},
            "resources": _resources("10m", 64),
        }
        files = self._config_map(
            "sentinel",
            {
                **_scripts("redis-ask.sh", "redis-ready.sh", "redis-sentinel.sh"),
                "sentinel.conf": sentinel_settings(config),
            },
        )
        return self._stateful_set(
            f"{self._name}-sentinel",
            container,
            files=files,
            users=self._users("sentinel", SENTINEL_APP_RULES),
            selector=labels("redis-sentinel", self._name),
            replicas=len(self._sentinels),
            port=SENTINEL_PORT,
            storage=SENTINEL_STORAGE,
            grace_s=10,
            after=[],
        )

    def _stateful_set(
        self,
        name: str,
        container: k8s.core.v1.ContainerArgsDict,
        *,
        files: k8s.core.v1.ConfigMap,
        users: k8s.core.v1.Secret,
        selector: dict[str, str],
        replicas: int,
        port: int,
        storage: str,
        grace_s: int,
        after: list[pulumi.Resource],
    ) -> k8s.apps.v1.StatefulSet:
        """Servers with a volume and an address each, which outlive their pods (CA-5)."""
        pods = self._service(f"{name}-pods", selector, port, headless=True)
        for i in range(replicas):
            pod = f"{name}-{i}"
            self._service(pod, selector | {"statefulset.kubernetes.io/pod-name": pod}, port)
        self._disruption_budget(name, selector)
        spec: k8s.core.v1.PodSpecArgsDict = {
            "termination_grace_period_seconds": grace_s,
            "topology_spread_constraints": spread(selector),
            "containers": [
                {
                    **container,
                    "security_context": CONTAINER_SECURITY,
                    "volume_mounts": [
                        {"name": "data", "mount_path": DATA},
                        {"name": "run", "mount_path": RUN},
                        {"name": "files", "mount_path": FILES, "read_only": True},
                        {"name": "users", "mount_path": USERS, "read_only": True},
                    ],
                }
            ],
            "volumes": [
                {"name": "run", "empty_dir": {"size_limit": "16Mi"}},
                {"name": "files", "config_map": {"name": files.metadata.name}},
                {"name": "users", "secret": {"secret_name": users.metadata.name}},
            ],
        }
        servers = reaches(f"{self._name}-nodes", f"{self._name}-sentinels")
        retention = "Retain" if self._args.keep_volume else "Delete"
        return k8s.apps.v1.StatefulSet(
            f"{name}-server",
            metadata=self._metadata | {"name": name},
            spec={
                "service_name": pods.metadata.name,
                "replicas": replicas,
                # All at once: the first start needs a majority, and so does one after a blackout.
                "pod_management_policy": "Parallel",
                "selector": {"match_labels": selector},
                "template": {
                    "metadata": {"labels": selector | servers},
                    "spec": unprivileged(VALKEY_ID, VALKEY_ID, spec),
                },
                "volume_claim_templates": [
                    {
                        "metadata": {"name": "data"},
                        "spec": {
                            "access_modes": ["ReadWriteOnce"],
                            "resources": {"requests": {"storage": storage}},
                        },
                    }
                ],
                # Read when the set is deleted, so it has to be there from the start.
                "persistent_volume_claim_retention_policy": {
                    "when_deleted": retention,
                    "when_scaled": "Retain",
                },
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )

    def _proxy(self, internal: k8s.core.v1.Secret) -> k8s.apps.v1.Deployment:
        """Sends clients to the one server that both it and the Sentinels call the primary."""
        config, selector = self._args.config, labels("redis-proxy", self._name)
        files = self._config_map(
            "proxy",
            {
                **_scripts("redis-ask.sh", "redis-proxy.sh"),
                "haproxy.cfg": proxy_settings(self._nodes, self._sentinels, config.quorum),
            },
        )
        self._disruption_budget(f"{self._name}-proxy", selector)
        spec: k8s.core.v1.PodSpecArgsDict = {
            "termination_grace_period_seconds": PROXY_DRAIN_S + PROXY_HARD_STOP_S + 5,
            "topology_spread_constraints": spread(selector),
            "containers": [
                {
                    "name": "proxy",
                    "image": config.proxy_image,
                    "command": ["sh", f"{FILES}/redis-proxy.sh"],
                    "env": self._environment(internal),
                    "ports": [{"container_port": PORT}],
                    # Not on the clients' port: each probe there would open a server connection.
                    "readiness_probe": _listens(HEALTH_PORT) | {"period_seconds": 2},
                    "liveness_probe": _listens(HEALTH_PORT) | {"period_seconds": 10},
                    "lifecycle": {
                        "pre_stop": {"exec_": {"command": ["sleep", str(PROXY_DRAIN_S)]}}
                    },
                    "resources": _resources("25m", 128),
                    "security_context": CONTAINER_SECURITY,
                    "volume_mounts": [{"name": "files", "mount_path": FILES, "read_only": True}],
                }
            ],
            "volumes": [{"name": "files", "config_map": {"name": files.metadata.name}}],
        }
        servers = reaches(f"{self._name}-nodes", f"{self._name}-sentinels")
        return k8s.apps.v1.Deployment(
            f"{self._name}-proxy",
            metadata=self._metadata | {"name": f"{self._name}-proxy"},
            spec={
                "replicas": config.proxies,
                "selector": {"match_labels": selector},
                "strategy": {"rolling_update": {"max_unavailable": 0, "max_surge": 1}},
                "template": {
                    "metadata": {"labels": selector | servers},
                    "spec": unprivileged(PROXY_ID, PROXY_ID, spec),
                },
            },
            opts=self._replaceable,
        )

    def _network(self) -> None:
        """Clients reach the proxy; servers, Sentinels and the proxy reach servers and Sentinels."""
        name, namespace = self._name, self._args.namespace
        allow_clients(name, labels("redis-proxy", name), [PORT], namespace, self._replaceable)
        allow_clients(f"{name}-nodes", labels("redis", name), [PORT], namespace, self._replaceable)
        allow_clients(
            f"{name}-sentinels",
            labels("redis-sentinel", name),
            [SENTINEL_PORT],
            namespace,
            self._replaceable,
        )

    def _service(
        self, name: str, selector: dict[str, str], port: int, *, headless: bool = False
    ) -> k8s.core.v1.Service:
        spec: k8s.core.v1.ServiceSpecArgsDict = {
            "selector": selector,
            "ports": [{"name": "redis", "port": port}],
            # Servers find each other before any of them is ready; clients find a ready proxy.
            "publish_not_ready_addresses": name != self._name,
        }
        if headless:
            spec["cluster_ip"] = "None"
        return k8s.core.v1.Service(
            f"{name}-service",
            # Else Pulumi waits for endpoints, which need pods that need this address.
            metadata=self._metadata
            | {"name": name, "annotations": {"pulumi.com/skipAwait": "true"}},
            spec=spec,
            opts=self._child,
        )

    def _disruption_budget(self, name: str, selector: dict[str, str]) -> None:
        k8s.policy.v1.PodDisruptionBudget(
            f"{name}-disruption",
            metadata=self._metadata | {"name": f"{name}-disruption"},
            spec={"max_unavailable": 1, "selector": {"match_labels": selector}},
            opts=self._replaceable,
        )

    def _config_map(self, suffix: str, data: dict[str, str]) -> k8s.core.v1.ConfigMap:
        return k8s.core.v1.ConfigMap(
            f"{self._name}-{suffix}", metadata=self._metadata, data=data, opts=self._replaceable
        )

    def _secret(self, suffix: str, data: dict[str, pulumi.Input[str]]) -> k8s.core.v1.Secret:
        return k8s.core.v1.Secret(
            f"{self._name}-{suffix}",
            metadata=self._metadata,
            string_data=data,
            opts=self._replaceable,
        )

    def _users(self, suffix: str, app_rules: str) -> k8s.core.v1.Secret:
        """Both passwords of the application are valid, so that its pods can change one by one."""
        secrets = self._args.secrets
        users = pulumi.Output.format(
            "user default on >{0} >{1} {2}\nuser internal on >{3} ~* &* +@all\n",
            secrets.cache.current,
            secrets.cache.previous,
            app_rules,
            secrets.cache_internal,
        )
        return self._secret(f"{suffix}-users", {"users.acl": users})

    def _environment(self, internal: k8s.core.v1.Secret) -> list[k8s.core.v1.EnvVarArgsDict]:
        """What the scripts and haproxy.cfg read."""
        config = self._args.config
        literals = {
            "NODES": " ".join(self._nodes),
            "SENTINELS": " ".join(self._sentinels),
            "NODE_PORT": str(PORT),
            "SENTINEL_PORT": str(SENTINEL_PORT),
            "SET_NAME": SET_NAME,
            "QUORUM": str(config.quorum),
            "DOWN_AFTER_MS": str(config.down_after_ms),
        }
        password: k8s.core.v1.SecretKeySelectorArgsDict = {
            "name": internal.metadata.name,
            "key": "password",
        }
        return [
            *({"name": key, "value": value} for key, value in literals.items()),
            {"name": "POD_NAME", "value_from": {"field_ref": {"field_path": "metadata.name"}}},
            {
                "name": "NAMESPACE",
                "value_from": {"field_ref": {"field_path": "metadata.namespace"}},
            },
            {"name": "REDISCLI_AUTH", "value_from": {"secret_key_ref": password}},
        ]


def _scripts(*names: str) -> dict[str, str]:
    return {name: (SCRIPTS / name).read_text() for name in names}


def _is_ready(port: int) -> k8s.core.v1.ProbeArgsDict:
    return {
        "exec_": {"command": ["sh", f"{FILES}/redis-ready.sh", str(port)]},
        "period_seconds": 5,
        "timeout_seconds": 3,
    }


def _listens(port: int) -> k8s.core.v1.ProbeArgsDict:
    return {"tcp_socket": {"port": port}}


def _resources(cpu: str, memory_mib: int) -> k8s.core.v1.ResourceRequirementsArgsDict:
    """No CPU limit: a throttled server looks dead to the Sentinels."""
    return {
        "requests": {"cpu": cpu, "memory": f"{memory_mib // 2}Mi"},
        "limits": {"memory": f"{memory_mib}Mi"},
    }
