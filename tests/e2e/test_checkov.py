"""Checkov, which shares no code with our policies, finds nothing in any committed stack.

What does not fit is in checkov.toml with its reason. Skipped without a network for the first time.
"""

import json
import shutil
import subprocess
import tomllib
import venv
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.paths import cache_folder
from offline.direct.generated import GeneratedValues
from offline.recorder import ROOT, Providers, program, record, stack_settings
from offline.render import InventedNames, manifests
from offline.terraform import plan

LOCK = Path(__file__).with_name("checkov.lock")
WAIVERS = Path(__file__).with_name("checkov.toml")
STACKS = sorted(file.name.split(".")[1] for file in ROOT.glob("Pulumi.*.yaml"))
# What no committed stack has: a CDN, and a zone and uploads of the stack's own.
ALL: dict[str, Any] = {"cdnEnabled": True, "edgeHostedZoneId": "", "uploadsEnabled": True}
IMAGE: dict[str, Any] = {"image": f"shop@sha256:{'0' * 64}", "deploymentVersion": "3f2a9c1"}

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Finding:
    check: str
    resource: str
    text: str


@pytest.fixture(scope="module")
def checkov() -> Path:
    """The program, in an environment of its own, because its pins contradict ours."""
    folder = cache_folder() / "checkov"
    installed = folder / LOCK.name
    if not (installed.exists() and installed.read_bytes() == LOCK.read_bytes()):
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        options = (
            "--no-compile",
            "--no-deps",
            "--quiet",
            "--require-hashes",
            f"--requirement={LOCK}",
        )
        done = run(folder / "bin/python", "-m", "pip", "install", *options)
        if "connection broken" in done.stderr:
            pytest.skip("no Checkov: its packages can't be reached, and no earlier run kept them")
        assert done.returncode == 0, done.stderr
        shutil.copy(LOCK, installed)
    return folder / "bin/checkov"


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def judge(checkov: Path, framework: str, resources: int, *what: str | Path) -> set[Finding]:
    """What it finds in plans or manifests with at least so many resources."""
    done = run(checkov, *what, "--framework", framework, "--output=json", "--skip-download")
    report: Json = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0, report["results"]["parsing_errors"]
    assert report["summary"]["resource_count"] >= resources, report["summary"]
    return {
        Finding(check=found["check_id"], resource=found["resource"], text=found["check_name"])
        for found in report["results"]["failed_checks"]
    }


def judge_plans(checkov: Path, folder: Path, *plans: Json) -> set[Finding]:
    files = [folder / f"{number}.json" for number, _ in enumerate(plans)]
    for file, written in zip(files, plans, strict=True):
        file.write_text(json.dumps(written, indent=1))
    resources = sum(len(each["planned_values"]["root_module"]["resources"]) for each in plans)
    return judge(checkov, "terraform_plan", resources, "--file", *files)


def planned(stack: str, **overrides: Any) -> Json:
    settings = stack_settings(stack, **IMAGE, **overrides)
    return plan(record(program, Providers(), settings, stack))


def objects(stack: str) -> list[Json]:
    settings = stack_settings(stack, **IMAGE)
    graph = record(program, InventedNames(GeneratedValues({})), settings, stack, preview=True)
    return [manifest.body for manifest in manifests(graph, stack)]


def judge_objects(checkov: Path, folder: Path, objects: list[Json]) -> set[Finding]:
    (folder / "objects.yaml").write_text(yaml.safe_dump_all(objects))
    return judge(checkov, "kubernetes", len(objects), "--directory", folder)


@pytest.fixture(scope="module")
def found(checkov: Path, tmp_path_factory: pytest.TempPathFactory) -> set[Finding]:
    """All findings in the manifests and plans of all stacks."""
    folder = tmp_path_factory.mktemp("checkov")
    found = judge_objects(checkov, folder, [body for stack in STACKS for body in objects(stack)])
    plans = (planned("staging"), planned("production"), planned("production", **ALL))
    return found | judge_plans(checkov, folder, *plans)


@dataclass(frozen=True, kw_only=True)
class Waiver:
    checks: list[str]
    resource: str
    """Pattern of addresses, or of Kind.namespace.name."""
    reason: str

    def covers(self, finding: Finding) -> bool:
        return finding.check in self.checks and fnmatchcase(finding.resource, self.resource)


def waivers() -> list[Waiver]:
    return [Waiver(**entry) for entry in tomllib.loads(WAIVERS.read_text())["waiver"]]


def test_nothing_is_found_but_what_a_reason_explains(found: set[Finding]) -> None:
    left = {f for f in found if not any(waiver.covers(f) for waiver in waivers())}
    assert not left, "\n".join(sorted(f"{f.check} {f.resource}: {f.text}" for f in left))


def test_every_exception_is_needed_and_explained(found: set[Finding]) -> None:
    for waiver in waivers():
        assert waiver.reason.strip(), waiver
        assert {f.check for f in found if waiver.covers(f)} == set(waiver.checks), waiver


def test_what_is_wrong_in_a_plan_is_found(
    checkov: Path, found: set[Finding], tmp_path: Path
) -> None:
    """CKV2 looks from one resource to another, which takes the references between them."""
    written = planned("staging")
    for resource in written["planned_values"]["root_module"]["resources"]:
        if resource["type"] == "aws_db_instance":
            resource["values"]["publicly_accessible"] = True
    for resource in written["configuration"]["root_module"]["resources"]:
        if resource["type"] == "aws_s3_bucket_public_access_block":
            resource["expressions"].pop("bucket")
    more = judge_plans(checkov, tmp_path, written) - found
    assert {(f.check, f.resource) for f in more} == {
        ("CKV_AWS_17", "aws_db_instance.nextstack-staging-1"),
        ("CKV2_AWS_6", "aws_s3_bucket.archive-bucket"),
        ("CKV2_AWS_6", "aws_s3_bucket.log-archive"),
    }


def test_what_is_wrong_in_a_manifest_is_found(
    checkov: Path, found: set[Finding], tmp_path: Path
) -> None:
    bodies = objects("production")
    [deployment] = [b for b in bodies if b["metadata"]["name"] == "web-server"]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    container["securityContext"]["privileged"] = True
    more = judge_objects(checkov, tmp_path, bodies) - found
    # A Job's name says what is in it, so that its old findings look new.
    assert {(f.check, f.resource) for f in more if not f.resource.startswith("Job.")} == {
        ("CKV_K8S_16", "Deployment.nextstack-production.web-server")
    }
