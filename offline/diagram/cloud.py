"""What a stack has on AWS: stores, copies of data, the edge and monitoring, as nodes and flows.

Walls are regions and networks. Leaves out what only supports others: keys, roles, rules, subnets.
"""

from collections.abc import Iterator

from offline.diagram.model import Flow, Node, Shape
from offline.recorder import Graph, Registered

DATABASE = "aws:rds/instance:Instance"
CACHE = "aws:elasticache/replicationGroup:ReplicationGroup"
VAULT = "aws:backup/vault:Vault"
REPLICATION = "aws:rds/instanceAutomatedBackupsReplication:InstanceAutomatedBackupsReplication"
BUCKET = "aws:s3/bucket:Bucket"
SECRET = "aws:secretsmanager/secret:Secret"
CDN = "aws:cloudfront/distribution:Distribution"
REGISTRY = "aws:ecr/repository:Repository"
TOPIC = "aws:sns/topic:Topic"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
CHECK = "aws:route53/healthCheck:HealthCheck"
EXTERNAL = {"ExternalDatabase": "PostgreSQL", "ExternalCache": "cache"}
MONITORING, ON_CALL = "cloud/monitoring", "on-call"


def of(graph: Graph, *types: str) -> list[Registered]:
    """The resources of `types`, by name."""
    return sorted((r for r in graph.resources if r.type in types), key=lambda r: r.name)


def cluster_walls(graph: Graph) -> tuple[str, ...]:
    """What is around the pods: region and network, where the stack makes them."""
    for cluster in of(graph, "aws:eks/cluster:Cluster"):
        own = f"EKS cluster {cluster.inputs['name']}, private subnets"
        return (*_network(graph, cluster), own)
    return ()


def nodes(graph: Graph) -> list[Node]:
    """All that holds data, and what leads to the stack or watches it."""
    return [
        *_databases(graph),
        *_caches(graph),
        *_stores(graph),
        *_edge(graph),
        *_monitoring(graph),
    ]


def _network(graph: Graph, resource: Registered) -> tuple[str, ...]:
    """Region and VPC of a resource."""
    for vpc in of(graph, "aws:ec2/vpc:Vpc"):
        return (_region(graph, resource), f"VPC {vpc.inputs['cidrBlock']}")
    return (_region(graph, resource), "VPC")


def _region(graph: Graph, resource: Registered) -> str:
    provider = next(p for p in graph.resources if resource.provider.startswith(f"{p.urn}::"))
    return f"AWS {provider.inputs['region']}"


def _isolated(graph: Graph, resource: Registered) -> tuple[str, ...]:
    return (*_network(graph, resource), "isolated subnets, open to the cluster only")


def _component(resource: Registered) -> str:
    return resource.parent.rsplit("::", 1)[1]


def _databases(graph: Graph) -> Iterator[Node]:
    for database in of(graph, DATABASE):
        machine, replica = database.inputs["instanceClass"], _is_replica(database)
        standby = ", standby in another zone" if database.inputs.get("multiAz") else ""
        yield Node(
            id=f"cloud/{database.name}" if replica else f"cloud/{_component(database)}",
            title="PostgreSQL on RDS, read replica" if replica else "PostgreSQL on RDS",
            detail=f"{machine}{standby}",
            shape=Shape.STORE,
            walls=_isolated(graph, database),
        )
    for copy in of(graph, REPLICATION):
        yield Node(
            id=f"cloud/{copy.name}",
            title="replicated backups",
            detail=f"any point of {copy.inputs['retentionPeriod']} days",
            shape=Shape.STORE,
            walls=(_region(graph, copy),),
        )


def _is_replica(database: Registered) -> bool:
    return "replicateSourceDb" in database.inputs


def _caches(graph: Graph) -> Iterator[Node]:
    for cache in of(graph, CACHE):
        count = cache.inputs["numCacheClusters"]
        yield Node(
            id=f"cloud/{_component(cache)}",
            title="Valkey on ElastiCache",
            detail=f"{count} x {cache.inputs['nodeType']}",
            shape=Shape.STORE,
            walls=_isolated(graph, cache),
        )


def _stores(graph: Graph) -> Iterator[Node]:
    titles = {VAULT: "backup vault", BUCKET: "bucket", SECRET: "secrets", REGISTRY: "images"}
    for store in of(graph, *titles):
        copies: list[dict[str, str]] = store.inputs.get("replicas") or []
        replicas = [replica["region"] for replica in copies]
        yield Node(
            id=f"cloud/{store.name.removesuffix('-bucket')}",
            title=titles[store.type],
            detail=f"{store.name}, also in {', '.join(replicas)}" if replicas else store.name,
            shape=Shape.STORE,
            walls=(_region(graph, store),),
        )
    for kind, title in EXTERNAL.items():
        for service in of(graph, f"nextstack:index:{kind}"):
            yield Node(
                id=f"cloud/{service.name}",
                title=title,
                detail="run by somebody else",
                shape=Shape.SERVICE,
            )


def _edge(graph: Graph) -> Iterator[Node]:
    firewall = "web firewall, " if of(graph, "aws:wafv2/webAcl:WebAcl") else ""
    for cdn in of(graph, CDN):
        yield Node(
            id=f"cloud/{cdn.name}",
            title="CloudFront",
            detail=f"{firewall}static files",
            shape=Shape.SERVICE,
        )
    for check in of(graph, CHECK):
        yield Node(
            id=f"cloud/{check.name}",
            title="health check",
            detail=f"every {check.inputs['requestInterval']} s, from several regions",
            shape=Shape.SERVICE,
        )


def _monitoring(graph: Graph) -> Iterator[Node]:
    if alarms := of(graph, ALARM):
        walls = (_region(graph, alarms[0]),)
        title, detail = "CloudWatch", f"logs, dashboard, {len(alarms)} alarms"
        yield Node(id=MONITORING, title=title, detail=detail, shape=Shape.SERVICE, walls=walls)
    if of(graph, TOPIC):
        yield Node(id=ON_CALL, title="people on call", shape=Shape.PERSON)


def flows(graph: Graph, doors: list[str]) -> list[Flow]:
    """`doors` are the workloads that strangers reach."""
    return [*_copies(graph), *_ways_in(graph, doors), *_watching(graph, doors)]


def _copies(graph: Graph) -> Iterator[Flow]:
    """Data that is kept twice: from what is copied to the copy."""
    databases = of(graph, DATABASE)
    for primary in databases:
        if _is_replica(primary):
            continue
        source = f"cloud/{_component(primary)}"
        for replica in filter(_is_replica, databases):
            yield Flow(source=source, target=f"cloud/{replica.name}", label="stream", copies=True)
        for copy in of(graph, REPLICATION):
            yield Flow(source=source, target=f"cloud/{copy.name}", label="log", copies=True)
        home = [v for v in of(graph, VAULT) if v.provider == primary.provider]
        for vault in home if of(graph, "aws:backup/selection:Selection") else []:
            yield Flow(source=source, target=f"cloud/{vault.name}", label="points", copies=True)
            for other in of(graph, VAULT):
                if other.provider != vault.provider:
                    ends = (f"cloud/{vault.name}", f"cloud/{other.name}")
                    yield Flow(source=ends[0], target=ends[1], label="weekly", copies=True)
    yield from _replicated_buckets(graph)


def _replicated_buckets(graph: Graph) -> Iterator[Flow]:
    buckets = {
        bucket.urn: f"cloud/{bucket.name.removesuffix('-bucket')}" for bucket in of(graph, BUCKET)
    }
    for replication in of(graph, "aws:s3/bucketReplicationConfig:BucketReplicationConfig"):
        sources = [
            buckets[u] for u in replication.property_depends_on.get("bucket", []) if u in buckets
        ]
        targets = [
            buckets[u] for u in replication.property_depends_on.get("rules", []) if u in buckets
        ]
        for source in sources:
            for target in targets:
                yield Flow(source=source, target=target, label="files", copies=True)


def _ways_in(graph: Graph, doors: list[str]) -> Iterator[Flow]:
    entries = [f"cloud/{cdn.name}" for cdn in of(graph, CDN)]
    for entry in entries:
        yield Flow(source="people", target=entry, label="HTTPS")
    for door in doors:
        for source in entries or ["people"]:
            yield Flow(source=source, target=door, label="HTTP(S)")


def _watching(graph: Graph, doors: list[str]) -> Iterator[Flow]:
    for door in doors:
        yield Flow(source=door, target=MONITORING, label="access log", copies=True)
        for check in of(graph, CHECK):
            yield Flow(source=f"cloud/{check.name}", target=door, label="/api/health")
    yield Flow(source=MONITORING, target=ON_CALL, label="alarms")
    yield Flow(source=MONITORING, target="cloud/log-archive", label="old logs", copies=True)
