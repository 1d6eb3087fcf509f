"""The environment in Secrets Manager, and in a second region (SC-5, BK-11)."""

import json
from typing import Any

import pytest
from conftest import deploy_stack, knobs
from pulumi.runtime import rpc

from components.aws.secrets_copy_config import SecretsCopyConfig
from components.stack_config import ConfigError
from offline.recorder import Graph, Registered, plain

IMAGE: dict[str, Any] = {"image": f"shop@sha256:{'0' * 64}", "deploymentVersion": "3f2a9c1"}


def stack(name: str, **changes: Any) -> Graph:
    return deploy_stack(name, **IMAGE, **changes)


def secret(graph: Graph) -> Registered:
    [found] = [r for r in graph.all("Secret") if r.type.startswith("aws:")]
    return found


@pytest.mark.parametrize("name", ["staging", "production"])
def test_all_that_pods_are_told_is_kept_and_secret(name: str) -> None:
    """BK-11: also before the first image."""
    for graph in (stack(name), deploy_stack(name, image="", deploymentVersion="")):
        version = graph.one("SecretVersion")
        told = plain(graph.outputs[f"nextstack-{name}"]["runtimeEnv"])
        assert json.loads(version.inputs["secretString"]) == told
        assert rpc.is_rpc_secret(version.secrets["secretString"])
        assert version.retain_on_delete  # else the last one would lose its label
        assert not version.protect


@pytest.mark.parametrize("name", ["staging", "production"])
def test_the_copy_is_under_a_key_of_its_own_and_can_be_had_back(name: str) -> None:
    """SC-5, PL-8."""
    made = secret(stack(name))
    assert (made.protect, made.retain_on_delete) == (True, True)
    inputs = dict(made.inputs)
    inputs.pop("replicas", None)
    assert inputs == {
        "name": f"nextstack-{name}/runtime-env",
        "description": "what the application is told, as JSON; written by the program",
        "kmsKeyId": "arn:aws:kms:zz-none-1:000000000000:secrets-copy-key",
        "recoveryWindowInDays": 30,
        "forceOverwriteReplicaSecret": False,
        "tags": {"nextstack/component": "secrets-copy"},
    }


def test_production_has_a_replica_in_the_second_region() -> None:
    """SC-5, BK-11: written by AWS with each version, under a key of that region."""
    graph = stack("production")
    key = graph.one("Key", "secrets-copy-replica")
    assert "::aws-recovery::" in key.provider
    assert secret(graph).inputs["replicas"] == [
        {"region": "us-west-2", "kmsKeyId": f"arn:aws:kms:zz-none-1:000000000000:{key.name}"}
    ]
    staging = stack("staging")
    assert not secret(staging).inputs.get("replicas")
    assert not [r for r in staging.all("Key") if "secrets-copy-replica" in r.name]


def test_no_other_account_reads_it() -> None:
    """BK-22."""
    policy = stack("production").one("SecretPolicy")
    assert policy.inputs["blockPublicPolicy"] is True
    [statement] = json.loads(policy.inputs["policy"])["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Deny", "secretsmanager:*")
    assert statement["Condition"] == {"StringNotEquals": {"aws:PrincipalAccount": "123456789012"}}


def test_a_change_of_the_environment_is_a_change_of_the_copy() -> None:
    """BK-11: written at each change."""
    changed = stack("production", env='{"LOG_LEVEL": "warn", "DATABASE_POOL_SIZE": 20}')
    kept = json.loads(changed.one("SecretVersion").inputs["secretString"])
    assert kept["LOG_LEVEL"] == "warn"
    before = json.loads(stack("production").one("SecretVersion").inputs["secretString"])
    assert before["LOG_LEVEL"] == "info"


def test_where_nothing_is_protected_it_can_go() -> None:
    """PL-8."""
    made = secret(stack("production", protectData=False))
    assert (made.protect, made.retain_on_delete) == (False, False)


def test_without_it_there_is_none() -> None:
    assert not stack("production", secretsCopyEnabled=False).all("SecretVersion")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "secretsCopyName is empty"),
        ({"name": "shop secrets"}, "secretsCopyName is no name of a secret"),
        ({"name": "a" * 513}, "secretsCopyName is no name of a secret"),
        ({"name": "shop-abc123"}, "secretsCopyName is no name of a secret"),
        ({"recovery_window_days": 6}, "got 6, allowed 7 to 30"),
        ({"recovery_window_days": 31}, "got 31, allowed 7 to 30"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    """PL-7."""
    with pytest.raises(ConfigError, match=message):
        knobs(SecretsCopyConfig, "secretsCopy", "production", **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "a" * 512},
        {"name": "shop/prod_env+1=2.3@x"},
        {"name": "shop-abc12"},
        {"recovery_window_days": 7},
    ],
)
def test_settings_at_their_limits_are_accepted(changes: dict[str, Any]) -> None:
    assert knobs(SecretsCopyConfig, "secretsCopy", "production", **changes)
