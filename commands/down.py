"""`nextstack down`: takes a dev stack away, and the cluster with it where it is our own."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from commands.options import Kubeconfig, Stack

if TYPE_CHECKING:
    from offline.direct.kubernetes_api import KubernetesApi


def down(
    stack: Stack = "dev",
    kubeconfig: Kubeconfig = None,
    keep_cluster: Annotated[
        bool, typer.Option("--keep-cluster", help="Leave our own cluster running.")
    ] = False,
) -> None:
    """Delete a stack, its data and our own cluster; built programs and images stay cached."""
    from commands import cluster as clusters
    from commands import deploy
    from local.progress import console
    from offline.direct.stack import refuse_protected
    from offline.recorder import stack_settings

    began = time.monotonic()
    refuse_protected(stack, stack_settings(stack), "destroy")
    cluster = clusters.choose(kubeconfig)
    if cluster.own is None or keep_cluster:
        engine = deploy.choose_engine(stack, cluster)
        console.print(f"stack {stack} on {cluster.title}, by {engine.title}", soft_wrap=True)
        console.print(f"{engine.down()} objects deleted")
    else:
        if clusters.is_running(cluster):
            _refuse_company(deploy.connect(stack, cluster), stack)
        # Deleting one by one what goes with the cluster would only take time.
        deploy.forget(stack)
        clusters.remove(cluster)
    console.print(f"down in {time.monotonic() - began:.1f} s")


def _refuse_company(api: "KubernetesApi", stack: str) -> None:
    """The cluster goes with all that is in it, so nobody else may be."""
    label = "nextstack/stack"
    names = {n["metadata"].get("labels", {}).get(label, stack) for n in api.list("v1", "Namespace")}
    if others := sorted(names - {stack}):
        raise ValueError(
            f"the local cluster has other stacks: got {', '.join(others)}, allowed only {stack}; "
            "take them down first, or leave the cluster with --keep-cluster"
        )
