"""The pods of a stack, and what their status tells."""

from offline.direct.kubernetes_api import Body, KubernetesApi

# Set by components/pod.py on every pod.
NAME_LABEL = "app.kubernetes.io/name"


def find(api: KubernetesApi, namespace: str, labels: str = "") -> list[Body]:
    found = api.list("v1", "Pod", namespace, labels)
    return sorted(found, key=lambda pod: (component_of(pod), pod["metadata"]["name"]))


def component_of(pod: Body) -> str:
    return pod["metadata"].get("labels", {}).get(NAME_LABEL, "other")


def container_names(pod: Body) -> list[str]:
    """Those that have started, init containers included."""
    status = pod.get("status", {})
    started: list[Body] = [
        *status.get("initContainerStatuses", []),
        *status.get("containerStatuses", []),
    ]
    return [
        container["name"]
        for container in started
        if container["state"].keys() & {"running", "terminated"}
    ]


def restarts(pod: Body) -> int:
    return sum(c["restartCount"] for c in pod.get("status", {}).get("containerStatuses", []))


def final_message(pod: Body) -> str:
    """The last word of the pod's container, or of the step before it that failed; may be empty."""
    status = pod.get("status", {})
    ended = [_end(container) for container in status.get("containerStatuses", [])]
    steps = [_end(container) for container in status.get("initContainerStatuses", [])]
    ended += [end for end in steps if end.get("exitCode")]
    return next((end["message"] for end in ended if end.get("message")), "")


def _end(container: Body) -> Body:
    return container["state"].get("terminated", {})
