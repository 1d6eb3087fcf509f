"""The stacks of another git revision, recorded from an export of it in a temporary folder.

The recorder is ours, the program and its stack files are the revision's. A revision never changes,
so what was recorded is kept in the cache. Leaves out comparing (compare.py).
"""

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.paths import cache_folder
from offline.recorder import ROOT
from offline.review import snapshot
from offline.review.snapshot import Snapshot

# Ours takes its place, and the others are no part of the program.
RECORDING = ("recorder", "render", "review/snapshot")
LEFT_OUT = ("offline", "app", "docs", "tests")
LIMIT_S = 120
KEPT_FILES = 100
TRAILER = "Acknowledge-Danger"


@dataclass(frozen=True, kw_only=True)
class Acknowledgement:
    finding: str
    commit: str
    """Short id of the commit that says it."""


@dataclass(frozen=True, kw_only=True)
class Revision:
    name: str
    """As the user wrote it."""
    commit: str


def find(name: str) -> Revision:
    """The commit that a revision's name stands for in the repository of this program."""
    done = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if done.returncode:
        raise ValueError(
            f"against is no revision: got {name!r}, allowed a commit, branch or tag of this git "
            f"repository; if it is not fetched yet: git fetch origin {name}"
        )
    return Revision(name=name, commit=done.stdout.strip())


def acknowledgements(base: Revision) -> list[Acknowledgement]:
    """What the messages of the commits since `base` acknowledge, by trailer."""
    form = f"--format=%h%x09%(trailers:key={TRAILER},valueonly,separator=%x09)"
    lines = _git("log", form, f"{base.commit}..HEAD").stdout.splitlines()
    return [
        Acknowledgement(finding=finding.strip(), commit=commit)
        for commit, *findings in (line.split("\t") for line in lines)
        for finding in findings
        if finding.strip()
    ]


class Recording:
    """Stacks of a revision that are being recorded beside our own; `wait` has the outcome."""

    def __init__(self, revision: Revision, stack_names: Sequence[str]) -> None:
        self._revision, self._names = revision, stack_names
        self._files = {name: _cache_file(revision, name) for name in stack_names}
        missing = [name for name, file in self._files.items() if not file.is_file()]
        self._folder = tempfile.TemporaryDirectory(prefix="nextstack-") if missing else None
        self._child: subprocess.Popen[str] | None = None
        if self._folder:
            root = _export(revision, Path(self._folder.name))
            self._child = _start(root, missing)

    def wait(self) -> dict[str, Snapshot | None]:
        """By stack; None where the revision does not have it."""
        if self._child and self._folder:
            with self._folder:
                for name, found in self._recorded(self._child).items():
                    _keep(self._files[name], found)
        return {name: _read(file) for name, file in self._files.items()}

    def _recorded(self, child: subprocess.Popen[str]) -> Mapping[str, Any]:
        try:
            output, errors = child.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired as error:
            child.kill()
            child.communicate()
            raise RuntimeError(f"{self._told()} took longer than {LIMIT_S} s") from error
        if child.returncode:
            reason = (errors.strip().splitlines() or ["it said nothing"])[-1]
            raise RuntimeError(
                f"{self._told()} failed: {reason}\n"
                "its program may be too old for this preview; compare with a newer revision"
            )
        return json.loads(output)

    def _told(self) -> str:
        return f"recording {', '.join(self._names)} of revision {self._revision.name}"


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise ValueError("git is missing; install it, or leave out --against") from error


def _export(revision: Revision, folder: Path) -> Path:
    """The revision's files without those of LEFT_OUT."""
    top = _git("rev-parse", "--show-toplevel").stdout.strip()
    inside = ROOT.resolve().relative_to(Path(top).resolve())
    archive = folder / "export.tar"
    done = _git("archive", f"--output={archive}", f"{revision.commit}:{_tree(inside)}")
    if done.returncode:
        raise RuntimeError(f"revision {revision.name} can't be exported: {done.stderr.strip()}")
    root = folder / "program"
    with tarfile.open(archive) as tar:
        members = [m for m in tar.getmembers() if m.name.split("/")[0] not in LEFT_OUT]
        tar.extractall(root, members, filter="data")
    return root


def _tree(inside: Path) -> str:
    return "" if inside == Path() else f"{inside}/"


def _start(root: Path, stack_names: Sequence[str]) -> subprocess.Popen[str]:
    """Our recorder with the revision's program before ours on the path."""
    path = os.pathsep.join([str(root), str(Path(__file__).parents[2])])
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "offline.review.snapshot", *stack_names],
        cwd=root,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _cache_file(revision: Revision, stack_name: str) -> Path:
    """Another one for other libraries and another recorder, which may find other things."""
    ours = Path(__file__).parents[2]
    parts = [
        revision.commit,
        stack_name,
        sys.version,
        *((ours / f"offline/{name}.py").read_text() for name in RECORDING),
        (ours / "requirements.lock").read_text(),
    ]
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return cache_folder() / "revisions" / f"{digest[:32]}.json"


def _keep(file: Path, found: Any) -> None:
    """Written as a whole or not at all; the oldest of many go."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as temporary:
        json.dump(found, temporary)
    os.replace(temporary.name, file)
    files = sorted(file.parent.glob("*.json"), key=lambda path: path.stat().st_mtime)
    for old in files[:-KEPT_FILES]:
        old.unlink(missing_ok=True)


def _read(file: Path) -> Snapshot | None:
    found = json.loads(file.read_text())
    return found and snapshot.from_json(found)
