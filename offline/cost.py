"""What a stack costs in a month on AWS, estimated from its graph and a dated table of prices.

What is there all the time is fixed; what depends on visitors and data is used, and rests on the
assumptions of prices.toml. Leaves out discounts, taxes, support, and whatever nobody priced, which
is listed.
"""

import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offline.recorder import Graph, Registered

PRICES: dict[str, Any] = tomllib.loads((Path(__file__).parent / "prices.toml").read_text())
ASSUMED: dict[str, float] = PRICES["assumed"]
HOURS: int = PRICES["hours"]
STACK = "pulumi:pulumi:Stack"
# RDS and EBS include these with gp3.
FREE_IOPS, FREE_MIBPS = 3000, 125
PROCESSORS = {"micro": 2, "small": 2, "medium": 2, "large": 2, "xlarge": 4, "2xlarge": 8}
WEEKS = 12  # BK-5 keeps weekly points for 84 days
ZONES = 2  # of a network that somebody else made
OUTSIDE = "what visitors cause"


@dataclass(frozen=True, kw_only=True)
class Item:
    component: str
    resource: str
    what: str
    quantity: float
    unit: str
    price: float
    """USD for one unit."""
    used: bool = False
    """Whether it depends on use, and so on an assumption."""

    @property
    def usd(self) -> float:
        return self.quantity * self.price


@dataclass(frozen=True, kw_only=True)
class Estimate:
    items: list[Item]
    unpriced: list[str]
    """Types and machines that may cost something, but have no price here."""

    @property
    def fixed(self) -> float:
        return sum(item.usd for item in self.items if not item.used)

    @property
    def used(self) -> float:
        return sum(item.usd for item in self.items if item.used)

    @property
    def total(self) -> float:
        """USD in a month."""
        return self.fixed + self.used

    def by_component(self) -> dict[str, float]:
        """USD in a month, the dearest first."""
        sums: dict[str, float] = {}
        for item in self.items:
            sums[item.component] = sums.get(item.component, 0) + item.usd
        return dict(sorted(sums.items(), key=lambda pair: -pair[1]))


@dataclass(frozen=True)
class Priced:
    """One line of a resource's bill, before it is known whose."""

    what: str
    quantity: float
    unit: str
    price: float
    used: bool = False


Pricer = Callable[[Registered, Graph], Iterator[Priced]]
PRICERS: dict[str, Pricer] = {}
# What is free by itself, or costs cents for what a stack does with it.
FREE = frozenset(
    f"{service}/{kind[0].lower()}{kind[1:]}:{kind}"
    for service, kinds in {
        "acm": "Certificate CertificateValidation",
        "autoscaling": "GroupTag",
        "backup": "Plan RegionSettings RestoreTestingPlan RestoreTestingSelection Selection "
        "VaultLockConfiguration VaultNotifications VaultPolicy",
        "budgets": "Budget",
        "chatbot": "SlackChannelConfiguration",
        "cloudfront": "CachePolicy Function OriginAccessControl OriginRequestPolicy "
        "ResponseHeadersPolicy",
        "cloudwatch": "EventRule EventTarget LogDelivery LogDeliveryDestination LogDeliverySource "
        "LogResourcePolicy LogSubscriptionFilter",
        "costexplorer": "AnomalyMonitor AnomalySubscription",
        "ec2": "DefaultNetworkAcl DefaultRouteTable DefaultSecurityGroup InternetGateway "
        "LaunchTemplate NetworkAcl Route RouteTable RouteTableAssociation SecurityGroup Subnet Vpc",
        "ecr": "LifecyclePolicy RepositoryPolicy",
        "eks": "AccessEntry AccessPolicyAssociation Addon PodIdentityAssociation",
        "elasticache": "ParameterGroup SubnetGroup User UserGroup",
        "iam": "InstanceProfile OpenIdConnectProvider Policy Role RolePolicy RolePolicyAttachment",
        "kms": "Alias KeyPolicy",
        "rds": "EventSubscription ParameterGroup Snapshot SubnetGroup",
        "route53": "Record",
        "s3": "BucketCorsConfiguration BucketLifecycleConfiguration BucketNotification "
        "BucketLogging BucketOwnershipControls BucketPolicy BucketPublicAccessBlock "
        "BucketReplicationConfig BucketServerSideEncryptionConfiguration BucketVersioning",
        "secretsmanager": "SecretPolicy SecretVersion",
        "sfn": "StateMachine",
        "sns": "Topic TopicPolicy TopicSubscription",
        "vpc": "SecurityGroupEgressRule SecurityGroupIngressRule",
        "wafv2": "WebAclAssociation WebAclLoggingConfiguration",
    }.items()
    for kind in kinds.split()
)


class NoPrice(LookupError):
    """A machine that prices.toml does not know."""


def estimate(graph: Graph) -> Estimate:
    """The bill of a recorded stack; a stack without AWS has none."""
    if not any(resource.type.startswith("aws:") for resource in graph.resources):
        return Estimate(items=[], unpriced=[])
    parents = {resource.urn: resource for resource in graph.resources}
    items: list[Item] = []
    unpriced: set[str] = set()
    for resource in graph.resources:
        kind = _kind(resource)
        if kind in PRICERS:
            component = _component(resource, parents)
            try:
                lines = list(PRICERS[kind](resource, graph))
            except NoPrice as machine:
                unpriced.add(f"{kind} {machine}")
                continue
            items += [
                Item(component=component, resource=resource.name, **vars(line)) for line in lines
            ]
        elif resource.type.startswith("aws:") and kind not in FREE:
            unpriced.add(kind)
    items += [Item(component=OUTSIDE, resource="traffic", **vars(p)) for p in _traffic(graph)]
    return Estimate(items=[item for item in items if item.quantity], unpriced=sorted(unpriced))


def savings(graph: Graph) -> list[tuple[str, float]]:
    """What a cheaper choice is, with the key that makes it, and about how much it saves."""
    found = estimate(graph)

    def of(*names: str) -> list[float]:
        """The bill of each resource that has one of the lines `names`."""
        whole = {i.resource for i in found.items if i.what in names}
        return [sum(i.usd for i in found.items if i.resource == name) for name in sorted(whole)]

    databases = [r for r in graph.all("Instance") if r.type == "aws:rds/instance:Instance"]
    bills = {i.resource: 0.0 for i in found.items}
    for item in found.items:
        bills[item.resource] += item.usd
    options = [
        (
            "awsNatGateways: one (a zone's failure then cuts the way out)",
            sum(of("NAT gateway")[1:]),
        ),
        (
            "rdsMultiAz: false (a restore instead of a failover)",
            sum(bills[r.name] / 2 for r in databases if r.inputs.get("multiAz") is True),
        ),
        (
            "rdsReadReplicas: 0 (analytics then load the primary)",
            sum(bills[r.name] for r in databases if r.inputs.get("replicateSourceDb")),
        ),
    ]
    reserved = sum(i.usd for i in found.items if i.unit == "hours" and "." in i.what)
    options.append(("a year's reservation of the machines, about a third", reserved / 3))
    return [(what, usd) for what, usd in options if usd]


def _kind(resource: Registered) -> str:
    return resource.type.removeprefix("aws:")


def _component(resource: Registered, parents: dict[str, Registered]) -> str:
    """The outermost component that it belongs to."""
    while (parent := parents.get(resource.parent)) and parent.type != STACK:
        resource = parent
    return resource.name


def priced(*kinds: str) -> Callable[[Pricer], Pricer]:
    """Makes a function the pricer of types, such as rds/instance:Instance."""

    def decorate(pricer: Pricer) -> Pricer:
        PRICERS.update(dict.fromkeys(kinds, pricer))
        return pricer

    return decorate


def _number(resource: Registered, key: str, default: float = 0) -> float:
    value = resource.inputs.get(key)
    return value if isinstance(value, int | float) else default


def _hourly(service: str, machine: str) -> float:
    hours: dict[str, float] = PRICES[service]["hour"]
    if machine not in hours:
        raise NoPrice(machine)
    return hours[machine]


@priced("rds/instance:Instance")
def _rds(resource: Registered, graph: Graph) -> Iterator[Priced]:
    prices, zones = PRICES["rds"], 2 if resource.inputs.get("multiAz") is True else 1
    machine = resource.inputs["instanceClass"]
    yield Priced(machine, HOURS * zones, "hours", _hourly("rds", machine))
    gib = _database_gib(graph)
    yield Priced("gp3 storage", gib * zones, "GiB", prices["storage_gib"])
    if resource.inputs.get("databaseInsightsMode") == "advanced":
        hours = HOURS * zones * PROCESSORS[machine.rsplit(".", 1)[1]]
        yield Priced("Database Insights", hours, "processor hours", prices["insights_hour"])
    if (iops := _number(resource, "iops")) > FREE_IOPS:
        yield Priced("IOPS", (iops - FREE_IOPS) * zones, "each", prices["iops"])
    if (speed := _number(resource, "storageThroughput")) > FREE_MIBPS:
        yield Priced(
            "throughput", (speed - FREE_MIBPS) * zones, "MiB/s", prices["throughput_mibps"]
        )


def _database_gib(graph: Graph) -> float:
    """Of the primary, which its replicas have too."""
    return max((_number(r, "allocatedStorage") for r in graph.all("Instance")), default=0)


@priced("rds/instanceAutomatedBackupsReplication:InstanceAutomatedBackupsReplication")
def _replicated_backups(resource: Registered, graph: Graph) -> Iterator[Priced]:
    gib = _database_gib(graph)
    changed = gib * ASSUMED["changed_percent"] / 100 * 30
    yield Priced("backups in the second region", gib, "GiB", PRICES["rds"]["snapshot_gib"], True)
    yield Priced("transfer there", changed, "GiB", PRICES["rds"]["transfer_gib"], True)


@priced("elasticache/replicationGroup:ReplicationGroup")
def _elasticache(resource: Registered, graph: Graph) -> Iterator[Priced]:
    machine, nodes = resource.inputs["nodeType"], _number(resource, "numCacheClusters", 1)
    yield Priced(machine, HOURS * nodes, "hours", _hourly("elasticache", machine))


@priced("eks/cluster:Cluster")
def _eks(resource: Registered, graph: Graph) -> Iterator[Priced]:
    yield Priced("control plane", HOURS, "hours", PRICES["eks"]["hour"])


@priced("eks/nodeGroup:NodeGroup")
def _nodes(resource: Registered, graph: Graph) -> Iterator[Priced]:
    machine = resource.inputs["instanceTypes"][0]
    count = resource.inputs["scalingConfig"]["desiredSize"]
    yield Priced(machine, HOURS * count, "hours", _hourly("ec2", machine))
    yield Priced("disks", count * _disk_gib(graph), "GiB", PRICES["ebs"]["gib"])


def _disk_gib(graph: Graph) -> float:
    """Of one node."""
    return sum(
        mapping["ebs"]["volumeSize"]
        for template in graph.all("LaunchTemplate")
        for mapping in template.inputs.get("blockDeviceMappings", [])
    )


@priced("ec2/natGateway:NatGateway")
def _nat(resource: Registered, graph: Graph) -> Iterator[Priced]:
    prices, share = PRICES["vpc"], len(graph.all("NatGateway"))
    yield Priced("NAT gateway", HOURS, "hours", prices["nat_hour"])
    yield Priced("through it", ASSUMED["nat_gib"] / share, "GiB", prices["nat_gib"], True)


@priced("ec2/eip:Eip")
def _address(resource: Registered, graph: Graph) -> Iterator[Priced]:
    yield Priced("public address", HOURS, "hours", PRICES["vpc"]["address_hour"])


@priced("ec2/vpcEndpoint:VpcEndpoint")
def _endpoint(resource: Registered, graph: Graph) -> Iterator[Priced]:
    zones = len(resource.inputs.get("subnetIds") or [])
    if resource.inputs.get("vpcEndpointType") == "Interface":
        yield Priced("endpoint", HOURS * zones, "hours", PRICES["privatelink"]["hour"])


@priced("ec2/flowLog:FlowLog")
def _flow_log(resource: Registered, graph: Graph) -> Iterator[Priced]:
    yield Priced(
        "flow logs", ASSUMED["log_gib"] / 2, "GiB", PRICES["cloudwatch"]["delivery_gib"], True
    )


@priced("kms/key:Key")
def _key(resource: Registered, graph: Graph) -> Iterator[Priced]:
    yield Priced("key", 1, "key", PRICES["kms"]["month"])


@priced("secretsmanager/secret:Secret")
def _secret(resource: Registered, graph: Graph) -> Iterator[Priced]:
    copies = 1 + len(resource.inputs.get("replicas") or [])
    yield Priced("secret and replicas", copies, "each", PRICES["secretsmanager"]["month"])


@priced("cloudwatch/metricAlarm:MetricAlarm")
def _alarm(resource: Registered, graph: Graph) -> Iterator[Priced]:
    queries: list[dict[str, Any]] = resource.inputs.get("metricQueries") or []
    metrics = sum("metric" in query for query in queries) or 1
    if resource.inputs.get("thresholdMetricId"):
        yield Priced("anomaly alarm", metrics, "metrics", PRICES["cloudwatch"]["anomaly_alarm"])
    else:
        yield Priced("alarm", metrics, "metrics", PRICES["cloudwatch"]["alarm"])


@priced("cloudwatch/compositeAlarm:CompositeAlarm")
def _composite_alarm(resource: Registered, graph: Graph) -> Iterator[Priced]:
    yield Priced("composite alarm", 1, "alarm", PRICES["cloudwatch"]["composite_alarm"])


@priced("cloudwatch/dashboard:Dashboard")
def _dashboard(resource: Registered, graph: Graph) -> Iterator[Priced]:
    yield Priced("dashboard", 1, "dashboard", PRICES["cloudwatch"]["dashboard"])


@priced("cloudwatch/logMetricFilter:LogMetricFilter")
def _metric(resource: Registered, graph: Graph) -> Iterator[Priced]:
    yield Priced("metric from logs", 1, "metric", PRICES["cloudwatch"]["metric"])


@priced("cloudwatch/logGroup:LogGroup")
def _logs(resource: Registered, graph: Graph) -> Iterator[Priced]:
    share = ASSUMED["log_gib"] / len(graph.all("LogGroup"))
    yield Priced("logs", share, "GiB", PRICES["cloudwatch"]["log_gib"], True)


@priced("route53/zone:Zone")
def _zone(resource: Registered, graph: Graph) -> Iterator[Priced]:
    yield Priced("zone", 1, "zone", PRICES["route53"]["zone"])


@priced("route53/healthCheck:HealthCheck")
def _check(resource: Registered, graph: Graph) -> Iterator[Priced]:
    inputs, prices = resource.inputs, PRICES["route53"]
    options = [
        str(inputs.get("type", "")).startswith("HTTPS"),
        bool(inputs.get("searchString")),
        inputs.get("measureLatency") is True,
        inputs.get("requestInterval") == 10,
    ]
    yield Priced("health check", 1, "check", prices["check"])
    yield Priced("its options", sum(options), "options", prices["check_option"])


@priced("s3/bucket:Bucket", "s3/bucketV2:BucketV2")
def _bucket(resource: Registered, graph: Graph) -> Iterator[Priced]:
    gib = ASSUMED["upload_gib"] if "upload" in resource.name else 30 * ASSUMED["dump_gib"]
    yield Priced("objects", gib, "GiB", PRICES["s3"]["gib"], True)


@priced("backup/vault:Vault")
def _vault(resource: Registered, graph: Graph) -> Iterator[Priced]:
    changed = _database_gib(graph) * ASSUMED["changed_percent"] / 100
    gib = _database_gib(graph) + WEEKS * changed
    yield Priced("recovery points", gib, "GiB", PRICES["backup"]["gib"], True)


@priced("wafv2/webAcl:WebAcl")
def _waf(resource: Registered, graph: Graph) -> Iterator[Priced]:
    prices = PRICES["waf"]
    yield Priced("web ACL", 1, "ACL", prices["acl"])
    yield Priced("rules", len(resource.inputs.get("rules") or []), "rules", prices["rule"])
    yield Priced(
        "inspected", ASSUMED["requests_million"], "million", prices["requests_million"], True
    )


@priced("ecr/repository:Repository")
def _registry(resource: Registered, graph: Graph) -> Iterator[Priced]:
    yield Priced("images", ASSUMED["image_gib"], "GiB", PRICES["ecr"]["gib"], True)


@priced("kinesis/firehoseDeliveryStream:FirehoseDeliveryStream")
def _firehose(resource: Registered, graph: Graph) -> Iterator[Priced]:
    yield Priced("delivered", ASSUMED["log_gib"], "GiB", PRICES["firehose"]["gib"], True)


@priced("kubernetes:core/v1:Service")
def _load_balancer(resource: Registered, graph: Graph) -> Iterator[Priced]:
    if resource.inputs["spec"].get("type") == "LoadBalancer":
        yield Priced("load balancer", HOURS, "hours", PRICES["elb"]["hour"])
        addresses = sum("public" in subnet.name for subnet in graph.all("Subnet")) or ZONES
        hours = HOURS * addresses
        yield Priced("its addresses", hours, "hours", PRICES["vpc"]["address_hour"])
        yield Priced("its capacity", HOURS / 4, "unit hours", PRICES["elb"]["unit_hour"], True)


@priced("kubernetes:core/v1:PersistentVolumeClaim")
def _claim(resource: Registered, graph: Graph) -> Iterator[Priced]:
    yield Priced("volume", _claimed_gib(resource.inputs["spec"]), "GiB", PRICES["ebs"]["gib"])


@priced("kubernetes:apps/v1:StatefulSet")
def _stateful_set(resource: Registered, graph: Graph) -> Iterator[Priced]:
    spec = resource.inputs["spec"]
    gib = sum(_claimed_gib(claim["spec"]) for claim in spec.get("volumeClaimTemplates", []))
    yield Priced("volumes", gib * spec.get("replicas", 1), "GiB", PRICES["ebs"]["gib"])


def _claimed_gib(spec: dict[str, Any]) -> float:
    text: str = spec["resources"]["requests"]["storage"]
    return float(text.removesuffix("Gi"))


def _traffic(graph: Graph) -> Iterator[Priced]:
    """What goes to visitors, through the CDN where there is one."""
    through_cdn = bool(graph.all("Distribution"))
    prices = PRICES["cloudfront" if through_cdn else "transfer"]
    gib = max(0, ASSUMED["traffic_gib"] - prices["free_gib"])
    yield Priced("sent to visitors", gib, "GiB", prices["gib"], True)
    if through_cdn:
        million = max(0, ASSUMED["requests_million"] - prices["free_million"])
        yield Priced("requests", million, "million", prices["requests_million"], True)
