"""What `doctor` finds on machines and in configurations that are not ready, and its advice."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import STACKS
from typer.testing import CliRunner

from commands import doctor
from commands.__main__ import app
from commands.doctor import Finding, Level, examine
from offline.recorder import stack_settings

ANSWERS = {
    "version": "v3.261.0",
    "whoami": '{"user": "ada", "url": "s3://state"}',
    "sts": '{"Account": "123456789012"}',
}


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A machine with every tool; a test takes answers away."""
    answers = dict(ANSWERS)

    def output(command: list[str]) -> str:
        return answers.get(command[1], "")

    def which(name: str) -> str | None:
        return None if answers.get(name) == "missing" else f"/usr/bin/{name}"

    def find_pulumi() -> Path | None:
        return None if answers.get("pulumi") == "missing" else Path("/usr/bin/pulumi")

    monkeypatch.setattr("commands.doctor._output", output)
    monkeypatch.setattr("commands.doctor.shutil.which", which)
    monkeypatch.setattr("commands.pulumi_engine.find_pulumi", find_pulumi)
    monkeypatch.setattr("local.kind.docker_runs", lambda: True)
    return answers


def findings(stack: str) -> dict[str, Finding]:
    return {finding.subject: finding for finding in examine(stack, Path(__file__))}


@pytest.mark.parametrize("stack", STACKS)
def test_a_ready_machine_fails_nowhere(stack: str) -> None:
    found = findings(stack)
    assert not [f for f in found.values() if f.level is Level.FAILED]
    assert found[f"Pulumi.{stack}.yaml"].found.startswith("valid, ")


def test_samples_are_told_until_somebody_replaces_them() -> None:
    found = findings("production")
    warned = {subject for subject, f in found.items() if f.level is Level.WARNING}
    assert {"certificates/rds.pem", "requireOauth"} <= warned
    named = ", ".join(warned).split(", ")
    wanted = {"domain", "awsAccountId", "eksAdminRoleArns", "monitoringHighEmails", "image"}
    assert wanted <= set(named)
    assert "rdsInstanceClass" not in named
    assert all(found[subject].fix for subject in warned)


@pytest.mark.parametrize(
    ("answer", "value", "subject", "part"),
    [
        ("pulumi", "missing", "Pulumi CLI", "pulumi.com/docs/install"),
        ("whoami", "", "Pulumi state", "pulumi login"),
        ("sts", '{"Account": "1"}', "AWS credentials", "use credentials of account 123456789012"),
        ("sts", "", "AWS credentials", "use credentials of account 123456789012"),
        ("git", "missing", "git", "install git"),
    ],
)
def test_what_production_needs_and_is_not_there_fails_with_advice(
    machine: dict[str, str], answer: str, value: str, subject: str, part: str
) -> None:
    machine[answer] = value
    finding = findings("production")[subject]
    assert finding.level is Level.FAILED
    assert part in finding.fix


def test_development_needs_no_pulumi(machine: dict[str, str]) -> None:
    machine["pulumi"] = "missing"
    assert findings("dev")["Pulumi CLI"].level is Level.OK


def test_an_old_engine_is_a_warning(machine: dict[str, str]) -> None:
    machine["version"] = "v3.99.1"
    assert findings("production")["Pulumi CLI"].level is Level.WARNING


def test_wrong_configuration_is_told_key_by_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def settings(stack_name: str, **overrides: Any) -> dict[str, str]:
        return stack_settings(stack_name, **overrides) | {
            "nextstack:poolSize": "many",
            "nextstack:domain": "https://shop",
        }

    monkeypatch.setattr("offline.preview.stack_settings", settings)
    found = findings("dev")
    for key, part in (("poolSize", "a whole number"), ("domain", "leave out the scheme")):
        assert found[f"Pulumi.dev.yaml: {key}"].level is Level.FAILED
        assert part in found[f"Pulumi.dev.yaml: {key}"].found


def test_the_command_says_by_its_exit_code_and_in_json_what_is_in_the_way(
    machine: dict[str, str],
) -> None:
    assert CliRunner().invoke(app, ["doctor", "--stack", "dev"]).exit_code == 0
    machine["git"] = "missing"
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == 1
    [finding] = [f for f in json.loads(result.stdout) if f["level"] == "failed"]
    assert finding == {
        "subject": "git",
        "level": "failed",
        "found": "missing",
        "fix": doctor.GIT,
    }
