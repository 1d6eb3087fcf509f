"""Every Kubernetes object has only fields that the API knows, each of the right type.

Leaves out what only a server refuses (tests/e2e/test_manifests.py).
"""

from functools import cache
from importlib import import_module
from typing import Any

import pytest
from conftest import STACKS

from offline.direct.generated import GeneratedValues
from offline.recorder import program, record, stack_settings
from offline.render import InventedNames, Manifest, manifests

VERSIONS = ("1.30", "1.37")
"""The oldest that the README promises, and the newest whose schemas are known."""
VALIDATOR: Any = import_module("kubernetes_validate")  # has no types
IMAGE: dict[str, Any] = {"image": f"shop@sha256:{'0' * 64}", "deploymentVersion": "3f2a9c1"}


@cache
def objects(stack: str) -> list[Manifest]:
    settings = stack_settings(stack, **IMAGE)
    graph = record(program, InventedNames(GeneratedValues({})), settings, stack, preview=True)
    return manifests(graph, stack)


def refused(body: dict[str, Any], version: str) -> str:
    """Why a version's schema refuses it, and where; empty where it does not."""
    try:
        VALIDATOR.validate(body, version, strict=True)
    except VALIDATOR.ValidationError as problem:
        return f"{'.'.join(map(str, problem.path))}: {problem.message}"
    return ""


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("stack", STACKS)
def test_every_object_is_what_the_api_describes(stack: str, version: str) -> None:
    assert len(objects(stack)) >= 30
    wrong = {m.name: refused(m.body, version) for m in objects(stack)}
    assert {name: why for name, why in wrong.items() if why} == {}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"replica": 3}, "spec: .*'replica' was unexpected"),
        ({"replicas": "3"}, "spec.replicas: '3' is not"),
        ({"template": {"spec": {}}}, "spec.template.spec: 'containers' is a required property"),
    ],
)
def test_a_wrong_field_is_refused(change: dict[str, Any], why: str) -> None:
    [web] = [m.body for m in objects("production") if m.name == "web-server"]
    broken = {**web, "spec": web["spec"] | change}
    with pytest.raises(AssertionError, match=why):
        assert refused(broken, VERSIONS[0]) == ""
