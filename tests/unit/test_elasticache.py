"""The cache on ElastiCache (CA-1 to CA-6, BK-8): what it refuses and what it asks for."""

import inspect
from collections import Counter
from typing import Any

import pytest
from conftest import deploy_stack, knobs
from pulumi.runtime import rpc
from pulumi_aws import elasticache

from components.aws.elasticache_config import ElastiCacheConfig
from components.stack_config import ConfigError
from offline.recorder import Graph, invented, plain

# Inputs that stay unset, each for a reason.
UNSET = {
    "authToken": "superseded by users (c6)",
    "authTokenUpdateStrategy": "as above",
    "authTokenWo": "as above",
    "authTokenWoVersion": "as above",
    "durability": "what must last is in PostgreSQL (S-16)",
    "globalReplicationGroupId": "no second region",
    "logDeliveryConfigurations": "no log of the cache is asked for",
    "nodeGroupConfigurations": "cluster mode only",
    "notificationTopicArn": "set with the alarms",
    "numNodeGroups": "cluster mode only",
    "preferredCacheClusterAzs": "AWS spreads nodes over the subnets' zones",
    "region": "the provider's",
    "replicasPerNodeGroup": "cluster mode only",
    "securityGroupNames": "outside networks only",
    "snapshotArns": "no import",
    "snapshotName": "no restore: nothing irreplaceable lives in the cache (S-16)",
}


def stack(name: str = "production", **changes: Any) -> Graph:
    return deploy_stack(name, **changes)


def group(graph: Graph, name: str = "") -> dict[str, Any]:
    return graph.one("ReplicationGroup", name).inputs


def config(**changes: Any) -> ElastiCacheConfig:
    return knobs(ElastiCacheConfig, "elasticache", "production", **changes)


@pytest.mark.parametrize(
    ("name", "node", "days"),
    [("staging", "cache.t4g.small", 1), ("production", "cache.m7g.large", 7)],
)
def test_every_value_is_as_required(name: str, node: str, days: int) -> None:
    """CA-1, CA-2, CA-3, CA-6, BK-8."""
    inputs = dict(group(stack(name)))
    assert inputs.pop("finalSnapshotIdentifier").startswith(f"nextstack-{name}-final-")
    assert inputs.pop("kmsKeyId").endswith(":redis-key")
    assert inputs == {
        "applyImmediately": False,
        "atRestEncryptionEnabled": True,
        "autoMinorVersionUpgrade": True,
        "automaticFailoverEnabled": True,
        "clusterMode": "disabled",
        "dataTieringEnabled": False,
        "description": "cache of the application",
        "engine": "valkey",
        "engineVersion": "8.0",
        "ipDiscovery": "ipv4",
        "maintenanceWindow": "sun:02:00-sun:03:00",
        "multiAzEnabled": True,
        "networkType": "ipv4",
        "nodeType": node,
        "numCacheClusters": 2,
        "parameterGroupName": f"nextstack-{name}-valkey8",
        "port": 6379,
        "replicationGroupId": f"nextstack-{name}",
        "securityGroupIds": ["redis-firewall-id"],
        "snapshotRetentionLimit": days,
        "snapshotWindow": "00:00-01:00",
        "subnetGroupName": f"nextstack-{name}-subnets",
        "tags": {"nextstack/component": "redis"},
        "transitEncryptionEnabled": True,
        "transitEncryptionMode": "required",
        "userGroupIds": [f"nextstack-{name}-users"],
    }


def test_nothing_is_left_to_the_providers_defaults() -> None:
    known = inspect.signature(elasticache.ReplicationGroupArgs.__init__).parameters
    names = {_camel(name) for name in known if not name.startswith("__")}
    assert names - group(stack()).keys() == UNSET.keys()


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.title() for word in tail)


def test_one_user_with_two_passwords_may_log_in() -> None:
    """CA-3, SC-6."""
    graph = stack()
    app = graph.one("User", "redis-app")
    assert app.inputs["userName"] == "app"
    assert app.inputs["accessString"] == "on ~* &* +@all -@admin"
    passwords = plain(app.inputs["authenticationMode"])["passwords"]
    expected = [invented("", f"secrets-cache{slot}", {"length": 64}) for slot in "AB"]
    assert passwords == expected
    default = graph.one("User", "redis-default").inputs
    assert default["userName"] == "default"
    assert default["accessString"].startswith("off ")
    users = graph.one("UserGroup").inputs
    assert users["engine"] == "valkey"
    assert users["userIds"] == ["nextstack-production-app", "nextstack-production-default"]


def test_a_rotation_keeps_the_password_in_use() -> None:
    """SC-6."""
    before, after = stack(), stack(secretsEpoch=2)
    old, new = (
        plain(g.one("User", "redis-app").inputs["authenticationMode"])["passwords"]
        for g in (before, after)
    )
    assert old[0] == new[1]
    url = plain(after.outputs["nextstack-production"]["redisUrl"])
    assert f":{new[0]}@" in url


def test_the_url_is_that_of_the_primary_with_tls() -> None:
    """CA-1, CA-3: the primary endpoint is the only address that survives a failover (c5)."""
    exports = stack().outputs["nextstack-production"]
    assert rpc.is_rpc_secret(exports["redisUrl"])
    url = plain(exports["redisUrl"])
    assert url.startswith("rediss://app:")
    assert url.endswith("@master.nextstack-production.invented.cache.amazonaws.com:6379")


def test_a_queue_is_a_second_group_that_never_evicts() -> None:
    """CA-4."""
    graph = stack(redisQueue=True)
    policies = {
        r.name: r.inputs["parameters"]
        for r in graph.all("ParameterGroup")
        if r.inputs["family"] == "valkey8"
    }
    assert policies == {
        "redis-valkey8": [{"name": "maxmemory-policy", "value": "volatile-lru"}],
        "redis-queue-valkey8": [{"name": "maxmemory-policy", "value": "noeviction"}],
    }
    queue = group(graph, "queue")
    assert queue["replicationGroupId"] == "nextstack-production-queue"
    assert queue["parameterGroupName"] == "nextstack-production-queue-valkey8"
    ids = [r.inputs["userId"] for r in graph.all("User")]
    assert len(ids) == len(set(ids)) == 4


@pytest.mark.parametrize("keep", [True, False])
def test_the_group_outlives_the_stack_where_data_is_protected(keep: bool) -> None:
    """PL-8."""
    made = stack(protectData=keep).one("ReplicationGroup")
    assert (made.protect, made.retain_on_delete) == (keep, keep)


def test_the_component_makes_no_more_than_this() -> None:
    parents = [r for r in stack().resources if r.parent.endswith(":ElastiCache::redis")]
    assert Counter(r.type.rsplit(":", 1)[1] for r in parents) == {
        "Key": 1,
        "NetworkPolicy": 1,
        "ParameterGroup": 1,
        "RandomId": 1,
        "ReplicationGroup": 1,
        "SecurityGroup": 1,
        "SecurityGroupIngressRule": 1,
        "SubnetGroup": 1,
        "User": 2,
        "UserGroup": 1,
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nodes": 1}, "elasticacheNodes is out of range: got 1, allowed 2 to 6"),
        ({"nodes": 7}, "got 7, allowed 2 to 6"),
        ({"snapshot_retention_days": 0}, "got 0, allowed 1 to 35"),
        ({"snapshot_retention_days": 36}, "got 36, allowed 1 to 35"),
        ({"node_type": "cache.t4g.micro"}, "elasticacheNodeType is too small.*which has 0.5 GiB"),
        ({"node_type": "db.m7g.large"}, "elasticacheNodeType is malformed"),
        ({"engine_version": "7.2"}, "elasticacheEngineVersion is not supported: got '7.2'"),
        ({"group_name": "a" * 25}, "elasticacheGroupName is malformed"),
        ({"group_name": "shop--1"}, "elasticacheGroupName is malformed"),
        ({"snapshot_minutes": 59}, "elasticacheSnapshotMinutes is out of range: got 59"),
        ({"snapshot_time": "01:30"}, "elasticacheMaintenanceTime meets the daily backup"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    """CA-1, CA-2, BK-14, PL-7."""
    with pytest.raises(ConfigError, match=message):
        config(**changes)


@pytest.mark.parametrize(
    "changes", [{"nodes": 6}, {"group_name": "a" * 24}, {"snapshot_minutes": 120}]
)
def test_settings_at_their_limits_are_accepted(changes: dict[str, Any]) -> None:
    assert config(**changes)
