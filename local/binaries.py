"""The programs of the local node: built from pinned Go modules, taken from Debian packages.

Leaves out running them. Both halves land in the per-user cache under a key of their sources, and a
half appears there only when it is complete, so a run that was cut off goes on where it stopped.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from local.paths import cache_folder
from local.progress import Step, step

MODULE = Path(__file__).parent / "go"

# go's name of a package -> name of the program, where they differ.
RENAMED = {"server": "etcd"}

# Unpacked, not installed: Docker's containerd.io conflicts with Debian's containerd, and the latter
# would start a service of its own.
UNPACKED_PACKAGES = ("containerd", "containernetworking-plugins", "runc")

# Commands that must be on PATH, and the package of each.
COMMANDS = {
    "ip": "iproute2",
    "iptables": "iptables",
    "mount": "mount",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "socat": "socat",
}

# Packages are fetched and Go is installed in parallel threads, and apt-get runs once at a time.
_apt_lock = threading.Lock()

# The first release that fetches the toolchain named in go.mod by itself.
OLDEST_GO = (1, 21)


@dataclass(frozen=True, kw_only=True)
class Binaries:
    """Where the node's programs are."""

    go: Path
    """Folder of the programs built from Go modules: kubelet, etcd, coredns ..."""
    debian: Path
    """Root of the unpacked Debian packages: containerd, runc, CNI plugins."""

    @property
    def kubectl(self) -> Path:
        return self.go / "kubectl"

    @property
    def ctr(self) -> Path:
        return self.debian / "usr/bin/ctr"

    @property
    def search_path(self) -> str:
        """PATH for the node's processes; theirs come first."""
        own = (self.go, self.debian / "usr/bin", self.debian / "usr/sbin")
        system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return ":".join([*map(str, own), system])


def kubernetes_version() -> str:
    """The version pinned in go.mod, such as v1.34.4."""
    found = re.search(r"^\s+k8s\.io/kubernetes (v\S+)", (MODULE / "go.mod").read_text(), re.M)
    if found is None:
        raise RuntimeError(f"{MODULE / 'go.mod'} does not name k8s.io/kubernetes")
    return found[1]


def source_key() -> str:
    """Changes with everything that decides what the programs are."""
    digest = hashlib.sha256(platform.machine().encode())
    for source in sorted(MODULE.rglob("*")):
        if source.is_file():
            digest.update(str(source.relative_to(MODULE)).encode() + source.read_bytes())
    return digest.hexdigest()[:12]


def binaries_here() -> Binaries:
    """Where the node's programs are, or will be."""
    folder = cache_folder() / "node" / f"{kubernetes_version()}-{source_key()}"
    return Binaries(go=folder / "go", debian=folder / "debian")


def ensure_binaries() -> Binaries:
    """Returns the node's programs, making what is missing: minutes once, nothing later."""
    binaries = binaries_here()
    with ThreadPoolExecutor(max_workers=2) as pool:
        # The packages are small downloads; the Go build is what takes the processors.
        packages = pool.submit(_prepare_packages, binaries.debian)
        programs = pool.submit(once, binaries.go, _build)
        packages.result()
        programs.result()
    return binaries


def once(target: Path, make: Callable[[Path], None]) -> None:
    """Lets `make` fill a folder that gets its name only when it is complete."""
    if target.is_dir():
        return
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    make(partial)
    partial.rename(target)


def _prepare_packages(debian: Path) -> None:
    missing = sorted({package for name, package in COMMANDS.items() if shutil.which(name) is None})
    if debian.is_dir() and not missing:
        return
    with step("Debian packages") as progress:
        if missing:
            progress.update(detail=f"install {' '.join(missing)}")
            _apt_get("install", "--yes", "--no-install-recommends", *missing)
        progress.update(detail=f"unpack {' '.join(UNPACKED_PACKAGES)}")
        once(debian, _unpack)


def _unpack(folder: Path) -> None:
    _apt_get("download", *UNPACKED_PACKAGES, folder=folder)
    for package in sorted(folder.glob("*.deb")):
        _run(["dpkg-deb", "--extract", str(package), str(folder)])
        package.unlink()


def _apt_get(*arguments: str, folder: Path | None = None) -> None:
    """Runs apt-get, once more with fresh package lists if they are missing or outdated."""
    # 300 s: another installation may hold the lock for a while.
    options = ("--quiet", "-o", "DPkg::Lock::Timeout=300", "-o", "APT::Sandbox::User=root")
    command = ["apt-get", *options]
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    with _apt_lock:
        try:
            _run([*command, *arguments], folder=folder, environment=environment)
        except RuntimeError:
            _run([*command, "update"], environment=environment)
            _run([*command, *arguments], folder=folder, environment=environment)


def _build(folder: Path) -> None:
    # A build whose caller was killed would go on, beside the next one.
    go = ["setpriv", "--pdeathsig", "KILL", find_go()]
    packages = ["./coredns", "./pause", "./volumes", "tool"]
    # -trimpath and no cgo: the result depends on nothing of this machine, not even a C compiler.
    # GOGC: the compiler collects its garbage less often, which saves a fifth of its time.
    environment = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -trimpath", "GOGC": "300"}
    version = f"-X k8s.io/component-base/version.gitVersion={kubernetes_version()}"
    with step("Go modules of Kubernetes, etcd and CoreDNS") as progress:
        listed = _run(
            [*go, "list", "-deps", *packages],
            folder=MODULE,
            environment=environment,
            on_line=lambda line: _show_download(progress, line),
        )
    with step("compile Kubernetes, etcd and CoreDNS", total=len(listed)) as progress:
        _run(
            [*go, "build", "-v", "-ldflags", f"-s -w {version}", "-o", f"{folder}/", *packages],
            folder=MODULE,
            environment=environment,
            on_line=lambda line: _show_package(progress, line),
        )
    for built, name in RENAMED.items():
        (folder / built).rename(folder / name)


def _show_download(progress: Step, line: str) -> None:
    if line.startswith("go: downloading "):
        progress.update(detail=line.split()[2])


def _show_package(progress: Step, line: str) -> None:
    progress.advance()
    progress.update(detail=line[-40:])


def find_go() -> str:
    """A Go that can build the pinned modules, installed from Debian's packages where none is."""
    if shutil.which("go") is None:
        with step("install Go"):
            _apt_get("install", "--yes", "--no-install-recommends", "golang-go")
    version = _go_version("go")
    return "go" if version >= OLDEST_GO else _newer_go()


def _go_version(go: str) -> tuple[int, ...]:
    answer = _run([go, "version"])[0]
    found = re.search(r"go(\d+)\.(\d+)", answer)
    if found is None:
        raise RuntimeError(f"go version is unknown: got {answer!r}; install Go 1.21 or newer")
    return int(found[1]), int(found[2])


def _newer_go() -> str:
    """The toolchain that go.mod asks for, fetched as the module it is published as."""
    text = (MODULE / "go.mod").read_text()
    found = re.search(r"^toolchain (go\S+)", text, re.M)
    if found is None:
        raise RuntimeError(f"{MODULE / 'go.mod'} names no toolchain")
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    module = f"golang.org/toolchain@v0.0.1-{found[1]}.linux-{machine}"
    with step(f"Go toolchain {found[1]}"):
        lines = _run(["go", "mod", "download", "-json", module], folder=Path("/"))
    folder = re.search(r'"Dir": "(.+)"', "\n".join(lines))
    if folder is None:
        raise RuntimeError(f"go did not download {module}: {' '.join(lines)}")
    # Modules are unpacked without execute permission; newer releases of Go repair that themselves.
    root = Path(folder[1])
    for program in [*root.glob("bin/*"), *root.glob("pkg/tool/*/*")]:
        program.chmod(0o755)
    return str(root / "bin/go")


def _run(
    command: list[str],
    *,
    folder: Path | None = None,
    environment: dict[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
) -> list[str]:
    """Runs to the end and returns the lines of output; `on_line` sees what goes to stderr."""
    errors: list[str] = []
    with (
        subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
        ThreadPoolExecutor(max_workers=1) as reader,
    ):
        assert process.stdout is not None and process.stderr is not None
        output = reader.submit(process.stdout.read)
        for line in process.stderr:
            errors.append(line.rstrip())
            if on_line is not None:
                on_line(line.rstrip())
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n" + "\n".join(errors[-20:]))
    return output.result().splitlines()
