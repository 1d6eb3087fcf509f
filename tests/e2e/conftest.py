"""The running dev stack that the end-to-end tests share, and a browser to look at it.

Leaves out machines that cannot run it: there every test is skipped with the reason.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, sync_playwright

from commands.cluster import choose
from local.binaries import binaries_here
from local.cluster import LocalCluster
from local.machine import mounts, refuse_unfit
from offline.recorder import ROOT

SITE = "http://localhost:3000"
NAMESPACE = "nextstack-dev"
ARTIFACTS = ROOT / "build"
"""What a run leaves to look at; not committed."""
RATE_LIMIT_PAUSE_S = 15
"""After this, nginx has forgotten a visitor's requests: a burst of 20 at 100 a minute (RL-3)."""


@dataclass(frozen=True)
class Machine:
    """What a stack could leave behind on the machine."""

    mounts: frozenset[str]
    namespaces: frozenset[str]
    links: frozenset[str]
    routes: frozenset[str]
    processes: frozenset[str]
    """Command lines of programs that only a node runs."""

    @staticmethod
    def now() -> "Machine":
        nodes = ("containerd", "kube", "etcd", "coredns", "socat", "runc", "/pause")
        lines = _lines("ps", "-eo", "args")
        return Machine(
            mounts=frozenset(map(str, mounts())),
            namespaces=frozenset(_lines("ip", "netns", "list")),
            links=frozenset(line.split(": ")[1] for line in _lines("ip", "-o", "link")),
            routes=frozenset(_lines("ip", "route")),
            processes=frozenset(x for x in lines if any(n in x.split(" ")[0] for n in nodes)),
        )


def kubectl_program() -> str:
    """The local node's own; with kind, whatever is installed."""
    own = isinstance(choose(None).own, LocalCluster)
    return str(binaries_here().kubectl) if own else "kubectl"


def _lines(*command: str) -> list[str]:
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [line.strip() for line in output.splitlines()]


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A running dev stack."""

    before: Machine | None
    """The machine without it; None where it was already up."""
    namespace: str = NAMESPACE

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Output of kubectl in the stack's namespace; of both streams where it may fail."""
        command = [
            kubectl_program(),
            f"--kubeconfig={choose(None).kubeconfig}",
            f"--namespace={self.namespace}",
            *arguments,
        ]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr}")
        return done.stdout if check else done.stdout + done.stderr

    def objects(self, kind: str, *arguments: str) -> list[dict[str, Any]]:
        """All objects of a kind."""
        return json.loads(self.kubectl("get", kind, "--output=json", *arguments))["items"]

    def pods(self, name: str) -> list[str]:
        """Names of a component's running pods, by the label app.kubernetes.io/name."""
        selector = f"--selector=app.kubernetes.io/name={name}"
        return [
            pod["metadata"]["name"]
            for pod in self.objects("pods", selector, "--field-selector=status.phase=Running")
            if "deletionTimestamp" not in pod["metadata"]
        ]

    def execute(self, pod: str, *command: str) -> str:
        return self.kubectl("exec", pod, "--", *command)

    def wait(self, what: str, *arguments: str, timeout_s: int = 120) -> None:
        """Until kubectl's condition holds, such as ("pod/x", "--for=condition=Ready")."""
        self.kubectl("wait", what, *arguments, f"--timeout={timeout_s}s")


def nextstack(*arguments: str, cwd: Path = ROOT) -> str:
    """Output of one of our commands; its messages are shown where pytest shows output."""
    command = [sys.executable, "-m", "commands", *arguments]
    environment = {k: v for k, v in os.environ.items() if k != "KUBECONFIG"}
    done = subprocess.run(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    sys.stdout.write(done.stdout)
    if done.returncode != 0:
        pytest.fail(f"nextstack {' '.join(arguments)} ended with {done.returncode}")
    return done.stdout


def drill(*arguments: str) -> dict[str, Any]:
    """Figures of `nextstack bench`."""
    command = [sys.executable, "-m", "drills", *arguments, "--json"]
    return json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)


def eventually(
    what: str, done: Callable[[], bool], timeout_s: float = 60, pause_s: float = 0.5
) -> float:
    """Seconds until `done`; fails the test after `timeout_s`."""
    began = time.monotonic()
    while not done():
        if time.monotonic() - began > timeout_s:
            pytest.fail(f"{what}: not within {timeout_s:g} s")
        time.sleep(pause_s)
    return time.monotonic() - began


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Stack:
    """The dev stack, brought up by the command that people use."""
    cluster = choose(None)
    before = None
    if isinstance(cluster.own, LocalCluster):
        try:
            refuse_unfit()
        except RuntimeError as unfit:
            pytest.skip(str(unfit))
        if not cluster.own.status().pids:
            before = Machine.now()
    capture: Any = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print()
        nextstack("up")
    return Stack(before=before)


class Patient(httpx.HTTPTransport):
    """Asks again when the rate limit says so: all tests are one visitor to nginx (RL-3)."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        ends = time.monotonic() + RATE_LIMIT_PAUSE_S
        while (answer := super().handle_request(request)).status_code == 429:
            if time.monotonic() > ends:
                break
            answer.close()
            time.sleep(0.5)
        return answer


def visitor(cookies: dict[str, str] | None = None) -> httpx.Client:
    """A client of the site, through nginx, as a browser on this machine would be."""
    return httpx.Client(base_url=SITE, cookies=cookies, timeout=10, transport=Patient())


@pytest.fixture
def site(stack: Stack) -> Iterator[httpx.Client]:
    with visitor() as client:
        assert stack
        yield client


# Not for longer than a module: its event loop runs in this thread, where others need their own.
@pytest.fixture(scope="module")
def browser(stack: Stack) -> Iterator[Browser]:
    """Debian's Chromium; skipped where it cannot be installed."""
    assert stack
    program = shutil.which("chromium") or _install_chromium()
    with sync_playwright() as playwright:
        # Without these Chromium looks for its maker's servers, which tests need not wait for.
        quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu", *quiet]
        )
        yield browser
        browser.close()


def _install_chromium() -> str:
    if shutil.which("apt-get") is None:
        pytest.skip("no Chromium: got no `chromium` on the path and no apt-get; install it")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "chromium"]
    subprocess.run(["apt-get", "update", "--quiet"], check=True, capture_output=True)
    subprocess.run(install, check=True, capture_output=True, env=environment)
    found = shutil.which("chromium")
    assert found, "apt-get installed chromium, but it is not on the path"
    return found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes the stack away runs last."""
    items.sort(key=lambda item: item.name == "test_down_leaves_nothing_behind")
