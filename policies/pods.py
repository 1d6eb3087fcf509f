"""Where a Kubernetes object describes pods, and how those pods are found.

Leaves out any judgement.
"""

from collections.abc import Iterator
from typing import Any

from policies.rule import Resource

SERVERS = r"kubernetes:apps/v1:(Deployment|StatefulSet|DaemonSet|ReplicaSet)"
JOBS = r"kubernetes:batch/v1:(Job|CronJob)"
PODS = rf"{SERVERS}|{JOBS}|kubernetes:core/v1:(Pod|PodTemplate|ReplicationController)"
"""Types that make pods."""

Found = tuple[str, dict[str, Any]]
"""A property path, and what is there."""


def job(resource: Resource) -> Found:
    """The job of a Job or CronJob."""
    spec = resource.inputs.get("spec", {})
    if resource.kind == "CronJob":
        return "spec.jobTemplate.spec", spec.get("jobTemplate", {}).get("spec", {})
    return "spec", spec


def template(resource: Resource) -> Found:
    """What becomes a pod: its metadata and spec."""
    if resource.kind == "Pod":
        return "", resource.inputs
    if resource.kind == "PodTemplate":
        return "template.", resource.inputs.get("template", {})
    path, spec = job(resource)
    return f"{path}.template.", spec.get("template", {})


def pod(resource: Resource) -> Found:
    path, found = template(resource)
    return f"{path}spec", found.get("spec", {})


def containers(resource: Resource) -> Iterator[Found]:
    """All containers of the pod, those that run before or into it included."""
    path, spec = pod(resource)
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(kind, [])):
            yield f"{path}.{kind}[{index}]", container


def security_contexts(resource: Resource) -> Iterator[Found]:
    """The pod's security context, then its containers'."""
    path, spec = pod(resource)
    yield f"{path}.securityContext", spec.get("securityContext", {})
    for path, container in containers(resource):
        yield f"{path}.securityContext", container.get("securityContext", {})


def pod_labels(resource: Resource) -> dict[str, str]:
    return template(resource)[1].get("metadata", {}).get("labels", {})


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a label selector picks pods with `labels`; an empty one picks all."""
    return selector.get("matchLabels", {}).items() <= labels.items()
