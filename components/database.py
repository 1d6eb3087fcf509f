"""What every PostgreSQL backend offers, in the cluster or managed. Creates no resources."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import pulumi


class TlsMode(StrEnum):
    """libpq's `sslmode`, as far as the platform uses it."""

    DISABLE = "disable"
    REQUIRE = "require"
    VERIFY_FULL = "verify-full"


@dataclass(frozen=True, kw_only=True)
class Login:
    """A role that may log in."""

    username: pulumi.Output[str]
    """Name of the role; differs between rotations where two roles take turns."""
    password: pulumi.Output[str]
    """Its password, letters and digits only, so that it needs no escaping in a URL; secret."""
    verifier: pulumi.Output[str] | None = None
    """The SCRAM verifier that the server stores, where the platform set it; secret."""


class Database(Protocol):
    host: pulumi.Output[str]
    """DNS name of the server, without the port."""
    port: pulumi.Output[int]
    """TCP port of the server."""
    name: pulumi.Output[str]
    """Database that the application uses."""
    owner: Login
    """Owns the tables: migrations only (DB-7)."""
    app: Login
    """Reads and writes rows, nothing else."""
    app_previous: Login
    """What the application logged in with before the last rotation; still valid (SC-6)."""
    ca_bundle: pulumi.Output[str]
    """PEM certificates that clients verify the server with; empty where the system's are enough."""
    tls_mode: TlsMode
    """How clients have to connect."""
    ready: list[pulumi.Resource]
    """What must exist before a client can log in."""


CA_FILE = "/etc/nextstack/database-ca/ca.pem"
"""Where pods that reach a database find its `ca_bundle`."""


def connection_url(
    login: Login,
    host: pulumi.Input[str],
    port: pulumi.Input[int],
    name: pulumi.Input[str],
    tls_mode: TlsMode = TlsMode.DISABLE,
) -> pulumi.Output[str]:
    """`postgresql://` URL of a session; secret, because the password is.

    The sslmode is spelt out only where TLS is used; the CA comes from NODE_EXTRA_CA_CERTS and
    PGSSLROOTCERT, because drivers disagree about a file name in the URL.
    """
    query = "" if tls_mode is TlsMode.DISABLE else f"?sslmode={tls_mode}"
    return pulumi.Output.format(
        "postgresql://{0}:{1}@{2}:{3}/{4}{5}",
        login.username,
        login.password,
        host,
        port,
        name,
        query,
    )
