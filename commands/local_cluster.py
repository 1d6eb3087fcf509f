"""`nextstack cluster`: our own local cluster by itself, without a stack."""

import typer

local_cluster = typer.Typer(no_args_is_help=True, help="Our own local cluster, without a stack.")


@local_cluster.command()
def up() -> None:
    """Start or repair it."""
    from commands import cluster

    chosen = cluster.choose(None)
    if chosen.own is not None:
        print(f"export KUBECONFIG={chosen.own.start()}")


@local_cluster.command()
def down() -> None:
    """Stop it; what runs there comes back with the next up."""
    from commands import cluster

    cluster.pause(cluster.choose(None))


@local_cluster.command()
def status() -> None:
    """Show which of its processes run."""
    from commands import cluster
    from local.cluster import LocalCluster

    chosen = cluster.choose(None)
    running = cluster.is_running(chosen)
    print(f"{chosen.title} {'runs' if running else 'does not run'}")
    if isinstance(chosen.own, LocalCluster):
        found = chosen.own.status()
        print(f"Kubernetes {found.version}, node ready: {found.node_ready}, {found.memory_mib} MiB")
        for name, pid in found.pids.items():
            print(f"  {name} {pid}")
    if not running:
        raise typer.Exit(1)
