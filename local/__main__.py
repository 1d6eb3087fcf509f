"""`python -m local`: the local cluster by itself, for looking into it."""

from pathlib import Path

import typer
from rich import print

from local.cluster import SITE_PORT, LocalCluster

app = typer.Typer(no_args_is_help=True)


@app.command()
def up(site_port: int = SITE_PORT) -> None:
    """Start or repair the cluster."""
    print(f"KUBECONFIG={LocalCluster(site_port=site_port).start()}")


@app.command()
def down(delete_data: bool = False) -> None:
    """Stop the cluster."""
    LocalCluster().stop(delete_data=delete_data)


@app.command()
def status() -> None:
    """Show what runs."""
    print(LocalCluster().status())


@app.command()
def load(archive: Path) -> None:
    """Import an image archive."""
    LocalCluster().load_image(archive)


app()
