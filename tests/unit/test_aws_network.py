"""The network on AWS (PL-3, PL-7 to PL-10, S-42): refusals, subnets, and the ways in and out."""

import inspect
import json
from collections import Counter
from ipaddress import IPv4Network
from itertools import combinations
from typing import Any

import pytest
from conftest import deploy_stack, knobs
from pulumi_aws import ec2

from components.aws.config import AwsConfig
from components.aws.network_config import NetworkConfig
from components.backend_config import BackendConfig
from components.stack import network_needs
from components.stack_config import ConfigError
from offline.recorder import Graph, Registered

ZONES = {
    "staging": ["us-east-1a", "us-east-1b"],
    "production": ["us-east-1a", "us-east-1b", "us-east-1c"],
}
RANGES = {
    "us-east-1a": ("10.10.192.0/21", "10.10.0.0/18", "10.10.224.0/21"),
    "us-east-1b": ("10.10.200.0/21", "10.10.64.0/18", "10.10.232.0/21"),
    "us-east-1c": ("10.10.208.0/21", "10.10.128.0/18", "10.10.240.0/21"),
}
"""Public, private and isolated range of each of production's zones."""
EXISTING: dict[str, Any] = {
    "awsNetwork": "existing",
    "awsVpcId": "vpc-0123456789abcdef0",
    "awsSubnetIds": ["subnet-0123456789abcdef1", "subnet-0123456789abcdef2"],
    "awsSubnetRanges": ["10.20.11.0/24", "10.20.12.0/24"],
    "awsNodeSubnetIds": ["subnet-0123456789abcdef3", "subnet-0123456789abcdef4"],
    "awsVpcRange": "",
    "awsZones": [],
}
# Inputs that stay unset, each for a reason.
ADDRESSES = {
    "ipv4IpamPoolId": "addresses come from the configuration",
    "ipv4NetmaskLength": "as above",
    "ipv6CidrBlock": "no IPv6: database and cache have none",
    "ipv6IpamPoolId": "as above",
    "ipv6NetmaskLength": "as above",
    "region": "the provider's",
}
UNSET = {
    "Vpc": ADDRESSES | {"ipv6CidrBlockNetworkBorderGroup": "no IPv6"},
    "Subnet": ADDRESSES
    | {
        "availabilityZoneId": "zones are named",
        "customerOwnedIpv4Pool": "Outposts only",
        "enableLniAtDeviceIndex": "Outposts only",
        "enableResourceNameDnsARecordOnLaunch": "names are made of addresses",
        "enableResourceNameDnsAaaaRecordOnLaunch": "as above",
        "ipv6Native": "no IPv6",
        "mapCustomerOwnedIpOnLaunch": "Outposts only",
        "outpostArn": "Outposts only",
    },
    "NatGateway": {
        "availabilityZoneAddresses": "of regional gateways",
        "privateIp": "AWS picks one",
        "region": "the provider's",
        "secondaryAllocationIds": "one address carries 55,000 connections to each server",
        "secondaryPrivateIpAddressCount": "as above",
        "secondaryPrivateIpAddresses": "as above",
        "vpcId": "of regional gateways",
    },
}


def stack(name: str = "production", **changes: Any) -> Graph:
    return deploy_stack(name, **{key: _frozen(value) for key, value in changes.items()})


def _frozen(value: Any) -> Any:
    """Hashable, as the cache of recorded stacks wants it."""
    return json.dumps(value) if isinstance(value, list) else value


def config(**changes: Any) -> NetworkConfig:
    return knobs(NetworkConfig, "aws", "production", **changes)


def made(graph: Graph) -> list[Registered]:
    return [r for r in graph.resources if r.parent.endswith(":Vpc::network")]


def named(graph: Graph, kind: str, name: str) -> Registered:
    of_kind = [r for r in made(graph) if r.type.endswith(f":{kind}")]
    [found] = [r for r in of_kind if r.name == f"network-{name}"]
    return found


def routes(graph: Graph, table: str) -> dict[str, str]:
    """Where a table of routes leads, by range."""
    of_table = [
        r.inputs for r in graph.all("Route") if r.inputs["routeTableId"] == f"network-{table}-id"
    ]
    return {
        given["destinationCidrBlock"]: given.get("gatewayId") or given["natGatewayId"]
        for given in of_table
    }


@pytest.mark.parametrize("name", ["staging", "production"])
def test_each_zone_has_three_subnets(name: str) -> None:
    """PL-10, S-42."""
    graph = stack(name)
    subnets = {r.name.removeprefix("network-"): r.inputs for r in graph.all("Subnet")}
    assert subnets.keys() == {
        f"{tier}-{zone}" for tier in ("public", "private", "isolated") for zone in ZONES[name]
    }
    for given in subnets.values():
        assert given["mapPublicIpOnLaunch"] is False
        assert given["assignIpv6AddressOnCreation"] is False
        assert given["vpcId"] == "network-vpc-id"


def test_ranges_are_computed_from_one() -> None:
    subnets = {r.name: r.inputs["cidrBlock"] for r in stack().all("Subnet")}
    assert subnets == {
        f"network-{tier}-{zone}": cidr
        for zone, ranges in RANGES.items()
        for tier, cidr in zip(("public", "private", "isolated"), ranges, strict=True)
    }


@pytest.mark.parametrize("vpc_range", ["10.0.0.0/16", "172.16.0.0/17", "192.168.240.0/20"])
def test_subnets_fit_and_stay_apart(vpc_range: str) -> None:
    zones = config(vpc_range=vpc_range).zone_ranges
    subnets = [
        IPv4Network(cidr) for zone in zones for cidr in (zone.public, zone.private, zone.isolated)
    ]
    assert len(subnets) == 9
    assert all(subnet.subnet_of(IPv4Network(vpc_range)) for subnet in subnets)
    assert not any(one.overlaps(other) for one, other in combinations(subnets, 2))
    # AWS takes five addresses of each, and a load balancer wants a /27.
    assert all(subnet.prefixlen <= 27 for subnet in subnets)


def test_a_third_zone_moves_nobody() -> None:
    assert config(zones=ZONES["staging"]).zone_ranges == config().zone_ranges[:2]


def test_load_balancers_find_their_subnets() -> None:
    tags = {r.name.removeprefix("network-"): r.inputs["tags"] for r in stack().all("Subnet")}
    for zone in ZONES["production"]:
        cluster = "kubernetes.io/cluster/example-production"
        assert tags[f"public-{zone}"]["kubernetes.io/role/elb"] == "1"
        assert tags[f"private-{zone}"]["kubernetes.io/role/internal-elb"] == "1"
        assert tags[f"public-{zone}"][cluster] == tags[f"private-{zone}"][cluster] == "shared"
        assert not [tag for tag in tags[f"isolated-{zone}"] if tag.startswith("kubernetes.io/")]


def test_production_loses_no_other_zone_with_one() -> None:
    """PL-10: the way out of a zone is in it."""
    graph = stack()
    assert len(graph.all("NatGateway")) == 3
    for zone in ZONES["production"]:
        gateway = named(graph, "NatGateway", f"nat-{zone}").inputs
        assert gateway["subnetId"] == f"network-public-{zone}-id"
        assert gateway["connectivityType"] == "public"
        assert routes(graph, f"private-{zone}") == {"0.0.0.0/0": f"network-nat-{zone}-id"}


def test_staging_saves_on_gateways() -> None:
    graph = stack("staging")
    assert [r.name for r in graph.all("NatGateway")] == ["network-nat-us-east-1a"]
    for zone in ZONES["staging"]:
        assert routes(graph, f"private-{zone}") == {"0.0.0.0/0": "network-nat-us-east-1a-id"}


@pytest.mark.parametrize("name", ["staging", "production"])
def test_no_packet_leaves_the_isolated_subnets(name: str) -> None:
    """PL-10, DB-6: no route, no endpoint, and a filter on top."""
    graph = stack(name)
    assert routes(graph, "public") == {"0.0.0.0/0": "network-internet-id"}
    assert routes(graph, "isolated") == {}
    in_isolated = {
        r.inputs["subnetId"]
        for r in graph.all("RouteTableAssociation")
        if r.inputs["routeTableId"] == "network-isolated-id"
    }
    assert in_isolated == {f"network-isolated-{zone}-id" for zone in ZONES[name]}
    for endpoint in graph.all("VpcEndpoint"):
        assert "network-isolated-id" not in endpoint.inputs["routeTableIds"]
    filter_ = named(graph, "NetworkAcl", "isolated-filter").inputs
    assert set(filter_["subnetIds"]) == in_isolated
    [range_] = {
        entry["cidrBlock"] for direction in ("ingress", "egress") for entry in filter_[direction]
    }
    assert range_ == named(graph, "Vpc", "vpc").inputs["cidrBlock"]


def test_filters_let_replies_in_and_no_shell() -> None:
    graph = stack()
    entries = {
        tier: named(graph, "NetworkAcl", f"{tier}-filter").inputs["ingress"]
        for tier in ("public", "private")
    }
    for tier, given in entries.items():
        numbers = [entry["ruleNo"] for entry in given]
        assert len(numbers) == len(set(numbers)) <= 20
        assert {e["cidrBlock"] for e in given if e["protocol"] == "-1"} == {
            "10.10.0.0/16",
            "10.99.0.0/16",
        }
        everybody = [e for e in given if e["cidrBlock"] == "0.0.0.0/0" and e["protocol"] != "1"]
        assert not [e for e in everybody if e["fromPort"] <= 22 <= e["toPort"]], tier
    web = {e["fromPort"] for e in entries["public"]} - {e["fromPort"] for e in entries["private"]}
    assert web == {80, 443}


def test_every_subnet_has_a_table_and_a_filter_of_the_stacks_own() -> None:
    graph = stack()
    every = {f"{r.name}-id" for r in graph.all("Subnet")}
    assert {r.inputs["subnetId"] for r in graph.all("RouteTableAssociation")} == every
    filtered = [i for r in graph.all("NetworkAcl") for i in r.inputs["subnetIds"]]
    assert sorted(filtered) == sorted(every)


def test_what_aws_makes_by_itself_is_emptied() -> None:
    """FSBP EC2.2: whatever names no security group is alone."""
    graph = stack()
    group = named(graph, "DefaultSecurityGroup", "default-group").inputs
    assert (group["ingress"], group["egress"]) == ([], [])
    assert named(graph, "DefaultRouteTable", "default-table").inputs["routes"] == []
    filter_ = named(graph, "DefaultNetworkAcl", "default-filter").inputs
    assert (filter_["ingress"], filter_["egress"]) == ([], [])


def test_names_resolve_inside() -> None:
    network = named(stack(), "Vpc", "vpc").inputs
    assert network["enableDnsSupport"] is network["enableDnsHostnames"] is True


@pytest.mark.parametrize(("name", "days"), [("staging", 30), ("production", 30), ("staging", 90)])
def test_who_speaks_with_whom_is_kept(name: str, days: int) -> None:
    """FSBP EC2.6: all of it, encrypted, and no longer than wanted."""
    graph = stack(name, awsFlowLogRetentionDays=days)
    flows, group = named(graph, "FlowLog", "flow-log"), named(graph, "LogGroup", "flows")
    assert flows.inputs["trafficType"] == "ALL"
    assert flows.inputs["vpcId"] == "network-vpc-id"
    assert flows.inputs["logDestination"].endswith(":network-flows")
    assert group.inputs["name"] == f"/aws/vpc/example-{name}"
    assert group.inputs["retentionInDays"] == days
    assert group.inputs["kmsKeyId"].endswith(":network-key")
    assert named(graph, "RolePolicy", "flows").urn in flows.depends_on


def test_the_writer_of_flow_logs_writes_to_its_own_group() -> None:
    graph = stack()
    policy = json.loads(named(graph, "RolePolicy", "flows").inputs["policy"])
    writing, listing = policy["Statement"]
    assert all(arn.split(":*")[0].endswith(":network-flows") for arn in writing["Resource"])
    assert "logs:PutLogEvents" in writing["Action"]
    assert listing["Action"] == "logs:DescribeLogGroups"
    trust = json.loads(named(graph, "Role", "flows").inputs["assumeRolePolicy"])["Statement"][0]
    assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": "123456789012"}


def test_s3_is_reached_without_a_gateway() -> None:
    graph = stack()
    [endpoint] = graph.all("VpcEndpoint")
    assert endpoint.inputs["serviceName"] == "com.amazonaws.us-east-1.s3"
    assert endpoint.inputs["vpcEndpointType"] == "Gateway"
    assert endpoint.inputs["routeTableIds"] == [
        f"network-private-{zone}-id" for zone in ZONES["production"]
    ]


def test_other_services_are_reached_inside_where_configured() -> None:
    graph = stack("staging", awsInterfaceEndpoints=["logs", "ecr.dkr"])
    endpoints = [r.inputs for r in graph.all("VpcEndpoint") if r.name != "network-s3"]
    assert {given["serviceName"] for given in endpoints} == {
        "com.amazonaws.us-east-1.logs",
        "com.amazonaws.us-east-1.ecr.dkr",
    }
    for given in endpoints:
        assert given["vpcEndpointType"] == "Interface"
        assert given["privateDnsEnabled"] is True
        assert given["securityGroupIds"] == ["network-endpoints-id"]
        assert len(given["subnetIds"]) == 2
    rules = [
        r.inputs
        for r in graph.all("SecurityGroupIngressRule")
        if r.inputs["securityGroupId"] == "network-endpoints-id"
    ]
    assert {r["cidrIpv4"] for r in rules} == {"10.20.0.0/18", "10.20.64.0/18"}
    assert {(r["fromPort"], r["toPort"]) for r in rules} == {(443, 443)}


@pytest.mark.parametrize("name", ["staging", "production"])
def test_database_and_cache_are_isolated(name: str) -> None:
    """PL-10, DB-6, PO-10."""
    graph = stack(name)
    isolated = {
        f"{r.name}-id": r.inputs["cidrBlock"] for r in graph.all("Subnet") if "-isolated-" in r.name
    }
    groups = [r.inputs["subnetIds"] for r in graph.all("SubnetGroup")]
    assert len(groups) == 2
    assert all(set(ids) == isolated.keys() for ids in groups)
    for server in ("postgres", "redis"):
        spec = graph.one("NetworkPolicy", f"{server}-to-server").inputs["spec"]
        ranges = [to["ipBlock"]["cidr"] for to in spec["egress"][0]["to"]]
        assert set(ranges) == set(isolated.values())


def test_an_existing_network_is_taken_as_it_is() -> None:
    graph = stack("staging", **EXISTING)
    assert not made(graph)
    groups = [r.inputs["subnetIds"] for r in graph.all("SubnetGroup")]
    assert groups == [EXISTING["awsSubnetIds"]] * 2
    for group in graph.all("SecurityGroup"):
        assert group.inputs["vpcId"] == EXISTING["awsVpcId"]
    subnets = sorted(r.inputs["subnetIds"] for r in graph.all("NodeGroup"))
    assert subnets == [[subnet] for subnet in EXISTING["awsNodeSubnetIds"]]


def test_clients_are_named_whoever_made_the_cluster() -> None:
    """PL-2, PL-10: given groups by their ids, the stack's own cluster by a plain name."""
    given = "sg-0123456789abcdef5"
    changes = {"clusterSource": "kubeconfig", "awsClientSecurityGroupIds": [given]}
    rules = stack("staging", **EXISTING, **changes).all("SecurityGroupIngressRule")
    assert {r.name for r in rules} == {f"postgres-from-{given}", f"redis-from-{given}"}
    both = stack("staging", awsClientSecurityGroupIds=[given]).all("SecurityGroupIngressRule")
    names = {r.name for r in both}
    assert {f"postgres-from-{given}", "postgres-from-cluster"} <= names


@pytest.mark.parametrize("keep", [True, False])
def test_what_others_rely_on_is_protected_as_configured(keep: bool) -> None:
    """PL-8: the network itself, and the addresses that others let in."""
    protected = {
        r.type.rsplit(":", 1)[1] for r in made(stack(protectData=keep)) if r.protect is True
    }
    assert protected == ({"Vpc", "Subnet", "Eip", "Key", "LogGroup"} if keep else set())


@pytest.mark.parametrize("kind", UNSET)
def test_nothing_is_left_to_the_providers_defaults(kind: str) -> None:
    known = inspect.signature(getattr(ec2, f"{kind}Args").__init__).parameters
    names = {_camel(name) for name in known if not name.startswith("__")}
    found = next(r for r in made(stack()) if r.type.endswith(f":{kind}"))
    assert names - found.inputs.keys() == UNSET[kind].keys()


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.title() for word in tail)


def test_the_component_makes_no_more_than_this() -> None:
    assert Counter(r.type.rsplit(":", 1)[1] for r in made(stack())) == {
        "DefaultNetworkAcl": 1,
        "DefaultRouteTable": 1,
        "DefaultSecurityGroup": 1,
        "Eip": 3,
        "FlowLog": 1,
        "InternetGateway": 1,
        "Key": 1,
        "LogGroup": 1,
        "NatGateway": 3,
        "NetworkAcl": 3,
        "Role": 1,
        "RolePolicy": 1,
        "Route": 4,
        "RouteTable": 5,
        "RouteTableAssociation": 9,
        "Subnet": 9,
        "Vpc": 1,
        "VpcEndpoint": 1,
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vpc_id": "vpc-xyz"}, "awsVpcId has a malformed id: got 'vpc-xyz'"),
        ({"subnet_ids": ["vpc-0123456789abcdef0"]}, "awsSubnetIds has a malformed id"),
        ({"node_subnet_ids": ["subnet-1"]}, "awsNodeSubnetIds has a malformed id"),
        ({"client_security_group_ids": ["web"]}, "awsClientSecurityGroupIds has a malformed id"),
        ({"subnet_ranges": ["10.0.0.1/24"]}, "awsSubnetRanges has no range: got '10.0.0.1/24'"),
        ({"subnet_ranges": ["everywhere"]}, "awsSubnetRanges has no range: got 'everywhere'"),
        ({"vpc_range": "10.10.0.1/16"}, "awsVpcRange has no range: got '10.10.0.1/16'"),
        ({"vpc_range": "10.10.0.0/15"}, "awsVpcRange has the wrong size.*allowed /16 to /20"),
        ({"vpc_range": "10.10.0.0/21"}, "awsVpcRange has the wrong size: got 10.10.0.0/21"),
        ({"vpc_range": "100.64.0.0/16"}, "awsVpcRange is not private: got 100.64.0.0/16"),
        ({"vpc_range": "172.32.0.0/16"}, "awsVpcRange is not private"),
        ({"vpc_range": "10.99.0.0/16"}, "awsVpcRange overlaps with awsPeerRanges: got 10.99.0.0"),
        ({"peer_ranges": ["10.0.0.0/8"]}, "overlaps with awsPeerRanges: got 10.10.0.0/16 and 10.0"),
        ({"peer_ranges": ["10.10.255.255/32"]}, "awsVpcRange overlaps with awsPeerRanges"),
        ({"peer_ranges": ["vpn"]}, "awsPeerRanges has no range: got 'vpn'"),
        ({"peer_ranges": [f"10.{n}.0.0/16" for n in range(20, 33)]}, "awsPeerRanges has too many"),
        (
            {"zones": ["us-east-1a"]},
            "awsZones has the wrong number: got us-east-1a, allowed 2 or 3",
        ),
        ({"zones": [f"us-east-1{z}" for z in "abcd"]}, "awsZones has the wrong number"),
        ({"zones": ["us-east-1a"] * 2}, "awsZones has the wrong number.*different ones"),
        ({"zones": ["us-east-1", "us-east-1b"]}, "awsZones has no zone: got 'us-east-1'"),
        ({"nat_gateways": "none"}, "awsNatGateways is not allowed: got 'none', allowed one, each"),
        ({"interface_endpoints": ["s3"]}, "awsInterfaceEndpoints has s3.*gateway endpoint"),
        ({"interface_endpoints": ["ecr dkr"]}, "awsInterfaceEndpoints has no service"),
        ({"interface_endpoints": ["logs", "logs"]}, "awsInterfaceEndpoints names one twice"),
        ({"flow_log_retention_days": 31}, "awsFlowLogRetentionDays is not offered by AWS: got 31"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    """PL-7."""
    with pytest.raises(ConfigError, match=message):
        config(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"vpc_range": "10.0.0.0/16"},
        {"vpc_range": "10.255.240.0/20"},
        {"vpc_range": "172.31.0.0/16"},
        {"peer_ranges": ["10.9.0.0/16", "10.11.0.0/16"]},
        {"peer_ranges": [f"10.{n}.0.0/16" for n in range(20, 32)]},
        {"zones": ["us-east-1a", "us-east-1f"]},
        {"flow_log_retention_days": 1},
        {"interface_endpoints": ["ecr.api", "secretsmanager", "ssm-contacts"]},
    ],
)
def test_settings_at_their_limits_are_accepted(changes: dict[str, Any]) -> None:
    assert config(**changes)


@pytest.mark.parametrize(
    ("backend", "network", "at_fault"),
    [
        ({}, {}, []),
        ({}, {"vpc_range": "", "zones": []}, ["aws_vpc_range", "aws_zones"]),
        (
            {},
            {"vpc_id": "vpc-01234567", "subnet_ids": ["subnet-01234567"]},
            ["aws_vpc_id", "aws_subnet_ids"],
        ),
        ({}, {"zones": ["us-west-2a", "us-east-1b"]}, ["aws_zones"]),
        ({"cluster_source": "kubeconfig"}, {}, ["aws_client_security_group_ids"]),
        (
            {"aws_network": "existing"},
            {"vpc_range": "", "zones": []},
            [
                "aws_vpc_id",
                "aws_subnet_ranges",
                "aws_subnet_ids",
                "aws_vpc_id",
                "aws_node_subnet_ids",
            ],
        ),
        (
            {"aws_network": "existing", "database": "cluster", "cache": "cluster"},
            {"vpc_id": "vpc-01234567", "node_subnet_ids": ["subnet-01234567"] * 2},
            ["aws_node_subnet_ids"],
        ),
        (
            {
                "aws_network": "existing",
                "cluster_source": "kubeconfig",
                "database": "external",
                "cache": "cluster",
            },
            {},
            [],
        ),
    ],
)
def test_a_network_is_complete_for_what_lives_in_it(
    backend: dict[str, Any], network: dict[str, Any], at_fault: list[str]
) -> None:
    """PL-7, PL-10: all at once."""
    problems = network_needs(
        knobs(BackendConfig, "", "production", **backend),
        knobs(AwsConfig, "aws", "production"),
        config(**network),
    )
    assert [problem.split()[0] for problem in problems] == at_fault


@pytest.mark.parametrize(
    ("changes", "uses"),
    [
        ({}, False),
        ({"database": "rds"}, True),
        ({"cache": "elasticache"}, True),
        ({"cluster_source": "eks"}, True),
        ({"aws_network": "created"}, True),
        ({"database": "external", "cache": "external"}, False),
    ],
)
def test_a_stack_uses_aws_as_soon_as_one_part_does(changes: dict[str, str], uses: bool) -> None:
    """PL-3: dev does not."""
    assert knobs(BackendConfig, "", "dev", **changes).uses_aws is uses
