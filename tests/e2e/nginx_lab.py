"""A real nginx with the generated configuration, before pods that are threads, on loopback.

Each pod has an address of its own (127.1.0.2 …) and a build; a name server of a few lines lists
them, as the cluster's does. Leaves out Kubernetes and the real application.
"""

import base64
import json
import os
import re
import shutil
import socket
import ssl
import struct
import subprocess
import tarfile
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from components.certificates import server_certificate
from components.nginx_config import Front, NginxConfig, SharedSettings
from components.nginx_file import (
    CDN_FILE,
    HTTP_PORT,
    HTTPS_PORT,
    SCRATCH,
    TLS_FOLDER,
    cdn_file,
    nginx_file,
)
from local import image_archive
from local.images import cache_folder

OLDEST = (1, 30)
NOBODY = 65534
HOST = "127.0.0.1"
CDN_SECRETS = ("k" * 64, "old" + "k" * 61)


def find_nginx() -> list[str] | None:
    """A command that runs nginx 1.30 or newer: the machine's, else the dev stack's image."""
    for command in ([found] if (found := shutil.which("nginx")) else [], _from_image()):
        if command and _version(command) >= OLDEST:
            return command
    return None


def _version(command: list[str]) -> tuple[int, ...]:
    told = subprocess.run([*command, "-v"], capture_output=True, text=True).stderr
    match = re.search(r"nginx/(\d+)\.(\d+)", told)
    return tuple(int(part) for part in match.groups()) if match else (0,)


def _from_image() -> list[str]:
    archives = sorted((cache_folder() / "images").glob("nginx-*.tar"))
    if not archives:
        return []
    root = Path(tempfile.gettempdir()) / f"nextstack-{archives[0].stem}"
    if not root.exists():
        unpacking = Path(tempfile.mkdtemp(prefix="nextstack-nginx-"))
        for layer in image_archive.layers(archives[0]):
            with layer.file.open("rb") as content:
                content.seek(layer.offset)
                with tarfile.open(fileobj=content, mode="r|") as tar:
                    tar.extractall(unpacking, filter="tar")
        unpacking.chmod(0o755)
        unpacking.rename(root)
    # The image's own C library is newer than this machine's, so its loader starts the program.
    [library] = {path.parent for path in root.glob("usr/lib/*-linux-gnu*/libc.so.6")}
    [loader] = library.glob("ld-linux-*.so.*")
    return [str(loader), "--library-path", str(library), str(root / "usr/sbin/nginx")]


@dataclass
class Pod:
    address: str
    build: str
    requests: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """What it was asked, with headers in lower case."""
    server: ThreadingHTTPServer | None = None

    def start(self, port: int) -> None:
        self.server = ThreadingHTTPServer((self.address, port), _handler(self))
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def asked(self, path: str) -> list[dict[str, Any]]:
        return [request for request in self.requests if request["path"].startswith(path)]


def _handler(pod: Pod) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            with suppress(ConnectionError):
                super().handle_one_request()

        def log_message(self, format: str, *args: Any) -> None:
            """Tests read `pod.requests` instead."""

        def _answer(self) -> None:
            length = int(self.headers.get("content-length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(length)
            pod.requests.append({"path": self.path, "method": self.command, "headers": headers})
            path = self.path.split("?")[0]
            if path == "/stream" or path == "/api/events":
                self._stream("text/event-stream" if path == "/api/events" else "text/html")
            elif path == "/slow":
                time.sleep(8)
                self._send(200, b"late")
            elif path == "/api/break":
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
            elif path.startswith("/_next/static/") and f"/{pod.build}" not in path:
                self._send(404, b"not of this build", {"Cache-Control": "public, max-age=60"})
            elif path == "/big-headers":
                self._send(200, b"ok", {f"X-Big-{n}": "x" * 7000 for n in range(4)})
            else:
                told = {"pod": pod.address, "build": pod.build, "received": len(body)}
                image = path == "/_next/image"  # the only answer that may be kept
                more = {"Cache-Control": "public, max-age=60"} if image else {"Set-Cookie": "a=b"}
                body = json.dumps(told | {"headers": headers}).encode() + b" " * 2000
                self._send(200, body, more)

        do_GET = do_POST = do_PUT = do_OPTIONS = do_HEAD = _answer

        def _send(self, status: int, body: bytes, more: dict[str, str] | None = None) -> None:
            self.send_response(status)
            # What a careless application sends too; nginx has to be the only one.
            for name in ("X-Frame-Options", "Content-Security-Policy", "Referrer-Policy"):
                self.send_header(name, "of-the-application")
            self.send_header("X-Powered-By", "Next.js")
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Strict-Transport-Security", "max-age=1")
            for name, value in (more or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _stream(self, content_type: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for number in range(4):
                time.sleep(0.3 if number else 0)
                part = f"part {number}\n".encode()
                self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")

    return Handler


class Names:
    """Answers every question for an IPv4 address with the pods' addresses (RFC 1035)."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HOST, 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                query, client = self.socket.recvfrom(512)
                self.socket.sendto(self._reply(query), client)

    def _reply(self, query: bytes) -> bytes:
        end = query.index(b"\0", 12) + 5
        question = query[12:end]
        [kind] = struct.unpack("!H", question[-4:-2])
        addresses = self.addresses if kind == 1 else []
        answers = b"".join(
            struct.pack("!HHHIH", 0xC00C, 1, 1, 5, 4) + socket.inet_aton(address)
            for address in addresses
        )
        head = struct.pack("!HHHHHH", 0x8180, 1, len(addresses), 0, 0, 0)
        return query[:2] + head[:2] + head[2:10] + question + answers


@dataclass
class Lab:
    port: int
    tls_port: int
    app_port: int
    folder: Path
    names: Names
    pods: list[Pod]

    def ask(
        self,
        path: str,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        port: int = 0,
    ) -> "Answer":
        connection = HTTPConnection(HOST, port or self.port, timeout=20)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    def ask_tls(self, path: str, headers: dict[str, str] | None = None) -> "Answer":
        context = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        context.check_hostname = False
        connection = HTTPSConnection(HOST, self.tls_port, timeout=20, context=context)
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        answer = Answer(response.status, response.getheaders(), response.read())
        connection.close()
        return answer

    def raw(self, request: bytes) -> bytes:
        """What comes back for these bytes, until nginx closes."""
        with socket.create_connection((HOST, self.port), timeout=20) as connection:
            connection.sendall(request)
            parts: list[bytes] = []
            with suppress(TimeoutError, ConnectionResetError):
                while part := connection.recv(65536):
                    parts.append(part)
            return b"".join(parts)

    def memory_kib(self) -> int:
        """What the worker holds, shared zones left out."""
        pid = (self.folder / "nginx.pid").read_text().strip()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        # The others look after the cache.
        [worker] = [c for c in children if b"worker" in Path(f"/proc/{c}/cmdline").read_bytes()]
        status = Path(f"/proc/{worker}/status").read_text()
        return int(re.findall(r"^RssAnon:\s+(\d+) kB", status, re.MULTILINE)[0])

    def log(self) -> list[dict[str, Any]]:
        """The access log; fails if a line is not JSON."""
        time.sleep(0.1)
        lines = (self.folder / "access.log").read_bytes().splitlines()
        return [json.loads(line) for line in lines]

    def publish(self, *pods: Pod) -> None:
        """Lists these pods as the ready ones, and waits until nginx has asked again."""
        self.names.addresses = [pod.address for pod in pods]
        time.sleep(1.5)


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def one(self, name: str) -> str:
        [value] = self.all(name)
        return value

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


@contextmanager
def running(
    command: list[str],
    config: NginxConfig,
    shared: SharedSettings,
    front: Front,
    builds: tuple[str, ...],
) -> Generator[Lab]:
    """A lab with one pod for each of `builds`; nginx runs as nobody where the tests are root."""
    names, port, tls_port, app_port = Names(), free_port(), free_port(), free_port()
    pods = [Pod(f"127.1.0.{2 + number}", build) for number, build in enumerate(builds)]
    folder = Path(tempfile.mkdtemp(prefix="nextstack-lab-"))
    lab = Lab(
        port=port, tls_port=tls_port, app_port=app_port, folder=folder, names=names, pods=pods
    )
    for pod in pods:
        pod.start(app_port)
    names.addresses = [pod.address for pod in pods]
    text = (
        nginx_file(config, shared, front, "web-pods.lab.svc", app_port)
        .replace(f" {SCRATCH}/", f" {folder}/")
        .replace("/dev/stdout", f"{folder}/access.log")
        .replace(f"listen {HTTP_PORT}", f"listen {HOST}:{port}")
        .replace(f"listen {HTTPS_PORT}", f"listen {HOST}:{tls_port}")
        .replace(f'"{HTTPS_PORT}"', f'"{tls_port}"')
        .replace(TLS_FOLDER, str(folder))
        .replace(CDN_FILE, f"{folder}/cdn.conf")
        .replace(f"resolver {config.dns_server}", f"resolver {HOST}:{names.port}")
    )
    (folder / "nginx.conf").write_text(text)
    (folder / "cdn.conf").write_text(cdn_file(CDN_SECRETS))
    certificate = server_certificate(base64.b64encode(b"0" * 32).decode(), ["localhost"])
    (folder / "ca.crt").write_text(certificate.ca)
    (folder / "tls.crt").write_text(certificate.certificate)
    (folder / "tls.key").write_text(certificate.key)
    root = os.geteuid() == 0
    if root:
        os.chown(folder, NOBODY, NOBODY)
    process = subprocess.Popen(
        [*command, "-e", f"{folder}/error.log", "-g", "daemon off;", "-c", f"{folder}/nginx.conf"],
        user=NOBODY if root else None,
        group=NOBODY if root else None,
        extra_groups=[] if root else None,
    )
    try:
        _wait_until_up(lab, process)
        yield lab
    finally:
        process.terminate()
        process.wait(10)
        for pod in pods:
            pod.stop()
        names.socket.close()
        shutil.rmtree(folder)


def _wait_until_up(lab: Lab, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while process.poll() is None and time.monotonic() < deadline:
        # The application's own status says that its name has been resolved too.
        with suppress(OSError):
            if lab.ask("/ready-to-test").status in (200, 301, 403, 421, 503):
                return
        time.sleep(0.05)
    raise RuntimeError(f"nginx did not start: {(lab.folder / 'error.log').read_text()}")
