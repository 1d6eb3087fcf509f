"""The policies inside the real Pulumi engine say what the offline preview says.

Leaves out each rule by itself (tests/unit/test_policies.py). Skipped without a Pulumi CLI.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from commands.pulumi_engine import find_pulumi
from offline.recorder import ROOT

STACK = "production"
MUTATIONS = {
    "components/pod.py": (
        '"automount_service_account_token": False',
        '"automount_service_account_token": True',
    ),
    "components/namespace.py": (
        '"policy_types": ["Ingress", "Egress"]}',
        '"policy_types": ["Ingress"]}',
    ),
    "__main__.py": ("protect=site.protect_data", "protect=False"),
}
"""What is broken in the program: of one resource, of the stack as a whole, and of the options."""
BROKEN = {"service-account-token", "denies-by-default", "data-is-protected"}
Verdict = set[tuple[str, str]]
"""Rules, each with the resource that breaks it."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the program with a state of its own, and the pack's environment in it."""
    if find_pulumi() is None:
        pytest.skip("no Pulumi engine: got no `pulumi` on the path and none in ~/.pulumi")
    project = tmp_path_factory.mktemp("pack") / "project"
    shutil.copytree(
        ROOT,
        project,
        ignore=shutil.ignore_patterns(".*", "app", "build", "node_modules", "tests", "__pycache__"),
    )
    settings: dict[str, Any] = yaml.safe_load((project / "Pulumi.yaml").read_text())
    settings["runtime"]["options"]["virtualenv"] = sys.prefix
    (project / "Pulumi.yaml").write_text(yaml.safe_dump(settings))
    pulumi(project / "policies", "install")
    (project / "state").mkdir()
    pulumi(project, "stack", "init", STACK)
    return project


def pulumi(folder: Path, *arguments: str) -> None:
    done = run(folder, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "pack",
        "PULUMI_DEBUG_COMMANDS": "true",  # shows --event-log
    }
    return subprocess.run(
        [str(find_pulumi()), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def in_the_engine(project: Path) -> Verdict:
    log = project / "events.json"
    log.unlink(missing_ok=True)
    arguments = ("--policy-pack=policies", f"--event-log={log}", f"--stack={STACK}")
    done = run(project, "preview", *arguments)
    if "no resource plugin 'pulumi-resource-aws'" in done.stdout + done.stderr:
        pytest.skip("no AWS provider: the engine has none and may fetch none")
    events = [json.loads(line) for line in log.read_text().splitlines()]
    found = [event["policyEvent"] for event in events if "policyEvent" in event]
    assert (done.returncode != 0) == bool(found), done.stdout + done.stderr
    return {(event["policyName"], event["resourceUrn"]) for event in found}


def offline(project: Path) -> Verdict:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "commands", "preview", "--json", f"--stack={STACK}"],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(done.stdout)["policies"]["violations"]
    assert (done.returncode != 0) == bool(found), done.stderr
    return {(violation["rule"], violation["urn"]) for violation in found}


def test_the_engine_says_what_the_offline_preview_says(project: Path) -> None:
    assert in_the_engine(project) == offline(project) == set()
    for name, (old, new) in MUTATIONS.items():
        text = (project / name).read_text()
        assert old in text, name
        (project / name).write_text(text.replace(old, new))
    found = in_the_engine(project)
    assert {rule for rule, _ in found} == BROKEN
    assert found == offline(project)
