"""How pods must run here beyond Pod Security: images, resources, probes, replicas, jobs.

Leaves out what they may reach (network.py) and the secrets they hold (data.py).
"""

import re
from collections.abc import Iterator
from typing import Any

from policies.pods import (
    JOBS,
    PODS,
    SERVERS,
    containers,
    job,
    pod,
    pod_labels,
    security_contexts,
    selects,
)
from policies.rule import Context, Resource, Severity, rule

DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
LOCAL = "localhost/"
WITHDRAWN_VENDORS = ("bitnami", "bitnamilegacy")
BUDGET = r"kubernetes:policy/v1:PodDisruptionBudget"
AUTOSCALER = r"kubernetes:autoscaling/v2:HorizontalPodAutoscaler"


@rule(
    Severity.HIGH,
    "CIS Kubernetes 5.1.6",
    types=PODS,
    fix="set automountServiceAccountToken to false, as components/pod.py does",
)
def service_account_token(resource: Resource, context: Context) -> Iterator[str]:
    path, spec = pod(resource)
    if spec.get("automountServiceAccountToken") is not False:
        yield f"{path}.automountServiceAccountToken hands the pod a key to the Kubernetes API"


@rule(
    Severity.MEDIUM,
    types=PODS,
    fix="set enableServiceLinks to false, as components/pod.py does",
)
def service_links(resource: Resource, context: Context) -> Iterator[str]:
    path, spec = pod(resource)
    if spec.get("enableServiceLinks") is not False:
        yield f"{path}.enableServiceLinks adds variables that may shadow the application's"


@rule(
    Severity.HIGH,
    "CIS Kubernetes 5.7.3",
    types=PODS,
    fix="set readOnlyRootFilesystem to true and mount an emptyDir where the program writes",
)
def read_only_root(resource: Resource, context: Context) -> Iterator[str]:
    _, *parts = security_contexts(resource)
    for path, security in parts:
        if security.get("readOnlyRootFilesystem") is not True:
            yield f"{path}.readOnlyRootFilesystem: an intruder can change the program"


@rule(
    Severity.HIGH,
    types=PODS,
    fix="name the image by digest (name@sha256:...); only development may use localhost/ tags",
)
def image_by_digest(resource: Resource, context: Context) -> Iterator[str]:
    """PL-11."""
    local = context.stage == "development"
    for path, container in containers(resource):
        image: str = container.get("image", "")
        if not DIGEST.search(image) and not (local and image.startswith(LOCAL)):
            yield f"{path}.image can change without a deployment: {image}"


@rule(
    Severity.HIGH,
    types=PODS,
    fix="name a fixed tag, and in staging and production a digest",
)
def image_without_latest(resource: Resource, context: Context) -> Iterator[str]:
    for path, container in containers(resource):
        name, _, digest = container.get("image", "").partition("@")
        tag = name.rsplit("/", 1)[-1].partition(":")[2]
        if tag == "latest" or not (tag or digest):
            yield f"{path}.image floats: {container.get('image')}"


@rule(
    Severity.MEDIUM,
    types=PODS,
    fix="use an official image or build your own",
)
def image_vendor(resource: Resource, context: Context) -> Iterator[str]:
    """PL-11: images that are no longer published get no security fixes."""
    for path, container in containers(resource):
        if {*container.get("image", "").split("/")[:-1]} & {*WITHDRAWN_VENDORS}:
            yield f"{path}.image comes from a vendor that withdrew it: {container['image']}"


@rule(
    Severity.MEDIUM,
    types=PODS,
    fix="set resources.requests.cpu and .memory and resources.limits.memory",
)
def resources_stated(resource: Resource, context: Context) -> Iterator[str]:
    for path, container in containers(resource):
        resources = container.get("resources", {})
        for part, names in (("requests", ("cpu", "memory")), ("limits", ("memory",))):
            for name in names:
                if name not in resources.get(part, {}):
                    yield f"{path}.resources.{part}.{name} is missing"


@rule(
    Severity.LOW,
    types=PODS,
    fix="remove resources.limits.cpu; the request alone divides a busy node fairly",
)
def no_cpu_limit(resource: Resource, context: Context) -> Iterator[str]:
    """AP-3: a CPU limit slows a pod down even while the node is idle."""
    for path, container in containers(resource):
        if "cpu" in container.get("resources", {}).get("limits", {}):
            yield f"{path}.resources.limits.cpu throttles"


@rule(
    Severity.MEDIUM,
    types=PODS,
    fix="set emptyDir.sizeLimit",
)
def scratch_space_limited(resource: Resource, context: Context) -> Iterator[str]:
    path, spec = pod(resource)
    for index, volume in enumerate(spec.get("volumes", [])):
        if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
            yield f"{path}.volumes[{index}] can fill the node's disk"


@rule(
    Severity.HIGH,
    types=SERVERS,
    fix="add a readinessProbe and a livenessProbe to each container",
)
def probes(resource: Resource, context: Context) -> Iterator[str]:
    path, spec = pod(resource)
    for index, container in enumerate(spec.get("containers", [])):
        for name in ("readinessProbe", "livenessProbe"):
            if not container.get(name):
                yield f"{path}.containers[{index}].{name} is missing"


@rule(
    Severity.HIGH,
    types=r"kubernetes:apps/v1:Deployment",
    fix="set strategy.rollingUpdate.maxUnavailable to 0",
)
def rollout_keeps_serving(resource: Resource, context: Context) -> Iterator[str]:
    strategy = resource.inputs.get("spec", {}).get("strategy", {})
    unavailable = strategy.get("rollingUpdate", {}).get("maxUnavailable", "25%")
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        yield "spec.strategy.type stops every pod before the first new one is ready"
    elif unavailable not in (0, "0", "0%"):
        yield f"spec.strategy.rollingUpdate.maxUnavailable stops pods too early: {unavailable}"


def replicas(resource: Resource, context: Context) -> Any:
    """The number of pods that a server has at least."""
    for autoscaler in context.of_type(AUTOSCALER):
        spec = autoscaler.inputs.get("spec", {})
        target = spec.get("scaleTargetRef", {})
        if (target.get("kind"), target.get("name")) == (resource.kind, resource.object_name):
            return spec.get("minReplicas", 1)
    return resource.inputs.get("spec", {}).get("replicas", 1)


def budgets(resource: Resource, context: Context) -> list[dict[str, Any]]:
    """The disruption budgets that select a server's pods."""
    specs = [budget.inputs.get("spec", {}) for budget in context.of_type(BUDGET)]
    labels = pod_labels(resource)
    return [spec for spec in specs if selects(spec.get("selector", {}), labels)]


def may_stop(budget: dict[str, Any], count: Any) -> bool:
    """Whether a node that holds one of `count` pods can be emptied."""
    least, most = budget.get("minAvailable"), budget.get("maxUnavailable")
    if most is not None:
        return most not in (0, "0", "0%")
    if isinstance(least, int) and isinstance(count, int):
        return least < count
    return isinstance(least, str) and least.endswith("%") and least != "100%"


@rule(
    Severity.HIGH,
    types=r"kubernetes:apps/v1:(Deployment|StatefulSet)",
    across=True,
    fix="give a server of 2 or more pods one PodDisruptionBudget that lets a single pod go",
)
def disruption_budget(resource: Resource, context: Context) -> Iterator[str]:
    count, found = replicas(resource, context), budgets(resource, context)
    several = isinstance(count, int) and count > 1
    if several and not found:
        yield f"{count} pods and no disruption budget: a node's drain may stop all of them"
    if len(found) > 1:
        yield f"{len(found)} disruption budgets select the same pods: eviction is refused"
    if len(found) == 1 and not may_stop(found[0], count):
        yield f"a disruption budget lets none of {count} pods go: a node can't be drained"


@rule(
    Severity.MEDIUM,
    types=BUDGET,
    across=True,
    fix="make spec.selector match the labels of the pods it protects",
)
def budget_has_pods(resource: Resource, context: Context) -> Iterator[str]:
    selector = resource.inputs.get("spec", {}).get("selector", {})
    servers = [r for r in context.resources if re.fullmatch(SERVERS, r.type)]
    if not any(selects(selector, pod_labels(server)) for server in servers):
        yield "spec.selector matches no pods"


@rule(
    Severity.HIGH,
    types=AUTOSCALER,
    across=True,
    fix="leave replicas out of what is scaled, and keep minReplicas at 2 or more",
)
def autoscaler_consistent(resource: Resource, context: Context) -> Iterator[str]:
    spec = resource.inputs.get("spec", {})
    target = spec.get("scaleTargetRef", {}).get("name")
    least, most = spec.get("minReplicas", 1), spec.get("maxReplicas", 0)
    scaled = [
        r for r in context.resources if re.fullmatch(SERVERS, r.type) and r.object_name == target
    ]
    if not scaled:
        yield f"spec.scaleTargetRef names nothing in this stack: {target}"
    if any("replicas" in server.inputs.get("spec", {}) for server in scaled):
        yield f"{target} sets replicas too: each deployment undoes the scaling"
    if not (isinstance(least, int) and isinstance(most, int) and 2 <= least <= most):
        yield f"spec.minReplicas is {least} and maxReplicas {most}"


@rule(
    Severity.MEDIUM,
    types=r"kubernetes:apps/v1:(Deployment|StatefulSet)",
    across=True,
    fix="add topologySpreadConstraints over kubernetes.io/hostname, or podAntiAffinity",
)
def spread_over_nodes(resource: Resource, context: Context) -> Iterator[str]:
    path, spec = pod(resource)
    keys = {c.get("topologyKey") for c in spec.get("topologySpreadConstraints", [])}
    apart = "podAntiAffinity" in spec.get("affinity", {}) or "kubernetes.io/hostname" in keys
    if replicas(resource, context) != 1 and not apart:
        yield f"{path}: one node may hold all pods"


@rule(
    Severity.MEDIUM,
    types=JOBS,
    fix="set backoffLimit and activeDeadlineSeconds",
)
def job_ends(resource: Resource, context: Context) -> Iterator[str]:
    path, spec = job(resource)
    for key in ("backoffLimit", "activeDeadlineSeconds"):
        if key not in spec:
            yield f"{path}.{key} is missing: a job that hangs is never noticed"


@rule(
    Severity.MEDIUM,
    types=r"kubernetes:batch/v1:CronJob",
    fix='set timeZone, startingDeadlineSeconds and concurrencyPolicy "Forbid"',
)
def schedule_window(resource: Resource, context: Context) -> Iterator[str]:
    spec = resource.inputs.get("spec", {})
    if spec.get("concurrencyPolicy") != "Forbid":
        yield "spec.concurrencyPolicy lets a run start while the one before goes on"
    for key in ("timeZone", "startingDeadlineSeconds"):
        if key not in spec:
            yield f"spec.{key} is missing: nobody can say when it runs"
