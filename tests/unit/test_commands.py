"""The command line: help at once, errors without tracebacks, values that arrive unchanged."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, deploy_stack

from commands import deploy, pulumi_engine, pulumi_repair
from commands.__main__ import main
from commands.cluster import Cluster, choose
from commands.env import Format, masks, written
from commands.job_results import is_of
from local import image_app
from offline.direct.stack import Result

COMMANDS = [
    *("up", "down", "preview", "render", "status", "logs"),
    *("env", "backup", "verify", "test", "bench", "cluster"),
    *("smoke", "watch", "rollback"),
]
TRICKY = {"PLAIN": "a", "QUOTES": """it's "so" """, "LINES": "-----\nabc\n", "SHELL": "$HOME `id`"}


@dataclass(frozen=True, kw_only=True)
class Ended:
    code: object
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def nextstack(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line, in this process because starting one takes a while."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["nextstack", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        written = capsys.readouterr()
        return Ended(code=end.value.code, out=written.out, err=written.err)

    return run


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    heavy = "pulumi", "kubernetes", "yaml"
    code = f"import sys, runpy; sys.argv[1:] = ['--help']; sys.modules |= dict.fromkeys({heavy})"
    run = f"{code}; runpy.run_module('commands', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", run], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for command in COMMANDS:
        assert f" {command} " in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(nextstack: Run, command: str) -> None:
    done = nextstack(command, "--help")
    assert done.code == 0
    assert f"nextstack {command}" in done.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["preview", "--stack", "nope"], "stack is unknown: got 'nope', allowed dev, production"),
        (["down", "--stack", "production"], "needs the Pulumi engine: protectData is true"),
        (["status", "--kubeconfig", "/nowhere"], "kubeconfig is missing: got /nowhere"),
        (["render", "--out", "components"], "components has files that are not from here"),
    ],
)
def test_wrong_usage_ends_with_2_and_a_sentence(
    nextstack: Run, arguments: list[str], message: str
) -> None:
    done = nextstack(*arguments)
    assert done.code == 2
    assert message in " ".join(done.err.split())


def test_verbose_raises_the_error_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["nextstack", "--verbose", "preview", "--stack", "nope"])
    with pytest.raises(ValueError, match="stack is unknown"):
        main()


def test_a_protected_stack_without_the_engine_says_how_to_get_it(
    nextstack: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    done = nextstack("up", "--stack", "production")
    assert done.code == 2
    assert "https://www.pulumi.com/docs/install/" in done.err


def test_preview_needs_no_home_kubeconfig_or_working_directory(tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "KUBECONFIG": "/nowhere"}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "commands", "preview", "--json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["changeSummary"]["create"] == len(document["steps"]) > 50


def test_the_front_door_runs_from_any_folder_and_by_a_link(tmp_path: Path) -> None:
    """With an environment that is complete: making one is tested where that may take a minute."""
    checkout = tmp_path / "checkout"
    (checkout / "commands").mkdir(parents=True)
    (checkout / "commands/__main__.py").write_text("import sys; print(sys.argv[1:])")
    shutil.copy(ROOT / "nextstack", checkout)
    (checkout / ".venv/bin").mkdir(parents=True)
    (checkout / ".venv/bin/python").symlink_to(sys.executable)
    for lock in (checkout, checkout / ".venv"):
        (lock / "requirements.lock").write_text("")
    (tmp_path / "link").symlink_to(checkout / "nextstack")
    (tmp_path / "commands").mkdir()  # must not be taken for ours
    # Where the front door runs these tests, its own folder is on the path already.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        ["./link", "a b", "c"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "['a b', 'c']\n", done.stderr


def test_the_lock_names_no_host() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    assert all("==" in line for line in lock.splitlines() if line and line[0] not in "# ")


@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml"])
def test_the_lock_has_every_dependency(name: str) -> None:
    locked = (ROOT / "requirements.lock").read_text()
    for line in (ROOT / name).read_text().splitlines():
        words = line.strip(' ",').split("~=")
        if len(words) == 2 and " " not in words[0]:
            package = words[0].partition("[")[0].lower()
            assert f"\n{package}==" in locked, package


def test_json_and_shell_hand_every_value_over_unchanged() -> None:
    assert json.loads(written(TRICKY, Format.JSON)) == TRICKY
    script = written(TRICKY, Format.SHELL) + "env -0"
    done = subprocess.run(["sh", "-c", script], env={}, capture_output=True, text=True, check=True)
    found = dict(entry.split("=", 1) for entry in done.stdout.split("\0") if entry)
    assert found.items() >= TRICKY.items()


def test_dotenv_uses_quotes_that_the_value_does_not_have() -> None:
    assert written({"A": "plain", "B": "it's", "C": "'`"}, Format.DOTENV) == (
        "A='plain'\nB=`it's`\nC=\"'`\"\n"
    )
    with pytest.raises(ValueError, match="A has all three kinds of quotes"):
        written({"A": "'\"`"}, Format.DOTENV)


def test_github_format_ends_each_value_with_a_mark_nobody_can_know() -> None:
    first, second = written(TRICKY, Format.GITHUB), written(TRICKY, Format.GITHUB)
    assert first != second
    assert "LINES<<end-" in first
    assert masks(["a\nb", "\n"]) == "::add-mask::a\n::add-mask::b\n"


def test_the_default_kubeconfig_is_never_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube/config").write_text("{}")
    assert ".kube" not in str(choose(None).kubeconfig)


def test_image_refs_are_those_of_all_containers() -> None:
    refs = deploy.image_refs(deploy_stack("dev"))
    names = {ref.rsplit("/", 1)[-1].partition(":")[0] for ref in refs}
    assert {"postgres", "pgbouncer", "valkey", "haproxy"} <= names


class Engine:
    """Computes buildEnv from a number and the version, and keeps what it was given."""

    title = "a test"

    def __init__(self, number: int = 1, last: Result | None = None) -> None:
        self.number, self._last = number, last
        self.runs: list[dict[str, str]] = []

    def up(self, overrides: Mapping[str, str]) -> Result:
        self.runs.append(dict(overrides))
        version = overrides["deploymentVersion"]
        build_env = {"NUMBER": str(self.number), "VERSION": version}
        outputs: dict[str, Any] = {"buildEnv": build_env, "deploymentVersion": version}
        self._last = Result(
            changes=Counter(), outputs=outputs, secret_outputs=[], overrides=dict(overrides)
        )
        return self._last

    def down(self) -> int:
        return 0

    def last(self) -> Result | None:
        return self._last


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """Every build of the sample application, which is named by its variables."""
    done: list[dict[str, str]] = []

    def build(cluster: Cluster, source: Path, build_env: Mapping[str, str]) -> str:
        done.append(dict(build_env))
        return "app:" + "-".join(build_env.values())

    def name(source: Path) -> str:
        return source.name

    monkeypatch.setattr(deploy, "_build", build)
    monkeypatch.setattr(image_app, "version", name)
    return done


CLUSTER = Cluster(kubeconfig=Path("/nowhere"), own=None)


def test_the_first_run_brings_the_platform_up_before_the_image_is_built(
    builds: list[dict[str, str]],
) -> None:
    engine = Engine()
    deploy.with_sample_app(engine, CLUSTER, Path("v1"))
    assert engine.runs == [
        {"deploymentVersion": "v1"},
        {"deploymentVersion": "v1", "image": "app:1-v1"},
    ]


def test_later_runs_take_one_pass_even_with_new_sources(builds: list[dict[str, str]]) -> None:
    engine = Engine()
    deploy.with_sample_app(engine, CLUSTER, Path("v1"))
    for version in ("v1", "v2"):
        engine.runs.clear()
        deploy.with_sample_app(engine, CLUSTER, Path(version))
        assert engine.runs == [{"deploymentVersion": version, "image": f"app:1-{version}"}]


def test_changed_build_variables_take_a_second_pass(builds: list[dict[str, str]]) -> None:
    engine = Engine()
    deploy.with_sample_app(engine, CLUSTER, Path("v1"))
    engine.runs.clear()
    engine.number = 2
    deploy.with_sample_app(engine, CLUSTER, Path("v1"))
    assert [run["image"] for run in engine.runs] == ["app:1-v1", "app:2-v1"]


def test_the_engine_s_stack_file_is_a_copy_with_the_overrides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    committed = (ROOT / "Pulumi.dev.yaml").read_bytes()
    engine = pulumi_engine.PulumiEngine(
        stack_name="dev", program=Path("/opt/pulumi/bin/pulumi"), kubeconfig=None
    )
    file = engine.config_file({"image": "app:1"})
    assert file is not None
    settings = yaml.safe_load(Path(file).read_text())
    Path(file).write_text(yaml.safe_dump(settings | {"encryptionsalt": "kept"}))
    again = yaml.safe_load(Path(engine.config_file({"image": "app:2"}) or "").read_text())
    assert again["config"] == yaml.safe_load(committed)["config"] | {"nextstack:image": "app:2"}
    assert again["encryptionsalt"] == "kept"
    assert (ROOT / "Pulumi.dev.yaml").read_bytes() == committed


@pytest.mark.parametrize(
    ("hostname", "is_alive", "dead"),
    [
        (socket.gethostname(), False, True),
        (socket.gethostname(), True, False),
        ("elsewhere", False, False),
    ],
)
def test_only_the_lock_of_a_dead_process_of_this_machine_is_taken_away(
    tmp_path: Path, hostname: str, is_alive: bool, dead: bool
) -> None:
    with subprocess.Popen(["true"]) as gone:
        pid = os.getpid() if is_alive else gone.pid
    assert not pulumi_repair.has_dead_lock(tmp_path.as_uri(), "nextstack", "dev")
    lock = tmp_path / ".pulumi/locks/organization/nextstack/dev/1.json"
    lock.parent.mkdir(parents=True)
    lock.write_text(json.dumps({"pid": pid, "hostname": hostname}))
    assert pulumi_repair.has_dead_lock(tmp_path.as_uri(), "nextstack", "dev") == dead
    assert not pulumi_repair.has_dead_lock("s3://state", "nextstack", "dev")


def test_runs_by_hand_and_by_schedule_belong_to_their_cron_job() -> None:
    owner = {"kind": "CronJob", "name": "backup"}
    assert is_of({"metadata": {"ownerReferences": [owner]}}, "backup")
    assert not is_of({"metadata": {"ownerReferences": [owner]}}, "restore-test")
    assert not is_of({"metadata": {}}, "backup")
