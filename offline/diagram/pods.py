"""What runs in the cluster and who may talk to whom: nodes and flows of a stack's pods.

Workloads are told by their labels, flows by the network policies and Services, the wall by the
namespace. Leaves out what is outside of the cluster (cloud.py).
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from components.schedule import DAYS
from offline.diagram.model import Flow, Node, Shape
from offline.recorder import Graph, Registered

NAME, INSTANCE = "app.kubernetes.io/name", "app.kubernetes.io/instance"
WORKLOADS = ("CronJob", "Deployment", "Job", "StatefulSet")
REACHES = "nextstack/reaches-"

TITLES = {
    "backup": "dump",
    "migration": "schema migration",
    "nginx": "nginx",
    "pgbouncer": "PgBouncer, the pool",
    "postgres": "PostgreSQL",
    "postgres-roles": "roles and extensions",
    "redis": "Valkey",
    "redis-proxy": "HAProxy",
    "redis-sentinel": "Sentinels",
    "restore-test": "restore test",
    "seed": "first data",
    "sql-maintenance": "SQL maintenance",
    "web": "Next.js application",
}
"""Our workloads' names for people; any other keeps its own."""
STORES = ("postgres", "redis")


def nodes(graph: Graph, outside: tuple[str, ...]) -> list[Node]:
    """Workloads and shared volumes; `outside` are the walls around the cluster."""
    walls = (*outside, _namespace(graph))
    found = _workloads(graph)
    instances = Counter(_labels(workload)[INSTANCE] for workload in found)
    workloads = [
        # A component of one workload needs no wall of its own.
        _workload(graph, workload, (*walls, instance) if instances[instance] > 1 else walls)
        for workload in found
        for instance in (_labels(workload)[INSTANCE],)
    ]
    volumes = [_volume(resource, walls) for resource in graph.all("PersistentVolumeClaim")]
    return [*workloads, *sorted(volumes, key=lambda node: node.id)]


def _workloads(graph: Graph) -> list[Registered]:
    found = [
        r for r in graph.resources if r.type.startswith("kubernetes:") and _kind(r) in WORKLOADS
    ]
    return sorted(found, key=lambda r: r.name)


def _kind(resource: Registered) -> str:
    return resource.type.rsplit(":", 1)[1]


def _labels(workload: Registered) -> dict[str, str]:
    return _template(workload)["metadata"]["labels"]


def _template(workload: Registered) -> dict[str, Any]:
    """Of its pods."""
    spec = workload.inputs["spec"]
    return (spec["jobTemplate"]["spec"] if "jobTemplate" in spec else spec)["template"]


def _id(labels: dict[str, str]) -> str:
    # The queue's servers have the names of the cache's, and an instance of their own.
    return f"{labels[INSTANCE]}/{labels[NAME]}"


def _workload(graph: Graph, resource: Registered, walls: tuple[str, ...]) -> Node:
    labels, kind = _labels(resource), _kind(resource)
    name = labels[NAME]
    other = Shape.JOB if "Job" in kind else Shape.SERVER
    return Node(
        id=_id(labels),
        title=TITLES.get(name, name),
        detail=_detail(graph, resource, kind),
        shape=Shape.STORE if name in STORES else other,
        walls=walls,
    )


def _detail(graph: Graph, resource: Registered, kind: str) -> str:
    spec = resource.inputs["spec"]
    if kind == "CronJob":
        return in_words(spec["schedule"])
    if kind == "Job":
        return "before each roll-out" if "migration" in resource.name else "once"
    for scaler in graph.all("HorizontalPodAutoscaler"):
        if scaler.inputs["spec"]["scaleTargetRef"]["name"] == resource.object_name:
            bounds = scaler.inputs["spec"]
            return f"{bounds['minReplicas']} to {bounds['maxReplicas']} pods"
    count = spec.get("replicas", 1)
    return "1 pod" if count == 1 else f"{count} pods"


def in_words(schedule: str) -> str:
    """A cron schedule that our components make: at one time on every day or on some days."""
    minute, hour, _, _, days = schedule.split()
    if not (minute.isdecimal() and hour.isdecimal()):
        return f"{schedule} UTC"
    names = ", ".join(DAYS[int(day)] for day in days.split(",")) if days != "*" else ""
    return f"{names or 'daily'} {int(hour):02}:{int(minute):02} UTC"


def _volume(claim: Registered, walls: tuple[str, ...]) -> Node:
    size = claim.inputs["spec"]["resources"]["requests"]["storage"]
    return Node(
        id=f"volume/{claim.object_name}",
        title=f"volume {claim.object_name}",
        detail=size,
        shape=Shape.STORE,
        walls=walls,
    )


def _namespace(graph: Graph) -> str:
    name = graph.one("core/v1:Namespace").object_name
    return f"namespace {name}: restricted pods, no traffic but what is shown"


def flows(graph: Graph) -> list[Flow]:
    """Who calls whom, and who shares a volume; also with ends outside of the cluster."""
    return [*_permitted(graph), *_volume_flows(graph)]


def front_doors(graph: Graph) -> list[str]:
    """The workloads that strangers reach."""
    specs = [service.inputs["spec"] for service in graph.all("Service")]
    return [
        _id(spec["selector"]) for spec in specs if spec.get("type") in ("LoadBalancer", "NodePort")
    ]


def _permitted(graph: Graph) -> Iterator[Flow]:
    """What network policies open: pods to pods by label, and pods to the internet."""
    workloads = [_labels(workload) for workload in _workloads(graph)]
    for policy in graph.all("NetworkPolicy"):
        spec = policy.inputs["spec"]
        own = spec["podSelector"].get("matchLabels", {})
        for rule in spec.get("ingress", []):
            for peer in rule.get("from", []):
                wanted = peer.get("podSelector", {}).get("matchLabels", {})
                yield from _between(workloads, wanted, own, rule)
        for rule in spec.get("egress", []):
            ranges = [peer["ipBlock"]["cidr"] for peer in rule.get("to", []) if "ipBlock" in peer]
            for labels in _matching(workloads, own) if ranges else []:
                yield Flow(source=_id(labels), target=_outside(own), label=_ports(rule))


def _outside(selector: dict[str, str]) -> str:
    """Where a policy with address ranges leads: to the server that its label names, or anywhere."""
    servers = [name.removeprefix(REACHES) for name in selector if name.startswith(REACHES)]
    return f"cloud/{servers[0]}" if servers else "internet"


def _between(
    workloads: list[dict[str, str]],
    source: dict[str, str],
    target: dict[str, str],
    rule: dict[str, Any],
) -> Iterator[Flow]:
    for client in _matching(workloads, source):
        for server in _matching(workloads, target):
            yield Flow(source=_id(client), target=_id(server), label=_ports(rule))


def _matching(workloads: list[dict[str, str]], wanted: dict[str, str]) -> list[dict[str, str]]:
    return [labels for labels in workloads if wanted and wanted.items() <= labels.items()]


def _ports(rule: dict[str, Any]) -> str:
    return ", ".join(str(port["port"]) for port in rule.get("ports", []))


def _volume_flows(graph: Graph) -> Iterator[Flow]:
    """From who writes to a shared volume, and to who reads it."""
    for workload in _workloads(graph):
        pod, me = _template(workload)["spec"], _id(_labels(workload))
        containers = [*pod.get("initContainers", []), *pod["containers"]]
        for volume in pod.get("volumes", []):
            claim = volume.get("persistentVolumeClaim")
            if not claim:
                continue
            mounts = [
                mount
                for container in containers
                for mount in container.get("volumeMounts", [])
                if mount["name"] == volume["name"]
            ]
            id_ = f"volume/{claim['claimName']}"
            if all(mount.get("readOnly") for mount in mounts):
                yield Flow(source=id_, target=me, label="reads", copies=True)
            else:
                yield Flow(source=me, target=id_, label="files", copies=True)
