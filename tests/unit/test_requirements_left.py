"""Requirements that belong to no single component, or to more than one."""

import ast
import json
from typing import Any

import pytest
from conftest import STACKS, deploy_stack, knobs, parsed

from components.environment import EnvironmentConfig
from offline.recorder import PROJECT, ROOT, Registered

IMAGE: dict[str, Any] = {"image": f"shop@sha256:{'0' * 64}", "deploymentVersion": "3f2a9c1"}
ON_AWS = ("production", "staging")
# The security releases of Next.js of May 2026, by line.
FLOORS = {15: (15, 5, 18), 16: (16, 2, 6)}


def test_it_is_a_pulumi_program_like_any_other() -> None:
    """PL-5: nothing but Pulumi's own files is needed to run it."""
    assert PROJECT["runtime"]["name"] == "python"
    assert {"dev", "staging", "production"} <= set(STACKS)
    for name in ("__main__.py", "requirements.txt", "components/__init__.py", "tests/unit"):
        assert (ROOT / name).exists(), name
    imported = {
        alias.partition(".")[0]
        for path in (ROOT / "__main__.py", *(ROOT / "components").rglob("*.py"))
        for alias in _imports(path.read_text())
    }
    assert not imported & {"commands", "drills", "local", "offline"}
    assert "pulumi preview" in (ROOT / ".github/workflows/preview.yml").read_text()


def _imports(text: str) -> list[str]:
    nodes = list(ast.walk(parsed(text)))
    plain = [alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names]
    return plain + [n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module]


def _told(stack: str, **changes: Any) -> dict[str, str]:
    graph = deploy_stack(stack, **IMAGE, **changes)
    return {
        key: value
        for found in graph.all("ConfigMap")
        if ":Environment::" in found.parent
        for key, value in found.inputs["data"].items()
    }


@pytest.mark.parametrize("stack", STACKS)
def test_degraded_mode_is_one_value(stack: str) -> None:
    """AP-13: off until somebody switches it on, and then in every pod of the application."""
    assert _told(stack)["DEGRADED_MODE"] == "false"
    env = knobs(EnvironmentConfig, "", stack).env | {"DEGRADED_MODE": "true"}
    assert _told(stack, env=json.dumps(env))["DEGRADED_MODE"] == "true"


@pytest.mark.parametrize("stack", ON_AWS)
def test_workflows_decrypt_the_configuration_with_a_named_key_alone(stack: str) -> None:
    """SC-7: the key that encrypts the stack's configuration is one of AWS, where it is named."""
    key = "arn:aws:kms:us-east-1:123456789012:key/1"

    def decrypting(**changes: Any) -> list[Any]:
        rights = [
            r for r in deploy_stack(stack, **changes).all("RolePolicy") if "ci-read" in r.name
        ]
        statements = [s for r in rights for s in json.loads(r.inputs["policy"])["Statement"]]
        return [s["Resource"] for s in statements if s["Action"] == ["kms:Decrypt"]]

    assert decrypting(ciStateKeyArn=key) == [key]
    assert decrypting(ciStateKeyArn="") == []


@pytest.mark.parametrize("stack", STACKS)
def test_callback_addresses_are_below_the_sites_own(stack: str) -> None:
    """DT-5."""
    outputs = deploy_stack(stack).outputs[f"nextstack-{stack}"]
    below = f"{outputs['appUrl']}/api/auth/callback"
    assert outputs["oauthCallbackUrls"] == [f"{below}/github", f"{below}/google"]


def test_the_sample_has_a_next_without_known_holes() -> None:
    """AP-14: the floor of its line, which docs/application.md names for every application."""
    wanted = json.loads((ROOT / "app/package.json").read_text())["dependencies"]["next"]
    version = tuple(int(number) for number in wanted.split("."))
    assert version >= FLOORS.get(version[0], min(FLOORS.values()))
    page = (ROOT / "docs/application.md").read_text()
    assert all(".".join(map(str, floor)) in page for floor in FLOORS.values())


@pytest.mark.parametrize("stack", ON_AWS)
def test_aws_works_within_the_announced_window(stack: str) -> None:
    """OP-1, S-1: Sunday 02:00 to 04:00, the cache before the database."""
    graph = deploy_stack(stack)

    def windows(kind: str) -> set[str]:
        found: list[Registered] = graph.all(kind)
        return {r.inputs["maintenanceWindow"] for r in found}

    assert windows("ReplicationGroup") == {"sun:02:00-sun:03:00"}
    assert windows("Instance") == {"sun:03:00-sun:04:00"}
