"""Packages of any Debian suite, resolved and downloaded by apt into a cache of our own.

Leaves out installation: the machine's own packages are neither read nor changed.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MIRROR_VARIABLE = "NEXTSTACK_DEBIAN_MIRROR"
KEYRINGS = Path("/usr/share/keyrings")
# Beside the paths, which are the suite's own.
SETTINGS = (
    "APT::Install-Recommends=false",
    # Else apt adds every essential package to an empty system.
    "pkgCacheGen::Essential=none",
    # apt's own user cannot enter a cache below a home folder; signatures are checked all the same.
    "APT::Sandbox::User=root",
    # 5 MB of descriptions for graphical shops, where the machine asks for them.
    "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
    "Acquire::Languages=none",
    "Acquire::Retries=3",
)
# Of the line "Inst libc6 (2.41-12 Debian:13.7/stable [amd64])" that `apt-get --simulate` prints.
INSTALL = re.compile(r"^Inst (\S+) \((\S+) .*\[(\w+)\]\)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Package:
    name: str
    version: str
    file: Path


@dataclass(frozen=True, kw_only=True)
class Suite:
    """One Debian release, as apt sees it through files under `root`."""

    name: str
    root: Path
    present: Sequence[str]
    """Packages that apt takes as installed, with all they depend on."""

    def update(self) -> None:
        """Writes apt's files and loads the package lists."""
        for folder in ("archives/partial", "lists/partial"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        (self.root / "sources.list").write_text(_sources(self.name))
        (self.root / "status").write_text("".join(_status(name) for name in self.present))
        self._apt("update")

    def fetch(self, names: Sequence[str]) -> None:
        """Downloads the packages and all that they depend on."""
        self._apt("install", "--download-only", *names)

    def closure(self, names: Sequence[str]) -> list[Package]:
        """The packages and all that they depend on, sorted by name; each is fetched before."""
        simulated = self._apt("install", "--simulate", *names)
        return [
            Package(name=name, version=version, file=self._file(name, version, arch))
            for name, version, arch in sorted(INSTALL.findall(simulated))
        ]

    def _file(self, name: str, version: str, arch: str) -> Path:
        return self.root / "archives" / f"{name}_{version.replace(':', '%3a')}_{arch}.deb"

    def _paths(self) -> list[str]:
        root = self.root
        return [
            f"Dir::Etc::sourcelist={root}/sources.list",
            "Dir::Etc::sourceparts=/dev/null",
            f"Dir::State::lists={root}/lists",
            f"Dir::State::status={root}/status",
            f"Dir::State::extended_states={root}/extended_states",
            f"Dir::Cache::archives={root}/archives",
            f"Dir::Cache::pkgcache={root}/packages.bin",
            f"Dir::Cache::srcpkgcache={root}/sources.bin",
        ]

    def _apt(self, *arguments: str) -> str:
        # On the command line, because a file of ours would lose against the machine's settings.
        options = [f"--option={setting}" for setting in (*SETTINGS, *self._paths())]
        done = subprocess.run(
            ["apt-get", "--quiet", "--yes", *options, *arguments],
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            close_fds=False,  # see images.locked
        )
        if done.returncode:
            raise RuntimeError(
                f"apt-get {arguments[0]} failed for Debian {self.name}: {done.stderr.strip()}\n"
                "check the network and apt's mirror, then run again"
            )
        return done.stdout


def check_floors(versions: Mapping[str, str], at_least: Mapping[str, str]) -> None:
    """Refuses packages that are older than `at_least` says."""
    for name, floor in at_least.items():
        version = versions[name]
        if subprocess.run(["dpkg", "--compare-versions", version, "lt", floor]).returncode == 0:
            raise ValueError(
                f"{name} is too old: got {version}, allowed {floor} or newer; "
                "name a suite in local/images.toml that has it, or update the mirror"
            )


def _sources(suite: str) -> str:
    """Lines for the suite and its security updates, from the mirrors that the machine uses."""
    keyring = next(iter(sorted(KEYRINGS.glob("debian-archive-keyring.*"))), None)
    if keyring is None:
        raise ValueError(
            f"no Debian keys: got no debian-archive-keyring in {KEYRINGS}; "
            "apt-get install debian-archive-keyring"
        )
    mirrors = _mirrors()
    lines = [f"deb [signed-by={keyring}] {mirrors['Debian']} {suite} main\n"]
    if "Debian-Security" in mirrors:
        security = mirrors["Debian-Security"]
        lines.append(f"deb [signed-by={keyring}] {security} {suite}-security main\n")
    return "".join(lines)


def _mirrors() -> dict[str, str]:
    """Maps Debian's labels, Debian and Debian-Security, to addresses."""
    if named := os.environ.get(MIRROR_VARIABLE):
        return {"Debian": named}
    if shutil.which("apt-get") is None:
        raise ValueError(
            "no apt: got no program apt-get, allowed a machine with Debian's apt; "
            "elsewhere build the images with a container engine, see images.containerfile"
        )
    wanted = ["$(ORIGIN)|$(LABEL)|$(REPO_URI)", "Origin: Debian", "Created-By: Packages"]
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", *wanted],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    mirrors = {label: uri for _, label, uri in (line.split("|") for line in targets.splitlines())}
    if "Debian" not in mirrors:
        raise ValueError(
            f"no Debian mirror: got {sorted(mirrors) or 'none'} from apt, allowed one labelled "
            f"Debian; run apt-get update, or set {MIRROR_VARIABLE} to a mirror's address"
        )
    return mirrors


def _status(name: str) -> str:
    """An entry of dpkg's database for a package that stands for all its versions."""
    return (
        f"Package: {name}\nStatus: install ok installed\nArchitecture: {architecture()}\n"
        "Multi-Arch: foreign\nVersion: 99:0\nMaintainer: none\nDescription: none\n\n"
    )


def architecture() -> str:
    return subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
    ).stdout.strip()
