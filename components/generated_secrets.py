"""Every secret that nobody types: generated once, kept in the state, rotated by number.

Leaves out what is derived from these (URLs, certificates, SCRAM verifiers) and external keys.
"""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import pulumi
import pulumi_random as random

from components.stack_config import refuse

PASSWORD_LENGTH = 64  # CA-3; NEXTAUTH_SECRET and JWT_SECRET need 32 or more

ROTATED_TOGETHER = ("nextauth", "jwt", "database", "cache")
"""What `secretsEpoch` rotates (SC-6); each also has its own number in `secretGenerations`."""
NAMES = (
    *ROTATED_TOGETHER,
    "databaseOwner",
    "databaseAdmin",
    "databaseReadonly",
    "databaseMonitor",
    "pgbouncerAdmin",
    "cacheInternal",
    "databaseTls",
    "serverActions",
    "encryption",
)


class KeyFormat(StrEnum):
    """How the 32 bytes of ENCRYPTION_KEY are written."""

    BASE64 = "base64"
    HEX = "hex"
    TEXT = "text"
    """32 letters and digits, whose bytes are the key."""


@dataclass(frozen=True, kw_only=True)
class SecretsConfig:
    secrets_epoch: int
    encryption_key_epoch: int
    encryption_key_format: KeyFormat
    secret_generations: dict[str, int]

    def __post_init__(self) -> None:
        numbers = {
            "secrets_epoch": self.secrets_epoch,
            "encryption_key_epoch": self.encryption_key_epoch,
        } | {f"secret_generations.{name}": n for name, n in self.secret_generations.items()}
        refuse(
            [
                f"secret_generations.{name} is not a generated secret, allowed {', '.join(NAMES)}"
                for name in self.secret_generations
                if name not in NAMES
            ]
            + [
                f"{name} is out of range: got {number}, allowed 1 or more; add 1 to rotate"
                for name, number in numbers.items()
                if number < 1
            ]
        )

    def generation(self, name: str) -> int:
        """How often the secret `name` has been made, counted from 1."""
        common = 1
        if name in ROTATED_TOGETHER:
            common = self.secrets_epoch
        elif name == "encryption":
            common = self.encryption_key_epoch
        return common + self.secret_generations.get(name, 1) - 1


@dataclass(frozen=True, kw_only=True)
class Rotating:
    """A secret whose last value stays valid beside the current one while its users move."""

    slot: str
    """"a" or "b", whichever holds the current value; the other holds the one before."""
    current: pulumi.Output[str]
    previous: pulumi.Output[str]
    """Before the first rotation a value that nothing has used yet."""


class GeneratedSecrets(pulumi.ComponentResource):
    nextauth: pulumi.Output[str]
    """Key of the session cookies; 64 letters and digits."""
    jwt: pulumi.Output[str]
    """Key of signed tokens; 64 letters and digits."""
    server_actions: pulumi.Output[str]
    """Key of Next.js server actions: 32 bytes, base64; fixed into the image when it is built."""
    encryption: Rotating
    """Key of stored ciphertext: 32 bytes in the configured format."""
    database: Rotating
    """Passwords of the two application roles that take turns."""
    cache: Rotating
    """Passwords of the cache user."""
    database_owner: pulumi.Output[str]
    database_admin: pulumi.Output[str]
    database_readonly: pulumi.Output[str]
    database_monitor: pulumi.Output[str]
    pgbouncer_admin: pulumi.Output[str]
    cache_internal: pulumi.Output[str]
    """What cache servers, Sentinels and their proxy show each other; no client knows it."""
    database_tls: pulumi.Output[str]
    """Seed of the database's certificate: 32 bytes, base64."""

    def __init__(
        self, name: str, config: SecretsConfig, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:GeneratedSecrets", name, {}, opts)
        self._name, self._config = name, config
        self._child = pulumi.ResourceOptions(parent=self)
        self.nextauth = self._password("nextauth")
        self.jwt = self._password("jwt")
        self.server_actions = self._key("serverActions")
        self.encryption = self._rotating("encryption", self._encryption_key)
        self.database = self._rotating("database", self._password)
        self.cache = self._rotating("cache", self._password)
        self.database_owner = self._password("databaseOwner")
        self.database_admin = self._password("databaseAdmin")
        self.database_readonly = self._password("databaseReadonly")
        self.database_monitor = self._password("databaseMonitor")
        self.pgbouncer_admin = self._password("pgbouncerAdmin")
        self.cache_internal = self._password("cacheInternal")
        self.database_tls = self._key("databaseTls")
        self.register_outputs({"serverActions": self.server_actions})

    def _password(self, secret: str, generation: int | None = None) -> pulumi.Output[str]:
        """Letters of both cases and digits: no escaping in a URL, and ElastiCache takes it."""
        password = random.RandomPassword(
            f"{self._name}-{secret}",
            length=PASSWORD_LENGTH,
            special=False,
            min_lower=1,
            min_numeric=1,
            min_upper=1,
            keepers=self._keepers(secret, generation),
            opts=self._child,
        )
        return password.result

    def _key(self, secret: str, generation: int | None = None) -> pulumi.Output[str]:
        return self._password(secret, generation).apply(key)

    def _encryption_key(self, secret: str, generation: int | None) -> pulumi.Output[str]:
        written = self._config.encryption_key_format
        return self._password(secret, generation).apply(lambda made: key(made, written))

    def _keepers(self, secret: str, generation: int | None) -> dict[str, str]:
        number = self._config.generation(secret) if generation is None else generation
        return {"generation": str(number)}

    def _rotating(
        self, secret: str, make: Callable[[str, int | None], pulumi.Output[str]]
    ) -> Rotating:
        """Two values that are made anew in turn: number 2 makes b, number 3 makes a, and so on."""
        number = self._config.generation(secret)
        slots = {
            "a": make(f"{secret}A", (number + 1) // 2),
            "b": make(f"{secret}B", number // 2),
        }
        slot, other = ("a", "b") if number % 2 else ("b", "a")
        return Rotating(slot=slot, current=slots[slot], previous=slots[other])


def key(password: str, written: KeyFormat = KeyFormat.BASE64) -> str:
    """32 bytes, as AES-256 and Next.js ask for; 64 letters and digits hold more.

    Not RandomBytes: its value is its id, which the engine's state holds in clear (pulumi#2717).
    """
    if written is KeyFormat.TEXT:
        return password[:32]
    digest = hashlib.sha256(password.encode()).digest()
    return digest.hex() if written is KeyFormat.HEX else base64.b64encode(digest).decode()
