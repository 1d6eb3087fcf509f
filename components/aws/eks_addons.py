"""What AWS installs in a cluster on EKS: network, names, volumes, metrics, and logs to CloudWatch.

Leaves out the versions, which are configuration (eks_config.py).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import cloudwatch, eks, iam

from components.aws.pod_identity import trust_pods

MANAGED = "arn:aws:iam::aws:policy"
CONTAINER_LOGS = ("application", "dataplane", "host", "performance")
"""What the log shipper writes of a cluster, each into a group of its own."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What the pods of an add-on may do on AWS."""

    namespace: str
    service_account: str
    policy_arn: str


IDENTITIES = {
    "vpc-cni": Identity(
        namespace="kube-system",
        service_account="aws-node",
        policy_arn=f"{MANAGED}/AmazonEKS_CNI_Policy",
    ),
    "aws-ebs-csi-driver": Identity(
        namespace="kube-system",
        service_account="ebs-csi-controller-sa",
        # Of AWS's three policies for it the one that stops at this cluster's own volumes.
        policy_arn=f"{MANAGED}/AmazonEBSCSIDriverEKSClusterScopedPolicy",
    ),
    "amazon-cloudwatch-observability": Identity(
        namespace="amazon-cloudwatch",
        service_account="cloudwatch-agent",
        policy_arn=f"{MANAGED}/CloudWatchAgentServerPolicy",
    ),
}
SETTINGS: dict[str, object] = {
    # The default is to ignore every NetworkPolicy (AP-11).
    "vpc-cni": {"enableNetworkPolicy": "true"},
    # Container Insights and logs; without this, tracing of every application as well.
    "amazon-cloudwatch-observability": {
        "agent": {
            "config": {
                "logs": {"metrics_collected": {"kubernetes": {"enhanced_container_insights": True}}}
            }
        },
        "containerLogs": {"enabled": True},
    },
}


def container_log_group(cluster_name: str, kind: str) -> str:
    """The name that the log shipper writes to."""
    return f"/aws/containerinsights/{cluster_name}/{kind}"


def add_addons(
    name: str,
    versions: Mapping[str, str],
    cluster_name: pulumi.Input[str],
    cluster_arn: str,
    tags: dict[str, str],
    opts: pulumi.ResourceOptions,
) -> list[pulumi.Resource]:
    """Those add-ons that `versions` names, each with rights of its own."""
    made: list[pulumi.Resource] = []
    for addon, version in versions.items():
        needed: list[pulumi.Resource] = []
        associations: list[eks.AddonPodIdentityAssociationArgsDict] = []
        if addon in IDENTITIES:
            identity = IDENTITIES[addon]
            role, rights = _role(f"{name}-{addon}-pods", identity, cluster_arn, tags, opts)
            needed.append(rights)
            associations.append({"role_arn": role.arn, "service_account": identity.service_account})
        made.append(
            eks.Addon(
                f"{name}-{addon}",
                cluster_name=cluster_name,
                addon_name=addon,
                addon_version=version,
                configuration_values=json.dumps(SETTINGS[addon]) if addon in SETTINGS else None,
                pod_identity_associations=associations,
                # The program owns these fields, whoever changed them in the cluster.
                resolve_conflicts_on_create="OVERWRITE",
                resolve_conflicts_on_update="OVERWRITE",
                preserve=False,
                tags=tags,
                opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=needed)),
            )
        )
    return made


def _role(
    name: str,
    identity: Identity,
    cluster_arn: str,
    tags: dict[str, str],
    opts: pulumi.ResourceOptions,
) -> tuple[iam.Role, pulumi.Resource]:
    role = iam.Role(
        name,
        description=f"what {identity.service_account} may do",
        assume_role_policy=trust_pods(cluster_arn, identity.namespace, identity.service_account),
        force_detach_policies=True,
        max_session_duration=3600,
        path="/",
        tags=tags,
        opts=opts,
    )
    rights = iam.RolePolicyAttachment(
        name, role=role.name, policy_arn=identity.policy_arn, opts=opts
    )
    return role, rights


def container_log_groups(
    name: str,
    cluster_name: str,
    retention_days: int,
    key_arn: pulumi.Input[str],
    keep: bool,
    tags: dict[str, str],
    opts: pulumi.ResourceOptions,
) -> list[pulumi.Resource]:
    """Made before their writer, which would make them itself, without end and without our key."""
    return [
        cloudwatch.LogGroup(
            f"{name}-{kind}",
            name=container_log_group(cluster_name, kind),
            log_group_class="STANDARD",
            retention_in_days=retention_days,
            kms_key_id=key_arn,
            skip_destroy=keep,
            tags=tags,
            opts=opts,
        )
        for kind in CONTAINER_LOGS
    ]
