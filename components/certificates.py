"""Certificates for TLS inside the cluster, derived from secret seeds by pure functions.

The same seed always gives the same PEM, byte for byte, so that a second run changes nothing and
no certificate provider is needed. Leaves out public certificates (ACM, cert-manager).
"""

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Order of the P-256 group (FIPS 186-4, D.1.2.3): private keys lie in 1 … order-1.
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
# Fixed, because a date taken from the clock would change the certificate at each run. Rotating
# the seed (secretGenerations.tls) is what ends a certificate's life.
NOT_BEFORE = datetime(2026, 1, 1, tzinfo=UTC)
NOT_AFTER = datetime(2046, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class ServerCertificate:
    ca: str
    """PEM of the authority that clients trust."""
    certificate: str
    """PEM of the server's certificate."""
    key: str
    """PEM (PKCS #8) of the server's private key; keep it secret."""


def server_certificate(seed: str, hosts: list[str]) -> ServerCertificate:
    """A certificate for `hosts` and its private authority, both derived from the base64 `seed`."""
    secret = base64.b64decode(seed, validate=True)
    if len(secret) < 32:
        raise ValueError(f"seed is too short: got {len(secret)} bytes, allowed 32 or more")
    if not hosts:
        raise ValueError("hosts is empty: allowed one DNS name or more")
    ca_key, server_key = _key(secret, "ca"), _key(secret, "server")
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nextstack database CA")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])])
    authority = (
        _builder(ca_name, ca_name, ca_key.public_key(), _serial(secret, "ca"))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(certificates=True), critical=True)
        .add_extension(_own_id(ca_key), critical=False)
        .sign(ca_key, hashes.SHA256(), ecdsa_deterministic=True)
    )
    server = (
        _builder(ca_name, name, server_key.public_key(), _serial(secret, *hosts))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(h) for h in hosts]), False)
        .add_extension(_own_id(server_key), critical=False)
        .add_extension(_issuer_id(ca_key), critical=False)
        .sign(ca_key, hashes.SHA256(), ecdsa_deterministic=True)
    )
    pem = serialization.Encoding.PEM
    return ServerCertificate(
        ca=authority.public_bytes(pem).decode(),
        certificate=server.public_bytes(pem).decode(),
        key=server_key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
    )


def _digest(secret: bytes, *labels: str) -> bytes:
    return hashlib.sha512(b"\0".join([secret, *(label.encode() for label in labels)])).digest()


def _key(secret: bytes, label: str) -> ec.EllipticCurvePrivateKey:
    """512 bits reduced modulo the group order: the bias is below 2^-256."""
    number = int.from_bytes(_digest(secret, "key", label)) % (P256_ORDER - 1) + 1
    return ec.derive_private_key(number, ec.SECP256R1())


def _serial(secret: bytes, *labels: str) -> int:
    """A positive number of at most 159 bits (RFC 5280, 4.1.2.2), new for other hosts."""
    return int.from_bytes(_digest(secret, "serial", *labels)[:19]) | 1


def _own_id(key: ec.EllipticCurvePrivateKey) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key())


def _issuer_id(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    """Strict verifiers (Python 3.13, X509_V_FLAG_X509_STRICT) refuse a certificate without it."""
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _builder(
    issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePublicKey, serial: int
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=key,
        serial_number=serial,
        not_valid_before=NOT_BEFORE,
        not_valid_after=NOT_AFTER,
    )


def _usage(*, certificates: bool) -> x509.KeyUsage:
    """An authority signs certificates, a server signs handshakes."""
    return x509.KeyUsage(
        digital_signature=not certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )
