"""The firewall of a server on AWS, as network_policy.py is in the cluster."""

import pulumi
from pulumi_aws import ec2, vpc

from components.aws.network import Network


def server_group(
    name: str, network: Network, port: int, tags: dict[str, str], opts: pulumi.ResourceOptions
) -> ec2.SecurityGroup:
    """Admits the clients' security groups to `port`, and lets the server call nobody."""
    group = ec2.SecurityGroup(
        f"{name}-firewall",
        description=f"{name}: port {port} from the pods of the cluster",
        vpc_id=network.vpc_id,
        revoke_rules_on_delete=False,
        tags=tags,
        opts=opts,
    )
    for client, client_id in network.clients.items():
        vpc.SecurityGroupIngressRule(
            f"{name}-from-{client}",
            description="pods of the cluster",
            security_group_id=group.id,
            referenced_security_group_id=client_id,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            tags=tags,
            opts=opts,
        )
    return group
