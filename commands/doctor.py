"""`nextstack doctor`: whether this machine and a stack's configuration are ready, and if not, why.

Changes nothing and creates nothing. Leaves out what runs already (status.py).
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from commands.options import AsJson, Kubeconfig, Stack

# What the end-to-end tests ran with; older ones were never tried.
TRIED_PULUMI = (3, 260)
# The dev stack, its control plane and an image build at once (docs/benchmarks.md).
MEMORY_GIB = 4
# Programs, images, volumes and the build of Kubernetes.
DISK_GIB = 12
TIMEOUT_S = 20
GIT = "install git; releases and previews are compared by commit"
# What the committed files name in place of a user's own: domains (RFC 2606), account, owner.
SAMPLE = re.compile(r"\bexample\.(com|net|org)\b|\b123456789012\b|\bexample[-/]")
INSTALL_PULUMI = "install it: https://www.pulumi.com/docs/install/"


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.FAILED: "bold red"}


@dataclass(frozen=True, kw_only=True)
class Finding:
    subject: str
    level: Level
    found: str
    fix: str = ""


def doctor(stack: Stack = "dev", kubeconfig: Kubeconfig = None, as_json: AsJson = False) -> None:
    """Check machine, tools, credentials and the stack's configuration; say how to fix each finding.

    Exit code 1 if something is in the way; warnings are not.
    """
    found = examine(stack, kubeconfig)
    if as_json:
        print(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        Console().print(_table(found))
    if any(finding.level is Level.FAILED for finding in found):
        raise typer.Exit(1)


def examine(stack: str, kubeconfig: Path | None) -> list[Finding]:
    """All findings, the good ones too."""
    from offline.recorder import PROJECT, stack_settings

    settings = {k.removeprefix(f"{PROJECT['name']}:"): v for k, v in stack_settings(stack).items()}
    checks: list[Callable[[], Iterator[Finding]]] = [
        _python,
        lambda: _configuration(stack),
        lambda: _samples(settings),
        lambda: _pulumi(settings["protectData"] == "true"),
    ]
    if settings["protectData"] == "true":
        checks += [lambda: _cloud(settings), lambda: _named_cluster(settings, kubeconfig)]
    elif kubeconfig is None:
        checks += [_local_cluster, _room]
    return [finding for check in checks for finding in check()]


def _table(found: list[Finding]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("", "what", "found", "what to do"):
        table.add_column(title, overflow="fold")
    for finding in found:
        level = f"[{STYLES[finding.level]}]{finding.level}[/]"
        table.add_row(level, finding.subject, finding.found, finding.fix)
    return table


def _python() -> Iterator[Finding]:
    version = sys.version.split()[0]
    yield Finding(subject="Python", level=Level.OK, found=version)
    if shutil.which("git") is None:
        yield Finding(
            subject="git",
            level=Level.FAILED,
            found="missing",
            fix=GIT,
        )


def _configuration(stack: str) -> Iterator[Finding]:
    """Whether the program accepts it; the same check that every run begins with."""
    from components.stack_config import ConfigError
    from offline.preview import preview

    subject = f"Pulumi.{stack}.yaml"
    try:
        count = len(preview(stack).resources)
    except ConfigError as error:
        for problem in error.problems:
            key, _, rest = problem.partition(" ")
            yield Finding(subject=f"{subject}: {key}", level=Level.FAILED, found=rest)
    else:
        yield Finding(subject=subject, level=Level.OK, found=f"valid, {count} resources")


def _samples(settings: dict[str, str]) -> Iterator[Finding]:
    """What the repository came with and nobody has replaced yet."""
    from components.aws.rds_config import authorities, is_sample

    def sample(subject: str, found: str, fix: str) -> Finding:
        return Finding(subject=subject, level=Level.WARNING, found=found, fix=fix)

    digests = [key for key, value in settings.items() if f"sha256:{'0' * 64}" in value]
    if digests:
        yield sample(", ".join(digests), "sample digests", "name the images that you tested")
    examples = [key for key, value in settings.items() if SAMPLE.search(value)]
    if examples:
        yield sample(", ".join(examples), "names of an example", "put in yours")
    bundle, _ = authorities(settings["rdsCaFile"])
    if settings["database"] == "rds" and bundle and is_sample(bundle):
        yield sample(
            settings["rdsCaFile"],
            "a sample that no server's certificate comes from",
            "replace it by https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem",
        )
    if settings["stage"] != "development" and settings["requireOauth"] == "false":
        yield sample("requireOauth", "false", "set a sign-in as the stack file says, then true")


def _pulumi(needed: bool) -> Iterator[Finding]:
    from commands.pulumi_engine import find_pulumi

    program = find_pulumi()
    if program is None:
        yield Finding(
            subject="Pulumi CLI",
            level=Level.FAILED if needed else Level.OK,
            found="missing" if needed else "missing; the stack is brought up without it",
            fix=INSTALL_PULUMI if needed else "",
        )
        return
    version = _output([str(program), "version"]) or "no answer"
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    old = numbers < TRIED_PULUMI
    yield Finding(
        subject="Pulumi CLI",
        level=Level.WARNING if old else Level.OK,
        found=f"{version} at {program}",
        fix=f"{TRIED_PULUMI[0]}.{TRIED_PULUMI[1]} or newer is tried; update it" if old else "",
    )
    if needed:
        yield _backend(program)


def _backend(program: Path) -> Finding:
    answer = _output([str(program), "whoami", "--json", "--non-interactive"])
    url = json.loads(answer).get("url", "") if answer else ""
    return Finding(
        subject="Pulumi state",
        level=Level.OK if url else Level.FAILED,
        found=url or "not logged in",
        fix="" if url else "run: pulumi login s3://<bucket>?region=<region>, or pulumi login",
    )


def _cloud(settings: dict[str, str]) -> Iterator[Finding]:
    """Whether the credentials are of the account that the stack names."""
    if not settings["awsAccountId"]:
        return
    if shutil.which("aws") is None:
        yield Finding(
            subject="AWS CLI",
            level=Level.WARNING,
            found="missing",
            fix="install it; the kubeconfig of an EKS cluster asks it for tokens",
        )
        return
    answer = _output(["aws", "sts", "get-caller-identity", "--output=json"])
    account = json.loads(answer)["Account"] if answer else "none"
    right = account == settings["awsAccountId"]
    yield Finding(
        subject="AWS credentials",
        level=Level.OK if right else Level.FAILED,
        found=f"account {account}",
        fix="" if right else f"use credentials of account {settings['awsAccountId']}",
    )


def _named_cluster(settings: dict[str, str], kubeconfig: Path | None) -> Iterator[Finding]:
    if settings.get("clusterSource") == "eks":
        return
    file = kubeconfig or Path.home() / ".kube/config"
    yield Finding(
        subject="kubeconfig",
        level=Level.OK if file.is_file() else Level.FAILED,
        found=str(file) if file.is_file() else f"no file {file}",
        fix="" if file.is_file() else "name it: --kubeconfig FILE or KUBECONFIG",
    )


def _local_cluster() -> Iterator[Finding]:
    from local.cluster import LocalCluster
    from local.kind import docker_runs
    from local.machine import refuse_taken_port, refuse_unfit

    if docker_runs():
        yield Finding(subject="local cluster", level=Level.OK, found="kind")
        return
    cluster = LocalCluster()
    try:
        refuse_unfit()
        if not cluster.status().pids:
            refuse_taken_port(cluster.site_port)
    except RuntimeError as error:
        why, _, fix = str(error).partition("; ")
        yield Finding(subject="local cluster", level=Level.FAILED, found=why, fix=fix)
    else:
        yield Finding(subject="local cluster", level=Level.OK, found="possible")


def _room() -> Iterator[Finding]:
    from local.paths import cache_folder

    folder = next(path for path in (cache_folder(), *cache_folder().parents) if path.exists())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for subject, found, least in (
        ("memory", memory, MEMORY_GIB),
        (f"disk of {folder}", shutil.disk_usage(folder).free, DISK_GIB),
    ):
        enough = found >= least * 1024**3
        yield Finding(
            subject=subject,
            level=Level.OK if enough else Level.WARNING,
            found=f"{found / 1024**3:.0f} GiB",
            fix="" if enough else f"{least} GiB are needed for a first up",
        )


def _output(command: list[str]) -> str:
    """What a program prints; nothing if it fails or takes too long."""
    try:
        done: Any = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=TIMEOUT_S
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
