"""The namespace of one stack: Pod Security "restricted", no traffic but what is allowed, DNS.

Leaves out the flows between components; each server allows its own clients (network_policy.py).
"""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

# A policy sees the DNS pods' own port, which is above 1024 where they may not bind 53.
DNS_PORTS = (53, 1053)


@dataclass(frozen=True, kw_only=True)
class NamespaceArgs:
    name: str
    """Name of the namespace; changing it replaces everything inside."""
    metrics_namespace: str = ""
    """Namespace of the monitoring whose pods may read metrics; by default nobody may."""
    metrics_ports: tuple[int, ...] = ()
    """Where the pods of this namespace show them."""


class Namespace(pulumi.ComponentResource):
    name: pulumi.Output[str]
    """Name of the namespace; whatever uses it is created after it."""

    def __init__(
        self, name: str, args: NamespaceArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:Namespace", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        levels = {
            f"pod-security.kubernetes.io/{mode}": "restricted"
            for mode in ("enforce", "audit", "warn")
        }
        namespace = k8s.core.v1.Namespace(
            f"{name}-namespace", metadata={"name": args.name, "labels": levels}, opts=child
        )
        # A provider whose cluster is still to be made tells no names, not even those it was given;
        # previews and policies need this one.
        self.name = namespace.urn.apply(lambda _: args.name)
        k8s.networking.v1.NetworkPolicy(
            f"{name}-deny",
            metadata={"namespace": self.name},
            spec={"pod_selector": {}, "policy_types": ["Ingress", "Egress"]},
            opts=child,
        )
        k8s.networking.v1.NetworkPolicy(
            f"{name}-dns",
            metadata={"namespace": self.name},
            spec={
                "pod_selector": {},
                "policy_types": ["Egress"],
                "egress": [
                    {
                        "ports": [
                            {"port": port, "protocol": protocol}
                            for port in DNS_PORTS
                            for protocol in ("UDP", "TCP")
                        ]
                    }
                ],
            },
            opts=child,
        )
        if args.metrics_namespace:
            self._allow_metrics(name, args, child)
        self.register_outputs({"name": self.name})

    def _allow_metrics(self, name: str, args: NamespaceArgs, child: pulumi.ResourceOptions) -> None:
        # The label that the API server itself gives to every namespace.
        reader = {"kubernetes.io/metadata.name": args.metrics_namespace}
        k8s.networking.v1.NetworkPolicy(
            f"{name}-metrics",
            metadata={"namespace": self.name},
            spec={
                "pod_selector": {},
                "policy_types": ["Ingress"],
                "ingress": [
                    {
                        "from_": [{"namespace_selector": {"match_labels": reader}}],
                        "ports": [{"port": port, "protocol": "TCP"} for port in args.metrics_ports],
                    }
                ],
            },
            opts=child,
        )
