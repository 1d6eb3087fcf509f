"""The registry of images: what it refuses, and what it asks for."""

import json
from typing import Any

import pytest
from conftest import deploy_stack, knobs

from components.aws.registry_config import RegistryConfig
from components.stack_config import ConfigError
from offline.recorder import Graph


def stack(name: str = "production", **changes: Any) -> Graph:
    return deploy_stack(name, **changes)


@pytest.mark.parametrize("name", ["staging", "production"])
def test_a_tag_never_moves_and_images_are_scanned(name: str) -> None:
    """PL-11, AP-9: an image is what was tested."""
    made = stack(name).one("Repository")
    assert made.inputs == {
        "name": f"nextstack-{name}",
        "imageTagMutability": "IMMUTABLE",
        "imageScanningConfiguration": {"scanOnPush": True},
        "encryptionConfigurations": [
            {
                "encryptionType": "KMS",
                "kmsKey": "arn:aws:kms:zz-none-1:000000000000:registry-key",
            }
        ],
        "forceDelete": False,
        "tags": {"nextstack/component": "registry"},
    }


@pytest.mark.parametrize("keep", [True, False])
def test_images_outlive_the_stack_where_data_is_protected(keep: bool) -> None:
    """PL-8."""
    made = stack(protectData=keep).one("Repository")
    assert (made.protect, made.retain_on_delete) == (keep, keep)


def test_old_images_go() -> None:
    rules = json.loads(stack().one("LifecyclePolicy").inputs["policy"])["rules"]
    kept = [(r["selection"]["tagStatus"], r["selection"]["countNumber"]) for r in rules]
    assert kept == [("untagged", 7), ("any", 100)]
    assert [rule["rulePriority"] for rule in rules] == [1, 2]


def test_its_url_is_an_output() -> None:
    outputs = stack().outputs["nextstack-production"]
    assert outputs["registryUrl"].endswith("/nextstack-production")
    without = stack(registryName="")
    assert without.outputs["nextstack-production"]["registryUrl"] == ""
    assert not without.all("Repository")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Shop"}, "registryName is malformed: got 'Shop'"),
        ({"name": "a"}, "registryName is malformed: got 'a'"),
        ({"name": "shop-"}, "registryName is malformed"),
        ({"name": "shop//web"}, "registryName is malformed"),
        ({"name": "a" * 257}, "registryName is malformed"),
        ({"keep_images": 9}, "registryKeepImages is out of range: got 9, allowed 10 to 10000"),
        ({"untagged_days": 0}, "registryUntaggedDays is out of range: got 0, allowed 1 to 365"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    """PL-7."""
    with pytest.raises(ConfigError) as refused:
        knobs(RegistryConfig, "registry", "production", **changes)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "changes",
    [{"name": ""}, {"name": "ab"}, {"name": "a" * 256}, {"name": "team/shop_web.1"}],
)
def test_settings_at_their_limits_are_accepted(changes: dict[str, Any]) -> None:
    assert knobs(RegistryConfig, "registry", "production", **changes)


def test_a_stack_without_an_account_has_none() -> None:
    with pytest.raises(ConfigError, match="registryName has no account: got 'shop', allowed"):
        stack("dev", registryName="shop")
