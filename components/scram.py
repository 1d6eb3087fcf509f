"""SCRAM-SHA-256 verifiers (RFC 5803): what PostgreSQL stores instead of a password.

The same string is given to the server and to the pooler, so that neither holds the password.
Leaves out SASLprep: generated passwords are letters and digits, which it does not change.
"""

import base64
import hashlib
import hmac

ITERATIONS = 4096  # PostgreSQL's default; it cannot be raised for pooler and server separately
SALT_BYTES = 16  # as PostgreSQL itself takes


def scram_verifier(username: str, password: str) -> str:
    """A pure function: the salt is derived, so that a second run changes nothing."""
    if not (password.isascii() and password.isalnum()):
        raise ValueError("the password is not letters and digits only; generate it without others")
    salt = _mac(password.encode(), f"nextstack salt of {username}")[:SALT_BYTES]
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    stored_key = hashlib.sha256(_mac(salted, "Client Key")).digest()
    encoded = [base64.b64encode(part).decode() for part in (salt, stored_key)]
    server_key = base64.b64encode(_mac(salted, "Server Key")).decode()
    return f"SCRAM-SHA-256${ITERATIONS}:{encoded[0]}${encoded[1]}:{server_key}"


def _mac(key: bytes, message: str) -> bytes:
    return hmac.digest(key, message.encode(), "sha256")
