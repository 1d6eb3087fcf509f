"""The namespace's walls, the doors that components open in them, and whose name is on them."""

from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pytest
from conftest import STACKS, deploy, deploy_stack
from pulumi.runtime import rpc
from pulumi.runtime.mocks import MockResourceArgs

from components.namespace import Namespace, NamespaceArgs
from components.network_policy import allow_clients, reaches
from components.ownership import label_everything
from components.pod import labels
from offline.recorder import Graph, Providers, program, record, stack_settings


def run() -> Graph:
    return deploy(lambda: Namespace("namespace", NamespaceArgs(name="shop")))


def test_pod_security_is_enforced_audited_and_warned_about() -> None:
    """AP-4."""
    metadata = run().one("Namespace", "namespace-namespace").inputs["metadata"]
    assert metadata == {
        "name": "shop",
        "labels": {
            f"pod-security.kubernetes.io/{mode}": "restricted"
            for mode in ("enforce", "audit", "warn")
        },
    }


class Unconfigured(Providers):
    """A provider whose cluster is still to be made: it tells no names, even given ones."""

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        name, state = super().new_resource(args)
        untold = {"metadata": {"name": rpc.UNKNOWN}} if "metadata" in state else {}
        return name, state | untold


@pytest.mark.parametrize("stack_name", STACKS)
def test_names_are_known_before_their_cluster_is(stack_name: str) -> None:
    """PL-6: policies judge the first preview of a stack that makes its cluster."""
    settings = stack_settings(stack_name, image="localhost/shop:1", deploymentVersion="1")
    graph = record(program, Unconfigured(preview=True), settings, stack_name, preview=True)
    policy = graph.one("NetworkPolicy", "deny").inputs["metadata"]
    assert policy["namespace"] == settings["nextstack:namespace"]
    for scaler in graph.all("HorizontalPodAutoscaler"):
        assert scaler.inputs["spec"]["scaleTargetRef"]["name"] == "web-server"


def test_nothing_flows_by_default() -> None:
    """AP-11: no rule in either direction, for every pod."""
    spec = run().one("NetworkPolicy", "deny").inputs["spec"]
    assert spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_names_can_be_looked_up_wherever_the_dns_pods_listen() -> None:
    spec = run().one("NetworkPolicy", "dns").inputs["spec"]
    [rule] = spec["egress"]
    assert {(p["port"], p["protocol"]) for p in rule["ports"]} == {
        (53, "UDP"),
        (53, "TCP"),
        (1053, "UDP"),
        (1053, "TCP"),
    }
    assert "to" not in rule


def test_a_client_label_opens_both_directions_to_the_servers_port_only() -> None:
    """PO-10, PL-10."""
    server = labels("postgres", "db")
    graph = deploy(
        lambda: allow_clients("postgres", server, [5432], "shop", pulumi.ResourceOptions())
    )
    client = {"matchLabels": reaches("postgres")}
    port = [{"port": 5432, "protocol": "TCP"}]
    assert graph.one("NetworkPolicy", "from-clients").inputs["spec"] == {
        "podSelector": {"matchLabels": server},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"podSelector": client}], "ports": port}],
    }
    assert graph.one("NetworkPolicy", "to-server").inputs["spec"] == {
        "podSelector": client,
        "policyTypes": ["Egress"],
        "egress": [{"to": [{"podSelector": {"matchLabels": server}}], "ports": port}],
    }


def test_labels_are_added_to_kubernetes_objects_and_keep_their_own() -> None:
    """PL-9."""

    def program() -> None:
        label_everything({"nextstack/owner": "platform"})
        k8s.core.v1.ConfigMap("web-config", metadata={"labels": {"mine": "1"}}, data={"a": "b"})

    metadata = deploy(program).one("ConfigMap").inputs["metadata"]
    assert metadata["labels"] == {
        "nextstack/owner": "platform",
        "app.kubernetes.io/component": "web",
        "mine": "1",
    }


def test_only_the_named_monitoring_reads_metrics() -> None:
    """PO-9, AP-11: nobody by default."""
    assert "namespace-metrics" not in {r.name for r in deploy_stack("dev").resources}
    graph = deploy_stack("dev", metricsNamespace="monitoring")
    spec = graph.one("NetworkPolicy", "namespace-metrics").inputs["spec"]
    [rule] = spec["ingress"]
    [reader] = rule["from"]
    assert reader["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": "monitoring"
    }
    assert [port["port"] for port in rule["ports"]] == [9127, 3000]
