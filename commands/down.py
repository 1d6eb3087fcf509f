"""`nextstack down`: takes a dev stack away, and the cluster with it where it is our own."""

import time
from typing import Annotated

import typer

from commands.options import Kubeconfig, Stack


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
    from offline.direct import refuse_protected
    from offline.recorder import stack_settings

    began = time.monotonic()
    refuse_protected(stack, stack_settings(stack), "destroy")
    cluster = clusters.choose(kubeconfig)
    if cluster.own is None or keep_cluster:
        engine = deploy.choose_engine(stack, cluster)
        console.print(f"stack {stack} on {cluster.title}, by {engine.title}", soft_wrap=True)
        console.print(f"{engine.down()} objects deleted")
    else:
        # Deleting one by one what goes with the cluster would only take time.
        deploy.forget(stack)
        clusters.remove(cluster)
    console.print(f"down in {time.monotonic() - began:.1f} s")
