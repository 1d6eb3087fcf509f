"""Generated secrets: their form, their secrecy, and what a rotation touches."""

import base64
import json
import re

import pulumi
import pytest
from conftest import deploy
from pulumi.runtime import rpc

from components.contract import TABLE
from components.generated_secrets import NAMES, GeneratedSecrets, KeyFormat, SecretsConfig, key
from components.stack_config import ConfigError, load
from offline.recorder import Graph, Registered

KEYS = {
    "secretsEpoch": "1",
    "encryptionKeyEpoch": "1",
    "encryptionKeyFormat": "base64",
    "secretGenerations": "{}",
}


def config(**changes: str) -> SecretsConfig:
    return load(SecretsConfig, KEYS | changes)


def run(**changes: str) -> Graph:
    return deploy(lambda: GeneratedSecrets("secrets", config(**changes)))


def values(graph: Graph) -> dict[str, Registered]:
    return {r.name: r for r in graph.resources if r.type.startswith("random:")}


def changed(**changes: str) -> set[str]:
    """Names of the values that differ from those of the first run."""
    first, then = values(run()), values(run(**changes))
    return {n.removeprefix("secrets-") for n in then if then[n].inputs != first[n].inputs}


def test_passwords_are_64_letters_and_digits_and_keys_32_bytes() -> None:
    """SC-1, CA-3."""
    for resource in values(run()).values():
        assert resource.inputs["length"] == 64
        assert resource.inputs["special"] is False
        assert resource.inputs["minUpper"] >= 1
        assert resource.inputs["minNumeric"] >= 1
    assert len(base64.b64decode(key("a"))) == 32
    assert key("a") != key("b")


def test_no_value_is_the_id_of_its_resource() -> None:
    """SC-3: ids lie in the state in clear, and RandomBytes' is the value itself."""
    types = {resource.type for resource in values(run()).values()}
    assert types == {"random:index/randomPassword:RandomPassword"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"secretsEpoch": "2"}, {"nextauth", "jwt", "databaseB", "cacheB"}),
        ({"secretsEpoch": "3"}, {"nextauth", "jwt", "databaseA", "databaseB", "cacheA", "cacheB"}),
        ({"encryptionKeyEpoch": "2"}, {"encryptionB"}),
        ({"secretGenerations": '{"jwt": 2}'}, {"jwt"}),
        ({"secretGenerations": '{"serverActions": 2}'}, {"serverActions"}),
        ({"secretGenerations": '{"cache": 2}'}, {"cacheB"}),
    ],
)
def test_a_rotation_makes_exactly_its_own_secrets_anew(
    changes: dict[str, str], expected: set[str]
) -> None:
    """SC-6."""
    assert changed(**changes) == expected


@pytest.mark.parametrize("name", NAMES)
def test_every_secret_can_be_rotated_alone(name: str) -> None:
    made = changed(secretGenerations=json.dumps({name: 2}))
    assert made in ({name}, {f"{name}B"})


@pytest.mark.parametrize("epoch", [1, 2, 3, 4])
def test_the_value_before_a_rotation_stays_valid_after_it(epoch: int) -> None:
    """SC-6: old and new side by side."""
    seen: list[GeneratedSecrets] = []
    first, then = (
        deploy(lambda n=n: seen.append(GeneratedSecrets("s", config(secretsEpoch=str(n)))))
        for n in (epoch, epoch + 1)
    )
    before, after = seen[0].database.slot, seen[1].database.slot
    assert before != after
    slot = f"s-database{before.upper()}"
    assert values(first)[slot].inputs == values(then)[slot].inputs


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"secretsEpoch": "0"}, "secretsEpoch is out of range: got 0, allowed 1 or more"),
        ({"encryptionKeyEpoch": "-1"}, "encryptionKeyEpoch is out of range: got -1"),
        ({"secretGenerations": '{"jwt": 0}'}, "secretGenerations.jwt is out of range: got 0"),
        ({"secretGenerations": '{"jot": 2}'}, "secretGenerations.jot is not a generated secret"),
    ],
)
def test_impossible_numbers_are_refused(changes: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(**changes)


def test_every_value_is_a_secret_output() -> None:
    """SC-3."""

    def program() -> None:
        secrets = GeneratedSecrets("secrets", config())
        for name, value in {
            "nextauth": secrets.nextauth,
            "serverActions": secrets.server_actions,
            "encryption": secrets.encryption.current,
            "database": secrets.database.previous,
            "databaseTls": secrets.database_tls,
        }.items():
            pulumi.export(name, value)

    exports = deploy(program).outputs["nextstack-test"]
    assert len(exports) == 5
    assert all(rpc.is_rpc_secret(value) for value in exports.values())
    assert len(base64.b64decode(rpc.unwrap_rpc_secret(exports["serverActions"]))) == 32


@pytest.mark.parametrize(
    ("written", "form"),
    [("base64", r"[A-Za-z0-9+/]{43}="), ("hex", r"[0-9a-f]{64}"), ("text", r"[A-Za-z0-9]{32}")],
)
def test_the_encryption_key_has_the_format_that_the_application_wants(
    written: str, form: str
) -> None:
    """SC-1, AES-256: 32 bytes each way; base64 and hex are the same key."""

    def program() -> None:
        secrets = GeneratedSecrets("secrets", config(encryptionKeyFormat=written))
        pulumi.export("key", secrets.encryption.current)
        pulumi.export("previous", secrets.encryption.previous)

    exports = deploy(program).outputs["nextstack-test"]
    rule = next(v.rule for v in TABLE if v.name == "ENCRYPTION_KEY")
    for value in map(rpc.unwrap_rpc_secret, exports.values()):
        assert re.fullmatch(form, value)
        assert rule.accepts(value)
    password = "aB3" * 21 + "x"
    assert bytes.fromhex(key(password, KeyFormat.HEX)) == base64.b64decode(key(password))
