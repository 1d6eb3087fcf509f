"""How a running stack is: its workloads, the cache's primary, its last backups."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from commands import job_results, pods
from commands.job_results import JobResult
from components.backups import DUMP, RESTORE_TEST
from offline.direct import failure
from offline.direct.kubernetes_api import ApiError, Body, KubernetesApi
from offline.direct.readiness import Stage, readiness

WORKLOADS = ("StatefulSet", "Deployment")
# Prints the address that enough Sentinels name; the script is the data servers' own.
ASK_PRIMARY = ["sh", "-c", ". /etc/redis/redis-ask.sh; named_primary"]


@dataclass(frozen=True, kw_only=True)
class Workload:
    name: str
    kind: str
    ready: int
    wanted: int
    restarts: int
    trouble: str
    """What it waits for; empty where all is well."""


@dataclass(frozen=True, kw_only=True)
class Health:
    workloads: list[Workload]
    cache_primaries: dict[str, str]
    """Pod of the primary of each cache in the cluster; empty text where there is none now."""
    backup: JobResult | None
    restore_test: JobResult | None

    @property
    def ok(self) -> bool:
        jobs = (self.backup, self.restore_test)
        return (
            bool(self.workloads)
            and not any(workload.trouble for workload in self.workloads)
            and all(self.cache_primaries.values())
            and all(job.ok for job in jobs if job is not None)
        )


def health(api: KubernetesApi, namespace: str) -> Health:
    running = pods.find(api, namespace)
    workloads = [w for kind in WORKLOADS for w in api.list("apps/v1", kind, namespace)]
    return Health(
        workloads=[_workload(api, live, running) for live in workloads],
        cache_primaries=_cache_primaries(api, namespace, running),
        backup=_newest(api, namespace, DUMP),
        restore_test=_newest(api, namespace, RESTORE_TEST),
    )


def urls(outputs: Mapping[str, Any]) -> dict[str, str]:
    return {name: outputs[name] for name in ("appUrl", "apiUrl", "healthUrl")}


def show(found: Health, urls: Mapping[str, str]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for workload in sorted(found.workloads, key=lambda w: w.name):
        table.add_row(
            Text(workload.name, "bold"),
            Text(f"{workload.ready}/{workload.wanted} ready", "red" if workload.trouble else ""),
            f"{workload.restarts} restarts" if workload.restarts else "",
            workload.trouble,
        )
    for name, pod in found.cache_primaries.items():
        table.add_row(Text(f"{name} primary", "bold"), Text(pod or "none", "" if pod else "red"))
    lines = Table.grid(padding=(0, 2))
    for title, result in (("last backup", found.backup), ("restore test", found.restore_test)):
        words = result.words if result else "none yet"
        lines.add_row(Text(title, "bold"), Text(words, "" if not result or result.ok else "red"))
    for name, url in urls.items():
        lines.add_row(Text(name, "bold"), url)
    return Group(table, "", lines)


def _workload(api: KubernetesApi, live: Body, running: list[Body]) -> Workload:
    found = readiness(live)
    labels = live["spec"]["selector"]["matchLabels"].items()
    own = [pod for pod in running if labels <= pod["metadata"].get("labels", {}).items()]
    trouble = "" if found.stage is Stage.READY else failure.reason(api, live) or found.reason
    return Workload(
        name=live["metadata"]["name"],
        kind=live["kind"],
        ready=live.get("status", {}).get("readyReplicas", 0),
        wanted=live["spec"].get("replicas", 1),
        restarts=sum(pods.restarts(pod) for pod in own),
        trouble=trouble,
    )


def _cache_primaries(api: KubernetesApi, namespace: str, running: list[Body]) -> dict[str, str]:
    """Asked inside one pod of each set, because only these know the password and the Sentinels."""
    primaries: dict[str, str] = {}
    for pod in running:
        labels = pod["metadata"].get("labels", {})
        instance = labels.get("app.kubernetes.io/instance", "")
        if pods.component_of(pod) != "redis" or primaries.get(instance):
            continue
        try:
            address = api.execute(namespace, pod["metadata"]["name"], ASK_PRIMARY).strip()
        except ApiError:
            address = ""  # this pod is down; another one may answer
        primaries[instance] = _name_of(api, namespace, address)
    return primaries


def _name_of(api: KubernetesApi, namespace: str, address: str) -> str:
    """The pod behind the fixed address of its own Service, which has the pod's name."""
    services = api.list("v1", "Service", namespace) if address else []
    names = [s["metadata"]["name"] for s in services if s["spec"].get("clusterIP") == address]
    return names[0] if names else address


def _newest(api: KubernetesApi, namespace: str, cron_job: str) -> JobResult | None:
    found = job_results.results(api, namespace, cron_job)
    return found[-1] if found else None
