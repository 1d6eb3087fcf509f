"""The SDKs as recordings load them: the same classes and the same graph as with all of the SDK."""

import ast
import importlib
import json
import subprocess
import sys
from typing import Any

import pytest
from conftest import parsed

from offline.recorder import ROOT

# Together they use every type of resource of the committed stacks.
STACKS = ("dev", "production")

# Prints what was recorded and which class each name of the SDKs' packages stands for. `eager` are
# the names that the other run found, which it looks up in the SDKs as they are.
RUN = """
import dataclasses, importlib, json, sys
from pulumi import _types
from offline import lazy_sdk
from offline.preview import preview

eager = json.load(sys.stdin)
if eager:
    sys.meta_path.remove(lazy_sdk.Finder)
recorded = {
    stack: sorted(
        json.dumps(dataclasses.asdict(resource), sort_keys=True, default=lambda v: type(v).__name__)
        for resource in preview(stack).resources
    )
    for stack in sys.argv[1:]
}

def described(found):
    types = {}
    if isinstance(found, type) and not issubclass(found, dict):
        types = _types._types_from_py_properties(found)
    return [found.__module__, found.__qualname__, {k: repr(v) for k, v in types.items()}]

def packages():
    return {k: m for k, m in sys.modules.items() if isinstance(m, lazy_sdk.Package)}

used = eager or {
    k: [name for name, value in vars(m).items() if name in m._definers and callable(value)]
    for k, m in packages().items()
}
print(json.dumps({
    "recorded": recorded,
    "used": used,
    "classes": {
        f"{package}.{name}": described(getattr(importlib.import_module(package), name))
        for package, names in used.items() for name in names
    },
    "lazy": len(packages()),
    "modules": sum(name.startswith(lazy_sdk.SDKS) for name in sys.modules),
}))
"""


def run(eager: dict[str, list[str]]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", RUN, *STACKS],
        cwd=ROOT,
        input=json.dumps(eager),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def runs() -> tuple[dict[str, Any], dict[str, Any]]:
    lazy = run({})
    return lazy, run(lazy["used"])


def test_classes_are_those_of_the_whole_sdk(
    runs: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    lazy, whole = runs
    assert len(lazy["classes"]) > 100
    assert lazy["classes"] == whole["classes"]


def test_graphs_are_those_of_the_whole_sdk(
    runs: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    lazy, whole = runs
    assert lazy["recorded"] == whole["recorded"]


def test_a_few_modules_are_loaded_instead_of_all(
    runs: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    lazy, whole = runs
    assert lazy["lazy"] > 20 and whole["lazy"] == 0
    assert lazy["modules"] < whole["modules"] / 2


def test_what_a_package_does_not_have_is_an_error() -> None:
    with pytest.raises(AttributeError, match=r"core\.v1' has no attribute 'Pood'"):
        importlib.import_module("pulumi_kubernetes.core.v1").__getattr__("Pood")


def test_a_class_goes_before_the_module_of_its_name() -> None:
    module = importlib.import_module("pulumi_kubernetes.core.v1.Node")
    package = importlib.import_module("pulumi_kubernetes.core.v1")
    assert package.Node is module.Node


def test_the_program_and_the_policy_pack_load_the_sdks_as_they_are() -> None:
    imported = [
        node.module
        for file in ("__main__.py", "policies/pack.py")
        for node in ast.walk(parsed((ROOT / file).read_text()))
        if isinstance(node, ast.ImportFrom) and node.module
        if node.module.startswith(("components.", "policies."))
    ]
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "print([name for name in sys.modules if name.split('.')[0] == 'offline'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *imported],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
