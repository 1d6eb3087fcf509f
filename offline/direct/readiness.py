"""Whether a Kubernetes object has become what it was asked to be, and if not, why not.

The rules are those the Pulumi provider waits by. Leaves out asking the cluster.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from offline.direct.kubernetes_api import Body


class Stage(Enum):
    READY = auto()
    WAITING = auto()
    FAILED = auto()


@dataclass(frozen=True)
class Readiness:
    stage: Stage
    reason: str = ""
    """What is missing or what went wrong, in a few words."""


READY = Readiness(Stage.READY)


def readiness(live: Body, endpoint_slices: Iterable[Body] = ()) -> Readiness:
    """The stage of an object; a Service needs the EndpointSlices that belong to it."""
    match live["kind"]:
        case "Deployment":
            return _deployment(live)
        case "StatefulSet":
            return _stateful_set(live)
        case "DaemonSet":
            return _daemon_set(live)
        case "Job":
            return _job(live)
        case "Pod":
            return _pod(live)
        case "Service":
            return _service(live, endpoint_slices)
        case _:
            return READY


def _waiting(reason: str) -> Readiness:
    return Readiness(Stage.WAITING, reason)


def _conditions(live: Body) -> Mapping[str, Body]:
    return {c["type"]: c for c in live.get("status", {}).get("conditions", [])}


def _is(condition: Body | None, status: str = "True") -> bool:
    return condition is not None and condition["status"] == status


def _unseen(live: Body) -> bool:
    """Whether the controller has not looked at this version of the object yet."""
    return live.get("status", {}).get("observedGeneration", 0) < live["metadata"]["generation"]


def _deployment(live: Body) -> Readiness:
    if _unseen(live):
        return _waiting("not seen by its controller")
    conditions, status = _conditions(live), live["status"]
    progress = conditions.get("Progressing")
    if progress is not None and progress.get("reason") == "ProgressDeadlineExceeded":
        return Readiness(Stage.FAILED, progress["message"])
    wanted = live["spec"].get("replicas", 1)
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    if updated < wanted or available < wanted:
        return _waiting(f"{min(updated, available)} of {wanted} available")
    if status.get("replicas", 0) > updated:
        return _waiting(f"{status['replicas'] - updated} old to go")
    return READY


def _stateful_set(live: Body) -> Readiness:
    if _unseen(live):
        return _waiting("not seen by its controller")
    wanted, status = live["spec"].get("replicas", 1), live["status"]
    if (ready := status.get("readyReplicas", 0)) < wanted:
        return _waiting(f"{ready} of {wanted} ready")
    on_delete = live["spec"].get("updateStrategy", {}).get("type") == "OnDelete"
    if not on_delete and status.get("currentRevision") != status.get("updateRevision"):
        return _waiting(f"{status.get('updatedReplicas', 0)} of {wanted} updated")
    return READY


def _daemon_set(live: Body) -> Readiness:
    if _unseen(live):
        return _waiting("not seen by its controller")
    status = live["status"]
    wanted = status["desiredNumberScheduled"]
    done = min(status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0))
    return READY if done >= wanted else _waiting(f"{done} of {wanted} available")


def _job(live: Body) -> Readiness:
    conditions = _conditions(live)
    if _is(conditions.get("Complete")):
        return READY
    if _is(conditions.get("Failed")):
        return Readiness(Stage.FAILED, conditions["Failed"].get("message", "failed"))
    if live["spec"].get("suspend"):
        return READY
    failed = live.get("status", {}).get("failed", 0)
    return _waiting(f"running, {failed} tries failed" if failed else "running")


def _pod(live: Body) -> Readiness:
    phase = live.get("status", {}).get("phase", "Pending")
    if phase == "Failed":
        return Readiness(Stage.FAILED, live["status"].get("reason", "failed"))
    ready = phase == "Succeeded" or _is(_conditions(live).get("Ready"))
    return READY if ready else _waiting(pod_reason(live) or phase)


def _service(live: Body, endpoint_slices: Iterable[Body]) -> Readiness:
    spec = live["spec"]
    balancer = live.get("status", {}).get("loadBalancer", {}).get("ingress")
    if spec.get("type") == "LoadBalancer" and not balancer:
        return _waiting("no address of a load balancer")
    if spec.get("type") == "ExternalName" or spec.get("clusterIP") == "None":
        return READY
    if not spec.get("selector"):
        return READY
    ready = any(_has_ready_endpoint(s) for s in endpoint_slices)
    return READY if ready else _waiting("no pod is ready behind it")


def _has_ready_endpoint(endpoint_slice: Body) -> bool:
    endpoints: list[Body] = endpoint_slice.get("endpoints") or []
    return any(e.get("conditions", {}).get("ready") for e in endpoints)


def pod_reason(pod: Body) -> str:
    """Why a pod is not ready, or nothing where it is or is just starting."""
    status = pod.get("status", {})
    scheduled = _conditions(pod).get("PodScheduled")
    if _is(scheduled, "False"):
        return f"not scheduled: {scheduled.get('message', '') if scheduled else ''}"
    for container in _containers(status):
        state: dict[str, Any] = container.get("state", {})
        waiting = state.get("waiting", {}).get("reason", "")
        if waiting and waiting not in ("ContainerCreating", "PodInitializing"):
            detail = state["waiting"].get("message", "")
            return f"{container['name']}: {waiting} {detail}".strip()
        ended = state.get("terminated", {})
        if ended.get("exitCode"):
            return f"{container['name']}: {ended.get('reason')} with exit code {ended['exitCode']}"
    return ""


def _containers(status: Body) -> list[Body]:
    return [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
