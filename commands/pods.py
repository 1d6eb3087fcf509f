"""The pods of a stack, and what their status tells."""

from offline.kubernetes_api import Body, KubernetesApi

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
    """What the pod's container wrote as its last word; empty while it runs."""
    for container in pod.get("status", {}).get("containerStatuses", []):
        if message := container["state"].get("terminated", {}).get("message", ""):
            return message
    return ""
