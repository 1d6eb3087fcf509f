"""Who may reach whom: deny by default, one way in, no way to the node's credentials.

Leaves out AWS security groups (aws_platform.py).
"""

from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Any

from policies.pods import PODS, pod_labels
from policies.rule import Context, Resource, Severity, rule

POLICY = r"kubernetes:networking.k8s.io/v1:NetworkPolicy"
NAMESPACE = r"kubernetes:core/v1:Namespace"
EVERYWHERE = ("0.0.0.0/0", "::/0")
METADATA = IPv4Network("169.254.169.254/32")
"""Where clouds hand a node's credentials to whoever asks."""
FRONT_DOOR = "nginx"
"""The `app.kubernetes.io/name` of the only pods that strangers may reach."""
DNS_PORTS = {53, 1053}
REACHES = "nextstack/reaches-"


def is_front_door(selector: dict[str, str]) -> bool:
    return selector.get("app.kubernetes.io/name") == FRONT_DOOR


def blocks(peers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Address ranges among the peers of a policy that are everywhere."""
    ranges = [peer.get("ipBlock", {}) for peer in peers]
    return [block for block in ranges if block.get("cidr") in EVERYWHERE]


@rule(
    Severity.HIGH,
    "CIS Kubernetes 5.3.2",
    types=NAMESPACE,
    across=True,
    fix="add a NetworkPolicy with an empty podSelector, both policyTypes and no rules",
)
def denies_by_default(resource: Resource, context: Context) -> Iterator[str]:
    """PO-10."""
    denied: set[str] = set()
    for policy in context.of_type(POLICY):
        spec = policy.inputs.get("spec", {})
        namespace = policy.inputs.get("metadata", {}).get("namespace")
        if namespace == resource.object_name and not spec.get("podSelector"):
            types = {*spec.get("policyTypes", [])}
            denied |= {t for t in types if not spec.get(t.lower())}
    for direction in sorted({"Ingress", "Egress"} - denied):
        yield f"no policy denies {direction.lower()} by default"


@rule(
    Severity.HIGH,
    "CIS Kubernetes 5.2.1",
    types=NAMESPACE,
    fix='set the labels pod-security.kubernetes.io/enforce, audit and warn to "restricted"',
)
def namespace_enforces_pod_security(resource: Resource, context: Context) -> Iterator[str]:
    labels = resource.inputs.get("metadata", {}).get("labels", {})
    for mode in ("enforce", "audit", "warn"):
        if labels.get(f"pod-security.kubernetes.io/{mode}") != "restricted":
            yield f"metadata.labels[pod-security.kubernetes.io/{mode}] is not restricted"


@rule(
    Severity.HIGH,
    "CIS Kubernetes 5.7.1",
    "CIS Kubernetes 5.7.4",
    types=r"kubernetes:(?!core/v1:Namespace$|storage.k8s.io/v1:StorageClass$).*",
    fix="set metadata.namespace to the stack's own namespace",
)
def own_namespace(resource: Resource, context: Context) -> Iterator[str]:
    """AP-10."""
    namespace = resource.inputs.get("metadata", {}).get("namespace", "")
    if namespace in ("", "default") or namespace.startswith("kube-"):
        yield f"metadata.namespace is {namespace or 'not set'}"


@rule(
    Severity.CRITICAL,
    types=POLICY,
    fix="name the pods that may connect (components/network_policy.py); only nginx is for all",
)
def only_the_front_door_is_open(resource: Resource, context: Context) -> Iterator[str]:
    spec = resource.inputs.get("spec", {})
    front = is_front_door(spec.get("podSelector", {}).get("matchLabels", {}))
    for index, entry in enumerate(spec.get("ingress", [])):
        everybody = not entry.get("from") or blocks(entry["from"])
        if everybody and not front:
            yield f"spec.ingress[{index}] lets everybody in"
        if everybody and front and not entry.get("ports"):
            yield f"spec.ingress[{index}] opens every port of the front door"


@rule(
    Severity.HIGH,
    types=POLICY,
    fix=f"name ports and peers, and put {METADATA} into ipBlock.except",
)
def egress_is_named(resource: Resource, context: Context) -> Iterator[str]:
    for index, entry in enumerate(resource.inputs.get("spec", {}).get("egress", [])):
        ports = {port.get("port") for port in entry.get("ports", [])}
        if not ports:
            yield f"spec.egress[{index}] opens every port"
        if not entry.get("to") and not ports <= DNS_PORTS:
            yield f"spec.egress[{index}] reaches everything, the node's credentials too"
        for block in blocks(entry.get("to", [])):
            if block["cidr"] != EVERYWHERE[0]:
                continue
            if not any(METADATA.subnet_of(IPv4Network(cidr)) for cidr in block.get("except", [])):
                yield f"spec.egress[{index}] reaches the node's credentials at {METADATA}"


@rule(
    Severity.CRITICAL,
    types=r"kubernetes:core/v1:Service",
    fix="leave type at ClusterIP and remove externalIPs; publish through nginx",
)
def one_service_is_published(resource: Resource, context: Context) -> Iterator[str]:
    spec = resource.inputs.get("spec", {})
    kind = spec.get("type", "ClusterIP")
    if kind != "ClusterIP" and not is_front_door(spec.get("selector", {})):
        yield f"spec.type is {kind}: whoever reaches the node reaches this server"
    if spec.get("externalIPs"):
        yield "spec.externalIPs takes over traffic of other addresses (CVE-2020-8554)"


@rule(
    Severity.HIGH,
    types=r"kubernetes:networking.k8s.io/v1:Ingress|kubernetes:gateway.networking.k8s.io/.*",
    fix="publish through nginx, which limits rates and sets the security headers",
)
def no_second_way_in(resource: Resource, context: Context) -> Iterator[str]:
    yield f"a {resource.kind} goes round nginx"


@rule(
    Severity.MEDIUM,
    types=PODS,
    across=True,
    fix="call allow_clients() or allow_addresses() for that server, or remove the label",
)
def reached_server_exists(resource: Resource, context: Context) -> Iterator[str]:
    """AP-11."""
    directions: dict[str, set[str]] = {}
    for policy in context.of_type(POLICY):
        spec = policy.inputs.get("spec", {})
        # A server outside the cluster is named by its addresses, and has no policy of its own.
        peers = [peer for entry in spec.get("egress", []) for peer in entry.get("to", [])]
        opened = {"Egress", *(["Ingress"] if any("ipBlock" in peer for peer in peers) else [])}
        for label in spec.get("podSelector", {}).get("matchLabels", {}):
            directions.setdefault(label, set()).update(opened)
        for entry in spec.get("ingress", []):
            for peer in entry.get("from", []):
                for label in peer.get("podSelector", {}).get("matchLabels", {}):
                    directions.setdefault(label, set()).add("Ingress")
    for label in sorted(pod_labels(resource)):
        if label.startswith(REACHES) and directions.get(label) != {"Ingress", "Egress"}:
            yield f"the label {label} opens nothing: the pod is cut off"


@rule(
    Severity.HIGH,
    "CIS Kubernetes 5.1.1",
    "CIS Kubernetes 5.1.2",
    "CIS Kubernetes 5.1.3",
    "CIS Kubernetes 5.1.4",
    "CIS Kubernetes 5.1.5",
    "CIS Kubernetes 5.1.8",
    types=r"kubernetes:rbac.authorization.k8s.io/.*|kubernetes:core/v1:ServiceAccount",
    fix="remove it, or set automountServiceAccountToken of a ServiceAccount to false: no pod of "
    "the platform talks to the Kubernetes API",
)
def no_rights_in_the_cluster(resource: Resource, context: Context) -> Iterator[str]:
    # Without a token of Kubernetes it is only a name, by which AWS knows the pods.
    if resource.kind == "ServiceAccount" and (
        resource.inputs.get("automountServiceAccountToken") is False
    ):
        return
    yield f"a {resource.kind} gives pods rights in the cluster"
