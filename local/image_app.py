"""The container image of a Next.js application: built in a copy, then one layer on Node.js.

Takes any application with `output: "standalone"` and a package-lock.json. Leaves out compilers:
dependencies must come prebuilt. Files that no page imports, such as migrations, get into the image
through the application's own `outputFileTracingIncludes`.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from local import image_archive, images
from local.image_archive import EPOCH, Image, Layer, LayerWriter
from local.paths import cache_folder
from local.progress import Step, step

# Next.js writes this one into a manifest, and prefers the variable of the same name at run time.
EMBEDDED = "NEXT_SERVER_ACTIONS_ENCRYPTION_KEY"
MANIFEST = re.compile(r"app/\.next/server/server-reference-manifest\.js(on)?")
# Of what an application without git has in its folder.
UNWANTED = re.compile(r"(^|/)(node_modules|\.next|\.git|\.env(\..*)?\.local)(/|$)")
PASSED_ON = re.compile(r"(https?|no)_proxy|npm_config_.*|corepack_.*", re.IGNORECASE)
NODE_OLDEST = (20, 9)  # of Next.js 16
KEPT_IMAGES = 3  # the running one, one to go back to, one for a second application
KEPT_FOLDERS = 2  # of about 400 MB each
# Seconds: file times are spread over the 17 years before EPOCH.
TIMES = 2**29
NODE_SETTINGS = ("NODE_ENV=production", "HOSTNAME=0.0.0.0", "PORT=3000")
SILENCE = {"CI": "1", "LANG": "C.UTF-8", "NEXT_TELEMETRY_DISABLED": "1", "NO_COLOR": "1"}
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
# Runs "$@" on the root "$1" with the application "$2" at /app. Everything mounted here vanishes
# with the namespace, however the run ends.
ENTER = f"""
set -e
root=$1 application=$2; shift 2
mount --bind "$root" "$root"
mount --bind "$application" "$root/app"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/tmp"
for file in /etc/resolv.conf /etc/hosts /etc/npmrc {CERTIFICATES} "${{HOST_HOME%/}}/.npmrc"; do
  [ -e "$file" ] || continue
  target=$root$file
  case $file in */.npmrc) target=$root/root/.npmrc;; esac
  touch "$target"
  mount --bind "$file" "$target"
done
unset HOST_HOME
exec chroot "$root" sh -c 'cd /app && exec "$@"' sh "$@"
"""


@dataclass(frozen=True, kw_only=True)
class AppImage:
    ref: str
    """Name and tag; the tag changes with the sources, the build variables and the base."""
    base: Path
    """Archive of the Node.js image, to be imported before."""
    archive: Path
    """Archive with the application's own layer, a fifth of the whole."""


@dataclass(frozen=True, kw_only=True)
class _Build:
    """One run: where, with what, and what must not be seen."""

    folder: Path
    """Copy of the application, with its node_modules."""
    root: Path | None
    """The Node.js image as a folder; none where we may not enter it."""
    variables: Mapping[str, str]
    secrets: Mapping[str, str]
    shown: Step


def build_app(
    source: Path,
    build_env: Mapping[str, str],
    *,
    name: str = "app",
    secrets: Collection[str] = (EMBEDDED,),
) -> AppImage:
    """Builds the image unless there is one of the same content.

    The variables named in `secrets` reach the build, and neither its output nor the image.
    """
    files = _sources(source)
    _check(source, files)
    base = images.ensure(["node"])["node"]
    key = _key(source, files, build_env, base)
    folder = cache_folder() / "apps"
    archive = folder / f"{name}-{key}.tar"
    made = AppImage(ref=f"{images.REGISTRY}/{name}:{key}", base=base, archive=archive)
    if archive.exists():
        return made
    with images.locked(folder):
        if not archive.exists():
            with step(f"application image {name}") as shown:
                build = _Build(
                    folder=folder / f"work-{_lock_key(source, base)}" / "app",
                    root=_root(base, folder, shown) if os.geteuid() == 0 else None,
                    variables=build_env,
                    secrets={n: v for n, v in build_env.items() if n in secrets and v},
                    shown=shown,
                )
                _run_build(build, source, files)
                _pack(build, made)
            _prune(folder, name)
    return made


def version(source: Path) -> str:
    """A name for the present sources; a commit that leaves them alone does not change it."""
    return _content(source, _sources(source)).hex()[:12]


def _sources(source: Path) -> list[str]:
    """The files that git would take; all but the usual rest where there is no git."""
    listed = subprocess.run(
        ["git", "-C", source, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
    )
    if listed.returncode == 0 and listed.stdout:
        names = set(listed.stdout.split("\0")) - {""}
    else:
        paths = (path.relative_to(source).as_posix() for path in source.rglob("*"))
        names = {name for name in paths if not UNWANTED.search(name)}
    # git also lists what is deleted but not committed.
    return sorted(name for name in names if (source / name).is_file())


def _check(source: Path, files: Collection[str]) -> None:
    for needed in ("package.json", "package-lock.json"):
        if needed not in files:
            raise ValueError(
                f"no {needed}: got the folder {source}, allowed one with a Next.js application; "
                "name its folder, or run npm install there and commit the lock file"
            )


def _key(source: Path, files: Sequence[str], variables: Mapping[str, str], base: Path) -> str:
    hashed = hashlib.sha256(
        json.dumps([image_archive.digest(base), sorted(variables.items())]).encode()
    )
    for module in (__file__, image_archive.__file__):
        hashed.update(Path(module).read_bytes())
    hashed.update(_content(source, files))
    return hashed.hexdigest()[:16]


def _content(source: Path, files: Sequence[str]) -> bytes:
    hashed = hashlib.sha256()
    for name in files:
        content = (source / name).read_bytes()
        hashed.update(f"{name}\0{_mode(source / name)}\0{len(content)}\0".encode())
        hashed.update(content)
    return hashed.digest()


def _lock_key(source: Path, base: Path) -> str:
    lock = (source / "package-lock.json").read_bytes()
    return hashlib.sha256(lock + image_archive.digest(base).encode()).hexdigest()[:16]


def _mode(file: Path) -> int:
    return 0o755 if file.stat().st_mode & 0o111 else 0o644


def _run_build(build: _Build, source: Path, files: Sequence[str]) -> None:
    build.folder.mkdir(parents=True, exist_ok=True)
    os.utime(build.folder.parent)
    for old in build.folder.iterdir():
        if old.name != "node_modules":
            shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    for name in files:
        target = build.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / name, target)
    installed = build.folder.with_name("installed")
    if installed.exists():
        # Scripts that generate code from the sources, such as Prisma's, run after an install.
        _npm(build, ["run", "--if-present", "postinstall"], {})
    else:
        _npm(build, ["ci"], {})
        installed.touch()
    _npm(build, ["run", "build"], {"NODE_ENV": "production", **build.variables})


def _npm(build: _Build, arguments: Sequence[str], variables: Mapping[str, str]) -> None:
    build.shown.update(detail=f"npm {' '.join(arguments)}")
    prefix, environment = _inside(build.root, build.folder) if build.root else _outside()
    last: deque[str] = deque(maxlen=40)
    with subprocess.Popen(
        [*prefix, "npm", *arguments],
        cwd=build.folder,
        env={**environment, **_passed_on(), **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        close_fds=False,  # see images.locked
    ) as running:
        for line in running.stdout or ():
            last.append(_masked(line.rstrip(), build.secrets))
            build.shown.update(detail=escape(last[-1][:60]))
    if running.returncode:
        raise RuntimeError(
            f"npm {' '.join(arguments)} failed:\n" + "\n".join(last) + "\n"
            "repair the application, or check the network, then run again"
        )


def _masked(line: str, secrets: Mapping[str, str]) -> str:
    for name, value in secrets.items():
        line = line.replace(value, f"<{name}>")
    return line


def _inside(root: Path, folder: Path) -> tuple[list[str], dict[str, str]]:
    """How to run in the Node.js image, whose corepack fetches the npm that it has a checksum of."""
    enter = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "sh"]
    return [*enter, str(root), str(folder)], {
        "PATH": images.PATH,
        "HOME": "/root",
        "HOST_HOME": str(Path.home()),
        "NODE_EXTRA_CA_CERTS": CERTIFICATES,
        "COREPACK_DEFAULT_TO_LATEST": "0",
        "COREPACK_ENABLE_DOWNLOAD_PROMPT": "0",
        **SILENCE,
    }


def _outside() -> tuple[list[str], dict[str, str]]:
    """How to run with the machine's Node.js."""
    found = shutil.which("npm") and shutil.which("node")
    version = subprocess.check_output(["node", "--version"], text=True).strip() if found else "none"
    numbers = tuple(int(number) for number in re.findall(r"\d+", version))
    if numbers < NODE_OLDEST:
        oldest = ".".join(str(number) for number in NODE_OLDEST)
        raise ValueError(
            f"Node.js is too old: got {version}, allowed {oldest} or newer with npm; "
            "install it, or run as root to build inside the Node.js image"
        )
    kept = ("HOME", "PATH", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE")
    return [], {**{name: os.environ[name] for name in kept if name in os.environ}, **SILENCE}


def _passed_on() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)}


def _root(base: Path, folder: Path, shown: Step) -> Path:
    root = folder / f"root-{image_archive.digest(base)[-16:]}"
    if not root.exists():
        shown.update(detail="unpacking Node.js")
        partial = Path(tempfile.mkdtemp(dir=folder, prefix="partial-"))
        partial.chmod(0o755)
        for layer in image_archive.layers(base):
            with layer.file.open("rb") as content:
                content.seek(layer.offset)
                with tarfile.open(fileobj=content, mode="r:") as tar:
                    tar.extractall(partial, numeric_owner=True)
        # What `corepack enable npm` does.
        programs = partial / "usr/local/bin"
        programs.mkdir(parents=True)
        for program in ("npm", "npx"):
            (programs / program).symlink_to(f"/usr/share/nodejs/corepack/dist/{program}.js")
        partial.rename(root)
    os.utime(root)
    return root


def _pack(build: _Build, made: AppImage) -> None:
    build.shown.update(detail="packing")
    settings = images.config("node")
    settings["Env"] = [*NODE_SETTINGS, *images.environment("node")]
    settings["WorkingDir"] = "/app"
    settings["Cmd"] = ["node", "server.js"]
    with tempfile.TemporaryDirectory(dir=made.archive.parent, prefix="partial-") as scratch:
        layers = [*image_archive.layers(made.base), _layer(build, Path(scratch) / "layer.tar")]
        image = Image(ref=made.ref, layers=layers, config=settings)
        image_archive.pack(image, made.archive, thin=True)


def _layer(build: _Build, file: Path) -> Layer:
    standalone = build.folder / ".next/standalone"
    if not (standalone / "server.js").exists():
        raise ValueError(
            'no server: got no .next/standalone/server.js, allowed output: "standalone" in '
            "next.config with the application's folder as outputFileTracingRoot; set both"
        )
    node = images.recipe("node")
    with image_archive.writing(file) as layer:
        _add(layer, standalone, "app", build.secrets)
        _add(layer, build.folder / ".next/static", "app/.next/static", build.secrets)
        _add(layer, build.folder / "public", "app/public", build.secrets)
        # Where a writable volume goes on a read-only root.
        layer.folder("app/.next/cache", uid=node.uid, gid=node.gid)
    return image_archive.written(file)


def _add(layer: LayerWriter, folder: Path, place: str, secrets: Mapping[str, str]) -> None:
    for path in sorted(folder.rglob("*")):
        name = f"{place}/{path.relative_to(folder).as_posix()}"
        if path.is_symlink():
            layer.link(name, os.readlink(path))
        elif path.is_file():
            content = _without_secrets(name, path.read_bytes(), secrets)
            layer.write(name, content, mode=_mode(path), mtime=_time(content))


def _without_secrets(name: str, content: bytes, secrets: Mapping[str, str]) -> bytes:
    for variable, value in secrets.items():
        if MANIFEST.fullmatch(name) and variable == EMBEDDED:
            content = content.replace(value.encode(), b"")
        elif value.encode() in content:
            raise ValueError(
                f"a secret is in the image: got the value of {variable} in /{name}, allowed only "
                "at run time; read it from process.env on the server when a request comes"
            )
    return content


def _time(content: bytes) -> int:
    """A past time that changes with the content: Next.js makes ETags of a file's size and time."""
    return EPOCH - int.from_bytes(hashlib.sha256(content).digest()[:8]) % TIMES


def _prune(folder: Path, name: str) -> None:
    """Deletes what killed runs left, and all but the newest results."""
    for left in [*folder.glob("partial-*"), *folder.glob("*.partial")]:
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    archives = sorted(folder.glob(f"{name}-*.tar"), key=_changed, reverse=True)
    for old in archives[KEPT_IMAGES:]:
        old.unlink()
    for kind in ("work-*", "root-*"):
        # Those in use were touched just now.
        for old in sorted(folder.glob(kind), key=_changed, reverse=True)[KEPT_FOLDERS:]:
            shutil.rmtree(old)


def _changed(path: Path) -> float:
    return path.stat().st_mtime
