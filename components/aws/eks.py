"""A Kubernetes cluster on EKS: control plane, who may use it, its nodes and add-ons.

Leaves out the network (network.py) and the objects inside the cluster.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import cloudwatch, ec2, eks, iam, kms, vpc

from components.aws.config import AwsConfig
from components.aws.eks_addons import add_addons, container_log_groups
from components.aws.eks_config import NETWORK_ADDONS, OTHER_ADDONS, EksConfig, role_name
from components.aws.kms import Statement, encryption_key
from components.aws.network import Network
from components.aws.node_group import node_groups
from components.aws.service_role import service_role

LOGS = ("api", "audit", "authenticator", "controllerManager", "scheduler")
POLICIES = "arn:aws:eks::aws:cluster-access-policy"
ADMIN_POLICY = f"{POLICIES}/AmazonEKSClusterAdminPolicy"
# Reads everything in the cluster but Secrets.
VIEW_POLICY = f"{POLICIES}/AmazonEKSViewPolicy"
CLUSTER_POLICY = "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"
# A control plane takes a quarter of an hour to make, and an update of it more than half of one.
TIMEOUTS = pulumi.CustomTimeouts(create="60m", update="120m", delete="60m")


@dataclass(frozen=True, kw_only=True)
class EksClusterArgs:
    config: EksConfig
    cluster_name: str
    aws: AwsConfig
    network: Network
    labels: Mapping[str, str]
    """Whose the machines are: the provider's own tags do not reach them."""
    keep_data: bool = True
    """Whether the cluster refuses to be deleted and its logs stay; by default so."""


class EksCluster(pulumi.ComponentResource):
    kubeconfig: pulumi.Output[str]
    """How to reach the cluster, with the credentials that the AWS CLI finds; no secret."""
    security_group_id: pulumi.Output[str]
    """What nodes and pods are in."""
    volume_key_arn: pulumi.Output[str]
    """What volumes of pods are encrypted with."""
    ready: list[pulumi.Resource]
    """What pods need before they run, and until they are gone."""

    def __init__(
        self, name: str, args: EksClusterArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:EksCluster", name, {}, opts)
        self._name, self._args = name, args
        self._tags = {"nextstack/component": name}
        self._child = pulumi.ResourceOptions(parent=self)
        # Is made again without a loss.
        self._replaceable = pulumi.ResourceOptions(parent=self, protect=False)
        key = self._key("", "its Secrets and logs", logs_in=args.aws.region)
        disks = self._key(
            "-disks", "disks of nodes, volumes of pods", statements=[_volumes(args.aws)]
        )
        cluster = self._cluster(key.arn)
        self.security_group_id = cluster.vpc_config.apply(
            lambda given: given.cluster_security_group_id or ""
        )
        self.volume_key_arn = disks.arn
        self.kubeconfig = self._kubeconfig(cluster)
        self.ready = [*self._access(cluster), *self._inside(cluster, key.arn)]
        self.register_outputs({"kubeconfig": self.kubeconfig})

    def _key(
        self, suffix: str, purpose: str, logs_in: str = "", statements: Sequence[Statement] = ()
    ) -> kms.Key:
        return encryption_key(
            f"{self._name}{suffix}",
            f"cluster {self._args.cluster_name}: {purpose}",
            self._args.aws.account_id,
            self._tags,
            self._child,
            logs_in,
            statements,
        )

    def _cluster(self, key_arn: pulumi.Input[str]) -> eks.Cluster:
        config, args = self._args.config, self._args
        role, permission = self._role()
        logs = cloudwatch.LogGroup(
            f"{self._name}-control-plane",
            # EKS writes to this name, and would make it itself, without an end.
            name=f"/aws/eks/{args.cluster_name}/cluster",
            log_group_class="STANDARD",
            retention_in_days=config.log_retention_days,
            kms_key_id=key_arn,
            skip_destroy=args.keep_data,
            tags=self._tags,
            opts=self._child,
        )
        return eks.Cluster(
            f"{self._name}-cluster",
            name=args.cluster_name,
            version=config.version,
            role_arn=role.arn,
            force_update_version=False,
            upgrade_policy={"support_type": "STANDARD"},
            deletion_protection=args.keep_data,
            # All add-ons are the program's, with versions of its own choice.
            bootstrap_self_managed_addons=False,
            access_config={
                "authentication_mode": "API",
                # Who made the cluster is nobody special: see eksAdminRoleArns.
                "bootstrap_cluster_creator_admin_permissions": False,
            },
            encryption_config={"provider": {"key_arn": key_arn}, "resources": ["secrets"]},
            enabled_cluster_log_types=LOGS,
            kubernetes_network_config={
                "ip_family": "ipv4",
                "service_ipv4_cidr": config.service_range,
            },
            vpc_config={
                "subnet_ids": args.network.node_subnet_ids,
                "security_group_ids": self._visitors(),
                "endpoint_private_access": True,
                "endpoint_public_access": bool(config.public_access_ranges),
                "public_access_cidrs": config.public_access_ranges or None,
            },
            tags=self._tags,
            opts=pulumi.ResourceOptions.merge(
                self._child,
                pulumi.ResourceOptions(depends_on=[logs, permission], custom_timeouts=TIMEOUTS),
            ),
        )

    def _role(self) -> tuple[iam.Role, pulumi.Resource]:
        """What the control plane runs as, and what has to exist until the cluster is gone."""
        aws = self._args.aws
        role = service_role(
            f"{self._name}-control-plane",
            "eks.amazonaws.com",
            f"lets EKS run the cluster {self._args.cluster_name}",
            self._tags,
            self._replaceable,
            account_id=aws.account_id,
            source_arn=self._arn,
        )
        permission = iam.RolePolicyAttachment(
            f"{self._name}-control-plane",
            role=role.name,
            policy_arn=CLUSTER_POLICY,
            opts=self._replaceable,
        )
        return role, permission

    @property
    def _arn(self) -> str:
        """The cluster's, known before it exists."""
        aws = self._args.aws
        return f"arn:aws:eks:{aws.region}:{aws.account_id}:cluster/{self._args.cluster_name}"

    def _visitors(self) -> list[pulumi.Input[str]]:
        """A security group that lets joined networks in to the private address, if there are any.

        Nodes and pods come in by the cluster's own, which EKS makes.
        """
        ranges = self._args.config.private_access_ranges
        if not ranges:
            return []
        group = ec2.SecurityGroup(
            f"{self._name}-visitors",
            description="Kubernetes API: HTTPS from joined networks",
            vpc_id=self._args.network.vpc_id,
            revoke_rules_on_delete=False,
            tags=self._tags,
            opts=self._replaceable,
        )
        for cidr in ranges:
            vpc.SecurityGroupIngressRule(
                f"{self._name}-from-{cidr}",
                description="a joined network",
                security_group_id=group.id,
                cidr_ipv4=cidr,
                ip_protocol="tcp",
                from_port=443,
                to_port=443,
                tags=self._tags,
                opts=self._replaceable,
            )
        return [group.id]

    def _access(self, cluster: eks.Cluster) -> list[pulumi.Resource]:
        """Who may do what in the cluster; the program runs as one of the administrators."""
        config = self._args.config
        roles = [("admin", arn, ADMIN_POLICY) for arn in config.admin_role_arns]
        roles += [("view", arn, VIEW_POLICY) for arn in config.view_role_arns]
        made: list[pulumi.Resource] = []
        for kind, arn, policy in roles:
            logical_name = f"{self._name}-{kind}-{role_name(arn)}"
            entry = eks.AccessEntry(
                logical_name,
                cluster_name=cluster.name,
                principal_arn=arn,
                type="STANDARD",
                tags=self._tags,
                opts=self._replaceable,
            )
            made.append(
                eks.AccessPolicyAssociation(
                    logical_name,
                    cluster_name=cluster.name,
                    principal_arn=entry.principal_arn,
                    policy_arn=policy,
                    access_scope={"type": "cluster"},
                    opts=self._replaceable,
                )
            )
        return made

    def _inside(self, cluster: eks.Cluster, key_arn: pulumi.Input[str]) -> list[pulumi.Resource]:
        """Nodes and add-ons, each after what it needs."""
        args = self._args

        def after(*needed: pulumi.Resource) -> pulumi.ResourceOptions:
            return pulumi.ResourceOptions.merge(
                self._replaceable, pulumi.ResourceOptions(depends_on=needed)
            )

        def addons(names: Sequence[str], opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
            versions = {name: args.config.addon_versions[name] for name in names}
            return add_addons(self._name, versions, cluster.name, self._arn, self._tags, opts)

        network = addons(NETWORK_ADDONS, self._replaceable)
        nodes = node_groups(
            self._name,
            args.config,
            cluster,
            args.network.node_subnet_ids,
            self.security_group_id,
            self.volume_key_arn,
            {**args.labels, **self._tags},
            after(*network),
        )
        logs = container_log_groups(
            self._name,
            args.cluster_name,
            args.config.log_retention_days,
            key_arn,
            args.keep_data,
            self._tags,
            self._child,
        )
        return [*nodes, *network, *addons(OTHER_ADDONS, after(*nodes, *logs))]

    def _kubeconfig(self, cluster: eks.Cluster) -> pulumi.Output[str]:
        """No token: the AWS CLI makes one for each call, from the credentials of who calls."""
        name, port = self._args.cluster_name, self._args.config.tunnel_port
        server: dict[str, pulumi.Input[str]] = {
            "server": cluster.endpoint,
            "certificate-authority-data": cluster.certificate_authority.data,
        }
        if port:
            server |= {
                "server": f"https://127.0.0.1:{port}",
                "tls-server-name": cluster.endpoint.apply(lambda url: url.split("://")[1]),
            }
        command = ["eks", "get-token", "--cluster-name", name]
        return pulumi.Output.json_dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": name,
                "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
                "clusters": [{"name": name, "cluster": server}],
                "users": [
                    {
                        "name": name,
                        "user": {
                            "exec": {
                                "apiVersion": "client.authentication.k8s.io/v1beta1",
                                "command": "aws",
                                "args": [*command, "--region", self._args.aws.region],
                                "interactiveMode": "Never",
                            }
                        },
                    }
                ],
            }
        )


def _volumes(aws: AwsConfig) -> Statement:
    """Lets whoever may make or attach volumes in this account use the key for that alone.

    As in AWS's own key for volumes: the machines' Auto Scaling has no rights on keys, and its role
    does not exist before the first group, so that it cannot be named.
    """
    return {
        "Sid": "Volumes",
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": [
            "kms:Encrypt",
            "kms:Decrypt",
            "kms:ReEncrypt*",
            "kms:GenerateDataKey*",
            "kms:CreateGrant",
            "kms:DescribeKey",
        ],
        "Resource": "*",
        "Condition": {
            "StringEquals": {
                "kms:CallerAccount": aws.account_id,
                "kms:ViaService": f"ec2.{aws.region}.amazonaws.com",
            }
        },
    }
