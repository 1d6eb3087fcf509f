"""The contract written for its readers says what the contract says, and is committed as it is."""

import json
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from test_environment import ACCEPTED, BROKEN
from typer.testing import CliRunner

from commands.__main__ import app
from commands.env import Format, written
from commands.env_files import contract_of, example, json_schema, typescript
from components.contract import CONTRACT, TABLE
from offline.recorder import ROOT

SCHEMA: dict[str, Any] = json.loads((ROOT / "env.schema.json").read_text())


def is_valid(name: str, value: str) -> bool:
    validator: Any = Draft202012Validator(SCHEMA["$defs"]["runtimeEnv"]["properties"][name])
    return validator.is_valid(value)


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["env", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_committed_example_is_what_the_contract_says_now() -> None:
    """EN-2: names and comments, no values; made anew with `./nextstack env --example`."""
    committed = (ROOT / ".env.example").read_text()
    assert committed == example(TABLE)
    values = [line for line in committed.splitlines() if not line.startswith("#") and line]
    assert [line.removesuffix("=") for line in values] == [v.name for v in TABLE]


@pytest.mark.parametrize(
    ("file", "form"),
    [("env.schema.json", "schema"), ("app/src/server/environment.ts", "typescript")],
)
def test_the_committed_description_is_what_the_contract_says_now(file: str, form: str) -> None:
    """EN-1: made anew with `./nextstack env --format FORM > FILE`."""
    assert invoke("--format", form) == (ROOT / file).read_text()


def test_the_schema_is_one_and_takes_what_a_stack_gives(stack_name: str) -> None:
    """S-20: the two sets are apart; every stack's plain values are valid."""
    Draft202012Validator.check_schema(SCHEMA)
    values = json.loads(invoke("--offline", "--format", "json", "--stack", stack_name))
    plain = {name: value for name, value in values.items() if not CONTRACT[name].secret}
    assert plain
    for name, value in plain.items():
        assert is_valid(name, value), name
    built = json.loads(invoke("--offline", "--build", "--format", "json", "--stack", stack_name))
    assert built.keys() <= SCHEMA["$defs"]["buildEnv"]["properties"].keys()
    assert set(SCHEMA["$defs"]["buildEnv"]["required"]) <= built.keys()


@pytest.mark.parametrize("name", ACCEPTED)
def test_the_schema_takes_what_the_rule_takes(name: str) -> None:
    assert is_valid(name, ACCEPTED[name])


@pytest.mark.parametrize(("name", "bad"), BROKEN)
def test_the_schema_refuses_what_a_pattern_can_tell(name: str, bad: str) -> None:
    # A pattern knows neither the bounds of a number nor those of a port.
    beyond = (CONTRACT[name].rule.bounds and bad.isdecimal()) or ":port" in bad
    assert is_valid(name, bad) is bool(beyond)


def test_typescript_types_follow_the_rules() -> None:
    module = typescript(TABLE)
    assert "  PORT: whole(1024, 65535),\n" in module
    assert "  DATABASE_POOL_SIZE: whole(1, 100).default(10),\n" in module
    assert "  NEW_EDITOR: flag.default(false),\n" in module
    assert '  LOG_LEVEL: z.enum(["debug", "info", "warn", "error"]).default("info"),\n' in module
    assert "  GITHUB_CLIENT_ID: z.string().min(1).optional(),\n" in module
    assert '  OPENAI_API_KEY: text(/^(sk-\\S+)$/, "text that starts with sk-").optional()' in module
    build = module.split("buildEnvironment = ")[1]
    assert "NEXT_SERVER_ACTIONS_ENCRYPTION_KEY" in build and "NEXTAUTH_SECRET" not in build


def test_an_application_is_described_under_its_own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "envNames": '{"DATABASE_URL": "PG_URL"}',
        "extraEnv": '{"GREETING": "hello"}',
        "extraSecretEnv": '{"TOKEN": "encrypted"}',
    }

    def setting(stack_name: str, key: str) -> str:
        assert stack_name == "dev"
        return given[key]

    monkeypatch.setattr("commands.env_files.setting", setting)
    names = {variable.name: variable for variable in contract_of("dev")}
    assert {"PG_URL", "GREETING", "TOKEN"} <= names.keys()
    assert "DATABASE_URL" not in names
    assert names["TOKEN"].secret and not names["GREETING"].secret
    assert "TOKEN" in json.loads(json_schema(names.values()))["$defs"]["runtimeEnv"]["required"]


def test_secrets_are_placeholders_without_a_running_stack() -> None:
    """SC-3: nothing that looks like a value, for every secret of the contract."""
    values = json.loads(invoke("--offline", "--format", "json", "--stack", "production"))
    secrets = {n for n in values if CONTRACT[n].secret}
    assert {"DATABASE_URL", "NEXTAUTH_SECRET"} <= secrets
    assert {values[name] for name in secrets} == {f"<{name}>" for name in secrets}
    assert values["NEXTAUTH_URL"] == "https://www.example.com"


def test_a_kubernetes_secret_holds_the_same_values() -> None:
    body = yaml.safe_load(written({"A": "1", "B": "two\nlines"}, Format.SECRET))
    assert (body["apiVersion"], body["kind"]) == ("v1", "Secret")
    assert body["stringData"] == {"A": "1", "B": "two\nlines"}
