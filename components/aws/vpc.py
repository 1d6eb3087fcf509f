"""A network of the stack's own: public, private and isolated subnets in each of its zones.

Leaves out VPN and peering, and the security groups of what lives in it (security_group.py).
"""

from dataclasses import dataclass

import pulumi
from pulumi_aws import cloudwatch, ec2, iam, vpc

from components.aws.config import AwsConfig
from components.aws.kms import encryption_key
from components.aws.network_config import NatGateways, NetworkConfig
from components.aws.service_role import service_role

EVERYWHERE = "0.0.0.0/0"
ICMP, TCP, UDP, ALL = "1", "6", "17", "-1"


@dataclass(frozen=True, kw_only=True)
class VpcArgs:
    config: NetworkConfig
    aws: AwsConfig
    cluster_name: str
    """Kubernetes cluster, by which its load balancers find their subnets."""
    keep_logs: bool = True
    """Whether the flow logs outlive this component; by default so."""


class Vpc(pulumi.ComponentResource):
    id: pulumi.Output[str]
    private_subnet_ids: list[pulumi.Output[str]]
    """One a zone, with a way out through a NAT gateway."""
    isolated_subnet_ids: list[pulumi.Output[str]]
    """One a zone, without any way out."""

    def __init__(
        self, name: str, args: VpcArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:Vpc", name, {}, opts)
        self._name, self._args, self._config = name, args, args.config
        self._child = pulumi.ResourceOptions(parent=self)
        # A new one of these serves as well as the old one.
        self._replaceable = pulumi.ResourceOptions(parent=self, protect=False)
        self._vpc = ec2.Vpc(
            f"{name}-vpc",
            cidr_block=self._config.vpc_range,
            instance_tenancy="default",
            # Both for names of endpoints inside, among them the cluster's.
            enable_dns_support=True,
            enable_dns_hostnames=True,
            enable_network_address_usage_metrics=False,
            assign_generated_ipv6_cidr_block=False,
            tags=self._tags(name),
            opts=self._child,
        )
        self._close_defaults()
        self._log_flows()
        zones = self._config.zone_ranges
        balanced = f"kubernetes.io/cluster/{args.cluster_name}"
        public = self._subnets(
            "public",
            {zone.zone: zone.public for zone in zones},
            {balanced: "shared", "kubernetes.io/role/elb": "1"},
        )
        private = self._subnets(
            "private",
            {zone.zone: zone.private for zone in zones},
            {balanced: "shared", "kubernetes.io/role/internal-elb": "1"},
        )
        isolated = self._subnets("isolated", {zone.zone: zone.isolated for zone in zones}, {})
        tables = self._route(public, private, isolated)
        self._filter(public, private, isolated)
        self._endpoints(private, tables)

        self.id = self._vpc.id
        self.private_subnet_ids = [subnet.id for subnet in private.values()]
        self.isolated_subnet_ids = [subnet.id for subnet in isolated.values()]
        self.register_outputs({"id": self.id})

    def _tags(self, name: str) -> dict[str, str]:
        # AWS's console shows this tag in the place of a name.
        return {"nextstack/component": self._name, "Name": f"{self._args.cluster_name}-{name}"}

    def _close_defaults(self) -> None:
        """What AWS makes with every network and takes where nothing else is named."""
        ec2.DefaultSecurityGroup(
            f"{self._name}-default-group",
            vpc_id=self._vpc.id,
            ingress=[],
            egress=[],
            tags=self._tags("unused"),
            opts=self._replaceable,
        )
        ec2.DefaultRouteTable(
            f"{self._name}-default-table",
            default_route_table_id=self._vpc.default_route_table_id,
            routes=[],
            tags=self._tags("unused"),
            opts=self._replaceable,
        )
        ec2.DefaultNetworkAcl(
            f"{self._name}-default-filter",
            default_network_acl_id=self._vpc.default_network_acl_id,
            ingress=[],
            egress=[],
            tags=self._tags("unused"),
            opts=self._replaceable,
        )

    def _log_flows(self) -> None:
        """Who spoke with whom: accepted and refused, but not what was said."""
        name, aws = f"{self._name}-flows", self._args.aws
        key = encryption_key(
            self._name,
            f"network {self._args.cluster_name}: flow logs",
            aws.account_id,
            self._tags(name),
            self._child,
            logs_in=aws.region,
        )
        group = cloudwatch.LogGroup(
            name,
            name=f"/aws/vpc/{self._args.cluster_name}",
            log_group_class="STANDARD",
            retention_in_days=self._config.flow_log_retention_days,
            kms_key_id=key.arn,
            skip_destroy=self._args.keep_logs,
            tags=self._tags(name),
            opts=self._child,
        )
        role = service_role(
            name,
            "vpc-flow-logs.amazonaws.com",
            f"lets the network {self._args.cluster_name} write its flow logs",
            self._tags(name),
            self._replaceable,
            account_id=aws.account_id,
            source_arn=f"arn:aws:ec2:{aws.region}:{aws.account_id}:vpc-flow-log/*",
        )
        rights = iam.RolePolicy(
            name,
            role=role.name,
            policy=pulumi.Output.json_dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Action": [
                                "logs:CreateLogStream",
                                "logs:PutLogEvents",
                                "logs:DescribeLogStreams",
                            ],
                            "Resource": [group.arn, pulumi.Output.concat(group.arn, ":*")],
                        },
                        {
                            "Effect": "Allow",
                            "Action": "logs:DescribeLogGroups",
                            "Resource": f"arn:aws:logs:{aws.region}:{aws.account_id}:log-group:*",
                        },
                    ],
                }
            ),
            opts=self._replaceable,
        )
        ec2.FlowLog(
            f"{self._name}-flow-log",
            vpc_id=self._vpc.id,
            traffic_type="ALL",
            log_destination_type="cloud-watch-logs",
            log_destination=group.arn,
            iam_role_arn=role.arn,
            max_aggregation_interval=600,
            tags=self._tags(name),
            opts=pulumi.ResourceOptions.merge(
                self._replaceable, pulumi.ResourceOptions(depends_on=[rights])
            ),
        )

    def _subnets(
        self, tier: str, ranges: dict[str, str], tags: dict[str, str]
    ) -> dict[str, ec2.Subnet]:
        """A subnet in each zone, by the zone; no machine in it gets a public address by itself."""
        return {
            zone: ec2.Subnet(
                f"{self._name}-{tier}-{zone}",
                vpc_id=self._vpc.id,
                availability_zone=zone,
                cidr_block=cidr,
                map_public_ip_on_launch=False,
                assign_ipv6_address_on_creation=False,
                enable_dns64=False,
                private_dns_hostname_type_on_launch="ip-name",
                tags=self._tags(f"{tier}-{zone}") | tags,
                opts=self._child,
            )
            for zone, cidr in ranges.items()
        }

    def _route(
        self,
        public: dict[str, ec2.Subnet],
        private: dict[str, ec2.Subnet],
        isolated: dict[str, ec2.Subnet],
    ) -> list[ec2.RouteTable]:
        """The ways out of each tier; returns the tables of the private one."""
        gateway = ec2.InternetGateway(
            f"{self._name}-internet",
            vpc_id=self._vpc.id,
            tags=self._tags("internet"),
            opts=self._replaceable,
        )
        table = self._table("public", list(public.values()))
        ec2.Route(
            f"{self._name}-public",
            route_table_id=table.id,
            destination_cidr_block=EVERYWHERE,
            gateway_id=gateway.id,
            opts=self._replaceable,
        )
        self._table("isolated", list(isolated.values()))
        one = self._config.nat_gateways is NatGateways.ONE
        gateways = {
            zone: self._nat_gateway(zone, subnet, gateway)
            for zone, subnet in list(public.items())[: 1 if one else None]
        }
        tables: list[ec2.RouteTable] = []
        for zone, subnet in private.items():
            table = self._table(f"private-{zone}", [subnet])
            ec2.Route(
                f"{self._name}-private-{zone}",
                route_table_id=table.id,
                destination_cidr_block=EVERYWHERE,
                nat_gateway_id=gateways.get(zone, next(iter(gateways.values()))).id,
                opts=self._replaceable,
            )
            tables.append(table)
        return tables

    def _table(self, name: str, subnets: list[ec2.Subnet]) -> ec2.RouteTable:
        """A table of its own without a route, for `subnets`."""
        table = ec2.RouteTable(
            f"{self._name}-{name}",
            vpc_id=self._vpc.id,
            tags=self._tags(name),
            opts=self._replaceable,
        )
        for number, subnet in enumerate(subnets, 1):
            ec2.RouteTableAssociation(
                f"{self._name}-{name}-{number}",
                route_table_id=table.id,
                subnet_id=subnet.id,
                opts=self._replaceable,
            )
        return table

    def _nat_gateway(
        self, zone: str, subnet: ec2.Subnet, gateway: ec2.InternetGateway
    ) -> ec2.NatGateway:
        # Protected: others may have it on their list of who is let in.
        address = ec2.Eip(
            f"{self._name}-nat-{zone}",
            domain="vpc",
            tags=self._tags(f"nat-{zone}"),
            opts=self._child,
        )
        return ec2.NatGateway(
            f"{self._name}-nat-{zone}",
            availability_mode="zonal",
            connectivity_type="public",
            allocation_id=address.allocation_id,
            subnet_id=subnet.id,
            tags=self._tags(f"nat-{zone}"),
            opts=pulumi.ResourceOptions.merge(
                self._replaceable, pulumi.ResourceOptions(depends_on=[gateway])
            ),
        )

    def _filter(
        self,
        public: dict[str, ec2.Subnet],
        private: dict[str, ec2.Subnet],
        isolated: dict[str, ec2.Subnet],
    ) -> None:
        """Which packets pass a tier's border, in case a security group lets too much through.

        These rules keep no state. Replies come to ports from 1024 on, and so does what a load
        balancer sends to a node's published ports.
        """
        inside = _entry(100, ALL, self._config.vpc_range)
        peers = [
            _entry(101 + index, ALL, cidr) for index, cidr in enumerate(self._config.peer_ranges)
        ]
        icmp = _entry(220, ICMP, EVERYWHERE)
        icmp["icmp_type"] = icmp["icmp_code"] = -1
        replies = [
            _entry(200, TCP, EVERYWHERE, (1024, 65535)),
            _entry(210, UDP, EVERYWHERE, (1024, 65535)),
            icmp,
        ]
        web = [_entry(300 + port, TCP, EVERYWHERE, (port, port)) for port in (80, 443)]
        out = [_entry(100, ALL, EVERYWHERE)]
        for tier, subnets, ingress, egress in (
            ("public", public, [inside, *peers, *replies, *web], out),
            ("private", private, [inside, *peers, *replies], out),
            ("isolated", isolated, [inside], [inside]),
        ):
            ec2.NetworkAcl(
                f"{self._name}-{tier}-filter",
                vpc_id=self._vpc.id,
                subnet_ids=[subnet.id for subnet in subnets.values()],
                ingress=ingress,
                egress=egress,
                tags=self._tags(tier),
                opts=self._replaceable,
            )

    def _endpoints(self, private: dict[str, ec2.Subnet], tables: list[ec2.RouteTable]) -> None:
        """Ways to AWS's services that need no NAT gateway, which charges for each byte."""
        service = f"com.amazonaws.{self._args.aws.region}"
        ec2.VpcEndpoint(
            f"{self._name}-s3",
            vpc_id=self._vpc.id,
            service_name=f"{service}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=[table.id for table in tables],
            tags=self._tags("s3"),
            opts=self._replaceable,
        )
        if not self._config.interface_endpoints:
            return
        group = self._endpoint_firewall()
        for endpoint in self._config.interface_endpoints:
            ec2.VpcEndpoint(
                f"{self._name}-{endpoint}",
                vpc_id=self._vpc.id,
                service_name=f"{service}.{endpoint}",
                vpc_endpoint_type="Interface",
                ip_address_type="ipv4",
                private_dns_enabled=True,
                subnet_ids=[subnet.id for subnet in private.values()],
                security_group_ids=[group.id],
                tags=self._tags(endpoint),
                opts=self._replaceable,
            )

    def _endpoint_firewall(self) -> ec2.SecurityGroup:
        """Admits nodes and pods to the endpoints' HTTPS."""
        group = ec2.SecurityGroup(
            f"{self._name}-endpoints",
            description="endpoints of AWS services: HTTPS from nodes and pods",
            vpc_id=self._vpc.id,
            revoke_rules_on_delete=False,
            tags=self._tags("endpoints"),
            opts=self._replaceable,
        )
        for zone in self._config.zone_ranges:
            vpc.SecurityGroupIngressRule(
                f"{self._name}-endpoints-{zone.zone}",
                description=f"nodes and pods in {zone.zone}",
                security_group_id=group.id,
                cidr_ipv4=zone.private,
                ip_protocol="tcp",
                from_port=443,
                to_port=443,
                tags=self._tags("endpoints"),
                opts=self._replaceable,
            )
        return group


def _entry(
    number: int, protocol: str, cidr: str, ports: tuple[int, int] = (0, 0)
) -> ec2.NetworkAclIngressArgsDict:
    return {
        "rule_no": number,
        "action": "allow",
        "protocol": protocol,
        "cidr_block": cidr,
        "from_port": ports[0],
        "to_port": ports[1],
    }
