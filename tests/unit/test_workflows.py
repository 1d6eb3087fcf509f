"""The workflows: what linters say of them, and what they may never do."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT

FOLDER = ROOT / ".github/workflows"
FILES = sorted(FOLDER.glob("*.yml"))
PINNED = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
ACTIONLINT = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"
WITH_CREDENTIALS = {"deploy", "drift", "backup-test"}


def parsed(file: Path) -> dict[str, Any]:
    # YAML 1.1 reads the key `on` as true.
    return {"on" if key is True else key: v for key, v in yaml.safe_load(file.read_text()).items()}


def jobs() -> list[tuple[str, str, dict[str, Any]]]:
    return [(file.stem, name, job) for file in FILES for name, job in parsed(file)["jobs"].items()]


def test_the_workflows_that_were_asked_for_are_there() -> None:
    """DE-1, DE-2, DE-3, DE-8."""
    names = {file.stem for file in FILES}
    assert names == {"test", "preview", "deploy", "backup-test", "drift"}


def test_zizmor_finds_nothing() -> None:
    """Actions pinned, least permissions, no injection, no credentials left behind (DE-8)."""
    program = Path(sys.executable).parent / "zizmor"
    command = [program, "--offline", "--no-ignores", "--quiet", FOLDER]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_actionlint_finds_nothing() -> None:
    go = shutil.which("go")
    if go is None:
        pytest.skip("no Go: got no `go` on the path, which builds actionlint; install it")
    command = [go, "run", ACTIONLINT, *FILES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_actions_are_pinned_by_commit_with_their_version_beside_it(file: Path) -> None:
    """DE-8."""
    used = [line.strip(" -") for line in file.read_text().splitlines() if "uses:" in line]
    assert used
    assert not [line for line in used if not PINNED.fullmatch(line)]


@pytest.mark.parametrize(("workflow", "name", "job"), jobs(), ids=lambda part: str(part)[:20])
def test_each_job_ends_by_itself_and_has_its_own_permissions(
    workflow: str, name: str, job: dict[str, Any]
) -> None:
    """DE-8."""
    assert parsed(FOLDER / f"{workflow}.yml")["permissions"] == {}
    assert job["timeout-minutes"] <= 120, (workflow, name)
    assert job["permissions"]


def test_only_trusted_code_gets_credentials() -> None:
    """DE-1, DE-8: short-lived ones, in an environment; what a fork may start has none."""
    for workflow, name, job in jobs():
        trusted = job["permissions"].get("id-token") == "write"
        assert trusted == ("environment" in job), name
        if not trusted:
            assert "secrets." not in str(job), name
        if "pull_request" in parsed(FOLDER / f"{workflow}.yml")["on"] and trusted:
            assert "head.repo.full_name == github.repository" in job["if"]
    assert {w for w, _, job in jobs() if "id-token" in job["permissions"]} == {
        *WITH_CREDENTIALS,
        "preview",
    }
    assert "pull_request_target" not in "".join(file.read_text() for file in FILES)


def test_the_job_that_comments_runs_nothing_of_the_pull_request() -> None:
    comment = parsed(FOLDER / "preview.yml")["jobs"]["comment"]
    assert comment["permissions"] == {"pull-requests": "write"}
    assert "checkout" not in str(comment)
    assert "./nextstack" not in str(comment)


def test_one_run_a_stack_is_at_work_and_none_is_cancelled() -> None:
    """DE-8."""
    groups = {
        (workflow, name): job["concurrency"]
        for workflow, name, job in jobs()
        if workflow in ("deploy", "drift")
    }
    assert not any(group["cancel-in-progress"] for group in groups.values())
    assert {group["group"] for group in groups.values()} == {
        "stack-staging",
        "stack-production",
        "stack-${{ matrix.stack }}",
    }


def test_a_release_goes_its_way_in_this_order() -> None:
    """DE-2, DE-4, DE-6, RB-5: both stacks the same, production after staging."""
    both = parsed(FOLDER / "deploy.yml")["jobs"]
    assert both["production"]["needs"] == "staging"
    assert both["production"]["environment"] == "production"
    assert both["production"]["steps"] == both["staging"]["steps"]
    assert both["production"]["env"]["MINUTES"] == 30
    script = "\n".join(step.get("run", "") for step in both["staging"]["steps"])
    order = [
        "./nextstack env --stack",
        "--secret",
        "pulumi config set image",
        "./nextstack preview --stack",
        "pulumi up",
        "./nextstack smoke",
        "./nextstack rollback",
        "./nextstack watch",
        "git push",
    ]
    places = [script.index(part) for part in order if part != "git push"]
    assert places == sorted(places)
    assert "--build-arg" not in script
    assert "--rollback" in script
