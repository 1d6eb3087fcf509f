"""Which Kubernetes a command works on: the one that is named, else one of our own.

Never one that the user did not name: an existing ~/.kube/config is not looked at.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from local import image_archive, images
from local.cluster import LocalCluster
from local.kind import KindCluster, docker_runs
from local.paths import cache_folder, state_folder
from local.progress import step


@dataclass(frozen=True, kw_only=True)
class Cluster:
    kubeconfig: Path
    own: LocalCluster | KindCluster | None
    """What to start, give images and stop; nothing where the user named a cluster."""

    @property
    def title(self) -> str:
        match self.own:
            case None:
                return f"the cluster of {self.kubeconfig}"
            case KindCluster():
                return f"kind cluster {self.own.name}"
            case LocalCluster():
                return "the local cluster"


def choose(kubeconfig: Path | None) -> Cluster:
    if kubeconfig is not None:
        return Cluster(kubeconfig=kubeconfig, own=None)
    if docker_runs():
        kind = KindCluster(kubeconfig=state_folder() / "kind" / "kubeconfig")
        return Cluster(kubeconfig=kind.kubeconfig, own=kind)
    local = LocalCluster()
    return Cluster(kubeconfig=local.kubeconfig, own=local)


def provide_images(cluster: Cluster, refs: Iterable[str]) -> None:
    """Builds and loads those images that are ours; all others come from their registries."""
    if cluster.own is None:
        return
    names: dict[str, str] = {}
    for ref in refs:
        name = ref.removeprefix(f"{images.REGISTRY}/").partition(":")[0]
        if not ref.startswith(images.REGISTRY) or name not in images.table().images:
            continue
        if ref != images.ref(name):
            raise ValueError(
                f"image is not known: got {ref!r}, allowed {images.ref(name)} or an image of a "
                "registry; correct it in the stack file"
            )
        names[ref] = name
    archives = images.ensure(names.values())
    for ref, name in names.items():
        load_image(cluster, ref, archives[name])


def load_image(cluster: Cluster, ref: str, archive: Path) -> None:
    """Gives an image to a cluster of our own, unless it has exactly this one."""
    if cluster.own is None:
        return
    # A tag may stay while the content changes.
    note, content = cache_folder() / "loaded" / ref.replace("/", "_"), image_archive.digest(archive)
    if cluster.own.has_image(ref) and note.exists() and note.read_text() == content:
        return
    with step(f"load {ref}"):
        cluster.own.load_image(archive)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(content)


def is_running(cluster: Cluster) -> bool:
    """Whether a cluster of our own can be asked anything."""
    match cluster.own:
        case LocalCluster():
            return cluster.own.status().running
        case KindCluster():
            return cluster.kubeconfig.exists()
        case None:
            return True


def pause(cluster: Cluster) -> None:
    """Stops a cluster of our own and keeps its data."""
    if not isinstance(cluster.own, LocalCluster):
        raise ValueError(f"{cluster.title} can't be stopped without its data; run: nextstack down")
    cluster.own.stop()


def remove(cluster: Cluster) -> None:
    """Takes a cluster of our own away with all its data."""
    match cluster.own:
        case LocalCluster():
            cluster.own.stop(delete_data=True)
        case KindCluster():
            cluster.own.stop()
            cluster.kubeconfig.unlink(missing_ok=True)
        case None:
            return
