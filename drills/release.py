"""Releases under load: a good one, those that go wrong once they serve, one that never does.

The bad ones are the sample's image with one small file more. `nextstack watch --rollback` has to
find them, with windows of seconds instead of minutes, and to bring the good one back.
"""

import json
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from commands.cluster import choose, load_image
from commands.deploy import APP
from commands.options import AsJson, Kubeconfig
from commands.options import Stack as StackName
from commands.release import releases
from commands.triggers import EXIT_CODES, Trigger
from drills.figures import Figure, await_quiet, publish
from drills.sender import Sender, Sent
from drills.site import MISSING, WITHOUT_LIMIT, fail_to_release, without_limit
from drills.site import PATH as WRITTEN
from drills.stack import Stack, running
from local import image_app, image_archive, images
from local.image_archive import Image, Layer
from local.progress import console
from offline.recorder import ROOT

READ = "/tasks"
TITLE = "Release drill"
READS_PER_S, WRITES_PER_S = 8, 8
SCALE = 0.1  # five minutes are 30 seconds
MINUTES = 2.0  # before the scale; a bad release is found long before
SETTLE_S = 3.0
AROUND_S = 2.0  # of load before a release and after the end of it
SLOWER_MS = 6000
LIMIT_S = 300.0  # RO-1, RB-9


class Fault(StrEnum):
    NONE = "good"
    """Serves all that it is asked for."""
    ERRORS = "errors"
    """Answers 500 on one page, for everybody."""
    SLOW = "slow"
    """Takes longer than five seconds on one page."""
    HEALTH = "health"
    """Serves, but calls itself unwell."""
    NOT_READY = "not-ready"
    """Has an image that does not exist."""


FOUND_BY = {
    Fault.ERRORS: Trigger.ERRORS,
    Fault.SLOW: Trigger.SLOW,
    Fault.HEALTH: Trigger.HEALTH,
}
# What happens to a request, for the path that it is about. Readiness is asked elsewhere.
SCRIPTS = {
    Fault.NONE: ("", ""),
    Fault.ERRORS: (READ, "response.statusCode = 500; response.end(); return true;"),
    Fault.SLOW: (
        READ,
        f"setTimeout(() => emit.apply(this, arguments), {SLOWER_MS}); return true;",
    ),
    Fault.HEALTH: ("/api/health", "response.statusCode = 503; response.end(); return true;"),
}
SCRIPT = """\
const {{ Server }} = require("node:http");
const emit = Server.prototype.emit;
Server.prototype.emit = function (event, request, response) {{
  if (event === "request" && request.url === "{path}") {{ {reaction} }}
  return emit.apply(this, arguments);
}};
"""


@dataclass(kw_only=True)
class Load:
    """What became of each request."""

    writes: list[Sent] = field(default_factory=lambda: list[Sent]())
    reads: list[Sent] = field(default_factory=lambda: list[Sent]())


@dataclass(frozen=True, kw_only=True)
class Round:
    fault: Fault
    load: Load
    began: float
    """When the release began to be rolled out, by `time.monotonic`."""
    over: float
    """When the earlier one ran again."""
    report: dict[str, Any]
    """Of `nextstack watch`; empty for a release that never served."""

    @property
    def unasked(self) -> int:
        """Failures of what the release was not made to fail."""
        spared = [s for s in self.load.reads if not self.began < s.due < self.over]
        reads = spared if self.fault in (Fault.ERRORS, Fault.SLOW) else self.load.reads
        return _failed(self.load.writes, "201") + _failed(reads, "200")


def _failed(sent: Sequence[Sent], wanted: str) -> int:
    return sum(s.outcome != wanted for s in sent)


@contextmanager
def under_load(stack: Stack) -> Generator[Load]:
    load, site = Load(), stack.site()
    with (
        Sender(site + WRITTEN, {"title": TITLE}, WRITES_PER_S) as writer,
        Sender(site + READ, None, READS_PER_S) as reader,
    ):
        time.sleep(AROUND_S)
        yield load
        time.sleep(AROUND_S)
    load.writes, load.reads = writer.sent, reader.sent
    outcomes = Counter(sent.outcome for sent in [*load.writes, *load.reads])
    console.print(f"outcomes: {dict(outcomes)}", markup=False)


def drill(stack: Stack, name: str, kubeconfig: Path | None, fault: Fault) -> Round:
    """Rolls one release out, and lets the watch do the rest."""
    image = MISSING if fault is Fault.NOT_READY else _load(stack, fault)
    stack.await_ready()
    await_quiet()
    console.print(f"release: {fault}")
    with under_load(stack) as load:
        began, report = time.monotonic(), dict[str, Any]()
        if fault is Fault.NOT_READY:
            fail_to_release(stack)
        else:
            stack.up(**WITHOUT_LIMIT, image=image, deploymentVersion=fault.value)
            migrated = _migrations(stack)
            report = _watch(name, kubeconfig, fault)
            if _migrations(stack) - migrated:
                raise RuntimeError("a migration ran when the release was taken back (RB-8)")
            _check(stack)
        over = time.monotonic()
    return Round(fault=fault, load=load, began=began, over=over, report=report)


def _load(stack: Stack, fault: Fault) -> str:
    """Gives the release's image to the cluster; returns its name."""
    sample = image_app.build_app(APP, stack.outputs["buildEnv"])
    ref = f"{images.REGISTRY}/app:{fault}"
    cluster = choose(None)
    load_image(cluster, images.ref("node"), sample.base)
    load_image(cluster, sample.ref, sample.archive)
    with TemporaryDirectory() as folder:
        load_image(cluster, ref, _image(sample, ref, fault, Path(folder)))
    return ref


def _image(sample: image_app.AppImage, ref: str, fault: Fault, folder: Path) -> Path:
    """The sample's image, whose server starts with the script."""
    path, reaction = SCRIPTS[fault]
    with image_archive.writing(folder / "layer") as layer:
        layer.write("app/release.cjs", SCRIPT.format(path=path, reaction=reaction).encode())
    settings = {
        **images.config("node"),
        "Env": [*image_app.NODE_SETTINGS, *images.environment("node")],
        "WorkingDir": "/app",
        "Cmd": ["node", "--require", "/app/release.cjs", "server.js"],
    }
    below = [*image_archive.layers(sample.base), _own_layer(sample.archive)]
    image = Image(
        ref=ref, layers=[*below, image_archive.written(folder / "layer")], config=settings
    )
    image_archive.pack(image, folder / "image.tar", thin=True)
    return folder / "image.tar"


def _own_layer(archive: Path) -> Layer:
    """What a thin archive has above the layers that the cluster has already."""
    with tarfile.open(archive) as tar:
        index = _json(tar, "index.json")
        manifest = _json(tar, f"blobs/{index['manifests'][0]['digest'].replace(':', '/')}")
    last = manifest["layers"][-1]
    return Layer(file=archive, offset=0, size=last["size"], digest=last["digest"])


def _json(tar: tarfile.TarFile, name: str) -> dict[str, Any]:
    file = tar.extractfile(name)
    if file is None:
        raise ValueError(f"not an OCI archive: got no {name} in {tar.name}; build it again")
    return json.load(file)


def _watch(name: str, kubeconfig: Path | None, fault: Fault) -> dict[str, Any]:
    """What the command says; it has to end as the fault demands."""
    command = [sys.executable, "-m", "commands", "watch", "--stack", name, "--json"]
    command += ["--scale", str(SCALE), "--minutes", str(MINUTES), "--settle", str(SETTLE_S)]
    command += ["--rollback", *(["--kubeconfig", str(kubeconfig)] if kubeconfig else [])]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    wanted = EXIT_CODES[FOUND_BY[fault]] if fault in FOUND_BY else 0
    if done.returncode != wanted:
        raise RuntimeError(f"watch of {fault} ended with {done.returncode}, not {wanted}")
    return json.loads(done.stdout)


def _migrations(stack: Stack) -> set[str]:
    jobs = stack.api.list("batch/v1", "Job", stack.namespace)
    return {job["metadata"]["uid"] for job in jobs if "migration" in job["metadata"]["name"]}


def _check(stack: Stack) -> None:
    """The bad one is gone, and the good one is known to be good."""
    good = releases(stack.api, stack.namespace).running
    if (good.version, good.proven) != (Fault.NONE, True):
        raise RuntimeError(f"got {good.words}, allowed the proven good release")


def main(
    fault: Annotated[
        list[Fault] | None,
        typer.Option(help="What is wrong with the release; may be given several times."),
    ] = None,
    stack: StackName = "dev",
    kubeconfig: Kubeconfig = None,
    as_json: AsJson = False,
) -> None:
    """Rolls out good and bad releases under load; times how they are found and taken back."""
    found = running(stack, kubeconfig)
    wanted = [Fault.NONE, *(f for f in fault or Fault if f is not Fault.NONE)]
    with without_limit(found):
        done = [drill(found, stack, kubeconfig, one) for one in wanted]
    found.psql(f"delete from tasks where title = '{TITLE}'")
    publish("release", [figure for one in done for figure in _figures(one)], as_json=as_json)


def _figures(done: Round) -> list[Figure]:
    def figure(name: str, unit: str, value: float, at_most: float | None = None) -> Figure:
        return Figure(name=f"{done.fault}: {name}", unit=unit, values=[value], at_most=at_most)

    figures = [
        figure("requests", "", len(done.load.writes) + len(done.load.reads)),
        figure("failed that it was not made to fail", "", done.unasked, 0),
    ]
    if back := done.report.get("rolled_back"):
        figures += [
            figure("found after", "s", done.report["seconds"]),
            figure("recovered after the alarm", "s", back["recovered_s"], LIMIT_S),
            figure("whole rollback", "s", back["seconds"], LIMIT_S),
            figure("failed as it was made to", "", _failed(done.load.reads, "200")),
        ]
    return figures
