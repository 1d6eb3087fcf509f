"""A role for the pods of one service account, by EKS Pod Identity: no key that could be stolen.

Leaves out the agent on the nodes, which is an add-on of the cluster.
"""

import json
from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as k8s
from pulumi_aws import eks, iam

from components.pod_identity import PodIdentity, Pods

Right = Mapping[str, pulumi.Input[object]]
"""Action, Resource and perhaps Condition of a statement that allows something."""


def pod_role(
    name: str,
    pods: Pods,
    service_account: str,
    rights: Sequence[Right],
    tags: dict[str, str],
    opts: pulumi.ResourceOptions,
) -> PodIdentity:
    """A service account of this name, and what its pods may do; `opts` have both providers."""
    cluster_arn = f"arn:aws:eks:{pods.region}:{pods.account_id}:cluster/{pods.cluster_name}"
    account = k8s.core.v1.ServiceAccount(
        f"{name}-account",
        # By this name AWS knows the pods.
        metadata={"name": service_account, "namespace": pods.created},
        automount_service_account_token=False,
        opts=opts,
    )
    role = iam.Role(
        f"{name}-pods",
        description=f"what pods of {pods.namespace}/{service_account} may do",
        assume_role_policy=trust_pods(cluster_arn, pods.namespace, service_account),
        force_detach_policies=True,
        max_session_duration=3600,
        path="/",
        tags=tags,
        opts=opts,
    )
    statements = [{"Effect": "Allow", **right} for right in rights]
    permission = iam.RolePolicy(
        f"{name}-pods",
        role=role.name,
        policy=pulumi.Output.json_dumps({"Version": "2012-10-17", "Statement": statements}),
        opts=opts,
    )
    association = eks.PodIdentityAssociation(
        f"{name}-pods",
        cluster_name=pods.cluster_name,
        namespace=pods.namespace,
        service_account=service_account,
        role_arn=role.arn,
        disable_session_tags=False,
        tags=tags,
        # A cluster that the program makes is there before its objects.
        opts=pulumi.ResourceOptions.merge(
            opts, pulumi.ResourceOptions(depends_on=[permission, account])
        ),
    )
    return PodIdentity(service_account=account.metadata.name, ready=[association])


def trust_pods(cluster_arn: str, namespace: str, service_account: str) -> str:
    """Only this service account of this cluster gets the role."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "pods.eks.amazonaws.com"},
        "Action": ["sts:AssumeRole", "sts:TagSession"],
        "Condition": {
            "StringEquals": {
                "aws:RequestTag/eks-cluster-arn": cluster_arn,
                "aws:RequestTag/kubernetes-namespace": namespace,
                "aws:RequestTag/kubernetes-service-account": service_account,
            }
        },
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
