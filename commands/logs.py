"""`nextstack logs`: what the pods of one component, or of all, have written."""

from typing import Annotated

import typer

from commands.options import Kubeconfig, Stack

TAIL_LINES = 50


def logs(
    component: Annotated[
        str, typer.Argument(help="web, nginx, postgres, pgbouncer, redis ...; all if not given.")
    ] = "",
    stack: Stack = "dev",
    kubeconfig: Kubeconfig = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines.")] = False,
    tail: Annotated[int, typer.Option(help="Lines of each container to begin with.")] = TAIL_LINES,
) -> None:
    """Print the log of a component's containers, each line with its pod's name."""
    import threading

    from commands import deploy
    from commands.pods import component_of, container_names, find

    api = deploy.connect(stack, deploy.running_cluster(stack, kubeconfig))
    namespace = deploy.setting(stack, "namespace")
    pods = find(api, namespace)
    known = sorted({component_of(pod) for pod in pods})
    if component and component not in known:
        raise ValueError(
            f"component has no pods: got {component!r}, allowed {', '.join(known)}; choose one"
        )

    def copy(pod: str, container: str) -> None:
        for line in api.logs(namespace, pod, container, follow=follow, tail_lines=tail):
            print(f"{pod} {line}")

    threads = [
        threading.Thread(target=copy, args=(pod["metadata"]["name"], container), daemon=True)
        for pod in pods
        if component in ("", component_of(pod))
        for container in container_names(pod)
    ]
    for thread in threads:
        thread.start()
        if not follow:
            thread.join()  # one after the other, or their lines would mix
    for thread in threads:
        thread.join()
