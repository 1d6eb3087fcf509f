"""The network on AWS as its users see it, whether it existed before or the stack creates it.

Leaves out how one is created (vpc.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pulumi

from components.aws.regions import Regions
from components.backend_config import NetworkSource
from components.stack import StackConfig


@dataclass(frozen=True, kw_only=True)
class Network:
    vpc_id: pulumi.Input[str]
    node_subnet_ids: Sequence[pulumi.Input[str]]
    """Private subnets, one a zone: nodes and pods, with a way out."""
    data_subnet_ids: Sequence[pulumi.Input[str]]
    """Subnets of database and cache; of a created network, without a way out."""
    data_ranges: tuple[str, ...]
    """Their CIDR ranges."""
    clients: Mapping[str, pulumi.Input[str]]
    """Security groups that may reach database and cache, by a plain name."""

    def with_client(self, name: str, group_id: pulumi.Input[str]) -> "Network":
        return replace(self, clients={**self.clients, name: group_id})


def make_network(config: StackConfig, regions: Regions | None) -> Network | None:
    """None where the stack uses no AWS."""
    if regions is None:
        return None
    given = config.network
    clients = {group: group for group in given.client_security_group_ids}
    if config.backend.aws_network is NetworkSource.EXISTING:
        return Network(
            vpc_id=given.vpc_id,
            node_subnet_ids=given.node_subnet_ids,
            data_subnet_ids=given.subnet_ids,
            data_ranges=given.subnet_ranges,
            clients=clients,
        )
    from components.aws.vpc import Vpc, VpcArgs

    vpc = Vpc(
        "network",
        VpcArgs(
            config=given,
            aws=config.aws,
            cluster_name=config.site.cluster_identifier,
            keep_logs=config.site.protect_data,
        ),
        pulumi.ResourceOptions(providers=[regions.home], protect=config.site.protect_data),
    )
    return Network(
        vpc_id=vpc.id,
        node_subnet_ids=vpc.private_subnet_ids,
        data_subnet_ids=vpc.isolated_subnet_ids,
        data_ranges=given.data_ranges,
        clients=clients,
    )
