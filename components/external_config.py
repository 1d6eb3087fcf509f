"""Addresses of a database and a cache that somebody else runs, and their passwords.

The URLs are plain, so that a review sees what changes; they leave out the passwords, which are
encrypted on their own.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from components.aws.config import malformed_ranges
from components.stack_config import SECRET, refuse

# RFC 3986, "unreserved": mean the same in a URL, in an environment and in a password file.
PLAIN = re.compile(r"[A-Za-z0-9._~-]+")
NAMES = ("database", "databaseOwner", "cache", "queue")


@dataclass(frozen=True)
class Address:
    username: str
    host: str
    port: int
    name: str
    """Path of the URL: the database; empty for a cache."""


@dataclass(frozen=True, kw_only=True)
class ExternalConfig:
    database_url: str
    database_owner_url: str
    database_ca_file: str
    database_ranges: tuple[str, ...]
    cache_url: str
    queue_url: str
    cache_ranges: tuple[str, ...]
    passwords: dict[str, str] = field(metadata=SECRET, repr=False)

    def __post_init__(self) -> None:
        problems: list[str] = []
        for name, scheme, wants_name in (
            ("database_url", "postgresql", True),
            ("database_owner_url", "postgresql", True),
            ("cache_url", "rediss", False),
            ("queue_url", "rediss", False),
        ):
            if url := str(getattr(self, name)):
                problems += _malformed(name, url, scheme, wants_name)
        problems += [
            f"passwords.{name} belongs to nothing, allowed {', '.join(NAMES)}"
            for name in self.passwords
            if name not in NAMES
        ]
        problems += [
            f"passwords.{name} has characters that mean something in a URL: got {len(password)} "
            "characters, allowed letters, digits, - . _ and ~; set another one at the service"
            for name, password in self.passwords.items()
            if not PLAIN.fullmatch(password)
        ]
        for name in ("database_ranges", "cache_ranges"):
            problems += malformed_ranges(name, getattr(self, name))
        refuse(problems)


def _malformed(name: str, url: str, scheme: str, wants_name: bool) -> list[str]:
    allowed = f"{scheme}://user@host[:port]{'/database' if wants_name else ''}"
    try:
        parts = urlsplit(url)
        password, port = parts.password, parts.port
    except ValueError:
        return [f"{name} is malformed, allowed {allowed}"]
    if password is not None:
        # Not repeated: it has just been written where everybody can read it.
        return [
            f"{name} holds a password, allowed {allowed}; set it with: pulumi config set --secret "
            "--path externalPasswords.NAME value"
        ]
    path = parts.path.removeprefix("/")
    if (
        parts.scheme != scheme
        or not parts.hostname
        or port == 0
        or not PLAIN.fullmatch(parts.username or "")
        or parts.query
        or parts.fragment
        or bool(PLAIN.fullmatch(path)) != wants_name
    ):
        return [
            f"{name} is malformed: got {url!r}, allowed {allowed} without anything after it; TLS "
            "is always on and verified"
        ]
    return []


def address(url: str, default_port: int) -> Address:
    """The parts of a URL that ExternalConfig has accepted."""
    parts = urlsplit(url)
    return Address(
        username=parts.username or "",
        host=parts.hostname or "",
        port=parts.port or default_port,
        name=parts.path.removeprefix("/"),
    )
