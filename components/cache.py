"""What every Redis-protocol backend offers, in the cluster, on AWS or elsewhere. No resources."""

from typing import Protocol

import pulumi


class Cache(Protocol):
    url: pulumi.Output[str]
    """`redis://` or `rediss://` URL that always reaches the primary; secret."""
    host: pulumi.Output[str]
    """DNS name of the primary endpoint."""
    port: pulumi.Output[int]
    """TCP port of the primary endpoint."""
    tls: bool
    """Whether clients have to use TLS."""
    ready: list[pulumi.Resource]
    """What must exist before a client can connect."""
