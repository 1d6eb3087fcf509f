"""The certificates of the local cluster, made once, and kubeconfigs that carry them.

Leaves out renewal: they are valid longer than a throwaway cluster lives.
"""

import base64
import datetime
import ipaddress
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Key usage and key identifiers are what Python 3.13 demands of a chain by default.
CA_USAGE = x509.KeyUsage(
    digital_signature=True,
    key_cert_sign=True,
    crl_sign=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)

VALID_FOR = datetime.timedelta(days=3650)


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Whom a certificate names."""

    user: str
    group: str = ""
    hosts: tuple[str, ...] = ()
    """DNS names and addresses, for a server."""


def ensure(folder: Path, identities: dict[str, Identity]) -> None:
    """Fills `folder` with a CA, the service accounts' key and a certificate for each identity.

    The folder gets its name when it is complete, and then stays as it is.
    """
    if folder.is_dir():
        return
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700, parents=True)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = _name(Identity(user="nextstack local CA"))
    ca = (
        _builder(ca_name, ca_name, ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(CA_USAGE, critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    (partial / "ca.crt").write_bytes(ca.public_bytes(Encoding.PEM))
    for file, identity in identities.items():
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _leaf(identity, key, ca_name, ca_key)
        (partial / f"{file}.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
        _write_key(partial / f"{file}.key", key)
    service_accounts = ec.generate_private_key(ec.SECP256R1())
    _write_key(partial / "service-accounts.key", service_accounts)
    (partial / "service-accounts.pub").write_bytes(
        service_accounts.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    partial.rename(folder)


def kubeconfig(folder: Path, identity: str, server: str) -> str:
    """A self-contained kubeconfig; JSON, which is YAML too."""
    user = {
        "client-certificate-data": _base64(folder / f"{identity}.crt"),
        "client-key-data": _base64(folder / f"{identity}.key"),
    }
    cluster = {"server": server, "certificate-authority-data": _base64(folder / "ca.crt")}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "nextstack", "cluster": cluster}],
            "users": [{"name": identity, "user": user}],
            "contexts": [
                {"name": "nextstack", "context": {"cluster": "nextstack", "user": identity}}
            ],
            "current-context": "nextstack",
        },
        indent=2,
    )


def _base64(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()


def _name(identity: Identity) -> x509.Name:
    group = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, identity.group)]
    user = [x509.NameAttribute(NameOID.COMMON_NAME, identity.user)]
    return x509.Name((group if identity.group else []) + user)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # An hour back, for clocks that are set right after the start.
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + VALID_FOR)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _leaf(
    identity: Identity,
    key: ec.EllipticCurvePrivateKey,
    ca_name: x509.Name,
    ca_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    usage = ExtendedKeyUsageOID.SERVER_AUTH if identity.hosts else ExtendedKeyUsageOID.CLIENT_AUTH
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    builder = (
        _builder(_name(identity), ca_name, key)
        .add_extension(issuer, critical=False)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    )
    if identity.hosts:
        names = x509.SubjectAlternativeName([_host(host) for host in identity.hosts])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(ca_key, hashes.SHA256())


def _host(host: str) -> x509.GeneralName:
    if host[0].isdigit():
        return x509.IPAddress(ipaddress.ip_address(host))
    return x509.DNSName(host)


def _write_key(file: Path, key: ec.EllipticCurvePrivateKey) -> None:
    file.touch(mode=0o600)
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
