"""The cluster on EKS (PL-2, PL-8, PL-9, SC-4, AP-11): refusals, who gets in, nodes, add-ons."""

import inspect
import json
from collections import Counter
from typing import Any

import pytest
import yaml
from conftest import deploy_stack, knobs
from pulumi_aws import ec2, eks

from components.aws.eks_config import EksConfig
from components.aws.network_config import NetworkConfig
from components.backend_config import BackendConfig
from components.stack import SiteConfig, eks_needs
from components.stack_config import ConfigError
from offline.recorder import Graph, Registered

DEPLOY, LOOK = (f"arn:aws:iam::123456789012:role/{name}" for name in ("deploy", "team/look"))
MANAGED = "arn:aws:iam::aws:policy"
POLICIES = {
    "eks-control-plane": "AmazonEKSClusterPolicy",
    "eks-nodes-node": "AmazonEKSWorkerNodePolicy",
    "eks-nodes-images": "AmazonEC2ContainerRegistryPullOnly",
    "eks-nodes-sessions": "AmazonSSMManagedInstanceCore",
    "eks-vpc-cni-pods": "AmazonEKS_CNI_Policy",
    "eks-aws-ebs-csi-driver-pods": "AmazonEBSCSIDriverEKSClusterScopedPolicy",
    "eks-amazon-cloudwatch-observability-pods": "CloudWatchAgentServerPolicy",
}
ACCOUNTS = {
    "vpc-cni": ("kube-system", "aws-node"),
    "aws-ebs-csi-driver": ("kube-system", "ebs-csi-controller-sa"),
    "amazon-cloudwatch-observability": ("amazon-cloudwatch", "cloudwatch-agent"),
}
EXISTING: dict[str, Any] = {
    "clusterSource": "kubeconfig",
    "awsClientSecurityGroupIds": '["sg-0123456789abcdef5"]',
}
# Inputs that stay unset, each for a reason.
UNSET = {
    "Cluster": {
        "computeConfig": "no Auto Mode: nodes are in groups",
        "controlPlaneScalingConfig": "the standard control plane, which grows by itself",
        "defaultAddonsToRemoves": "there are none",
        "kubeApiServerConfig": "EKS's own",
        "kubeControllerManagerConfig": "EKS's own",
        "kubeSchedulerConfig": "EKS's own",
        "outpostConfig": "Outposts only",
        "region": "the provider's",
        "remoteNetworkConfig": "no nodes elsewhere",
        "storageConfig": "no Auto Mode",
        "zonalShiftConfig": "nobody shifts: each zone has nodes",
    },
    "NodeGroup": {
        "diskSize": "of the launch template",
        "labels": "no pod asks for a node",
        "nodeGroupName": "a replacement comes beside it",
        "nodeGroupNamePrefix": "as above",
        "region": "the provider's",
        "releaseVersion": "the newest of its version, and AWS's console offers each newer one",
        "remoteAccess": "no SSH: Session Manager",
        "taints": "every pod may run everywhere",
        "warmPoolConfig": "nodes do not come and go",
    },
}


def stack(name: str = "production", **changes: Any) -> Graph:
    return deploy_stack(name, **changes)


def config(**changes: Any) -> EksConfig:
    return knobs(EksConfig, "eks", "production", **changes)


def made(graph: Graph) -> list[Registered]:
    return [r for r in graph.resources if r.parent.endswith(":EksCluster::eks")]


def cluster(graph: Graph) -> Registered:
    return graph.one("Cluster", "eks-cluster")


def kubeconfig(graph: Graph) -> dict[str, Any]:
    return json.loads(graph.one("kubernetes", "cluster").inputs["kubeconfig"])


@pytest.mark.parametrize(
    ("name", "public", "visitors"),
    [("staging", ["203.0.113.0/24"], []), ("production", None, ["eks-visitors-id"])],
)
def test_every_value_is_as_required(
    name: str, public: list[str] | None, visitors: list[str]
) -> None:
    """PL-2, PL-8, SC-4."""
    inputs = dict(cluster(stack(name)).inputs)
    network = inputs.pop("vpcConfig")
    assert network["endpointPrivateAccess"] is True
    assert network["endpointPublicAccess"] is bool(public)
    assert network.get("publicAccessCidrs") == public
    assert network["securityGroupIds"] == visitors
    assert all("-private-" in subnet for subnet in network["subnetIds"])
    assert inputs == {
        "accessConfig": {
            "authenticationMode": "API",
            "bootstrapClusterCreatorAdminPermissions": False,
        },
        "bootstrapSelfManagedAddons": False,
        "deletionProtection": True,
        "enabledClusterLogTypes": [
            "api",
            "audit",
            "authenticator",
            "controllerManager",
            "scheduler",
        ],
        "encryptionConfig": {
            "provider": {"keyArn": "arn:aws:kms:zz-none-1:000000000000:eks-key"},
            "resources": ["secrets"],
        },
        "forceUpdateVersion": False,
        "kubernetesNetworkConfig": {"ipFamily": "ipv4", "serviceIpv4Cidr": "172.20.0.0/16"},
        "name": f"example-{name}",
        "roleArn": "arn:aws:iam:zz-none-1:000000000000:eks-control-plane",
        "tags": {"nextstack/component": "eks"},
        "upgradePolicy": {"supportType": "STANDARD"},
        "version": "1.36",
    }


@pytest.mark.parametrize("kind", UNSET)
def test_nothing_is_left_to_the_providers_defaults(kind: str) -> None:
    known = inspect.signature(getattr(eks, f"{kind}Args").__init__).parameters
    names = {_camel(name) for name in known if not name.startswith("__")}
    found = next(r for r in made(stack()) if r.type.endswith(f":{kind}"))
    assert names - found.inputs.keys() == UNSET[kind].keys()


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.title() for word in tail)


def test_the_program_gets_a_token_for_each_call() -> None:
    """PL-2: no token, and nothing secret, is in the state."""
    provider = stack().one("kubernetes", "cluster")
    assert provider.inputs["clusterIdentifier"] == "example-production"
    assert "context" not in provider.inputs
    given = kubeconfig(stack())
    [user] = given["users"]
    assert user["user"].keys() == {"exec"}
    run = user["user"]["exec"]
    assert [run["command"], *run["args"]] == [
        *("aws", "eks", "get-token", "--cluster-name", "example-production"),
        *("--region", "us-east-1"),
    ]
    assert run["apiVersion"] == "client.authentication.k8s.io/v1beta1"
    [entry] = given["clusters"]
    assert entry["cluster"] == {
        "server": "https://eks-cluster.invented.eks.amazonaws.com",
        "certificate-authority-data": "aW52ZW50ZWQ=",
    }
    assert given["current-context"] == given["contexts"][0]["name"]
    assert given["contexts"][0]["context"] == {"cluster": entry["name"], "user": user["name"]}


def test_a_tunnel_verifies_the_clusters_own_name() -> None:
    [entry] = kubeconfig(stack(eksTunnelPort=8443))["clusters"]
    assert entry["cluster"] == {
        "server": "https://127.0.0.1:8443",
        "tls-server-name": "eks-cluster.invented.eks.amazonaws.com",
        "certificate-authority-data": "aW52ZW50ZWQ=",
    }


@pytest.mark.parametrize("name", ["dev", "staging"])
def test_a_cluster_that_exists_is_only_entered(name: str) -> None:
    """PL-2, PL-3."""
    graph = stack(name, kubeContext="shop", **(EXISTING if name == "staging" else {}))
    assert not made(graph)
    inputs = graph.one("kubernetes", "cluster").inputs
    assert inputs["context"] == "shop"
    assert "kubeconfig" not in inputs
    assert inputs["clusterIdentifier"]


def test_pods_come_after_nodes_and_addons_and_go_before_them() -> None:
    """PL-8: a volume or load balancer needs its add-on until it is gone."""
    graph = stack()
    first = set(graph.one("kubernetes", "cluster").depends_on)
    for kind in ("NodeGroup", "Addon", "AccessPolicyAssociation"):
        assert {r.urn for r in graph.all(kind)} <= first, kind


def test_nodes_wait_for_their_network_and_the_rest_for_nodes() -> None:
    graph = stack()
    addons = {r.inputs["addonName"]: r for r in graph.all("Addon")}
    early = {addons[name].urn for name in ("vpc-cni", "kube-proxy", "eks-pod-identity-agent")}
    nodes = {r.urn for r in graph.all("NodeGroup")}
    for group in graph.all("NodeGroup"):
        assert early <= set(group.depends_on)
    for addon in addons.values():
        assert (nodes <= set(addon.depends_on)) is (addon.urn not in early), addon.name


def test_who_enters_is_named() -> None:
    """Nobody by having made the cluster; looking does not show Secrets."""
    arns = {"eksAdminRoleArns": json.dumps([DEPLOY]), "eksViewRoleArns": json.dumps([LOOK])}
    graph = stack(**arns)
    entries = {r.inputs["principalArn"]: r.inputs for r in graph.all("AccessEntry")}
    assert entries.keys() == {DEPLOY, LOOK}
    assert not [e for e in entries.values() if "kubernetesGroups" in e or e["type"] != "STANDARD"]
    rights = {
        r.inputs["principalArn"]: r.inputs["policyArn"].rsplit("/", 1)[1]
        for r in graph.all("AccessPolicyAssociation")
    }
    assert rights == {DEPLOY: "AmazonEKSClusterAdminPolicy", LOOK: "AmazonEKSViewPolicy"}


def test_the_private_address_opens_to_joined_networks_alone() -> None:
    """FSBP EKS.1."""
    graph = stack()
    rules = [
        r.inputs
        for r in graph.all("SecurityGroupIngressRule")
        if r.inputs["securityGroupId"] == "eks-visitors-id"
    ]
    assert [(r["cidrIpv4"], r["fromPort"], r["toPort"]) for r in rules] == [
        ("10.99.0.0/16", 443, 443)
    ]
    assert "eks-visitors" not in {r.name for r in stack("staging").all("SecurityGroup")}


@pytest.mark.parametrize(
    ("name", "zones", "types"),
    [
        ("staging", "ab", ["t3.large", "t3a.large"]),
        ("production", "abc", ["m7i.xlarge", "m6i.xlarge"]),
    ],
)
def test_each_zone_has_a_group_of_nodes(name: str, zones: str, types: list[str]) -> None:
    """PL-10: a pod with a volume finds it again only in its zone."""
    groups = stack(name).all("NodeGroup")
    assert sorted(r.inputs["subnetIds"] for r in groups) == [
        [f"network-private-us-east-1{zone}-id"] for zone in zones
    ]
    for given in (r.inputs for r in groups):
        assert given["instanceTypes"] == types
        assert given["amiType"] == "AL2023_x86_64_STANDARD"
        assert given["capacityType"] == "ON_DEMAND"
        assert given["version"] == "1.36"
        assert given["scalingConfig"] == {"desiredSize": 1, "minSize": 1, "maxSize": 3}
        assert given["updateConfig"]["maxUnavailable"] == 1
        assert given["nodeRepairConfig"] == {"enabled": True}
        assert given["launchTemplate"] == {"id": "eks-nodes-template-id", "version": "1"}


def test_arm_nodes_get_an_arm_image() -> None:
    groups = stack(eksArchitecture="arm64", eksInstanceTypes='["m7g.large"]').all("NodeGroup")
    assert {r.inputs["amiType"] for r in groups} == {"AL2023_ARM_64_STANDARD"}


def test_nodes_keep_their_rights_from_pods_and_their_disks_from_readers() -> None:
    """AP-11, PL-9, FSBP EC2.8, EC2.9, EC2.25."""
    template = stack().one("LaunchTemplate").inputs
    assert template["metadataOptions"] == {
        "httpEndpoint": "enabled",
        "httpTokens": "required",
        "httpPutResponseHopLimit": 1,
        "httpProtocolIpv6": "disabled",
        "instanceMetadataTags": "disabled",
    }
    [disk] = template["blockDeviceMappings"]
    assert disk["deviceName"] == "/dev/xvda"
    assert disk["ebs"] == {
        "volumeSize": 50,
        "volumeType": "gp3",
        "encrypted": "true",
        "kmsKeyId": "arn:aws:kms:zz-none-1:000000000000:eks-disks-key",
        "deleteOnTermination": "true",
    }
    [interface] = template["networkInterfaces"]
    assert interface["associatePublicIpAddress"] == "false"
    assert interface["securityGroups"] == ["sg-00000000000000000"]
    assert {s["resourceType"] for s in template["tagSpecifications"]} == {
        "instance",
        "volume",
        "network-interface",
    }
    for specification in template["tagSpecifications"]:
        assert specification["tags"]["nextstack/stack"] == "production"
        assert specification["tags"]["nextstack/cost-centre"] == "nextjs"
    assert "keyName" not in template


def test_disks_can_be_made_by_whom_aws_lets_make_them() -> None:
    """The machines' Auto Scaling may not use keys otherwise, and no other account at all."""
    policy = json.loads(stack().one("Key", "eks-disks").inputs["policy"])
    [statement] = [s for s in policy["Statement"] if s["Sid"] == "Volumes"]
    assert statement["Condition"] == {
        "StringEquals": {
            "kms:CallerAccount": "123456789012",
            "kms:ViaService": "ec2.us-east-1.amazonaws.com",
        }
    }
    assert "kms:CreateGrant" in statement["Action"]


def test_addons_are_pinned_and_the_programs_own() -> None:
    addons = {r.inputs["addonName"]: r.inputs for r in stack().all("Addon")}
    assert {name: given["addonVersion"] for name, given in addons.items()} == dict(
        config().addon_versions
    )
    assert len(addons) == 7
    for given in addons.values():
        assert given["resolveConflictsOnCreate"] == given["resolveConflictsOnUpdate"] == "OVERWRITE"
        assert given["preserve"] is False


def test_network_policies_are_enforced() -> None:
    """AP-11, PO-10: without this the cluster ignores them."""
    given = json.loads(stack().one("Addon", "vpc-cni").inputs["configurationValues"])
    assert given == {"enableNetworkPolicy": "true"}


def test_logs_and_metrics_go_to_cloudwatch() -> None:
    """MO-4, MO-6."""
    given = json.loads(stack().one("Addon", "cloudwatch").inputs["configurationValues"])
    assert given["containerLogs"] == {"enabled": True}
    collected = given["agent"]["config"]["logs"]["metrics_collected"]
    assert collected == {"kubernetes": {"enhanced_container_insights": True}}


@pytest.mark.parametrize("addon", ["kube-proxy", "coredns", "metrics-server"])
def test_an_addon_without_need_has_no_rights(addon: str) -> None:
    assert stack().one("Addon", addon).inputs["podIdentityAssociations"] == []


@pytest.mark.parametrize("addon", ACCOUNTS)
def test_an_addons_rights_are_its_service_accounts_alone(addon: str) -> None:
    graph = stack()
    namespace, account = ACCOUNTS[addon]
    [association] = graph.one("Addon", addon).inputs["podIdentityAssociations"]
    assert association["serviceAccount"] == account
    assert association["roleArn"].endswith(f":eks-{addon}-pods")
    role = json.loads(graph.one("Role", f"eks-{addon}").inputs["assumeRolePolicy"])
    [statement] = role["Statement"]
    assert statement["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    assert statement["Action"] == ["sts:AssumeRole", "sts:TagSession"]
    assert statement["Condition"]["StringEquals"] == {
        "aws:RequestTag/eks-cluster-arn": (
            "arn:aws:eks:us-east-1:123456789012:cluster/example-production"
        ),
        "aws:RequestTag/kubernetes-namespace": namespace,
        "aws:RequestTag/kubernetes-service-account": account,
    }


def test_roles_have_the_policies_that_aws_names_and_no_other() -> None:
    graph = stack()
    attached = {
        r.name: r.inputs["policyArn"]
        for r in made(graph)
        if r.type.endswith(":RolePolicyAttachment")
    }
    assert attached == {name: f"{MANAGED}/{policy}" for name, policy in POLICIES.items()}
    assert not [r for r in made(graph) if r.type.endswith((":RolePolicy", ":Policy"))]


def test_the_control_plane_works_for_this_cluster_alone() -> None:
    role = json.loads(stack().one("Role", "eks-control-plane").inputs["assumeRolePolicy"])
    assert role["Statement"][0]["Condition"]["ArnLike"] == {
        "aws:SourceArn": "arn:aws:eks:us-east-1:123456789012:cluster/example-production"
    }


@pytest.mark.parametrize("days", [30, 90])
def test_logs_have_an_end_and_a_key_from_the_first_line_on(days: int) -> None:
    """MO-6, FSBP EKS.8."""
    graph = stack("staging", eksLogRetentionDays=days)
    groups = {r.inputs["name"]: r for r in made(graph) if r.type.endswith(":LogGroup")}
    insights = "/aws/containerinsights/example-staging"
    assert groups.keys() == {
        "/aws/eks/example-staging/cluster",
        *(f"{insights}/{kind}" for kind in ("application", "dataplane", "host", "performance")),
    }
    for group in groups.values():
        assert group.inputs["retentionInDays"] == days
        assert group.inputs["kmsKeyId"].endswith(":eks-key")
    assert groups["/aws/eks/example-staging/cluster"].urn in cluster(graph).depends_on
    shipper = graph.one("Addon", "cloudwatch")
    assert groups[f"{insights}/application"].urn in shipper.depends_on


@pytest.mark.parametrize(("keep", "policy"), [(True, "Retain"), (False, "Delete")])
def test_volumes_are_encrypted_in_their_pods_zone_and_kept_as_configured(
    keep: bool, policy: str
) -> None:
    """PL-8, PL-9: what a claim without a class gets; EKS marks no class as the default."""
    given = stack(protectData=keep).one("StorageClass").inputs
    annotations = given["metadata"]["annotations"]
    assert annotations == {"storageclass.kubernetes.io/is-default-class": "true"}
    assert given["provisioner"] == "ebs.csi.aws.com"
    assert given["volumeBindingMode"] == "WaitForFirstConsumer"
    assert given["allowVolumeExpansion"] is True
    assert given["reclaimPolicy"] == policy
    parameters = given["parameters"]
    assert (parameters["type"], parameters["encrypted"]) == ("gp3", "true")
    assert parameters["kmsKeyId"].endswith(":eks-disks-key")
    assert "nextstack/stack=production" in parameters.values()


@pytest.mark.parametrize("keep", [True, False])
def test_the_cluster_refuses_to_be_deleted_as_configured(keep: bool) -> None:
    """PL-8."""
    graph = stack(protectData=keep)
    assert cluster(graph).protect is keep
    assert cluster(graph).inputs["deletionProtection"] is keep
    protected = {r.type.rsplit(":", 1)[1] for r in made(graph) if r.protect}
    assert protected == ({"Cluster", "Key", "LogGroup"} if keep else set())


def test_the_component_makes_no_more_than_this() -> None:
    assert Counter(r.type.rsplit(":", 1)[1] for r in made(stack())) == {
        "AccessEntry": 1,
        "AccessPolicyAssociation": 1,
        "Addon": 7,
        "Cluster": 1,
        "Key": 2,
        "LaunchTemplate": 1,
        "LogGroup": 5,
        "NodeGroup": 3,
        "Role": 5,
        "RolePolicyAttachment": 7,
        "SecurityGroup": 1,
        "SecurityGroupIngressRule": 1,
        "StorageClass": 1,
    }


ADDONS = dict(config().addon_versions)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": "1.9"}, "eksVersion is no version: got '1.9', allowed such as 1.36"),
        ({"version": "1.35"}, "eksAddonVersions.kube-proxy is of another Kubernetes: got v1.36"),
        (
            {"addon_versions": {k: v for k, v in ADDONS.items() if k != "coredns"}},
            "eksAddonVersions.coredns is missing",
        ),
        ({"addon_versions": ADDONS | {"adot": "v1.0.0-eksbuild.1"}}, "adot is unknown, allowed"),
        (
            {"addon_versions": ADDONS | {"coredns": "latest"}},
            "eksAddonVersions.coredns is no version: got 'latest'",
        ),
        ({"service_range": "172.20.0.1/16"}, "eksServiceRange has no range"),
        ({"service_range": "172.32.0.0/16"}, "eksServiceRange is not private"),
        ({"service_range": "10.0.0.0/11"}, "eksServiceRange has the wrong size.*/12 to /24"),
        ({"service_range": "10.0.0.0/25"}, "eksServiceRange has the wrong size"),
        ({"service_range": "100.64.0.0/16"}, "eksServiceRange is not private"),
        ({"public_access_ranges": ["0.0.0.0/0"]}, "eksPublicAccessRanges lets everybody knock"),
        ({"public_access_ranges": ["10.0.0.0/8"]}, "is no address of the Internet: got 10.0.0.0/8"),
        ({"public_access_ranges": ["office"]}, "eksPublicAccessRanges has no range: got 'office'"),
        (
            {"public_access_ranges": [f"203.0.113.{n}/32" for n in range(41)]},
            "eksPublicAccessRanges has too many: got 41, allowed 40",
        ),
        ({"private_access_ranges": ["203.0.113.0/24"]}, "eksPrivateAccessRanges is not private"),
        ({"tunnel_port": 443}, "eksTunnelPort is out of range: got 443, allowed 1024 to 65535"),
        ({"tunnel_port": 65536}, "eksTunnelPort is out of range"),
        ({"admin_role_arns": ["deploy"]}, "eksAdminRoleArns has no role: got 'deploy'"),
        ({"admin_role_arns": ["arn:aws:iam::123456789012:user/eve"]}, "has no role"),
        ({"admin_role_arns": [DEPLOY, DEPLOY]}, "eksAdminRoleArns and eksViewRoleArns name a role"),
        ({"admin_role_arns": [DEPLOY], "view_role_arns": [DEPLOY]}, "name a role twice"),
        ({"instance_types": []}, "eksInstanceTypes is empty"),
        ({"instance_types": ["large"]}, "eksInstanceTypes has no type: got 'large'"),
        ({"instance_types": ["m7g.large"]}, "eksInstanceTypes has the wrong processor: got m7g"),
        (
            {"architecture": "arm64", "instance_types": ["m7i.large"]},
            "wrong processor: got m7i.large, allowed types of arm64",
        ),
        ({"architecture": "sparc"}, "eksArchitecture is not allowed: got 'sparc'"),
        ({"min_nodes_per_zone": 0}, "eksMinNodesPerZone is out of range: got 0, allowed 1 to 10"),
        ({"max_nodes_per_zone": 11}, "eksMaxNodesPerZone is out of range: got 11"),
        ({"nodes_per_zone": 4}, "eksNodesPerZone is out of range: got 4, allowed 1 to 3"),
        ({"min_nodes_per_zone": 2}, "eksNodesPerZone is out of range: got 1, allowed 2 to 3"),
        ({"node_disk_gib": 19}, "eksNodeDiskGib is out of range: got 19, allowed 20 to 16384"),
        ({"log_retention_days": 31}, "eksLogRetentionDays is not offered by AWS: got 31"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    """PL-7."""
    with pytest.raises(ConfigError, match=message):
        config(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"service_range": "10.0.0.0/12"},
        {"service_range": "192.168.255.0/24"},
        {"public_access_ranges": [f"203.0.113.{n}/32" for n in range(40)]},
        {"tunnel_port": 1024},
        {"tunnel_port": 65535},
        {"instance_types": ["m7i-flex.large", "c6a.xlarge", "t3.medium", "m7i.metal-24xl"]},
        {"architecture": "arm64", "instance_types": ["t4g.large", "m7gd.xlarge", "c8gn.large"]},
        {"min_nodes_per_zone": 10, "nodes_per_zone": 10, "max_nodes_per_zone": 10},
        {"admin_role_arns": [DEPLOY], "view_role_arns": [LOOK]},
    ],
)
def test_settings_at_their_limits_are_accepted(changes: dict[str, Any]) -> None:
    assert config(**changes)


@pytest.mark.parametrize(
    ("site", "network", "given", "at_fault"),
    [
        ({}, {}, {}, []),
        ({"cluster_identifier": "a" * 101}, {}, {}, ["cluster_identifier"]),
        ({"cluster_identifier": "my cluster"}, {}, {}, ["cluster_identifier"]),
        ({"cluster_identifier": "a" * 100}, {}, {}, []),
        ({"kube_context": "shop"}, {}, {}, ["kube_context"]),
        ({}, {}, {"admin_role_arns": []}, ["eks_admin_role_arns"]),
        ({}, {}, {"service_range": "10.10.240.0/24"}, ["eks_service_range"]),
        ({}, {}, {"service_range": "10.0.0.0/12"}, ["eks_service_range"]),
        ({}, {"peer_ranges": ["172.20.0.0/16", "10.99.0.0/16"]}, {}, ["eks_service_range"]),
        ({}, {"subnet_ranges": ["172.20.1.0/24"]}, {}, ["eks_service_range"]),
        ({}, {"peer_ranges": []}, {}, ["eks_private_access_ranges"]),
        ({}, {}, {"private_access_ranges": ["10.98.0.0/16"]}, ["eks_private_access_ranges"]),
        ({}, {}, {"private_access_ranges": ["10.99.7.0/24"]}, []),
    ],
)
def test_a_cluster_fits_its_network_and_can_be_entered(
    site: dict[str, Any], network: dict[str, Any], given: dict[str, Any], at_fault: list[str]
) -> None:
    """PL-2, PL-7."""
    problems = eks_needs(
        knobs(BackendConfig, "", "production"),
        knobs(SiteConfig, "", "production", **site),
        knobs(NetworkConfig, "aws", "production", **network),
        config(**given),
    )
    assert [problem.split()[0] for problem in problems] == at_fault


def test_knobs_of_eks_do_not_matter_elsewhere() -> None:
    problems = eks_needs(
        knobs(BackendConfig, "", "dev"),
        knobs(SiteConfig, "", "dev", kube_context="nextstack"),
        knobs(NetworkConfig, "aws", "dev"),
        knobs(EksConfig, "eks", "dev"),
    )
    assert problems == []


def test_the_log_group_that_monitoring_reads_is_the_one_that_pods_write_to() -> None:
    graph = stack()
    names = {r.inputs["name"] for r in graph.all("LogGroup")}
    filters = graph.all("LogMetricFilter")
    assert filters
    for found in filters:
        if found.inputs["logGroupName"].startswith("/aws/containerinsights/"):
            assert found.inputs["logGroupName"] in names


def test_the_template_takes_nothing_else() -> None:
    """The image, the machine and the user data are EKS's."""
    known = {_camel(n) for n in inspect.signature(ec2.LaunchTemplateArgs.__init__).parameters}
    inputs = stack().one("LaunchTemplate").inputs.keys()
    assert inputs <= known
    assert not inputs & {"imageId", "instanceType", "userData", "iamInstanceProfile", "keyName"}


def test_the_kubeconfig_is_valid_yaml() -> None:
    text = stack().one("kubernetes", "cluster").inputs["kubeconfig"]
    assert yaml.safe_load(text)["kind"] == "Config"
