"""A real API server takes every object of the stacks that are not running here, and every pod.

Nothing but namespaces and the accounts of pods is made: the rest is a dry run, which goes through
schema, defaults, validation and Pod Security. Leaves out the development stack, which runs.
"""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Stack

from offline.render import KUSTOMIZATION, KubernetesNames, render

IMAGE: dict[str, Any] = {"image": f"shop@sha256:{'0' * 64}", "deploymentVersion": "3f2a9c1"}
DRY_RUN = ("apply", "--server-side", "--dry-run=server", "--validate=strict")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rendered:
    """A stack's manifests, and a cluster with what has to be there before a pod can be tried."""

    folder: Path
    cluster: Stack

    def objects(self) -> list[dict[str, Any]]:
        files = sorted(set(self.folder.rglob("*.yaml")) - {self.folder / KUSTOMIZATION})
        return [yaml.safe_load(file.read_text()) for file in files]

    def tried(self, body: dict[str, Any]) -> str:
        """What the server says of one more object."""
        return self.cluster.kubectl(*DRY_RUN, "--filename=-", stdin=json.dumps(body), check=False)


@pytest.fixture(scope="module", params=["production", "staging"])
def rendered(
    request: pytest.FixtureRequest, stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rendered]:
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        # Addresses of AWS are made up, which `render` refuses to do for a real cluster.
        patch.setattr(KubernetesNames, "invents", True)
        render(request.param, folder, **IMAGE)
    [namespace] = folder.glob("namespace-*.yaml")
    cluster = dataclasses.replace(
        stack, namespace=yaml.safe_load(namespace.read_text())["metadata"]["name"]
    )
    for file in (namespace, *folder.glob("serviceaccount-*.yaml")):
        cluster.kubectl("apply", "--server-side", f"--filename={file}")
    yield Rendered(folder=folder, cluster=cluster)
    cluster.kubectl("delete", f"--filename={namespace}", "--timeout=60s")


def test_the_server_takes_every_object_without_a_warning(rendered: Rendered) -> None:
    said = rendered.cluster.kubectl(*DRY_RUN, f"--kustomize={rendered.folder}", check=False)
    lines = said.splitlines()
    taken = [line for line in lines if line.endswith("serverside-applied (server dry run)")]
    assert lines == taken
    assert len(taken) == len(rendered.objects()) >= 30


def test_pod_security_admits_every_pod(rendered: Rendered) -> None:
    """AP-4: a Deployment only gets a warning, so each template is tried as a pod."""
    tried = 0
    for body in rendered.objects():
        spec = body.get("spec", {})
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
        if template is None:
            continue
        said = rendered.tried(pod(template["spec"]))
        assert said == "pod/tried serverside-applied (server dry run)\n", body["metadata"]["name"]
        tried += 1
    assert tried >= 5


def test_the_server_refuses_what_is_wrong(rendered: Rendered) -> None:
    web = next(o["spec"] for o in rendered.objects() if o["metadata"]["name"] == "web-server")
    spec = web["template"]["spec"]
    assert "field not declared in schema" in rendered.tried(pod({**spec, "hostnetwork": True}))
    assert "violates PodSecurity" in rendered.tried(pod({**spec, "hostNetwork": True}))


def pod(spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "tried"}, "spec": spec}
