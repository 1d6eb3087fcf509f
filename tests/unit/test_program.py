"""What holds for every committed stack."""

import json
import re
from typing import Any

import pytest
import yaml
from conftest import STACKS, deploy_stack
from pulumi.runtime import rpc

from components.contract import CONTRACT
from components.generated_secrets import key
from components.stack_config import ConfigError
from offline.recorder import PROJECT, ROOT, Graph, Registered, invented, plain

IMAGE: dict[str, Any] = {"image": f"shop@sha256:{'0' * 64}", "deploymentVersion": "3f2a9c1"}
OUTPUTS = {
    "outputsVersion",
    "appUrl",
    "apiUrl",
    "healthUrl",
    "databaseUrl",
    "directUrl",
    "analyticsDatabaseUrl",
    "redisUrl",
    "serverActionsEncryptionKey",
    "buildEnv",
    "runtimeEnv",
    "oauthCallbackUrls",
    "namespace",
    "deploymentVersion",
    "recoveryContract",
    "alertTopics",
    "dashboardUrl",
    "registryUrl",
    "nameServers",
    "ciRoles",
}
CREDENTIALS = {
    "databaseUrl",
    "directUrl",
    "redisUrl",
    "serverActionsEncryptionKey",
    "buildEnv",
    "runtimeEnv",
}
CLUSTER_WIDE = (":Namespace", ":StorageClass")
STATEFUL = {"StatefulSet", "PersistentVolumeClaim", "Namespace"}
ON_AWS = {"Instance", "ReplicationGroup", "Key", "LogGroup", "Bucket", "Secret"}
"""Types of AWS that hold data, or the key to it."""


@pytest.fixture(scope="module", params=STACKS)
def graph(request: pytest.FixtureRequest) -> Graph:
    return deploy_stack(request.param, **IMAGE)


def owned(graph: Graph) -> list[Registered]:
    """What the program makes itself: no stack, provider or component."""
    return [r for r in graph.resources if not r.type.startswith(("pulumi:", "nextstack:"))]


def pods(graph: Graph) -> dict[str, dict[str, Any]]:
    """Every pod specification of the graph, by the name of what makes the pod."""
    found: dict[str, dict[str, Any]] = {}
    for r in graph.resources:
        spec = r.inputs.get("spec", {})
        if r.type.endswith(":CronJob"):
            spec = spec["jobTemplate"]["spec"]
        if r.type.startswith("kubernetes:") and "template" in spec:
            found[r.name] = spec["template"]["spec"]
    return found


def generated(graph: Graph) -> set[str]:
    """Every generated secret's value."""
    made = [invented(r.type, r.name, r.inputs) for r in graph.all("RandomPassword")]
    return {*made, *map(key, made)}


def test_urns_are_unique(graph: Graph) -> None:
    urns = [r.urn for r in graph.resources]
    assert len(urns) == len(set(urns))


def test_every_resource_belongs_to_a_component(graph: Graph) -> None:
    for r in owned(graph):
        assert "nextstack:index:" in r.parent, r.name


def test_kubernetes_resources_use_the_configured_cluster(graph: Graph) -> None:
    for r in owned(graph):
        if r.type.startswith("kubernetes:"):
            assert "::cluster::" in r.provider, r.name


def test_every_kubernetes_object_says_whose_it_is(graph: Graph) -> None:
    """PL-9."""
    for r in owned(graph):
        if r.type.startswith("kubernetes:"):
            assert {
                "nextstack/project",
                "nextstack/stack",
                "nextstack/owner",
                "nextstack/cost-centre",
                "app.kubernetes.io/component",
            } <= r.inputs["metadata"]["labels"].keys(), r.name


def test_every_kubernetes_object_lives_in_the_stacks_namespace(graph: Graph) -> None:
    """AP-10."""
    name = graph.one("Namespace", "namespace-namespace").inputs["metadata"]["name"]
    for r in owned(graph):
        if r.type.startswith("kubernetes:") and not r.type.endswith(CLUSTER_WIDE):
            assert r.inputs["metadata"]["namespace"] == name, r.name


@pytest.mark.parametrize("protect", [True, False])
def test_stateful_resources_are_protected_as_configured(stack_name: str, protect: bool) -> None:
    """PL-8."""
    graph = deploy_stack(stack_name, protectData=protect, **IMAGE)
    kinds = {"kubernetes": STATEFUL, "aws": ON_AWS}
    stateful = [
        r
        for r in graph.resources
        if r.type.rsplit(":", 1)[1] in kinds.get(r.type.split(":")[0], set[str]())
    ]
    assert len(stateful) >= 4
    for r in stateful:
        assert r.protect is protect, r.name


def test_preview_shows_every_resource(stack_name: str) -> None:
    """PL-6: nothing is created where the engine cannot see it yet."""
    preview = deploy_stack(stack_name, preview=True, **IMAGE)
    update = deploy_stack(stack_name, **IMAGE)
    assert sorted(r.urn for r in preview.resources) == sorted(r.urn for r in update.resources)


def test_outputs_are_the_contract_in_every_stack(stack_name: str) -> None:
    """PL-4."""
    exports = deploy_stack(stack_name, **IMAGE).outputs[f"nextstack-{stack_name}"]
    assert exports.keys() == OUTPUTS
    # Without a read replica there is no credential to hide.
    replica = {"analyticsDatabaseUrl"} if exports["analyticsDatabaseUrl"] else set[str]()
    secret = {name for name, value in exports.items() if rpc.is_rpc_secret(value)}
    assert secret == CREDENTIALS | replica
    assert all(value is not None for value in exports.values())


def test_the_platform_comes_up_before_the_first_image_exists(stack_name: str) -> None:
    """S-20: the image build needs buildEnv, which the stack makes."""
    without = deploy_stack(stack_name, image="", deploymentVersion="")
    types = {r.type for r in without.resources}
    assert "nextstack:index:WebApp" not in types
    exports = without.outputs[f"nextstack-{stack_name}"]
    assert exports.keys() == OUTPUTS
    assert plain(exports["buildEnv"])["NEXT_SERVER_ACTIONS_ENCRYPTION_KEY"]


def test_the_application_gets_the_same_variables_in_every_stack() -> None:
    """EN-1."""
    names: dict[str, set[str]] = {}
    for stack in STACKS:
        exports = deploy_stack(stack, **IMAGE).outputs[f"nextstack-{stack}"]
        names[stack] = set(plain(exports["runtimeEnv"]))
    required = {name for name, variable in CONTRACT.items() if variable.required}
    for stack, found in names.items():
        assert required <= found, stack
        assert found - required <= {"NODE_EXTRA_CA_CERTS", "DATABASE_URL_DEV", "DATABASE_URL_TEST"}


def test_computed_values_obey_the_contract(stack_name: str) -> None:
    """EN-3."""
    exports = deploy_stack(stack_name, **IMAGE).outputs[f"nextstack-{stack_name}"]
    for name, value in plain(exports["runtimeEnv"]).items():
        assert CONTRACT[name].rule.accepts(value), name


def test_no_generated_secret_is_in_clear_outside_a_secret(graph: Graph) -> None:
    """SC-3: not in a pod, a ConfigMap, an annotation or a plain output."""
    values = generated(graph)
    assert len(values) >= 12
    for r in graph.resources:
        if r.type.endswith((":Secret", ":SecretVersion", "user:User", "rds/instance:Instance")):
            continue  # where they belong; secret in the state (test_rds, test_secrets_copy ...)
        text = json.dumps(r.inputs)
        assert not [v for v in values if v in text], r.name
    for name, outputs in graph.outputs.items():
        visible = {k: v for k, v in outputs.items() if not rpc.is_rpc_secret(v)}
        text = json.dumps(visible, default=str)
        assert not [v for v in values if v in text], name


def test_every_problem_of_a_stack_file_is_told_at_once() -> None:
    """What contradicts each other too, as far as the parts are right by themselves."""
    with pytest.raises(ConfigError) as refused:
        deploy_stack(
            "dev",
            **{"appMinReplica": 3, "appMinReplicas": 0, "domain": "http://x", "poolSize": 500},
        )
    at_fault = {problem.split()[0] for problem in refused.value.problems}
    assert at_fault == {"appMinReplica", "appMinReplicas", "appMinAvailable", "domain", "poolSize"}


def test_what_must_not_exist_twice_has_a_fixed_name(graph: Graph) -> None:
    """A crash in the middle would leave an auto-named twin that takes traffic or blocks drains."""
    kinds = ("Deployment", "StatefulSet", "PodDisruptionBudget", "HorizontalPodAutoscaler")
    found = [r for kind in kinds for r in graph.all(kind)]
    assert len(found) >= 7
    for r in found:
        assert r.inputs["metadata"].get("name"), r.name


def test_every_pod_is_unprivileged_and_gets_no_token(graph: Graph) -> None:
    """AP-4."""
    found = pods(graph)
    assert len(found) >= 6
    for name, pod in found.items():
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] > 0, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        assert not [v for v in pod.get("volumes", []) if "hostPath" in v], name
        for container in pod["containers"] + pod.get("initContainers", []):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert security["readOnlyRootFilesystem"] is True, name
            assert security.get("runAsUser", 1) > 0, name


def test_every_container_states_what_it_needs_and_may_use(graph: Graph) -> None:
    """A memory limit everywhere; no CPU limit, which only throttles (AP-3)."""
    for name, pod in pods(graph).items():
        for container in pod["containers"] + pod.get("initContainers", []):
            resources = container["resources"]
            assert {"cpu", "memory"} <= resources["requests"].keys(), name
            assert "memory" in resources["limits"], name
            assert "cpu" not in resources["limits"], name


def test_no_image_floats_or_comes_from_a_withdrawn_vendor(graph: Graph) -> None:
    """PL-11."""
    for name, pod in pods(graph).items():
        for container in pod["containers"] + pod.get("initContainers", []):
            tag = container["image"].rsplit("/", 1)[-1].partition(":")[2]
            assert tag not in ("", "latest"), name
            assert "bitnami" not in container["image"], name


def test_every_client_label_has_a_server_that_opens_to_it(graph: Graph) -> None:
    """AP-11, PO-10: a label that no policy selects would leave its pod cut off."""
    policies = json.dumps([r.inputs for r in graph.all("NetworkPolicy")])
    clients = [r.inputs for r in graph.resources if not r.type.endswith(":NetworkPolicy")]
    wanted = set(re.findall(r'"(nextstack/reaches-[a-z-]+)": "true"', json.dumps(clients)))
    assert wanted
    outside = json.dumps(
        [r.inputs for r in graph.all("NetworkPolicy") if "ipBlock" in json.dumps(r.inputs)]
    )
    for label in wanted:
        # A server outside the cluster has no policy of its own.
        assert policies.count(f'"{label}"') >= (1 if f'"{label}"' in outside else 2), label


def test_stack_files_set_only_declared_keys(stack_name: str) -> None:
    settings: dict[str, Any] = yaml.safe_load((ROOT / f"Pulumi.{stack_name}.yaml").read_text())
    own = {k.removeprefix("nextstack:") for k in settings["config"] if k.startswith("nextstack:")}
    assert own <= set(PROJECT["config"])


def test_the_program_stays_short() -> None:
    assert len((ROOT / "__main__.py").read_text().splitlines()) <= 80


def test_every_kind_of_mistake_is_refused_at_once_before_anything_is_registered() -> None:
    """PL-7: unknown key, wrong type, too few replicas, pool budget, secret, URL, domain, tag."""
    with pytest.raises(Exception, match="the stack's configuration has") as error:
        deploy_stack(
            "dev",
            poolSzie=5,
            nginxReplicas="two",
            appMinReplicas=0,
            domain="https://shop.example.com/",
            image="shop:latest",
            deploymentVersion="latest",
            env='{"LOG_LEVEL": "loud", "SUPABASE_URL": "supabase"}',
            secretEnv='{"OPENAI_API_KEY": "weak"}',
        )
    message = str(error.value)
    for part in (
        "poolSzie is not a key of Pulumi.yaml, did you mean poolSize?; remove or rename it",
        "nginxReplicas has the wrong type: got 'two', allowed a whole number",
        "appMinReplicas is too small: got 0, allowed 2 or more",
        "domain is malformed: got 'https://shop.example.com/'",
        "image is not fixed: got 'shop:latest'",
        "deploymentVersion is not a version: got 'latest'",
        "env.LOG_LEVEL is malformed: got 'loud'",
        "env.SUPABASE_URL is malformed: got 'supabase'",
        "secretEnv is not encrypted",
        "secretEnv.OPENAI_API_KEY is malformed: got 4 characters",
    ):
        assert part in message
    assert "weak" not in message


@pytest.mark.parametrize("stage", ["staging", "production"])
def test_what_only_development_may_do_without_is_refused_elsewhere(stage: str) -> None:
    """WB-2, CA-2, PL-7, S-21: by the stage that is configured, not by the stack's name."""
    with pytest.raises(Exception, match="has 4 problems") as error:
        deploy_stack(
            "dev", stage=stage, env='{"HSTS_MAX_AGE": 31536000}', postgresTestDatabase=True
        )
    message = str(error.value)
    assert f"https is off in {stage}: got false, allowed true" in message
    assert f"postgresTestDatabase is on in {stage}: got true, allowed false" in message
    assert f"redisMaxMemoryMib is too small for {stage}: got 256, allowed 1024" in message
    assert f"nginxExtraHosts takes any host in {stage}: got '*', allowed names" in message


def test_a_pool_that_the_server_cannot_serve_is_refused() -> None:
    """PO-3."""
    with pytest.raises(Exception, match="poolSize is too large: got 40, which needs"):
        deploy_stack("dev", poolSize=40)
