"""How a stack's configuration becomes typed data, and how it is refused."""

from dataclasses import dataclass, field
from enum import StrEnum

import pytest
import yaml
from conftest import STACKS

from components.stack import SiteConfig, StackConfig
from components.stack_config import SECRET, UNPREFIXED, ConfigError, keys, load, refuse
from offline.recorder import PROJECT, ROOT, stack_settings

PYTHON_TYPES = {"string": str, "integer": int, "boolean": bool, "array": tuple, "object": dict}


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, kw_only=True)
class PoolConfig:
    max_clients: int
    paths: tuple[str, ...]

    def __post_init__(self) -> None:
        refuse(["max_clients is too small: got 0"] if self.max_clients < 1 else [])


@dataclass(frozen=True, kw_only=True)
class RootConfig:
    colour: Colour
    loud: bool


@dataclass(frozen=True, kw_only=True)
class Config:
    root: RootConfig = field(metadata=UNPREFIXED)
    pool: PoolConfig
    labels: dict[str, str]
    numbers: dict[str, int]
    hidden: dict[str, str] = field(metadata=SECRET, repr=False)


GOOD = {
    "colour": "red",
    "loud": "true",
    "poolMaxClients": "5",
    "poolPaths": '["/a", 1]',
    "labels": '{"a": true, "b": 1, "c": "x"}',
    "numbers": '{"n": 2}',
    "hidden": "{}",
}


def refusal(**changes: str) -> str:
    with pytest.raises(ConfigError) as error:
        load(Config, GOOD | changes)
    return str(error.value)


def test_keys_are_grouped_by_prefix_and_values_get_their_types() -> None:
    config = load(Config, GOOD)
    assert config.root == RootConfig(colour=Colour.RED, loud=True)
    assert config.pool == PoolConfig(max_clients=5, paths=("/a", "1"))
    assert config.labels == {"a": "true", "b": "1", "c": "x"}
    assert config.numbers == {"n": 2}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("colour", "green", "colour is not allowed: got 'green', allowed red, blue"),
        ("loud", "yes", "loud is not allowed: got 'yes', allowed true, false"),
        (
            "poolMaxClients",
            "many",
            "poolMaxClients has the wrong type: got 'many', allowed a whole",
        ),
        ("poolMaxClients", "0", "poolMaxClients is too small: got 0"),
        ("poolPaths", "/a", "poolPaths has the wrong type: got 2 characters, allowed a list"),
        ("poolPaths", '["/a", {}]', "poolPaths has the wrong type at 1: got a dict, allowed str"),
        ("labels", "[]", "labels has the wrong type: got 2 characters, allowed an object"),
        ("labels", '{"a": {}}', "labels has the wrong type at a: got a dict, allowed str"),
        ("numbers", '{"n": true}', "numbers has the wrong type at n: got a bool, allowed int"),
        ("poolMaxClient", "5", "poolMaxClient is not a key of Pulumi.yaml, did you mean poolMaxCl"),
        (
            "hidden",
            '{"a": "b"}',
            "hidden is not encrypted; set it with: pulumi config set --secret",
        ),
    ],
)
def test_each_mistake_is_named_by_its_key(key: str, value: str, message: str) -> None:
    assert message in refusal(**{key: value})


def test_all_mistakes_are_reported_at_once() -> None:
    message = refusal(colour="green", loud="yes", poolMaxClients="0", extra="1")
    assert message.startswith("the stack's configuration has 4 problems:")


def test_a_missing_key_says_how_to_set_it() -> None:
    with pytest.raises(ConfigError, match="loud is missing; set it with: pulumi config set loud"):
        load(Config, {k: v for k, v in GOOD.items() if k != "loud"})


def test_pulumi_yaml_declares_exactly_the_keys_that_are_read_with_their_types() -> None:
    """PL-1, PL-7."""
    declared = {name: PYTHON_TYPES[key["type"]] for name, key in PROJECT["config"].items()}
    read = {k: next(t for t in (bool, int, str, tuple, dict) if _is(h, t)) for k, h in _read()}
    assert declared == read


def _read() -> list[tuple[str, object]]:
    return list(keys(StackConfig).items())


def _is(hint: object, kind: type) -> bool:
    origin = getattr(hint, "__origin__", hint)
    return isinstance(origin, type) and issubclass(origin, kind)


def test_pulumi_yaml_describes_every_key_in_a_sentence() -> None:
    for name, key in PROJECT["config"].items():
        assert len(key["description"]) > 20, name
        assert key["description"].endswith("."), name


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_file_holds_only_what_differs(stack: str) -> None:
    """PL-1."""
    settings = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
    defaults = {
        f"nextstack:{n}": key["default"] for n, key in PROJECT["config"].items() if "default" in key
    }
    assert not {key for key, default in defaults.items() if settings.get(key) == default}


def site(**changes: str) -> SiteConfig:
    prefix = "nextstack:"
    given = {k.removeprefix(prefix): v for k, v in stack_settings("production").items()}
    given = {k: v for k, v in given.items() if k in keys(SiteConfig)}
    return load(SiteConfig, given | changes)


@pytest.mark.parametrize("domain", ["example.com", "localhost:3000", "a.b-c.example.com"])
def test_a_domain_is_a_host_and_perhaps_a_port(domain: str) -> None:
    assert site(domain=domain).url == f"https://{domain}"


@pytest.mark.parametrize(
    "domain", ["", "https://example.com", "example.com/", "exa mple.com", "-a.com", "Example.com"]
)
def test_a_malformed_domain_is_refused(domain: str) -> None:
    with pytest.raises(ConfigError, match="domain is malformed: got"):
        site(domain=domain)


@pytest.mark.parametrize("image", ["shop", "shop:1", "host:5000/shop", "localhost/shop:latest"])
def test_a_floating_image_is_refused(image: str) -> None:
    """PL-7, AP-9."""
    with pytest.raises(ConfigError, match="image is not fixed: got"):
        site(image=image, deploymentVersion="1")


@pytest.mark.parametrize("image", ["localhost/shop:3f2a", f"host:5000/shop@sha256:{'0' * 64}"])
def test_a_fixed_image_is_accepted(image: str) -> None:
    assert site(image=image, deploymentVersion="1").image == image


@pytest.mark.parametrize("version", ["", "latest"])
def test_an_image_needs_the_version_it_was_built_from(version: str) -> None:
    with pytest.raises(ConfigError, match="deploymentVersion is not a version"):
        site(image="localhost/shop:1", deploymentVersion=version)
