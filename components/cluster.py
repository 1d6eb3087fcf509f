"""The Kubernetes cluster that everything else runs in: one that exists, or one on EKS.

Leaves out how each of them is made; this is the one place that chooses between them.
"""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.aws.network import Network
from components.aws.regions import Regions
from components.stack import StackConfig

STORAGE_CLASS = "gp3"


@dataclass(frozen=True, kw_only=True)
class Cluster:
    provider: k8s.Provider
    network: Network | None
    """Where it is on AWS, with its pods among the clients; None where the stack uses no AWS."""


def make_cluster(config: StackConfig, regions: Regions | None, network: Network | None) -> Cluster:
    """A cluster that is ready for pods."""
    site = config.site
    if not config.backend.runs_on_eks:
        provider = k8s.Provider(
            "cluster",
            context=site.kube_context or None,
            # Without it any change of the kubeconfig replaces everything (pulumi-kubernetes#4019).
            cluster_identifier=site.cluster_identifier,
        )
        return Cluster(provider=provider, network=network)
    from components.aws.eks import EksCluster, EksClusterArgs

    assert regions and network, "a stack that uses AWS has its providers and its network"
    eks = EksCluster(
        "eks",
        EksClusterArgs(
            config=config.eks,
            cluster_name=site.cluster_identifier,
            aws=config.aws,
            network=network,
            labels=site.labels,
            keep_data=site.protect_data,
        ),
        pulumi.ResourceOptions(providers=[regions.home], protect=site.protect_data),
    )
    provider = k8s.Provider(
        "cluster",
        kubeconfig=eks.kubeconfig,
        cluster_identifier=site.cluster_identifier,
        opts=pulumi.ResourceOptions(depends_on=eks.ready),
    )
    _storage_class(config, eks.volume_key_arn, provider, eks)
    return Cluster(provider=provider, network=network.with_client("cluster", eks.security_group_id))


def _storage_class(
    config: StackConfig,
    key_arn: pulumi.Input[str],
    provider: k8s.Provider,
    parent: pulumi.Resource,
) -> None:
    """What volumes without a class are made of; EKS itself marks none as the default."""
    labels = enumerate(config.site.labels.items(), 1)
    k8s.storage.v1.StorageClass(
        "eks-volumes",
        metadata={
            "name": STORAGE_CLASS,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        provisioner="ebs.csi.aws.com",
        parameters={
            "type": "gp3",
            "encrypted": "true",
            "kmsKeyId": key_arn,
            **{f"tagSpecification_{n}": f"{name}={value}" for n, (name, value) in labels},
        },
        # In the zone of the pod that wants it, not in any.
        volume_binding_mode="WaitForFirstConsumer",
        allow_volume_expansion=True,
        reclaim_policy="Retain" if config.site.protect_data else "Delete",
        opts=pulumi.ResourceOptions(parent=parent, provider=provider, protect=False),
    )
