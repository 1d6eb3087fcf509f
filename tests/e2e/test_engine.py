"""The program under the real Pulumi engine, by plain `pulumi` commands and a folder of its own.

Leaves out what the site does once it is up (test_site.py). Skipped where there is no Pulumi CLI.
"""

import base64
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import yaml
from conftest import Stack
from pulumi.runtime import rpc

from commands.pulumi_engine import find_pulumi
from components.generated_secrets import key
from local.cluster import LocalCluster
from offline.preview import as_json, preview
from offline.recorder import PROJECT, ROOT
from offline.review.compare import UNKNOWN

NAMESPACE = "engine-dev"
APP = {"image": "localhost/nextstack/app:any", "deploymentVersion": "any"}
SMALL = {"appCpuMillis": 20, "postgresCpuMillicores": 20, "poolCpuMillicores": 10}
"""So that the node has room beside the dev stack that other tests use."""
AUTONAMED = "pulumi.com/autonamed"
PAUSE_S = 0.1
UP_S = 900


@dataclass(frozen=True, kw_only=True)
class Engine:
    """The CLI in a copy of the project, with a state, a passphrase and a stack of its own."""

    project: Path
    environment: dict[str, str]

    def __call__(self, *arguments: str, **environment: str) -> str:
        """What a command prints; fails the test where it does."""
        done = self.run(*arguments, **environment)
        if done.returncode != 0:
            pytest.fail(f"pulumi {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(find_pulumi()), *arguments, "--stack=dev"],
            cwd=self.project,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=UP_S,
            check=False,
        )

    def configure(self, **changes: Any) -> None:
        """Changes keys of the stack file, as a person would."""
        file = self.project / "Pulumi.dev.yaml"
        settings = yaml.safe_load(file.read_text())
        settings["config"] |= {f"{PROJECT['name']}:{name}": v for name, v in changes.items()}
        file.write_text(yaml.safe_dump(settings))

    def changes(self) -> Counter[str]:
        """How many resources an `up` creates, updates, ..., those that stay left out."""
        summary = json.loads(self("preview", "--json"))["changeSummary"]
        return Counter({op: n for op, n in summary.items() if op != "same"})

    def up(self) -> str:
        return self("up", "--yes", "--skip-preview")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    if find_pulumi() is None:
        pytest.skip("no Pulumi engine: got no `pulumi` on the path and none in ~/.pulumi")
    project = tmp_path_factory.mktemp("engine")
    for name in ("Pulumi.yaml", "Pulumi.dev.yaml", "__main__.py", "requirements.txt"):
        shutil.copy(ROOT / name, project)
    shutil.copytree(ROOT / "components", project / "components")
    (project / ".venv").symlink_to(sys.prefix)
    (project / "state").mkdir()
    unset = ("KUBECONFIG", "PULUMI_CONFIG_PASSPHRASE_FILE")
    environment = {k: v for k, v in os.environ.items() if k not in unset} | {
        "PULUMI_BACKEND_URL": (project / "state").as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": secrets.token_urlsafe(),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    made = Engine(project=project, environment=environment)
    made("stack", "init")
    return made


def test_the_recorded_graph_is_what_the_engine_gets(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The offline preview, render and direct mode are as right as this."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
    engine.configure(**APP)
    recorded = states(as_json(preview("dev", **APP)))
    previewed = states(json.loads(engine("preview", "--json")))
    assert recorded.keys() == previewed.keys()
    assert len(recorded) >= 100
    names = own_names(recorded, previewed)
    assert len(names) >= 30
    for urn, state in recorded.items():
        expected, got = compared(state, {}), compared(previewed[urn], names)
        assert got == kept(expected, got), urn


def states(shown: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What `preview --json` says of each resource, by URN."""
    return {step["urn"]: step["newState"] for step in shown["steps"]}


def own_names(
    recorded: dict[str, dict[str, Any]], previewed: dict[str, dict[str, Any]]
) -> dict[str, str]:
    """The recorder's name of each object that the provider named, by the provider's."""
    return {
        state["inputs"]["metadata"]["name"]: urn.rsplit("::", 1)[1]
        for urn, state in previewed.items()
        if AUTONAMED in state.get("inputs", {}).get("metadata", {}).get("annotations", {})
        and "name" not in recorded[urn]["inputs"].get("metadata", {})
    }


def compared(state: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """The parts of a state that both sides know, in one form."""
    inputs = dict(state.get("inputs", {}))
    if state["type"].startswith("pulumi:providers:"):
        inputs = {k: v for k, v in inputs.items() if k not in ("version", "__internal")}
    metadata = dict(inputs.get("metadata", {}))
    annotations = dict(metadata.pop("annotations", {}))
    if annotations.pop(AUTONAMED, None):
        del metadata["name"]
    if annotations:
        metadata["annotations"] = annotations
    if metadata or "metadata" in inputs:
        inputs["metadata"] = metadata
    return {
        "inputs": one_form(inputs, names),
        "parent": state.get("parent", ""),
        "protect": state.get("protect", False),
        "dependencies": sorted(state.get("dependencies", [])),
    }


def one_form(value: Any, names: dict[str, str]) -> Any:
    """`value` with the recorder's names and word for the unknown, and sizes in MiB."""
    if isinstance(value, dict):
        return {k: one_form(v, names) for k, v in cast(dict[str, Any], value).items()}
    if isinstance(value, list):
        return [one_form(v, names) for v in cast(list[Any], value)]
    if value == rpc.UNKNOWN:
        return UNKNOWN
    if isinstance(value, str) and (size := re.fullmatch(r"(\d+)Gi", value)):
        return f"{int(size[1]) * 1024}Mi"
    return names.get(value, value) if isinstance(value, str) else value


def kept(value: Any, by_provider: Any) -> Any:
    """`value` without the zeros (false, "", []) that the provider leaves out."""
    if isinstance(value, dict) and isinstance(by_provider, dict):
        mine, theirs = cast(dict[str, Any], value), cast(dict[str, Any], by_provider)
        return {k: kept(v, theirs.get(k)) for k, v in mine.items() if k in theirs or v}
    if isinstance(value, list) and isinstance(by_provider, list):
        pairs = zip_longest(cast(list[Any], value), cast(list[Any], by_provider))
        return [kept(mine, theirs) for mine, theirs in pairs]
    return cast(Any, value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"appMinReplicas": "three"}, "'appMinReplicas' must be of type 'integer'"),
        ({"appMinReplica": 3}, "appMinReplica is not a key of Pulumi.yaml, did you mean"),
        ({"poolSize": 500}, "poolSize is too large: got 500, which needs (2 + 1) x 502"),
        ({"secretEnv": {"STRIPE_SECRET_KEY": "sk"}}, "secretEnv is not encrypted; set it with"),
        ({"domain": "http://Bad", "appMinReplicas": 0}, "appMinReplicas is too small: got 0"),
        ({"domain": "http://Bad", "appMinReplicas": 0}, "domain is malformed: got 'http://Bad'"),
        ({"image": "shop:latest"}, "image is not fixed: got 'shop:latest'"),
    ],
)
def test_bad_input_is_refused_at_preview_in_plain_words(
    engine: Engine, changes: dict[str, Any], message: str
) -> None:
    file = engine.project / "Pulumi.dev.yaml"
    before = file.read_bytes()
    engine.configure(**changes)
    try:
        done = engine.run("preview")
    finally:
        file.write_bytes(before)
    assert done.returncode != 0
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stdout


@dataclass
class Visitor:
    """Somebody who reads and writes through nginx all the time."""

    url: str
    answered: int = 0
    failed: list[str] = field(default_factory=lambda: list[str]())

    @contextmanager
    def visiting(self) -> Generator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self._visit, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _visit(self, stop: threading.Event) -> None:
        headers = {"host": "localhost:3000"}
        with httpx.Client(base_url=self.url, headers=headers, timeout=30) as client:
            while not stop.wait(PAUSE_S):
                self._expect(client.get("/tasks"), 200)
                self._expect(client.post("/api/tasks", json={"title": "a task"}), 201)

    def _expect(self, answer: httpx.Response, status: int) -> None:
        self.answered += 1
        if answer.status_code != status:
            self.failed.append(f"{answer.url}: {answer.status_code}")


@dataclass(frozen=True, kw_only=True)
class Deployed:
    engine: Engine
    stack: Stack
    log: str
    """What the first `up` printed."""

    @property
    def visitor(self) -> Visitor:
        [nginx] = self.stack.objects("services", "--field-selector=metadata.name=nginx")
        return Visitor(url=f"http://{nginx['spec']['clusterIP']}")

    def revisions(self) -> dict[str, str]:
        """The version of the pods of each Deployment and StatefulSet, by its kind and name."""
        return {
            f"{kind}/{item['metadata']['name']}": json.dumps(item["spec"]["template"])
            for kind in ("deployment", "statefulset")
            for item in self.stack.objects(kind)
        }


@pytest.fixture(scope="module")
def deployed(engine: Engine, stack: Stack) -> Iterator[Deployed]:
    """The whole stack a second time, in another namespace, by `pulumi up`."""
    kubeconfig = str(LocalCluster().kubeconfig)
    engine.environment["KUBECONFIG"] = kubeconfig
    web = stack.objects("pods", f"--field-selector=metadata.name={stack.pods('web')[0]}")[0]
    engine.configure(
        **SMALL,
        namespace=NAMESPACE,
        nginxServiceType="ClusterIP",
        nginxNodePort=0,
        image=web["spec"]["containers"][0]["image"],
        deploymentVersion="first",
        env={"API_RATE_LIMIT_ENABLED": False},
    )
    try:
        log = engine.up()
        yield Deployed(engine=engine, stack=Stack(before=None, namespace=NAMESPACE), log=log)
    finally:
        engine("destroy", "--yes", "--skip-preview")


def test_a_second_up_changes_nothing(deployed: Deployed) -> None:
    assert not deployed.engine.changes()
    assert re.search(r"\d+ unchanged", deployed.engine.up())


def test_no_generated_secret_is_in_clear_in_state_or_log(deployed: Deployed) -> None:
    """SC-3."""
    shown = json.loads(deployed.engine("stack", "export", "--show-secrets"))
    made = [r for r in shown["deployment"]["resources"] if r["type"].startswith("random:")]
    passwords = [json.loads(r["outputs"]["result"]["plaintext"]) for r in made]
    assert len(passwords) >= 12
    clear = {*passwords, *map(key, passwords)}
    clear |= {base64.b64encode(value.encode()).decode() for value in clear}
    state, diff = deployed.engine("stack", "export"), deployed.engine("preview", "--diff")
    for text in (state, deployed.log, diff, deployed.engine("stack", "output")):
        assert not [value[:4] for value in clear if value in text]
        assert "PRIVATE KEY" not in text


def test_another_kubeconfig_replaces_nothing(deployed: Deployed, tmp_path: Path) -> None:
    """A new token, certificate or address of the same cluster is no new cluster."""
    config = yaml.safe_load(LocalCluster().kubeconfig.read_text())
    config["clusters"][0]["cluster"] = {"server": "https://192.0.2.1:6443"}
    config["users"][0]["user"] = {"token": "another"}
    other = tmp_path / "kubeconfig"
    other.write_text(yaml.safe_dump(config))
    shown = json.loads(deployed.engine("preview", "--json", KUBECONFIG=str(other)))
    changed = {s["urn"].rsplit("::", 1)[1]: s["op"] for s in shown["steps"] if s["op"] != "same"}
    assert changed == {"cluster": "update"}


@pytest.mark.parametrize(
    ("generations", "users"),
    [
        ({"nextauth": 2}, {"web"}),
        ({"nextauth": 2, "database": 2}, {"web", "pgbouncer"}),
        ({"nextauth": 2, "database": 2, "cache": 2}, {"web", "redis", "redis-sentinel"}),
    ],
)
def test_a_rotation_rolls_its_users_only_and_fails_no_request(
    deployed: Deployed, generations: dict[str, int], users: set[str]
) -> None:
    """SC-6."""
    before, visitor = deployed.revisions(), deployed.visitor
    deployed.engine.configure(secretGenerations=generations)
    with visitor.visiting():
        deployed.engine.up()
    after = deployed.revisions()
    assert before.keys() == after.keys()
    rolled = {name for name in after if after[name] != before[name]}
    assert {re.split(r"/|-server", name)[1] for name in rolled} == users
    assert visitor.answered >= 50
    assert not visitor.failed


def test_destroy_leaves_neither_volume_nor_namespace(deployed: Deployed) -> None:
    volumes = {v["spec"]["volumeName"] for v in deployed.stack.objects("persistentvolumeclaims")}
    assert volumes
    deployed.engine("destroy", "--yes", "--skip-preview")
    assert NAMESPACE not in deployed.stack.kubectl("get", "namespaces", "--output=name")
    left = {v["metadata"]["name"] for v in deployed.stack.objects("persistentvolumes")}
    assert not left & volumes
