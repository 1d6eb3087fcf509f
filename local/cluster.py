"""A single-node Kubernetes on this machine: started, repaired, looked at and taken away.

Leaves out what is deployed into it. It is a real node whose API server, kubelet and pods run as
processes of the host, in a network namespace of their own; it needs root, but no container engine.
"""

import contextlib
import fcntl
import hashlib
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from local import node
from local.binaries import Binaries, binaries_here, ensure_binaries, kubernetes_version
from local.image_archive import Image, pack, writing, written
from local.machine import refuse_taken_port, refuse_unfit
from local.paths import cache_folder, state_folder
from local.progress import Step, step
from local.settings import CONTAINERD_SOCKET, PAUSE_IMAGE, Settings

SITE_PORT = 3000

ADDONS = Path(__file__).parent / "addons.yaml"


class ClusterLike(Protocol):
    """A cluster that can be given images: the local node's or kind's."""

    @property
    def kubeconfig(self) -> Path:
        """How to reach it."""
        ...

    def load_image(self, archive: Path) -> None:
        """Imports an OCI archive."""
        ...

    def has_image(self, ref: str) -> bool:
        """Whether it holds an image of this name."""
        ...


@dataclass(frozen=True, kw_only=True)
class Status:
    """What of the local cluster runs."""

    running: bool
    """Whether every process of the node runs."""
    node_ready: bool
    version: str
    """Of Kubernetes."""
    pids: dict[str, int]
    """Id of each running process of the node, by name, without the pods."""
    memory_mib: int
    """Resident memory of those processes; pages that they share count in each."""


@dataclass(frozen=True, kw_only=True)
class LocalCluster:
    """The one local cluster of this machine."""

    site_port: int = SITE_PORT
    """Port of 127.0.0.1 that leads to nginx."""
    state: Path = field(default_factory=lambda: state_folder() / "cluster")
    """Folder of objects, volumes, certificates and logs."""
    images: Path = field(default_factory=lambda: cache_folder() / "containerd")
    """Folder of the images that the node holds."""

    @property
    def kubeconfig(self) -> Path:
        return self._settings.kubeconfig

    @property
    def logs_dir(self) -> Path:
        """One file per process of the node, and the pods' logs below `pods`."""
        return self._settings.logs

    def start(self) -> Path:
        """Brings the cluster up and returns its kubeconfig.

        Running it again changes nothing, or repairs what ended or was left half done.
        """
        refuse_unfit()
        with self._alone():
            if not self._settings.site().has_process():
                refuse_taken_port(self.site_port)
            ensure_binaries()
            if not self._is_up():
                with step("start Kubernetes") as progress:
                    self._bring_up(progress)
        return self.kubeconfig

    def stop(self, *, delete_data: bool = False) -> None:
        """Takes the cluster away: its processes, mounts, cgroups, network.

        Programs and images stay, and so do objects and volumes unless `delete_data` is true.
        """
        refuse_unfit()
        with self._alone(), step("stop Kubernetes"):
            node.take_down(self.state, self.images)
            if delete_data and self.state.exists():
                shutil.rmtree(self.state)

    def status(self) -> Status:
        """What runs now; asks, and changes nothing."""
        daemons = self._settings.daemons()
        pids = {daemon.name: pid for daemon in daemons if (pid := daemon.pid()) is not None}
        return Status(
            running=len(pids) == len(daemons),
            node_ready=node.is_ready(self._settings, pids.get("kubelet")),
            version=kubernetes_version(),
            pids=pids,
            memory_mib=sum(map(node.resident_mib, pids.values())),
        )

    def load_image(self, archive: Path) -> None:
        """Imports an OCI or Docker archive into the node."""
        self._ctr("images", "import", str(archive))

    def has_image(self, ref: str) -> bool:
        """Whether the node holds an image of this name."""
        return ref in self._ctr("images", "list", "--quiet").splitlines()

    @property
    def _settings(self) -> Settings:
        return Settings(
            binaries=binaries_here(),
            state=self.state,
            images=self.images,
            site_port=self.site_port,
        )

    def _is_up(self) -> bool:
        settings = self._settings
        pids = {daemon.name: daemon.pid() for daemon in settings.daemons()}
        # The cheap questions first: asking a node that is down takes until the time-out.
        return (
            None not in pids.values()
            and self._addons_note.exists()
            and _containerd_answers()
            and self.has_image(PAUSE_IMAGE)
            and node.is_ready(settings, pids["kubelet"])
        )

    def _bring_up(self, progress: Step) -> None:
        settings = self._settings
        daemons = node.launch(settings)

        def wait(what: str, done: Callable[[], bool]) -> None:
            progress.update(detail=f"wait for {what}")
            node.wait(settings, daemons, what, done)

        wait("containerd", _containerd_answers)
        if not self.has_image(PAUSE_IMAGE):
            self._load_pause_image(settings.binaries)
        wait("the API server", lambda: node.is_api_ready(settings))
        self._apply_addons(settings.binaries)
        kubelet = next(daemon for daemon in daemons if daemon.name == "kubelet")
        wait("the node", lambda: node.is_ready(settings, kubelet.pid()))
        wait("DNS", node.is_dns_ready)

    def _apply_addons(self, binaries: Binaries) -> None:
        if self._addons_note.exists():
            return
        apply = ["apply", "--server-side", "--force-conflicts", f"--filename={ADDONS}"]
        _run(str(binaries.kubectl), f"--kubeconfig={self.kubeconfig}", *apply)
        self._addons_note.touch()

    @property
    def _addons_note(self) -> Path:
        """Exists when the cluster has the addons of the present file."""
        digest = hashlib.sha256(ADDONS.read_bytes()).hexdigest()[:8]
        return self.state / "config" / f"addons-{digest}.applied"

    def _load_pause_image(self, binaries: Binaries) -> None:
        with tempfile.TemporaryDirectory() as folder:
            layer = Path(folder) / "layer.tar"
            with writing(layer) as files:
                files.write("pause", (binaries.go / "pause").read_bytes(), mode=0o755)
            image = Image(
                ref=PAUSE_IMAGE,
                layers=[written(layer)],
                config={"Entrypoint": ["/pause"], "User": "65535:65535"},
            )
            pack(image, Path(folder) / "pause.tar")
            self.load_image(Path(folder) / "pause.tar")

    def _ctr(self, *arguments: str) -> str:
        client = self._settings.binaries.ctr
        if not _containerd_answers():
            raise RuntimeError("the local cluster does not run: start it first")
        return _run(str(client), f"--address={CONTAINERD_SOCKET}", "--namespace=k8s.io", *arguments)

    @contextlib.contextmanager
    def _alone(self) -> Generator[None]:
        """Lets one start or stop run at a time."""
        self.state.parent.mkdir(parents=True, exist_ok=True)
        with self.state.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                with step("wait for another start or stop of the cluster"):
                    fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _containerd_answers() -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(CONTAINERD_SOCKET)) == 0


def _run(*command: str) -> str:
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed: {finished.stderr.strip()}")
    return finished.stdout
