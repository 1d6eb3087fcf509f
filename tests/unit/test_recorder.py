"""The recorder: what it keeps is what the engine would have received."""

import gc
import io

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random
import pytest
from conftest import deploy
from pulumi.runtime import rpc
from rich.console import Console

from offline.preview import as_json, show
from offline.recorder import Graph, Registered


class Outer(pulumi.ComponentResource):
    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("nextstack:test:Outer", name, {}, opts)
        self.password = random.RandomPassword(
            f"{name}-password", length=32, opts=pulumi.ResourceOptions(parent=self)
        )
        self.inner = Inner(f"{name}-inner", self.password.result, self)
        self.register_outputs({"password": self.password.result})


class Inner(pulumi.ComponentResource):
    def __init__(self, name: str, password: pulumi.Output[str], parent: pulumi.Resource) -> None:
        super().__init__(
            "nextstack:test:Inner", name, {}, pulumi.ResourceOptions(parent=parent, protect=True)
        )
        child = pulumi.ResourceOptions(parent=self)
        secret = k8s.core.v1.Secret(f"{name}-secret", string_data={"a": password}, opts=child)
        self.web = k8s.apps.v1.Deployment(
            f"{name}-web",
            metadata={"annotations": {"secret": secret.metadata.name}},
            spec={
                "replicas": 3,
                "selector": {"match_labels": {"app": "web"}},
                "template": {"spec": {"containers": [{"name": "web"}]}},
            },
            opts=child,
        )
        self.register_outputs({"name": self.web.metadata.name})


def program() -> None:
    first = Outer("first")
    Outer("second", pulumi.ResourceOptions(depends_on=[first]))
    pulumi.export("password", first.password.result)


def find(graph: Graph, name: str) -> Registered:
    [found] = [r for r in graph.resources if r.name == name]
    return found


def test_urns_have_the_form_of_the_engine() -> None:
    assert find(deploy(program), "first-inner-web").urn == (
        "urn:pulumi:test::nextstack::nextstack:test:Outer$nextstack:test:Inner"
        "$kubernetes:apps/v1:Deployment::first-inner-web"
    )


def test_dependencies_are_what_is_referred_to_and_all_inside_what_is_named() -> None:
    graph = deploy(program)
    secret = find(graph, "first-inner-secret")
    assert secret.urn in find(graph, "first-inner-web").depends_on
    assert find(graph, "first-password").urn in secret.depends_on
    assert find(graph, "first-inner-web").urn in find(graph, "second").depends_on


def test_numbers_names_and_protection_are_as_the_provider_gets_them() -> None:
    web = find(deploy(program), "first-inner-web")
    assert web.protect
    assert web.object_name == "first-inner-web"
    assert repr(web.inputs["spec"]["replicas"]) == "3"
    assert web.inputs["metadata"]["annotations"] == {"secret": "first-inner-secret"}


def test_a_secret_stays_marked_in_inputs_and_outputs() -> None:
    graph = deploy(program)
    secret = find(graph, "first-inner-secret")
    assert rpc.is_rpc_secret(secret.secrets["stringData"])
    assert len(secret.inputs["stringData"]["a"]) == 32
    assert rpc.is_rpc_secret(graph.outputs["nextstack-test"]["password"])


def test_a_second_recording_knows_nothing_of_the_first() -> None:
    assert len(deploy(program).resources) == len(deploy(program).resources)


def test_two_resources_of_one_urn_are_refused() -> None:
    def twice() -> None:
        random.RandomPassword("same", length=32)
        random.RandomPassword("same", length=32)

    with pytest.raises(Exception, match="two resources have the same URN"):
        deploy(twice)
    gc.collect()  # now, the abandoned requests' complaints belong to this test


def test_preview_shows_every_resource_below_its_component_and_no_secret() -> None:
    graph = deploy(program)
    written = io.StringIO()
    Console(width=120, file=written).print(show(graph))
    text = written.getvalue()
    for resource in graph.resources:
        assert resource.name in text
    assert "│   ├── " in text
    assert "10  resources" in text
    assert graph.one("Secret", "first").inputs["stringData"]["a"] not in text


def test_preview_as_json_masks_secrets_and_counts() -> None:
    document = as_json(deploy(program))
    assert document["changeSummary"] == {"create": 11}
    [secret] = [s for s in document["steps"] if s["urn"].endswith("::first-inner-secret")]
    assert secret["newState"]["inputs"]["stringData"] == "[secret]"
