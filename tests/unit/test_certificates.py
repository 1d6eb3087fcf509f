"""Derived certificates: always the same, and what verifiers accept."""

import base64
import hashlib
import ssl
import subprocess
from pathlib import Path
from typing import TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from components.certificates import ServerCertificate, server_certificate

T = TypeVar("T", bound=x509.ExtensionType)

SEED = base64.b64encode(bytes(range(32))).decode()
OTHER_SEED = base64.b64encode(bytes(range(1, 33))).decode()
HOSTS = ["postgres", "postgres.shop.svc"]


def made(seed: str = SEED, hosts: list[str] | None = None) -> ServerCertificate:
    return server_certificate(seed, hosts or HOSTS)


def parsed(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


def extension(certificate: x509.Certificate, kind: type[T]) -> T:
    return certificate.extensions.get_extension_for_class(kind).value


def test_the_same_seed_gives_the_same_bytes_on_every_machine_and_day() -> None:
    everything = "".join([made().ca, made().certificate, made().key])
    assert (
        hashlib.sha256(everything.encode()).hexdigest()
        == "5c7b2c127ba3c2c44b0b7f2e4f5cd90e3e2bfcc6a5983934d2d89a6e39f58631"
    )


def test_another_seed_changes_every_part() -> None:
    one, other = made(), made(OTHER_SEED)
    assert one.ca != other.ca
    assert one.certificate != other.certificate
    assert one.key != other.key


def test_other_hosts_change_the_certificate_and_its_serial_but_not_the_authority() -> None:
    one, other = made(), made(hosts=["postgres"])
    assert one.ca == other.ca
    assert parsed(one.certificate).serial_number != parsed(other.certificate).serial_number


def test_the_certificate_belongs_to_the_key() -> None:
    key = serialization.load_pem_private_key(made().key.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.public_key() == parsed(made().certificate).public_key()


def test_the_authority_signs_nothing_but_certificates_and_no_other_authority() -> None:
    authority = parsed(made().ca)
    constraints = extension(authority, x509.BasicConstraints)
    assert (constraints.ca, constraints.path_length) == (True, 0)
    usage = extension(authority, x509.KeyUsage)
    assert usage.key_cert_sign
    assert not usage.digital_signature


def test_the_server_is_no_authority_and_names_its_hosts_and_issuer() -> None:
    server, authority = parsed(made().certificate), parsed(made().ca)
    assert not extension(server, x509.BasicConstraints).ca
    assert extension(server, x509.SubjectAlternativeName).get_values_for_type(x509.DNSName) == HOSTS
    issuer = extension(server, x509.AuthorityKeyIdentifier).key_identifier
    assert issuer == extension(authority, x509.SubjectKeyIdentifier).digest


@pytest.mark.parametrize("host", HOSTS)
def test_openssl_verifies_strictly_by_name(tmp_path: Path, host: str) -> None:
    """DB-6: what libpq's verify-full does."""
    (tmp_path / "ca.pem").write_text(made().ca)
    (tmp_path / "server.pem").write_text(made().certificate)
    verify = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", "ca.pem"]
    run = subprocess.run(
        [*verify, "-verify_hostname", host, "server.pem"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout == "server.pem: OK\n", run.stderr


def test_a_handshake_succeeds_for_its_hosts_and_fails_for_others(tmp_path: Path) -> None:
    assert handshake(tmp_path, made(), "postgres.shop.svc") == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(tmp_path, made(), "postgres.other.svc")


def test_a_client_that_trusts_another_authority_refuses(tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=r"unable to get local issuer|signature"):
        handshake(tmp_path, made(), "postgres", trusted=made(OTHER_SEED).ca)


def handshake(
    folder: Path, certificate: ServerCertificate, host: str, trusted: str | None = None
) -> str | None:
    """The TLS version that client and server agree on, in memory."""
    (folder / "server.pem").write_text(certificate.certificate + certificate.key)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(folder / "server.pem")
    client_context = ssl.create_default_context(cadata=trusted or certificate.ca)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=host)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return client.version()


@pytest.mark.parametrize("size", [31, 0])
def test_a_short_seed_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"got {size} bytes, allowed 32 or more"):
        server_certificate(base64.b64encode(bytes(size)).decode(), HOSTS)


def test_no_host_is_refused() -> None:
    with pytest.raises(ValueError, match="hosts is empty"):
        server_certificate(SEED, [])


def test_all_zero_bytes_are_still_a_key() -> None:
    """The smallest number there is must not become the key 0, which is none."""
    assert server_certificate(base64.b64encode(bytes(32)).decode(), HOSTS).key
