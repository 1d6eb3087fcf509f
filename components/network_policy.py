"""Which pods may talk to which: a client carries a label, the server says what that label opens.

A server outside the cluster opens nothing itself: its addresses are all that a policy can name.
Leaves out enforcement, which is the cluster's network plugin's.
"""

from ipaddress import ip_address, ip_network

import pulumi
import pulumi_kubernetes as k8s

METADATA = "169.254.169.254"


def reaches(*servers: str) -> dict[str, str]:
    """Labels of a client pod that may open connections to `servers`."""
    return {f"nextstack/reaches-{server}": "true" for server in servers}


def allow_clients(
    server: str,
    server_labels: dict[str, str],
    ports: list[int],
    namespace: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
) -> None:
    """Opens `ports` of the server's pods to the namespace's pods labelled `reaches(server)`.

    Two policies, because the namespace denies both directions by default.
    """
    clients: k8s.meta.v1.LabelSelectorArgsDict = {"match_labels": reaches(server)}
    servers: k8s.meta.v1.LabelSelectorArgsDict = {"match_labels": server_labels}
    tcp: list[k8s.networking.v1.NetworkPolicyPortArgsDict] = [
        {"port": port, "protocol": "TCP"} for port in ports
    ]
    k8s.networking.v1.NetworkPolicy(
        f"{server}-from-clients",
        metadata={"namespace": namespace},
        spec={
            "pod_selector": servers,
            "policy_types": ["Ingress"],
            "ingress": [{"from_": [{"pod_selector": clients}], "ports": tcp}],
        },
        opts=opts,
    )
    k8s.networking.v1.NetworkPolicy(
        f"{server}-to-server",
        metadata={"namespace": namespace},
        spec={
            "pod_selector": clients,
            "policy_types": ["Egress"],
            "egress": [{"to": [{"pod_selector": servers}], "ports": tcp}],
        },
        opts=opts,
    )


def allow_addresses(
    name: str,
    server: str,
    ranges: tuple[str, ...],
    port: int,
    namespace: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
) -> None:
    """Lets the namespace's pods labelled `reaches(server)` out to `port` of CIDR `ranges`."""
    k8s.networking.v1.NetworkPolicy(
        f"{name}-to-server",
        metadata={"namespace": namespace},
        spec={
            "pod_selector": {"match_labels": reaches(server)},
            "policy_types": ["Egress"],
            "egress": [
                {
                    "to": [{"ip_block": _block(cidr)} for cidr in ranges],
                    "ports": [{"port": port, "protocol": "TCP"}],
                }
            ],
        },
        opts=opts,
    )


def _block(cidr: str) -> k8s.networking.v1.IPBlockArgsDict:
    """A range without the address at which clouds hand out a node's credentials."""
    if ip_address(METADATA) not in ip_network(cidr):
        return {"cidr": cidr}
    return {"cidr": cidr, "except_": [f"{METADATA}/32"]}
