"""A Kubernetes of kind, for machines where Docker runs.

Leaves out installing kind: where the program is missing, the local node of cluster.py serves.
"""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from local.cluster import SITE_PORT
from local.progress import step
from local.settings import SITE_NODE_PORT

WAIT = ("--wait", "120s")
# Else nobody answers at the site's address: kind publishes no port by itself.
CONFIG = {
    "kind": "Cluster",
    "apiVersion": "kind.x-k8s.io/v1alpha4",
    "nodes": [
        {
            "role": "control-plane",
            "extraPortMappings": [
                {
                    "listenAddress": "127.0.0.1",
                    "hostPort": SITE_PORT,
                    "containerPort": SITE_NODE_PORT,
                }
            ],
        }
    ],
}


def docker_runs() -> bool:
    """Whether kind can work here: its program is installed and Docker answers."""
    if shutil.which("kind") is None or shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


@dataclass(frozen=True, kw_only=True)
class KindCluster:
    """One kind cluster."""

    kubeconfig: Path
    """Where its kubeconfig is written, so that the user's own one stays as it is."""
    name: str = "nextstack"
    """Name of the cluster and of its containers."""

    def start(self) -> Path:
        """Creates the cluster unless it exists, and returns its kubeconfig."""
        self.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        with step(f"kind cluster {self.name}"):
            if self.name in _kind("get", "clusters").splitlines():
                _kind("export", "kubeconfig", *self._target())
            else:
                config = self.kubeconfig.with_name(f"{self.kubeconfig.name}.kind")
                config.write_text(json.dumps(CONFIG))
                _kind("create", "cluster", *self._target(), "--config", str(config), *WAIT)
        return self.kubeconfig

    def stop(self) -> None:
        """Deletes the cluster with all its data."""
        with step(f"delete kind cluster {self.name}"):
            _kind("delete", "cluster", *self._target())

    def load_image(self, archive: Path) -> None:
        """Imports an OCI or Docker archive into the node."""
        _kind("load", "image-archive", str(archive), "--name", self.name)

    def has_image(self, ref: str) -> bool:
        """Whether the node holds an image of this name."""
        node = f"{self.name}-control-plane"
        return ref in _run("docker", "exec", node, "ctr", "-n=k8s.io", "images", "ls", "-q").split()

    def _target(self) -> tuple[str, ...]:
        return ("--name", self.name, "--kubeconfig", str(self.kubeconfig))


def _kind(*arguments: str) -> str:
    return _run("kind", *arguments)


def _run(*command: str) -> str:
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed: {finished.stderr.strip()}")
    return finished.stdout
