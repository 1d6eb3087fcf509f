"""What the workflows of one GitHub repository may do in the account, without a stored key (DE-8).

Leaves out the cluster: name the roles in eksAdminRoleArns and eksViewRoleArns. Leaves out the
state bucket, which is there before the stack.

To build a platform takes wide rights. The deploy role has AWS's own rights of a power user, cut
down to the services and regions of the stack; roles that it makes can never do more than
`boundary` lets them; and what holds the data, or backups of it, it cannot delete. It may still read
and change the data: give production an account of its own, and the environment reviewers.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_aws import iam

from components.aws.backup_vault import GUARDED
from components.aws.ci_access_config import CiConfig
from components.aws.config import AwsConfig
from components.aws.regions import EDGE_REGION

ISSUER = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"
ROLE = "aws:iam/role:Role"
# What a stack is made of; requests to any other service are refused.
SERVICES = (
    "acm",
    "autoscaling",
    "backup",
    "backup-storage",
    "budgets",
    "ce",
    "chatbot",
    "cloudfront",
    "cloudwatch",
    "ec2",
    "ecr",
    "eks",
    "elasticache",
    "events",
    "firehose",
    "iam",
    "kms",
    "logs",
    "rds",
    "route53",
    "s3",
    "scheduler",
    "secretsmanager",
    "sns",
    "states",
    "sts",
    "wafv2",
)
# Their endpoints are in us-east-1 or nowhere, whatever region is asked for.
WORLDWIDE = ("budgets", "ce", "chatbot", "cloudfront", "iam", "route53", "sts")
# A person's to do: each loses data, the way back to it, or the site's name (BK-22).
LOSSES = (
    *GUARDED,
    "ecr:DeleteRepository",
    "eks:DeleteCluster",
    "elasticache:DeleteReplicationGroup",
    "elasticache:DeleteSnapshot",
    "kms:DisableKey",
    "kms:ScheduleKeyDeletion",
    "rds:DeleteDBInstance",
    "rds:DeleteDBInstanceAutomatedBackup",
    "rds:DeleteDBSnapshot",
    "route53:DeleteHostedZone",
    "s3:DeleteBucket",
    "s3:DeleteObjectVersion",
    "secretsmanager:DeleteSecret",
)
BOUND = (
    "iam:AttachRolePolicy",
    "iam:CreateRole",
    "iam:DeleteRolePolicy",
    "iam:DetachRolePolicy",
    "iam:PutRolePolicy",
)
PLAIN = (
    "iam:CreateServiceLinkedRole",
    "iam:DeleteRole",
    "iam:GetOpenIDConnectProvider",
    "iam:GetPolicy",
    "iam:GetPolicyVersion",
    "iam:GetRole",
    "iam:GetRolePolicy",
    "iam:ListAttachedRolePolicies",
    "iam:ListInstanceProfilesForRole",
    "iam:ListPolicyVersions",
    "iam:ListRolePolicies",
    "iam:TagRole",
    "iam:UntagRole",
    "iam:UpdateRole",
)
# Who gets roles of the stack from it.
RECEIVERS = (
    "backup.amazonaws.com",
    "ec2.amazonaws.com",
    "eks.amazonaws.com",
    "events.amazonaws.com",
    "firehose.amazonaws.com",
    "monitoring.rds.amazonaws.com",
    "pods.eks.amazonaws.com",
    "s3.amazonaws.com",
    "scheduler.amazonaws.com",
    "states.amazonaws.com",
    "chatbot.amazonaws.com",
    "vpc-flow-logs.amazonaws.com",
)
Statement = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class CiAccessArgs:
    config: CiConfig
    aws: AwsConfig
    stack: str
    """Name of the environments: S deploys, S-checks and S-preview read."""
    prefix: str
    """What the roles' names start with."""
    break_glass_role: str
    """The role that may delete backups; empty for none."""


class CiAccess(pulumi.ComponentResource):
    deploy_role_arn: pulumi.Output[str]
    read_role_arn: pulumi.Output[str]
    boundary_arn: pulumi.Output[str]
    """Of the policy that every role of the stack has to have as its boundary."""

    def __init__(
        self, name: str, args: CiAccessArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:CiAccess", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._tags = {"nextstack/component": name}
        self._account = f"arn:aws:iam::{args.aws.account_id}"
        self._oidc_arn = f"{self._account}:oidc-provider/{ISSUER}"
        if args.config.makes_provider:
            # Its own name: stacks of one account share it.
            iam.OpenIdConnectProvider(
                name,
                url=f"https://{ISSUER}",
                client_id_lists=[AUDIENCE],
                tags=self._tags,
                opts=self._child,
            )
        self.boundary_arn = iam.Policy(
            f"{name}-boundary",
            name=f"{args.prefix}-boundary",
            description="what roles that workflows make can do at most",
            path="/",
            policy=_document(*_boundary()),
            tags=self._tags,
            opts=self._child,
        ).arn
        deploy = self._role("deploy", f"{args.stack} from {args.config.repository}", [args.stack])
        self._attach("deploy", deploy, "PowerUserAccess")
        self._put("deploy", deploy, *self._roles_of_the_stack())
        self._put("limits", deploy, *self._limits())
        read = self._role(
            "read",
            f"{args.stack} from {args.config.repository}, to look only",
            [f"{args.stack}-checks", f"{args.stack}-preview"],
        )
        # Configuration, no data.
        self._attach("read", read, "SecurityAudit")
        self._put("read", read, *self._state())
        self.deploy_role_arn, self.read_role_arn = deploy.arn, read.arn
        self.register_outputs({"deployRoleArn": deploy.arn, "readRoleArn": read.arn})

    def _role(self, kind: str, purpose: str, environments: list[str]) -> iam.Role:
        """Whoever GitHub vouches for to run in these environments, and nobody else."""
        repository = self._args.config.repository
        subjects = [f"repo:{repository}:environment:{name}" for name in environments]
        trust = {
            "Effect": "Allow",
            "Principal": {"Federated": self._oidc_arn},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {
                "StringEquals": {f"{ISSUER}:aud": AUDIENCE, f"{ISSUER}:sub": subjects},
            },
        }
        return iam.Role(
            f"{self._name}-{kind}",
            # Its ARN is written into the settings of the repository.
            name=f"{self._args.prefix}-{kind}",
            description=purpose,
            assume_role_policy=_document(trust),
            force_detach_policies=True,
            max_session_duration=3600,
            path="/",
            tags=self._tags,
            opts=self._child,
        )

    def _attach(self, kind: str, role: iam.Role, policy: str) -> None:
        iam.RolePolicyAttachment(
            f"{self._name}-{kind}",
            role=role.name,
            policy_arn=f"arn:aws:iam::aws:policy/{policy}",
            opts=self._child,
        )

    def _put(self, kind: str, role: iam.Role, *statements: Statement) -> None:
        iam.RolePolicy(
            f"{self._name}-{kind}-rights",
            role=role.name,
            policy=pulumi.Output.json_dumps({"Version": "2012-10-17", "Statement": statements}),
            opts=self._child,
        )

    def _roles_of_the_stack(self) -> list[dict[str, Any]]:
        roles = f"{self._account}:role/*"
        receivers = [*RECEIVERS, f"logs.{self._args.aws.region}.amazonaws.com"]
        return [
            {
                "Sid": "BoundRoles",
                "Effect": "Allow",
                "Action": list(BOUND),
                "Resource": roles,
                "Condition": {"StringEquals": {"iam:PermissionsBoundary": self.boundary_arn}},
            },
            {
                "Sid": "Roles",
                "Effect": "Allow",
                "Action": list(PLAIN),
                "Resource": [roles, f"{self._account}:policy/*", self._oidc_arn],
            },
            {
                "Sid": "PassRoles",
                "Effect": "Allow",
                "Action": ["iam:PassRole"],
                "Resource": roles,
                "Condition": {"StringEquals": {"iam:PassedToService": receivers}},
            },
        ]

    def _limits(self) -> list[dict[str, Any]]:
        """Denials, which no other right undoes."""
        args = self._args
        regions = {args.aws.region, args.aws.recovery_region, EDGE_REGION} - {""}
        above = [f"{self._account}:role/{args.prefix}-{kind}" for kind in ("deploy", "read")]
        if args.break_glass_role:
            above.append(f"{self._account}:role/{args.break_glass_role}")
        return [
            {
                "Sid": "OtherServices",
                "Effect": "Deny",
                "NotAction": [f"{service}:*" for service in SERVICES],
                "Resource": "*",
            },
            {
                "Sid": "OtherRegions",
                "Effect": "Deny",
                "NotAction": [f"{service}:*" for service in WORLDWIDE],
                "Resource": "*",
                "Condition": {"StringNotEquals": {"aws:RequestedRegion": sorted(regions)}},
            },
            {"Sid": "Losses", "Effect": "Deny", "Action": list(LOSSES), "Resource": "*"},
            {
                "Sid": "Itself",
                "Effect": "Deny",
                "Action": [
                    "iam:Attach*",
                    "iam:Create*",
                    "iam:Delete*",
                    "iam:Detach*",
                    "iam:PassRole",
                    "iam:Put*",
                    "iam:Set*",
                    "iam:Tag*",
                    "iam:Untag*",
                    "iam:Update*",
                    "sts:AssumeRole",
                ],
                "Resource": [*above, self.boundary_arn, self._oidc_arn],
            },
        ]

    def _state(self) -> list[dict[str, Any]]:
        """A preview reads the state, and locks it meanwhile."""
        config = self._args.config
        bucket = f"arn:aws:s3:::{config.state_bucket}"
        statements: list[dict[str, Any]] = [
            {
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:ListBucket"],
                "Resource": [bucket, f"{bucket}/*"],
            },
            {
                "Effect": "Allow",
                "Action": ["s3:DeleteObject", "s3:PutObject"],
                "Resource": f"{bucket}/.pulumi/locks/*",
            },
        ]
        if config.state_key_arn:
            statements.append(
                {"Effect": "Allow", "Action": ["kms:Decrypt"], "Resource": config.state_key_arn}
            )
        return statements


def _boundary() -> list[dict[str, Any]]:
    """No roles of their own, and nothing of the organisation or of backups' protection."""
    return [
        {
            "Effect": "Allow",
            "NotAction": ["account:*", "iam:*", "organizations:*", "sts:AssumeRole"],
            "Resource": "*",
        },
        {
            "Effect": "Allow",
            "Action": ["iam:CreateServiceLinkedRole", "iam:GetRole", "iam:PassRole"],
            "Resource": "*",
        },
        {"Effect": "Deny", "Action": list(GUARDED), "Resource": "*"},
    ]


def _document(*statements: Statement) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def bound_every_role(boundary_arn: pulumi.Input[str]) -> None:
    """Gives the boundary to every role that the program registers from now on."""

    def transform(
        args: pulumi.ResourceTransformationArgs,
    ) -> pulumi.ResourceTransformationResult | None:
        if args.type_ != ROLE:
            return None
        bound = {**args.props, "permissions_boundary": boundary_arn}
        return pulumi.ResourceTransformationResult(bound, args.opts)

    pulumi.runtime.register_stack_transformation(transform)
