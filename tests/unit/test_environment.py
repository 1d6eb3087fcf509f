"""The environment contract: what each variable accepts, and where its value may stand."""

from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from conftest import deploy, knobs
from pulumi.runtime import rpc

from components.contract import CONTRACT, NEVER_IN_PODS, TABLE, Source
from components.environment import Environment, EnvironmentArgs, EnvironmentConfig
from components.generated_secrets import key
from components.stack_config import ConfigError, load
from offline import recorder
from offline.recorder import Graph

ENCRYPTED = ("secretEnv", "extraSecretEnv")
KEYS = {
    "stage": "staging",
    "env": "{}",
    "secretEnv": "{}",
    "extraEnv": "{}",
    "extraSecretEnv": "{}",
    "requiredEnv": "[]",
    "requireOauth": "false",
    "envNames": "{}",
}
ACCEPTED = {
    "NODE_ENV": "production",
    "APP_ENV": "staging",
    "PORT": "3000",
    "HOSTNAME": "0.0.0.0",
    "AUTH_TRUST_HOST": "true",
    "NEXT_PUBLIC_APP_URL": "https://example.com",
    "NEXT_PUBLIC_API_URL": "https://example.com/api",
    "NEXT_DEPLOYMENT_ID": "3f2a9c1",
    "DEPLOYMENT_VERSION": "3f2a9c1",
    "NEXT_SERVER_ACTIONS_ENCRYPTION_KEY": key("k"),
    "KEEP_ALIVE_TIMEOUT": "75000",
    "NODE_OPTIONS": "--max-old-space-size=768",
    "MALLOC_ARENA_MAX": "2",
    "CACHE_KEY_PREFIX": "nextstack:staging:3f2a9c1:",
    "NEXTAUTH_SECRET": "n" * 64,
    "NEXTAUTH_URL": "https://example.com",
    "JWT_SECRET": "j" * 64,
    "ENCRYPTION_KEY": key("e"),
    "DATABASE_URL": "postgresql://app:hush@pgbouncer:6432/app",
    "REDIS_URL": "rediss://:hush@redis:6379",
    "CORS_ORIGINS": "https://example.com",
    "SENTRY_ENVIRONMENT": "staging",
    "SENTRY_RELEASE": "3f2a9c1",
}

BROKEN = [
    ("NEXT_PUBLIC_APP_URL", "ftp://example.com"),
    ("NEXT_PUBLIC_APP_URL", "https://"),
    ("NEXT_PUBLIC_APP_URL", "https://example.com:port"),
    ("PORT", "80"),
    ("PORT", "65536"),
    ("KEEP_ALIVE_TIMEOUT", "60000"),
    ("NEXTAUTH_SECRET", "n" * 31),
    ("ENCRYPTION_KEY", "e" * 44),
    ("ENCRYPTION_KEY", "e" * 31),
    ("ENCRYPTION_KEY", "e" * 63),
    ("NEXT_SERVER_ACTIONS_ENCRYPTION_KEY", "not base64!"),
    ("DATABASE_URL", "postgresql://app@pgbouncer/app?pgbouncer=true"),
    ("DATABASE_URL", "mysql://app@db/app"),
    ("REDIS_URL", "http://redis"),
    ("DATABASE_POOL_SIZE", "0"),
    ("DATABASE_POOL_SIZE", "101"),
    ("DATABASE_TIMEOUT", "30s"),
    ("OPENAI_API_KEY", "pk-1"),
    ("UPLOAD_MAX_SIZE", "-1"),
    ("ALLOWED_FILE_TYPES", ".ts,js"),
    ("RATE_LIMIT_REQUESTS_PER_MINUTE", "0"),
    ("CORS_ORIGINS", "*"),
    ("CORS_ORIGINS", "https://example.com/path"),
    ("SENTRY_DSN", "http://key@sentry.io/1"),
    ("LOG_LEVEL", "verbose"),
    ("SECURITY_MODE", "paranoid"),
    ("MAINTENANCE_MODE", "yes"),
    ("CACHE_KEY_PREFIX", "nextstack"),
    ("SENTRY_RELEASE", ""),
]
"""Values that break the rule of their variable."""


def config(**changes: str) -> EnvironmentConfig:
    return load(EnvironmentConfig, KEYS | changes, ENCRYPTED)


def run(**changes: str) -> Graph:
    args = EnvironmentArgs(config=config(**changes), namespace="shop", computed=ACCEPTED)
    return deploy(lambda: Environment("env", args))


def refusal(**changes: str) -> str:
    with pytest.raises(ConfigError) as error:
        config(**changes)
    return str(error.value)


@pytest.mark.parametrize("name", ACCEPTED)
def test_every_computed_value_of_the_platform_obeys_its_own_rule(name: str) -> None:
    assert CONTRACT[name].rule.accepts(ACCEPTED[name])


@pytest.mark.parametrize("name", [v.name for v in TABLE if v.default is not None])
def test_every_default_obeys_its_own_rule(name: str) -> None:
    assert CONTRACT[name].rule.accepts(CONTRACT[name].default or "")


@pytest.mark.parametrize(("name", "bad"), BROKEN)
def test_values_that_break_their_rule_are_not_accepted(name: str, bad: str) -> None:
    """EN-3, PL-7."""
    assert not CONTRACT[name].rule.accepts(bad)


def test_the_allowed_file_types_are_the_forty_asked_for() -> None:
    assert len((CONTRACT["ALLOWED_FILE_TYPES"].default or "").split(",")) == 40


def test_all_problems_are_listed_in_one_message() -> None:
    """EN-3."""
    message = refusal(
        env='{"LOG_LEVEL": "loud", "DATABSE_TIMEOUT": "1", "MONGODB_URI": "mongodb://x"}',
        requiredEnv='["RESEND_API_KEY", "NOPE"]',
        requireOauth="true",
        extraEnv='{"9LIVES": "cat", "NODE_ENV": "test"}',
        envNames='{"NOPE": "X"}',
        secretEnv='{"GOOGLE_CLIENT_SECRET": "s"}',
    )
    for part in (
        "env.LOG_LEVEL is malformed: got 'loud', allowed debug or info or warn or error",
        "env.DATABSE_TIMEOUT is not in the contract; did you mean DATABASE_TIMEOUT?",
        "env.MONGODB_URI is not provided: the platform's database is PostgreSQL; remove it",
        "requiredEnv names RESEND_API_KEY, which has no value; set it with: "
        "pulumi config set --secret --path secretEnv.RESEND_API_KEY <value>",
        "requiredEnv names 'NOPE'",
        "requireOauth is true, but nobody can sign in",
        "extraEnv.9LIVES is no variable name",
        "extraEnv.NODE_ENV is a variable of the contract; it is computed by the platform",
        "envNames.NOPE is not a variable of the contract",
        "env has only a part of GOOGLE_CLIENT_ID, GOOGLE_CLIENT_SECRET: missing GOOGLE_CLIENT_ID",
    ):
        assert part in message


def test_a_malformed_secret_is_refused_without_repeating_it() -> None:
    """SC-3."""
    message = refusal(secretEnv='{"OPENAI_API_KEY": "hunter2"}')
    assert "secretEnv.OPENAI_API_KEY is malformed: got 7 characters" in message
    assert "hunter2" not in message


@pytest.mark.parametrize("key", ENCRYPTED)
def test_secrets_in_clear_in_the_stack_file_are_refused(key: str) -> None:
    """SC-2."""
    with pytest.raises(ConfigError, match=f"{key} is not encrypted; set it with: pulumi config"):
        load(EnvironmentConfig, KEYS | {key: '{"A": "hunter2"}'}, encrypted=())


def test_a_stack_file_with_ciphertext_can_be_previewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PL-6: without the passphrase, so that a rule cannot judge the value."""
    settings = yaml.safe_load((recorder.ROOT / "Pulumi.production.yaml").read_text())
    settings["config"]["nextstack:secretEnv"] = {"OPENAI_API_KEY": {"secure": "v1:abc"}}
    (tmp_path / "Pulumi.production.yaml").write_text(yaml.safe_dump(settings))
    monkeypatch.setattr(recorder, "ROOT", tmp_path)
    given = recorder.stack_settings("production")
    chosen = {k.removeprefix("nextstack:"): v for k, v in given.items() if k.startswith("nextst")}
    loaded = load(EnvironmentConfig, {k: chosen[k] for k in KEYS}, ENCRYPTED)
    assert loaded.secret_env.keys() == {"OPENAI_API_KEY"}


def test_a_secret_variable_among_the_plain_ones_is_refused_with_the_right_command() -> None:
    message = refusal(env='{"ANTHROPIC_API_KEY": "k"}')
    assert "pulumi config set --secret --path secretEnv.ANTHROPIC_API_KEY" in message


def test_a_test_key_for_payment_is_refused_in_production_only() -> None:
    secrets = '{"STRIPE_SECRET_KEY": "sk_test_1"}'
    assert "secretEnv.STRIPE_SECRET_KEY is a test key" in refusal(
        stage="production", secretEnv=secrets
    )
    assert config(stage="staging", secretEnv=secrets).secret_env["STRIPE_SECRET_KEY"]


def test_production_sends_strict_transport_security_for_a_year() -> None:
    """Section 10: HSTS_MAX_AGE."""
    short = '{"HSTS_MAX_AGE": 31535999}'
    assert "env.HSTS_MAX_AGE is too short: got 31535999, allowed in production 31536000" in refusal(
        stage="production", env=short
    )
    assert config(stage="staging", env=short).plain("HSTS_MAX_AGE") == "31535999"
    assert config(stage="production").plain("HSTS_MAX_AGE") == "31536000"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"envNames": '{"DATABASE_URL": "my-url"}'}, "envNames.DATABASE_URL is no variable name"),
        ({"envNames": '{"DATABASE_URL": "REDIS_URL"}'}, "envNames.DATABASE_URL is taken: got"),
        (
            {"envNames": '{"DATABASE_URL": "URL", "REDIS_URL": "URL"}'},
            "envNames.REDIS_URL is taken: got 'URL'",
        ),
        (
            {"envNames": '{"DATABASE_URL": "URL"}', "extraEnv": '{"URL": "x"}'},
            "envNames.DATABASE_URL is taken: got 'URL'",
        ),
        (
            {"extraEnv": '{"TOKEN": "a"}', "extraSecretEnv": '{"TOKEN": "b"}'},
            "extraEnv.TOKEN is in extraSecretEnv too",
        ),
    ],
)
def test_two_values_under_one_name_are_refused(changes: dict[str, str], message: str) -> None:
    """EN-3: one of them would be lost without a word."""
    assert message in refusal(**changes)


def test_variables_may_swap_names() -> None:
    names = '{"DATABASE_URL": "REDIS_URL", "REDIS_URL": "DATABASE_URL"}'
    secret = run(envNames=names).one("Secret").inputs["stringData"]
    assert secret["REDIS_URL"] == ACCEPTED["DATABASE_URL"]
    assert secret["DATABASE_URL"] == ACCEPTED["REDIS_URL"]


@pytest.mark.parametrize("name", NEVER_IN_PODS)
def test_secrets_of_workflows_never_reach_a_pod(name: str) -> None:
    assert f"env.{name} is " in refusal(env=f'{{"{name}": "x"}}')
    assert f"extraEnv.{name} is " in refusal(extraEnv=f'{{"{name}": "x"}}')


def test_secrets_are_in_the_secret_and_nothing_else_is() -> None:
    """EN-1, SC-3."""
    graph = run(
        secretEnv='{"RESEND_API_KEY": "re"}',
        extraEnv='{"COLOUR": "blue"}',
        extraSecretEnv='{"TOKEN": "t"}',
    )
    plain = graph.one("ConfigMap").inputs["data"]
    secret = graph.one("Secret").inputs["stringData"]
    assert secret.keys() == {
        "NEXT_SERVER_ACTIONS_ENCRYPTION_KEY",
        "NEXTAUTH_SECRET",
        "JWT_SECRET",
        "ENCRYPTION_KEY",
        "DATABASE_URL",
        "REDIS_URL",
        "RESEND_API_KEY",
        "TOKEN",
    }
    assert plain["COLOUR"] == "blue"
    assert plain["LOG_LEVEL"] == "info"
    assert not plain.keys() & secret.keys()


def test_the_configuration_overrides_a_default() -> None:
    assert run(env='{"LOG_LEVEL": "warn"}').one("ConfigMap").inputs["data"]["LOG_LEVEL"] == "warn"


def test_an_application_may_read_a_variable_under_its_own_name() -> None:
    secret = run(envNames='{"DATABASE_URL": "PG_URL"}').one("Secret").inputs["stringData"]
    assert secret["PG_URL"] == ACCEPTED["DATABASE_URL"]
    assert "DATABASE_URL" not in secret


def test_the_build_gets_what_the_image_fixes_and_both_are_secret() -> None:
    """S-20, DE-6."""
    args = EnvironmentArgs(config=config(), namespace="shop", computed=ACCEPTED)

    def program() -> None:
        environment = Environment("env", args)
        pulumi.export("buildEnv", environment.build_env)
        pulumi.export("runtimeEnv", environment.runtime_env)

    exports = deploy(program).outputs["nextstack-test"]
    assert all(rpc.is_rpc_secret(value) for value in exports.values())
    build: dict[str, Any] = rpc.unwrap_rpc_secret(exports["buildEnv"])
    assert build.keys() == {
        "NODE_ENV",
        "NEXT_PUBLIC_APP_URL",
        "NEXT_PUBLIC_API_URL",
        "NEXT_DEPLOYMENT_ID",
        "DEPLOYMENT_VERSION",
        "NEXT_SERVER_ACTIONS_ENCRYPTION_KEY",
        "SENTRY_ENVIRONMENT",
        "SENTRY_RELEASE",
    }
    runtime: dict[str, Any] = rpc.unwrap_rpc_secret(exports["runtimeEnv"])
    assert build.keys() <= runtime.keys()


def test_a_missing_computed_value_is_an_error_of_the_program() -> None:
    partial = {name: value for name, value in ACCEPTED.items() if name != "REDIS_URL"}
    with pytest.raises(ValueError, match="REDIS_URL"):
        EnvironmentArgs(config=config(), namespace="shop", computed=partial)


def test_names_are_unique_and_every_variable_is_described() -> None:
    assert len(CONTRACT) == len(TABLE)
    assert all(variable.about for variable in TABLE)
    assert {v.source for v in TABLE} == set(Source)


@pytest.mark.parametrize(
    ("stack", "level", "flags"),
    [
        ("dev", "debug", ["true"] * 4),
        ("staging", "info", ["true", "false", "false", "false"]),
        ("production", "info", ["false"] * 4),
    ],
)
def test_the_stages_differ_as_asked(stack: str, level: str, flags: list[str]) -> None:
    """AP-12."""
    chosen = knobs(EnvironmentConfig, "", stack)
    names = ("NEW_EDITOR", "BATCH_PROCESSING", "TEAM_FEATURES", "DEBUG_MODE")
    assert [chosen.plain(name) for name in names] == flags
    assert chosen.plain("LOG_LEVEL") == level


@pytest.mark.parametrize(
    ("changes", "warned"),
    [
        ({"stage": "staging"}, True),
        ({"stage": "development"}, False),
        (
            {
                "stage": "staging",
                "env": '{"GITHUB_CLIENT_ID": "id"}',
                "secretEnv": '{"GITHUB_CLIENT_SECRET": "hidden"}',
            },
            False,
        ),
    ],
)
def test_a_stage_where_nobody_can_sign_in_says_so(
    changes: dict[str, str], warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """S-40."""
    run(**changes)
    assert ("nobody can sign in" in caplog.text) is warned
