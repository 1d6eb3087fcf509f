"""The machines of a cluster on EKS: a group in each zone, so that pods find their volumes again.

Leaves out growing by themselves: a zone has as many nodes as the configuration says.
"""

from collections.abc import Mapping, Sequence

import pulumi
from pulumi_aws import ec2, eks, iam

from components.aws.eks_config import Architecture, EksConfig
from components.aws.service_role import service_role

IMAGES = {
    Architecture.X86_64: "AL2023_x86_64_STANDARD",
    Architecture.ARM64: "AL2023_ARM_64_STANDARD",
}
MANAGED = "arn:aws:iam::aws:policy"
POLICIES = {
    "node": f"{MANAGED}/AmazonEKSWorkerNodePolicy",
    "images": f"{MANAGED}/AmazonEC2ContainerRegistryPullOnly",
    # A shell and a tunnel to the cluster's private address, without an open port.
    "sessions": f"{MANAGED}/AmazonSSMManagedInstanceCore",
}
TAGGED = ("instance", "volume", "network-interface")
# A group drains one node after the other, and each may take its pods' whole grace period.
TIMEOUTS = pulumi.CustomTimeouts(create="60m", update="120m", delete="60m")


def node_groups(
    name: str,
    config: EksConfig,
    cluster: eks.Cluster,
    subnet_ids: Sequence[pulumi.Input[str]],
    security_group_id: pulumi.Input[str],
    disk_key_arn: pulumi.Input[str],
    tags: Mapping[str, str],
    opts: pulumi.ResourceOptions,
) -> list[pulumi.Resource]:
    """A group in each subnet; `tags` reach its machines, disks and network interfaces."""
    role, permissions = _role(f"{name}-nodes", tags, opts)
    template = _template(f"{name}-nodes", config, security_group_id, disk_key_arn, tags, opts)
    return [
        eks.NodeGroup(
            f"{name}-nodes-{number}",
            cluster_name=cluster.name,
            node_role_arn=role.arn,
            subnet_ids=[subnet_id],
            ami_type=IMAGES[config.architecture],
            capacity_type="ON_DEMAND",
            instance_types=config.instance_types,
            version=config.version,
            force_update_version=False,
            launch_template={
                "id": template.id,
                "version": template.latest_version.apply(lambda version: str(version)),
            },
            scaling_config={
                "desired_size": config.nodes_per_zone,
                "min_size": config.min_nodes_per_zone,
                "max_size": config.max_nodes_per_zone,
            },
            update_config={"max_unavailable": 1, "update_strategy": "DEFAULT"},
            node_repair_config={"enabled": True},
            tags=tags,
            opts=pulumi.ResourceOptions.merge(
                opts, pulumi.ResourceOptions(depends_on=permissions, custom_timeouts=TIMEOUTS)
            ),
        )
        for number, subnet_id in enumerate(subnet_ids, 1)
    ]


def _role(
    name: str, tags: Mapping[str, str], opts: pulumi.ResourceOptions
) -> tuple[iam.Role, list[pulumi.Resource]]:
    """What the machines may do themselves; pods cannot get at it, see the hop limit below."""
    role = service_role(
        name,
        "ec2.amazonaws.com",
        "what nodes of the cluster may do before their pods run",
        tags,
        opts,
    )
    permissions = [
        iam.RolePolicyAttachment(f"{name}-{right}", role=role.name, policy_arn=policy, opts=opts)
        for right, policy in POLICIES.items()
    ]
    return role, list(permissions)


def _template(
    name: str,
    config: EksConfig,
    security_group_id: pulumi.Input[str],
    disk_key_arn: pulumi.Input[str],
    tags: Mapping[str, str],
    opts: pulumi.ResourceOptions,
) -> ec2.LaunchTemplate:
    return ec2.LaunchTemplate(
        f"{name}-template",
        description="nodes of the cluster",
        update_default_version=True,
        ebs_optimized="true",
        monitoring={"enabled": False},
        metadata_options={
            "http_endpoint": "enabled",
            "http_tokens": "required",
            # The answer dies before it reaches a pod, which has a network of its own.
            "http_put_response_hop_limit": 1,
            "http_protocol_ipv6": "disabled",
            "instance_metadata_tags": "disabled",
        },
        block_device_mappings=[
            {
                "device_name": "/dev/xvda",
                "ebs": {
                    "volume_size": config.node_disk_gib,
                    "volume_type": "gp3",
                    "encrypted": "true",
                    "kms_key_id": disk_key_arn,
                    "delete_on_termination": "true",
                },
            }
        ],
        network_interfaces=[
            {
                "device_index": 0,
                "associate_public_ip_address": "false",
                "delete_on_termination": "true",
                "security_groups": [security_group_id],
            }
        ],
        tag_specifications=[{"resource_type": kind, "tags": tags} for kind in TAGGED],
        tags=tags,
        opts=opts,
    )
