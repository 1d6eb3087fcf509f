"""The containers of a backup Job and an S3 server on this machine, without a node.

A container runs in the files of its image, as its own user, with a read-only root, and the mounts,
variables and command of its manifest. Leaves out pod networks: the S3 server is on loopback.
"""

import base64
import io
import json
import os
import ssl
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from moto.core.authorization import enable_iam_authentication
from moto.iam.models import iam_backends
from moto.s3.models import s3_backends
from werkzeug.serving import make_server

from components.certificates import server_certificate
from local import image_archive, images
from offline.recorder import Graph

ACCOUNT = "123456789012"
REGION = "us-east-1"
USER = "archive"
# What the manifests' paths are in a container: its own runtime makes them, and these devices.
DEVICES = ("null", "zero", "random", "urandom")
RESULT = "dev/termination-log"
FILES = {
    "archive-files": "archive-files",
    "dump-files": "backups-files",
    "restore-test-files": "backups-files",
}
"""ConfigMaps, by the volumes that show them."""


def image_tree(name: str) -> Path:
    """The files of one of the dev stack's images, unpacked once."""
    archive = images.ensure([name])[name]
    root = Path(tempfile.gettempdir()) / f"nextstack-{archive.stem}"
    if not root.exists():
        unpacking = Path(tempfile.mkdtemp(prefix=f"nextstack-{name}-"))
        for layer in image_archive.layers(archive):
            with layer.file.open("rb") as content:
                content.seek(layer.offset)
                with tarfile.open(fileobj=content, mode="r|") as tar:
                    tar.extractall(unpacking, filter="tar")
        unpacking.chmod(0o755)
        unpacking.rename(root)
    return root


@dataclass(frozen=True, kw_only=True)
class Ended:
    code: int
    output: str
    """What the container wrote, errors included."""
    result: dict[str, Any]
    """What it left for the pod's status."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """Runs containers of `graph`; its folders stand for the pods' volumes."""

    graph: Graph
    folder: Path

    def volume(self, name: str) -> Path:
        path = self.folder / name
        if not path.exists():
            path.mkdir()
            os.chown(path, 999, 999)
        return path

    def run(
        self,
        container: dict[str, Any],
        volumes: Mapping[str, str],
        *,
        command: list[str] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> Ended:
        """One container to its end; `volumes` maps its volumes' names to those of this node."""
        root = image_tree(container["image"].rsplit("/", 1)[1].split(":")[0])
        user = container["securityContext"]["runAsUser"]
        with tempfile.TemporaryDirectory() as made:
            mounts = [
                (self._content(mount, volumes, Path(made)), mount)
                for mount in container["volumeMounts"]
            ]
            script = _in_a_container(root, mounts, user, Path(made) / "result")
            given = self._variables(container) | dict(variables or {})
            done = subprocess.run(
                ["unshare", "--mount", "--", "sh", "-euc", script, "sh"]
                + ["env", "-i", *(f"{name}={value}" for name, value in given.items())]
                + (command or container["command"]),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            result = (Path(made) / "result").read_text()
        return Ended(code=done.returncode, output=done.stdout, result=json.loads(result or "{}"))

    def _content(self, mount: dict[str, Any], volumes: Mapping[str, str], made: Path) -> Path:
        name: str = mount["name"]
        if name in volumes:
            return self.volume(volumes[name])
        files = made / name
        files.mkdir()
        for file, content in self._object("ConfigMap", FILES[name])["data"].items():
            (files / file).write_text(content)
        return files

    def _object(self, kind: str, name: str) -> dict[str, Any]:
        [found] = [r for r in self.graph.all(kind) if r.object_name == name]
        return found.inputs

    def _variables(self, container: dict[str, Any]) -> dict[str, str]:
        path = "/usr/lib/postgresql/17/bin:/usr/bin"
        found = {"PATH": path, "LANG": "C.UTF-8", "HOME": "/nonexistent"}
        for source in container.get("envFrom", []):
            found |= self._object("Secret", source["secretRef"]["name"])["stringData"]
        return found | {v["name"]: v["value"] for v in container.get("env", [])}


def _in_a_container(
    root: Path, mounts: Iterable[tuple[Path, dict[str, Any]]], user: int, result: Path
) -> str:
    """A shell script that mounts what a runtime would, and runs its arguments inside."""
    result.touch()
    os.chown(result, user, user)
    lines = [f"mount --bind {root} {root}"]
    for path in ("dev", "proc", *(str(mount["mountPath"]).lstrip("/") for _, mount in mounts)):
        (root / path).mkdir(parents=True, exist_ok=True)
    (root / "etc/hosts").touch()
    for source, mount in mounts:
        target = f"{root}{mount['mountPath']}"
        lines.append(f"mount --bind {source} {target}")
        if mount.get("readOnly"):
            lines.append(f"mount -o remount,bind,ro {target}")
    lines += [
        f"mount -t tmpfs tmpfs {root}/dev",
        *(
            f"touch {root}/dev/{name} && mount --bind /dev/{name} {root}/dev/{name}"
            for name in DEVICES
        ),
        f"mkdir -m 1777 {root}/dev/shm",
        f"touch {root}/{RESULT} && mount --bind {result} {root}/{RESULT}",
        f"mount --bind /proc {root}/proc",
        f"mount --bind /etc/hosts {root}/etc/hosts",
        f"mount -o remount,bind,ro {root}",
        f'exec chroot --userspec={user}:{user} {root} "$@"',
    ]
    return "\n".join(lines)


@dataclass(kw_only=True)
class Store:
    """An S3 server that checks signatures and rights, and loses bytes where it is told to."""

    bucket: str
    endpoint: str
    ca: str
    keys: dict[str, str]
    damaged: set[str] = field(default_factory=set[str])
    """GET: what is read back is not what was sent; PUT: what is stored is not."""
    requests: list[str] = field(default_factory=list[str])
    """Method and path of each request."""

    @property
    def names(self) -> set[str]:
        """Of all objects."""
        bucket: Any = s3_backends[ACCOUNT]["aws"].buckets[self.bucket]
        return set(bucket.keys)

    def remove(self, name: str) -> None:
        s3_backends[ACCOUNT]["aws"].delete_object(self.bucket, name)

    def answer(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.requests.append(f"{method} {path}")
        damage = method in self.damaged and path.endswith("/dump")
        if damage and method == "PUT":
            body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            environ["wsgi.input"] = io.BytesIO(_damaged(body))
        answer = b"".join(MOTO(environ, start))
        return [_damaged(answer) if damage and method == "GET" else answer]


# Loaded by name, because this part of it comes without types.
_moto: Any = import_module("moto.moto_server.werkzeug_app")
MOTO = _moto.DomainDispatcherApplication(_moto.create_backend_app)


def _damaged(body: bytes) -> bytes:
    """One bit is another."""
    return body[:-1] + bytes([body[-1] ^ 1])


@contextmanager
def store(bucket: str, policy: Mapping[str, Any], folder: Path) -> Generator[Store]:
    """A store with an empty bucket, whose only user has the rights of `policy`."""
    people, buckets = iam_backends[ACCOUNT]["aws"], s3_backends[ACCOUNT]["aws"]
    people.reset()
    buckets.reset()
    buckets.create_bucket(bucket, REGION)
    people.create_user(REGION, USER)
    people.put_user_policy(USER, "archive", json.dumps(policy))
    key = people.create_access_key(USER)
    certificate = server_certificate(base64.b64encode(b"0" * 32).decode(), ["localhost"])
    (folder / "tls.pem").write_text(certificate.certificate + certificate.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.pem")
    made = Store(
        bucket=bucket,
        endpoint="",
        ca=certificate.ca,
        keys={"accessKeyId": key.access_key_id, "secretAccessKey": key.secret_access_key},
    )
    server = make_server("127.0.0.1", 0, made.answer, threaded=True, ssl_context=context)
    made.endpoint = f"https://localhost:{server.port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        # Signatures and rights are checked.
        with enable_iam_authentication():
            yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
