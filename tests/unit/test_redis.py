"""The cache in the cluster (CA-1 to CA-5): what it refuses, and what it asks Kubernetes for."""

import json
import subprocess
from collections import Counter
from typing import Any

import pulumi
import pytest
from conftest import deploy, knobs

from components.cache import Cache
from components.generated_secrets import GeneratedSecrets, SecretsConfig
from components.redis import SCRIPTS, RedisReplicaSet, RedisReplicaSetArgs
from components.redis_settings import (
    RedisConfig,
    Role,
    node_settings,
    proxy_settings,
    sentinel_settings,
)
from components.stack_config import ConfigError
from offline.recorder import Graph, Registered, invented

CURRENT = invented("RandomPassword", "secrets-cacheA", {"length": 64})
PREVIOUS = invented("RandomPassword", "secrets-cacheB", {"length": 64})
INTERNAL = invented("RandomPassword", "secrets-cacheInternal", {"length": 64})


def config(**changes: Any) -> RedisConfig:
    return knobs(RedisConfig, "redis", **changes)


def run(
    *,
    keep_volume: bool = False,
    protect: bool = False,
    role: Role = Role.CACHE,
    epoch: int = 1,
    **changes: Any,
) -> Graph:
    """The graph of one set of servers, its outputs exported."""

    def program() -> None:
        secrets = GeneratedSecrets("secrets", knobs(SecretsConfig, "", secrets_epoch=epoch))
        args = RedisReplicaSetArgs(
            config=config(**changes),
            namespace="shop",
            secrets=secrets,
            keep_volume=keep_volume,
            role=role,
        )
        redis = RedisReplicaSet("redis", args, pulumi.ResourceOptions(protect=protect))
        cache: Cache = redis  # pyright proves that the Protocol is satisfied
        pulumi.export("url", cache.url)
        pulumi.export("sentinels", redis.sentinels)

    return deploy(program)


def output(graph: Graph, name: str) -> Any:
    return graph.outputs["nextstack-test"][name]


def pod(workload: Registered) -> dict[str, Any]:
    return workload.inputs["spec"]["template"]["spec"]


def workloads(graph: Graph) -> list[Registered]:
    return [*graph.all("StatefulSet"), *graph.all("Deployment")]


def settings(text: str) -> dict[str, str]:
    """Lines of a configuration file by their first word."""
    pairs = (line.partition(" ") for line in text.splitlines())
    return {key: value for key, _, value in pairs if not key.startswith("#")}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"image": "valkey/valkey:latest"}, "redisImage is not fixed"),
        ({"proxy_image": "haproxy:3"}, "redisProxyImage is not fixed"),
        ({"replicas": 1}, "redisReplicas is out of range: got 1, allowed 2 to 5"),
        ({"replicas": 6}, "redisReplicas is out of range"),
        ({"proxies": 1}, "redisProxies is out of range"),
        ({"proxies": 11}, "redisProxies is out of range"),
        ({"sentinels": 2}, "redisSentinels is not allowed: got 2, allowed 3, 5, 7"),
        ({"sentinels": 4, "quorum": 3}, "redisSentinels is not allowed"),
        ({"quorum": 1}, "redisQuorum is out of range: got 1, allowed 2 to 3"),
        ({"quorum": 4}, "redisQuorum is out of range"),
        ({"max_memory_mib": 63}, "redisMaxMemoryMib is out of range"),
        ({"max_memory_mib": 65_537}, "redisMaxMemoryMib is out of range"),
        ({"eviction_policy": "random"}, "redisEvictionPolicy is not allowed"),
        ({"storage_gib": 0}, "redisStorageGib is out of range"),
        ({"storage_gib": 1025}, "redisStorageGib is out of range"),
        ({"down_after_ms": 499}, "redisDownAfterMs is out of range"),
        ({"down_after_ms": 60_001, "failover_timeout_ms": 180_000}, "redisDownAfterMs"),
        ({"failover_timeout_ms": 9_999}, "redisFailoverTimeoutMs is too short"),
        ({"min_replicas_to_write": 0}, "redisMinReplicasToWrite is out of range"),
        ({"min_replicas_to_write": 2}, "redisMinReplicasToWrite is out of range: got 2"),
        ({"min_replicas_max_lag_s": 0}, "redisMinReplicasMaxLagS is out of range"),
        ({"min_replicas_max_lag_s": 61}, "redisMinReplicasMaxLagS is out of range"),
    ],
)
def test_refuses(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as error:
        config(**changes)
    assert len(error.value.problems) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"replicas": 5, "min_replicas_to_write": 4, "sentinels": 7, "quorum": 4, "proxies": 10},
        {"max_memory_mib": 64, "storage_gib": 1, "min_replicas_max_lag_s": 60},
        {"down_after_ms": 500, "failover_timeout_ms": 1000},
    ],
)
def test_accepts_the_limits(changes: dict[str, Any]) -> None:
    assert config(**changes)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        config(replicas=1, quorum=0, storage_gib=0)
    assert len(error.value.problems) == 3


def test_is_made_of_exactly_these_objects() -> None:
    """CA-1: one primary and two replicas, three Sentinels, and a way to the primary."""
    graph = run()
    kinds = Counter(r.type.rpartition(":")[2] for r in graph.resources if "kubernetes" in r.type)
    assert kinds == {
        "ConfigMap": 3,
        "Deployment": 1,
        "NetworkPolicy": 6,
        "PodDisruptionBudget": 3,
        "Secret": 3,
        "Service": 9,
        "StatefulSet": 2,
    }
    assert graph.one("StatefulSet", "redis-server").inputs["spec"]["replicas"] == 3
    assert graph.one("StatefulSet", "redis-sentinel").inputs["spec"]["replicas"] == 3
    assert graph.one("Deployment").inputs["spec"]["replicas"] == 2


def test_every_number_follows_the_configuration() -> None:
    graph = run(replicas=4, sentinels=5, quorum=3, proxies=4)
    assert graph.one("StatefulSet", "redis-server").inputs["spec"]["replicas"] == 5
    assert graph.one("StatefulSet", "redis-sentinel").inputs["spec"]["replicas"] == 5
    assert graph.one("Deployment").inputs["spec"]["replicas"] == 4
    env = {e["name"]: e.get("value") for e in pod(graph.one("Deployment"))["containers"][0]["env"]}
    assert env["NODES"] == "redis-0 redis-1 redis-2 redis-3 redis-4"
    assert str(env["SENTINELS"]).endswith("redis-sentinel-4")
    assert env["QUORUM"] == "3"


def test_one_url_reaches_the_primary_and_is_secret() -> None:
    """CA-1, CA-3: the proxy's name; the password needs no escaping."""
    graph = run()
    wrapped = output(graph, "url")
    assert wrapped["value"] == f"redis://default:{CURRENT}@redis.shop.svc:6379"
    service = graph.one("Service", "redis-service").inputs
    assert service["metadata"]["name"] == "redis"
    proxies = graph.one("Deployment").inputs["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= proxies.items()
    assert not service["spec"]["publishNotReadyAddresses"]


def test_clients_that_know_sentinels_find_them() -> None:
    assert output(run(), "sentinels") == ",".join(
        f"redis-sentinel-{i}.shop.svc:26379" for i in range(3)
    )


def test_every_server_keeps_its_address_when_its_pod_goes() -> None:
    """CA-5: a Service with a ClusterIP per pod, also while the pod is not ready."""
    graph = run()
    for workload in graph.all("StatefulSet"):
        name = workload.inputs["metadata"]["name"]
        for i in range(3):
            spec = graph.one("Service", f"{name}-{i}-service").inputs["spec"]
            assert spec["selector"]["statefulset.kubernetes.io/pod-name"] == f"{name}-{i}"
            assert spec["publishNotReadyAddresses"]
            assert "clusterIP" not in spec


def test_dev_failover_settings() -> None:
    """CA-5"""
    sentinel = sentinel_settings(config())
    assert "sentinel down-after-milliseconds main 5000\n" in sentinel
    assert "sentinel failover-timeout main 30000\n" in sentinel
    node = settings(node_settings(config(), Role.CACHE))
    assert (node["min-replicas-to-write"], node["min-replicas-max-lag"]) == ("1", "10")


@pytest.mark.parametrize(
    ("role", "changes", "policy"),
    [
        (Role.CACHE, {}, "volatile-lru"),
        (Role.CACHE, {"eviction_policy": "allkeys-lru"}, "allkeys-lru"),
        (Role.QUEUE, {}, "noeviction"),
        (Role.QUEUE, {"eviction_policy": "allkeys-lru"}, "noeviction"),
    ],
)
def test_a_queue_never_loses_a_key_to_memory(
    role: Role, changes: dict[str, Any], policy: str
) -> None:
    """CA-4"""
    assert settings(node_settings(config(**changes), role))["maxmemory-policy"] == policy


def test_the_role_reaches_the_servers() -> None:
    """CA-4"""
    data = run(role=Role.QUEUE).one("ConfigMap", "redis-node").inputs["data"]
    assert "maxmemory-policy noeviction\n" in data["redis.conf"]


def test_memory_is_bounded_with_room_for_a_copy() -> None:
    """CA-2"""
    assert settings(node_settings(config(), Role.CACHE))["maxmemory"] == "256mb"
    container = pod(run().one("StatefulSet", "redis-server"))["containers"][0]
    assert container["resources"]["limits"]["memory"] == "576Mi"


def test_every_write_reaches_the_disk_within_a_second() -> None:
    """BK-8 on dev"""
    node = settings(node_settings(config(), Role.CACHE))
    assert (node["appendonly"], node["appendfsync"]) == ("yes", "everysec")
    claim = run().one("StatefulSet", "redis-server").inputs["spec"]["volumeClaimTemplates"][0]
    assert claim["spec"]["resources"]["requests"]["storage"] == "2Gi"


@pytest.mark.parametrize(("keep_volume", "policy"), [(True, "Retain"), (False, "Delete")])
def test_volumes_stay_only_where_asked(keep_volume: bool, policy: str) -> None:
    """PL-8"""
    for workload in run(keep_volume=keep_volume).all("StatefulSet"):
        retention = workload.inputs["spec"]["persistentVolumeClaimRetentionPolicy"]
        assert retention["whenDeleted"] == policy


def test_protection_covers_the_data_and_not_what_a_change_replaces() -> None:
    """PL-8, SC-6: the engine refuses to replace a protected Secret or ConfigMap."""
    protected = [r for r in run(protect=True).resources if r.protect]
    kinds = {r.type.rpartition(":")[2] for r in protected}
    assert kinds == {"RedisReplicaSet", "StatefulSet", "Service"}


def test_both_passwords_are_valid_and_clients_cannot_administrate() -> None:
    """CA-3, SC-6"""
    users = run().one("Secret", "redis-node-users").inputs["stringData"]["users.acl"]
    default, internal = users.splitlines()
    assert default == f"user default on >{CURRENT} >{PREVIOUS} ~* &* +@all -@admin"
    assert internal == f"user internal on >{INTERNAL} ~* &* +@all"


def test_a_client_may_only_ask_sentinels() -> None:
    """CA-3"""
    users = run().one("Secret", "redis-sentinel-users").inputs["stringData"]["users.acl"]
    default = users.splitlines()[0]
    assert default.startswith(f"user default on >{CURRENT} >{PREVIOUS} &* -@all ")
    assert "+sentinel|get-master-addr-by-name" in default
    assert "failover" not in default


def test_nobody_gets_in_without_a_password() -> None:
    """CA-3"""
    for name in ("redis-node-users", "redis-sentinel-users"):
        users = run().one("Secret", name).inputs["stringData"]["users.acl"]
        assert "nopass" not in users
    for text in (node_settings(config(), Role.CACHE), sentinel_settings(config())):
        assert "aclfile /etc/redis-users/users.acl\n" in text


def test_passwords_are_in_secrets_only() -> None:
    """SC-1: the proxy's checks, too, read theirs from the environment."""
    graph = run()
    for resource in graph.resources:
        if resource.type.endswith(":Secret") or "kubernetes" not in resource.type:
            continue
        text = json.dumps(resource.inputs)
        assert not [p for p in (CURRENT, PREVIOUS, INTERNAL) if p in text], resource.name
    assert (
        '"AUTH internal ${REDISCLI_AUTH}"'
        in graph.one("ConfigMap", "proxy").inputs["data"]["haproxy.cfg"]
    )


def test_a_rotation_changes_the_servers_and_neither_proxy_nor_internal_password() -> None:
    """SC-6: what the application's password opens is new; the rest keeps running."""
    before, after = (
        {r.name: r.inputs for r in run(epoch=epoch).resources if "kubernetes" in r.type}
        for epoch in (1, 2)
    )
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"redis-node-users", "redis-sentinel-users"}
    assert all("metadata" in after[n] and "name" not in after[n]["metadata"] for n in changed)
    users = after["redis-node-users"]["stringData"]["users.acl"]
    assert users.index(PREVIOUS) < users.index(CURRENT)  # they have taken turns


def test_the_proxy_trusts_a_primary_only_with_a_quorum() -> None:
    """CA-5: a former primary that wakes up gets no clients."""
    text = proxy_settings(["redis-0", "redis-1"], ["s-0", "s-1", "s-2"], 2)
    rules = [line.strip() for line in text.splitlines() if "use_backend" in line]
    assert rules == [
        "use_backend redis-0 if { nbsrv(redis-0) ge 1 } "
        "{ nbsrv(redis-0-named) ge 2 } { nbsrv(redis-1-named) lt 2 }",
        "use_backend redis-1 if { nbsrv(redis-1) ge 1 } "
        "{ nbsrv(redis-0-named) lt 2 } { nbsrv(redis-1-named) ge 2 }",
    ]
    assert "default_backend" not in text
    backend = text.partition("backend redis-1\n")[2].partition("backend")[0]
    assert "tcp-check expect string role:master\n" in backend
    assert 'server redis-1 "${NODE_1}":6379 on-marked-down shutdown-sessions' in backend


def test_a_vote_names_the_whole_address() -> None:
    """10.0.0.1 is not 10.0.0.12: the answer is compared with its line ends."""
    text = proxy_settings(["redis-0"], ["s-0", "s-1", "s-2"], 2)
    votes = text.partition("backend redis-0-named\n")[2]
    assert r'tcp-check expect string \r\n"${NODE_0}"\r\n' in votes
    assert votes.count("    server s-") == 3


def test_a_stopping_server_hands_over_within_its_grace() -> None:
    graph = run()
    spec = pod(graph.one("StatefulSet", "redis-server"))
    hook = spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert hook == ["sh", "/etc/redis/redis-stop.sh"]
    stop = graph.one("ConfigMap", "redis-node").inputs["data"]["redis-stop.sh"]
    pause = int(stop.partition("PAUSE_MS=")[2].split()[0])
    wait = int(stop.partition("WAIT_FOR_SUCCESSOR_S=")[2].split()[0])
    grace = spec["terminationGracePeriodSeconds"]
    assert wait + 10 < grace < pause / 1000
    assert stop.index("CLIENT PAUSE") < stop.index("replica_offsets") < stop.index("hand_over ||")


def test_readiness_does_not_depend_on_being_primary() -> None:
    """Else a failover would stop a rollout, or empty the Services."""
    script = (SCRIPTS / "redis-ready.sh").read_text()
    assert "role:master|master_link_status:up" in script


def test_probes_ask_no_other_pod() -> None:
    graph = run()
    for workload in workloads(graph):
        container = pod(workload)["containers"][0]
        assert {"readinessProbe", "livenessProbe"} <= container.keys(), workload.name
    liveness = pod(graph.one("StatefulSet", "redis-server"))["containers"][0]["livenessProbe"]
    assert liveness["exec"]["command"] == ["timeout", "5", "valkey-cli", "-p", "6379", "ping"]


def test_every_pod_is_unprivileged() -> None:
    """AP-4"""
    for workload in workloads(run()):
        spec = pod(workload)
        assert spec["securityContext"]["runAsNonRoot"], workload.name
        assert not spec["automountServiceAccountToken"]
        for container in spec["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]


def test_only_labelled_pods_get_in() -> None:
    """PL-10: clients reach the proxy, not the servers; servers and Sentinels reach each other."""
    graph = run()
    opened = {
        r.name: (
            r.inputs["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"],
            r.inputs["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/name"],
            r.inputs["spec"]["ingress"][0]["ports"][0]["port"],
        )
        for r in graph.all("NetworkPolicy")
        if r.inputs["spec"]["policyTypes"] == ["Ingress"]
    }
    assert opened == {
        "redis-from-clients": ({"nextstack/reaches-redis": "true"}, "redis-proxy", 6379),
        "redis-nodes-from-clients": ({"nextstack/reaches-redis-nodes": "true"}, "redis", 6379),
        "redis-sentinels-from-clients": (
            {"nextstack/reaches-redis-sentinels": "true"},
            "redis-sentinel",
            26379,
        ),
    }
    for workload in workloads(graph):
        labels = workload.inputs["spec"]["template"]["metadata"]["labels"]
        assert labels["nextstack/reaches-redis-nodes"] == "true", workload.name
        assert labels["nextstack/reaches-redis-sentinels"] == "true", workload.name


def test_one_disruption_takes_one_pod_of_each_kind() -> None:
    graph = run()
    for budget in graph.all("PodDisruptionBudget"):
        assert budget.inputs["spec"]["maxUnavailable"] == 1
    selectors = [b.inputs["spec"]["selector"] for b in graph.all("PodDisruptionBudget")]
    assert all(w.inputs["spec"]["selector"] in selectors for w in workloads(graph))


def test_pods_of_a_kind_are_spread() -> None:
    for workload in workloads(run()):
        spread = pod(workload)["topologySpreadConstraints"][0]
        assert spread["topologyKey"] == "kubernetes.io/hostname"
        assert spread["labelSelector"] == workload.inputs["spec"]["selector"]


def test_servers_come_after_the_sentinels_they_ask() -> None:
    graph = run()
    sentinels = graph.one("StatefulSet", "redis-sentinel")
    assert sentinels.urn in graph.one("StatefulSet", "redis-server").depends_on


def test_scripts_are_posix_and_find_what_they_read() -> None:
    graph = run()
    for config_map in graph.all("ConfigMap"):
        data = config_map.inputs["data"]
        for name, text in data.items():
            if name.endswith(".sh"):
                subprocess.run(["sh", "-n"], input=text, text=True, check=True)
                assert "redis-ask.sh" not in text or "redis-ask.sh" in data, name
