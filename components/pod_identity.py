"""Pods that AWS knows: what they run as, and the way to the agent that gives them their role.

On EKS the agent's webhook mounts a token for that agent alone into the pods of a service account
with a role; Kubernetes itself does not accept it, and the pods have no other. Leaves out the role
(aws/pod_identity.py).
"""

from dataclasses import dataclass

import pulumi

from components.network_policy import allow_addresses

SERVER = "pod-identity"
"""What a client's label names; see network_policy.reaches."""
# The agent listens at the same address on every node.
AGENT = ("169.254.170.23/32",)
PORT = 80


@dataclass(frozen=True, kw_only=True)
class Pods:
    """Where pods run that get roles."""

    cluster_name: str
    """Of the EKS cluster."""
    region: str
    account_id: str
    namespace: str
    created: pulumi.Input[str]
    """The namespace's name once it exists, and with it the cluster."""


@dataclass(frozen=True, kw_only=True)
class PodIdentity:
    service_account: pulumi.Input[str]
    ready: list[pulumi.Resource]
    """What must exist before a pod starts: one that is too early never gets the role."""


def allow_agent(name: str, namespace: pulumi.Input[str], opts: pulumi.ResourceOptions) -> None:
    """Lets pods labelled `reaches(SERVER)` ask the agent, and nothing else at such addresses."""
    allow_addresses(f"{name}-identity", SERVER, AGENT, PORT, namespace, opts)
