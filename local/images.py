"""Container images of the dev stack, made of the Debian packages in images.toml.

Leaves out the application's image, in image_app.py, and how images get into a cluster.
"""

import fcntl
import fnmatch
import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import tomllib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import IO

from local import image_archive, image_packages
from local.image_archive import Image, Layer, LayerWriter
from local.image_packages import Package, Suite
from local.paths import cache_folder
from local.progress import Step, step

TABLE = Path(__file__).with_name("images.toml")
REGISTRY = "localhost/nextstack"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
# Of the base, what an image of Debian lacks.
PLAIN = ("ca-certificates", "tzdata")
# Debian moved these into /usr; the base has links in their place.
MERGED = ("bin/", "lib/", "lib64/", "sbin/")
# Without this file glibc asks the name server before /etc/hosts.
NAME_SERVICES = b"passwd: files\ngroup: files\nhosts: files dns\n"


@dataclass(frozen=True, kw_only=True)
class Base:
    packages: Sequence[str]
    """What every image has."""
    present: Sequence[str]
    """What no image has, although packages depend on it."""
    omitted: Sequence[str]
    """Patterns of files to leave out."""
    kept: Sequence[str]
    """Patterns of files to keep although they are omitted."""
    links: Mapping[str, str]
    """Symbolic links to make: path and target."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    tag: str
    suite: str
    """Debian release that the packages come from."""
    packages: Sequence[str]
    at_least: Mapping[str, str]
    """Oldest version allowed, by package."""
    uid: int
    gid: int
    path: Sequence[str] = ()
    """Folders of programs that go before the usual ones."""
    directories: Sequence[str] = ()
    """Empty folders that belong to the user."""
    links: Mapping[str, str] = field(default_factory=dict[str, str])
    """Symbolic links to make: path and target."""
    stop_signal: str = "SIGTERM"


@dataclass(frozen=True, kw_only=True)
class Table:
    base: Base
    images: Mapping[str, Recipe]


@cache
def table() -> Table:
    content = tomllib.loads(TABLE.read_text())
    recipes = {name: Recipe(**entry) for name, entry in content["images"].items()}
    return Table(base=Base(**content["base"]), images=recipes)


def ref(name: str) -> str:
    """Under which the cluster finds the image."""
    return f"{REGISTRY}/{name}:{recipe(name).tag}"


def recipe(name: str) -> Recipe:
    recipes = table().images
    if name not in recipes:
        raise ValueError(
            f"no such image: got {name!r}, allowed {', '.join(sorted(recipes))}; "
            "choose one, or describe it in local/images.toml"
        )
    return recipes[name]


def ensure(names: Iterable[str]) -> dict[str, Path]:
    """Builds the images that are missing; returns the archive of each."""
    archives = {name: archive(name) for name in names}
    if all(file.exists() for file in archives.values()):
        return archives
    with locked(cache_folder() / "images"):
        missing = [name for name, file in archives.items() if not file.exists()]
        if missing:
            _build({name: archives[name] for name in missing})
    return archives


@contextmanager
def locked(folder: Path) -> Generator[None]:
    """Keeps a second run out of the folder while the body runs.

    Programs started with close_fds=False hold the lock too: when this process is killed, the next
    run waits until they have ended.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with step(f"wait for another run, which builds {folder.name}"):
                fcntl.flock(lock, fcntl.LOCK_EX)
        os.set_inheritable(lock.fileno(), True)
        yield


def config(name: str) -> dict[str, object]:
    """What the image says about how to run it, as the OCI image specification names it."""
    made = recipe(name)
    user = f"{made.uid}:{made.gid}"
    return {"User": user, "Env": environment(name), "StopSignal": made.stop_signal}


def environment(name: str) -> list[str]:
    return [f"PATH={':'.join([*recipe(name).path, PATH])}", "LANG=C.UTF-8"]


def containerfile(name: str) -> str:
    """The same image for a container engine, where there is no apt; installed the usual way."""
    made = recipe(name)
    # The user goes first: the packages' scripts then find it, and keep its id.
    commands = [
        f"groupadd --gid {made.gid} {name}",
        f"useradd --uid {made.uid} --gid {made.gid} --no-create-home {name}",
        "apt-get update",
        f"apt-get install --yes --no-install-recommends {' '.join(PLAIN + tuple(made.packages))}",
        "rm -rf /var/lib/apt/lists/*",
        *(f"install --directory --owner={name} --group={name} /{d}" for d in made.directories),
        *(f"ln -sf {target} /{link}" for link, target in made.links.items()),
    ]
    return (
        f"FROM debian:{made.suite}-slim\n"
        f"RUN {' && '.join(commands)}\n"
        f"ENV {' '.join(environment(name))}\n"
        f"USER {made.uid}:{made.gid}\n"
        f"STOPSIGNAL {made.stop_signal}\n"
    )


def archive(name: str) -> Path:
    """Where the image is once it is built."""
    return cache_folder() / "images" / f"{name}-{_key(name)}.tar"


def _key(name: str) -> str:
    described = [image_archive.FORMAT, asdict(table().base), asdict(recipe(name))]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()[:16]


def _build(archives: Mapping[str, Path]) -> None:
    folder = cache_folder() / "images"
    for left in [*folder.glob("build-*"), *folder.glob("*.partial")]:
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    suites = sorted({recipe(name).suite for name in archives})
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix="build-") as scratch,
        step("container images", total=len(archives)) as shown,
        # The suites do not need each other, and most of the work is done outside Python's lock.
        ThreadPoolExecutor(len(suites)) as threads,
    ):

        def build(suite: str) -> None:
            _build_suite(suite, archives, Path(scratch), shown)

        for _ in threads.map(build, suites):
            pass


def _build_suite(suite: str, archives: Mapping[str, Path], scratch: Path, shown: Step) -> None:
    base = table().base
    source = Suite(name=suite, root=cache_folder() / "apt" / suite, present=base.present)
    shown.update(detail=f"package lists of Debian {suite}")
    source.update()
    names = [name for name in archives if recipe(name).suite == suite]
    shown.update(detail=f"packages of {', '.join(names)}")
    source.fetch(
        [*base.packages, *(package for name in names for package in recipe(name).packages)]
    )
    base_packages = source.closure(base.packages)
    base_layer = _base_layer(base_packages, scratch / f"base-{suite}.tar")
    for name in names:
        made, file = recipe(name), archives[name]
        shown.update(detail=name)
        packages = source.closure([*base.packages, *made.packages])
        versions = {package.name: package.version for package in packages}
        image_packages.check_floors(versions, made.at_least)
        own = [package for package in packages if package not in base_packages]
        layer = _image_layer(name, own, scratch / f"{name}.tar")
        image = Image(ref=ref(name), layers=[base_layer, layer], config=config(name))
        image_archive.pack(image, file)
        layer.file.unlink()
        for old in set(file.parent.glob(f"{name}-*.tar")) - {file}:
            old.unlink()
        shown.advance()


def _base_layer(packages: Sequence[Package], file: Path) -> Layer:
    with image_archive.writing(file) as layer:
        for link, target in table().base.links.items():
            layer.link(link, target)
        layer.write("etc/nsswitch.conf", NAME_SERVICES)
        layer.write("etc/ssl/certs/ca-certificates.crt", _certificates(packages))
        unpack(packages, layer)
    return image_archive.written(file)


def _image_layer(name: str, packages: Sequence[Package], file: Path) -> Layer:
    """What the image's packages add to the base, and its user."""
    made = recipe(name)
    users = f"root:x:0:0::/root:/bin/sh\n{name}:x:{made.uid}:{made.gid}::/:/bin/sh\n"
    with image_archive.writing(file) as layer:
        layer.write("etc/passwd", users.encode())
        layer.write("etc/group", f"root:x:0:\n{name}:x:{made.gid}:\n".encode())
        for folder in made.directories:
            layer.folder(folder, uid=made.uid, gid=made.gid)
        for link, target in made.links.items():
            layer.link(link, target)
        unpack(packages, layer)
    return image_archive.written(file)


def unpack(packages: Sequence[Package], layer: LayerWriter) -> None:
    """Adds the packages' files to the layer, without those that the table omits."""
    base = table().base
    omitted, kept = _matcher(base.omitted), _matcher(base.kept)
    for package in packages:
        for entry, content in _files(package):
            if kept.match(entry.name) or not omitted.match(entry.name):
                layer.add(entry, content)


def _certificates(packages: Sequence[Package]) -> bytes:
    """The bundle that the package's script would make."""
    authorities = [
        content.read()
        for package in packages
        if package.name == "ca-certificates"
        for entry, content in _files(package)
        if content and entry.name.endswith(".crt")
    ]
    return b"".join(authorities)


def _files(package: Package) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    """The package's entries under their final names; each must be read before the next."""
    command = ["dpkg-deb", "--fsys-tarfile", str(package.file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as unpacker:
        try:
            with tarfile.open(fileobj=unpacker.stdout, mode="r|") as tar:
                for entry in tar:
                    entry.name = _placed(entry.name)
                    if entry.islnk():
                        entry.linkname = _placed(entry.linkname)
                    yield entry, tar.extractfile(entry) if entry.isreg() else None
        except tarfile.ReadError:
            unpacker.kill()
    if unpacker.returncode:
        raise RuntimeError(f"damaged package: got {package.file}; delete it, then run again")


def _placed(name: str) -> str:
    path = name.removeprefix(".").strip("/")
    return f"usr/{path}" if path.startswith(MERGED) else path


def _matcher(patterns: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns))
