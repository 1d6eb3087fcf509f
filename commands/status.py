"""`nextstack status`: whether a stack is well, at a glance."""

import typer

from commands.options import AsJson, Kubeconfig, Stack


def status(stack: Stack = "dev", kubeconfig: Kubeconfig = None, as_json: AsJson = False) -> None:
    """Show workloads, the cache's primary, backups and URLs; exit code 1 if one is not well."""
    import json
    from dataclasses import asdict

    from rich.console import Console

    from commands import deploy, health

    cluster = deploy.running_cluster(stack, kubeconfig)
    api = deploy.connect(stack, cluster)
    found = health.health(api, deploy.setting(stack, "namespace"))
    urls = health.urls(deploy.outputs(stack, kubeconfig))
    if as_json:
        print(json.dumps(asdict(found) | {"urls": urls, "ok": found.ok}, indent=2))
    else:
        Console().print(health.show(found, urls))
    if not found.ok:
        raise typer.Exit(1)
