"""The stack's names: the records that lead to it, and the zone that holds them (DT-1).

Leaves out the domain's registration, and failover to another region.
"""

import json
from dataclasses import dataclass

import pulumi
from pulumi_aws import cloudwatch, route53

from components.aws.edge_config import EdgeConfig
from components.aws.kms import encryption_key
from components.aws.regions import EDGE_REGION

CAA_TTL_S = 3600


@dataclass(frozen=True, kw_only=True)
class HostedZoneArgs:
    config: EdgeConfig
    account_id: str
    keep_data: bool = True
    """Whether it outlives the stack; by default so, because a new one has other name servers."""


class HostedZone(pulumi.ComponentResource):
    """A zone of the stack's own, and who asked for its names. Its log is kept in us-east-1."""

    zone_id: pulumi.Output[str]
    name_servers: pulumi.Output[list[str]]
    """Where the domain has to be delegated to, before a certificate can be issued."""

    def __init__(
        self, name: str, args: HostedZoneArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:HostedZone", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        kept = pulumi.ResourceOptions(parent=self, protect=args.keep_data)
        tags = {"nextstack/component": name}
        zone_name = args.config.zone_name
        zone = route53.Zone(
            name,
            name=zone_name,
            comment="made by nextstack",
            force_destroy=False,
            tags=tags,
            opts=pulumi.ResourceOptions.merge(
                kept, pulumi.ResourceOptions(retain_on_delete=args.keep_data)
            ),
        )
        key = encryption_key(
            name, "log of DNS questions", args.account_id, tags, kept, logs_in=EDGE_REGION
        )
        group = cloudwatch.LogGroup(
            name,
            # Route 53 writes to names with this prefix only.
            name=f"/aws/route53/{zone_name}",
            log_group_class="STANDARD",
            retention_in_days=args.config.query_log_days,
            kms_key_id=key.arn,
            skip_destroy=args.keep_data,
            tags=tags,
            opts=kept,
        )
        writes = cloudwatch.LogResourcePolicy(
            name,
            policy_name=f"route53-{zone_name}".replace(".", "-"),
            policy_document=group.arn.apply(lambda arn: _may_write(arn, args.account_id)),
            opts=child,
        )
        route53.QueryLog(
            name,
            zone_id=zone.zone_id,
            cloudwatch_log_group_arn=group.arn,
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[writes])),
        )
        self.zone_id = zone.zone_id
        self.name_servers = zone.name_servers.apply(list)
        self.register_outputs({"zoneId": self.zone_id, "nameServers": self.name_servers})


def _may_write(group_arn: str, account_id: str) -> str:
    statement = {
        "Sid": "Route53",
        "Effect": "Allow",
        "Principal": {"Service": "route53.amazonaws.com"},
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": f"{group_arn}:*",
        "Condition": {"StringEquals": {"aws:SourceAccount": account_id}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where an alias leads: a load balancer or a CDN, under a name that AWS gave it."""

    name: pulumi.Input[str]
    zone_id: pulumi.Input[str]
    """Zone of that name, which is AWS's own."""
    ipv6: bool = False
    """Whether it has IPv6 addresses, too; by default it has none."""


class Records(pulumi.ComponentResource):
    def __init__(
        self,
        name: str,
        zone_id: pulumi.Input[str],
        targets: dict[str, Target],
        authorities: dict[str, tuple[str, ...]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """`targets` and `authorities` (who may issue certificates; none for anybody) are by host.

        Aliases instead of CNAMEs: the top of a zone may have no CNAME, and AWS answers without a
        second question, and without charge.
        """
        super().__init__("nextstack:index:Records", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        for host, target in targets.items():
            for kind in ("A", "AAAA") if target.ipv6 else ("A",):
                route53.Record(
                    f"{name}-{host}-{kind.lower()}",
                    zone_id=zone_id,
                    name=host,
                    type=kind,
                    aliases=[
                        {
                            "name": target.name,
                            "zone_id": target.zone_id,
                            # There is nowhere else to lead people to.
                            "evaluate_target_health": False,
                        }
                    ],
                    allow_overwrite=False,
                    opts=child,
                )
        for host, issuers in authorities.items():
            if issuers:
                route53.Record(
                    f"{name}-{host}-caa",
                    zone_id=zone_id,
                    name=host,
                    type="CAA",
                    ttl=CAA_TTL_S,
                    records=[f'0 issue "{issuer}"' for issuer in issuers],
                    allow_overwrite=False,
                    opts=child,
                )
        self.register_outputs({"hosts": list(targets)})
