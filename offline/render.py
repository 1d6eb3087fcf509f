"""Kubernetes manifests from a recorded graph: what the provider would send, with names filled in.

Leaves out sending them (apply.py) and everything that is not a Kubernetes object.
"""

import base64
import hashlib
import json
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import asdict, dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, cast

import yaml
from pulumi.output import Unknown

from offline.direct.generated import GeneratedValues
from offline.recorder import (
    Graph,
    Providers,
    Registered,
    encrypted_keys,
    program,
    record,
    stack_settings,
)

MANAGED_BY = {"app.kubernetes.io/managed-by": "nextstack"}
STACK_LABEL = "nextstack/stack"
# The provider makes a new one of these under a new name when its content changes; a name made
# from the content does the same, and whoever refers to it is rolled.
NAMED_BY_CONTENT = ("ConfigMap", "Job", "Secret")
# What the provider waits by default before it gives up on an object.
TIMEOUT_S = 600
KUSTOMIZATION = "kustomization.yaml"
GENERATED = "secrets/generated.json"


class KubernetesNames(Providers):
    """Gives objects without a name the logical one, and their content's hash where that counts."""

    invents = False

    def object_name(self, kind: str, name: str, inputs: dict[str, Any]) -> str:
        if kind not in NAMED_BY_CONTENT:
            return name
        content = json.dumps(inputs, sort_keys=True, default=str)
        return f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:10]}"


class InventedNames(KubernetesNames):
    """The same for who only looks: what a cloud would know is made up."""

    invents = True


@dataclass(frozen=True, kw_only=True)
class Manifest:
    urn: str
    body: dict[str, Any]
    """The object as the API server gets it."""
    waits: bool
    """Whether what comes after it waits until it is ready."""
    timeout_s: int
    """How long to wait for it."""
    ignored: tuple[str, ...] = ()
    """Parts of the body that stay as they are once the object exists."""

    @property
    def kind(self) -> str:
        return self.body["kind"]

    @property
    def name(self) -> str:
        return self.body["metadata"]["name"]

    @property
    def namespace(self) -> str:
        """Empty for cluster-wide objects."""
        return self.body["metadata"].get("namespace", "")


def order(graph: Graph) -> dict[str, set[str]]:
    """What has to come before each resource, by URN: what it refers to, and its parent."""
    known = {r.urn for r in graph.resources}
    return {r.urn: {*r.depends_on, r.parent} & known for r in graph.resources}


def manifests(graph: Graph, stack_name: str) -> list[Manifest]:
    """All Kubernetes objects of a graph, each after what it depends on."""
    objects = {r.urn: r for r in graph.resources if r.type.startswith("kubernetes:")}
    before = order(graph)
    # Registration order differs from run to run; sorted input makes the result the same each time.
    urns = TopologicalSorter({urn: sorted(before[urn]) for urn in sorted(before)}).static_order()
    return [_manifest(objects[urn], stack_name) for urn in urns if urn in objects]


def _manifest(resource: Registered, stack_name: str) -> Manifest:
    body = deepcopy(resource.inputs)
    if unknown := sorted(_unknown(body)):
        raise ValueError(
            f"{resource.name} can't be rendered: {', '.join(unknown)} is known only after a "
            "provider has made something; deploy this stack with: pulumi up"
        )
    metadata: dict[str, Any] = body.setdefault("metadata", {})
    metadata["name"] = resource.object_name
    metadata["labels"] = metadata.get("labels", {}) | MANAGED_BY | {STACK_LABEL: stack_name}
    given = cast(dict[str, str], metadata.pop("annotations", {}))
    if kept := {k: v for k, v in given.items() if not k.startswith("pulumi.com/")}:
        metadata["annotations"] = kept
    if resource.type.endswith(":Secret"):
        plain = cast(dict[str, str], body.pop("stringData", {}))
        encoded = {k: base64.b64encode(v.encode()).decode() for k, v in plain.items()}
        body["data"] = body.get("data", {}) | encoded
    return Manifest(
        urn=resource.urn,
        body=body,
        waits=given.get("pulumi.com/skipAwait") != "true",
        timeout_s=int(given.get("pulumi.com/timeoutSeconds", TIMEOUT_S)),
        ignored=resource.ignore_changes,
    )


def _unknown(value: Any, path: str = "") -> Iterable[str]:
    """Paths of what a preview does not know."""
    if isinstance(value, Unknown):
        yield path
    elif isinstance(value, dict):
        for key, item in cast(dict[str, Any], value).items():
            yield from _unknown(item, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for index, item in enumerate(cast(list[Any], value)):
            yield from _unknown(item, f"{path}[{index}]")


def render(stack_name: str, folder: Path, **overrides: Any) -> list[Path]:
    """Writes a committed stack's manifests and what kustomize needs; returns the files.

    Generated secrets are kept beside the rendered ones, so that a second run changes nothing.
    """
    refuse_encrypted(stack_name)
    _refuse_foreign(folder)
    kept = folder / GENERATED
    values = GeneratedValues(json.loads(kept.read_text()) if kept.exists() else {})
    settings = stack_settings(stack_name, **overrides)
    graph = record(program, KubernetesNames(values), settings, stack_name, preview=True)
    files = {_file(manifest): manifest.body for manifest in manifests(graph, stack_name)}
    _clear(folder)
    (folder / "secrets").mkdir(parents=True, exist_ok=True)
    (folder / "secrets/.gitignore").write_text("*\n")
    _write_private(kept, json.dumps({key: asdict(value) for key, value in values.used.items()}))
    for name, body in files.items():
        write = _write_private if name.startswith("secrets/") else Path.write_text
        write(folder / name, yaml.safe_dump(body, sort_keys=False))
    kustomization = {"kind": "Kustomization", "resources": list(files)}
    (folder / KUSTOMIZATION).write_text(yaml.safe_dump(kustomization, sort_keys=False))
    return [folder / name for name in (*files, KUSTOMIZATION)]


def refuse_encrypted(stack_name: str) -> None:
    if keys := encrypted_keys(stack_name):
        raise ValueError(
            f"{', '.join(keys)} of stack {stack_name} can't be decrypted here; "
            f"deploy it with: pulumi up --stack {stack_name}"
        )


def _file(manifest: Manifest) -> str:
    name = f"{manifest.kind.lower()}-{manifest.name}.yaml"
    return f"secrets/{name}" if manifest.kind == "Secret" else name


def _write_private(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text)


def _refuse_foreign(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()) and not (folder / KUSTOMIZATION).exists():
        raise ValueError(
            f"folder {folder} has files that are not from here, allowed an empty or new folder "
            "or the one of an earlier run; choose another one with --out"
        )


def _clear(folder: Path) -> None:
    """Removes the objects of an earlier run, because some may be gone now."""
    if (folder / KUSTOMIZATION).exists():
        for name in yaml.safe_load((folder / KUSTOMIZATION).read_text())["resources"]:
            (folder / name).unlink(missing_ok=True)
