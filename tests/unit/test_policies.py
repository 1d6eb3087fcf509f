"""The committed stacks obey the policies, and each rule notices what it is for."""

import copy
import dataclasses
import json
import re
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest
import typer
from conftest import STACKS, deploy, deploy_stack
from rich.console import Console

import commands.preview
from offline import judge
from offline.preview import preview
from offline.recorder import ROOT, Graph, stack_settings
from policies.catalogue import NOT_IMPLEMENTED, RULES, implemented
from policies.rule import UNKNOWN, Context, Resource
from policies.table import table
from policies.verdicts import judge as judge_context
from policies.verdicts import problems
from policies.waivers import FILE, Waiver, read, waivers

IMAGE: dict[str, Any] = {"image": f"shop@sha256:{'0' * 64}", "deploymentVersion": "3f2a9c1"}
GENERATED = "k3Jq0x-generated-value"
WEB = "spec.template.spec.containers.0"
REMOVE = object()
BALANCER = "service~beta~kubernetes~io/aws-load-balancer-"

SECURE_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": "*",
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ],
}
GUARDED = {
    "Statement": [
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": [
                "backup:DeleteRecoveryPoint",
                "backup:PutBackupVaultAccessPolicy",
                "backup:UpdateRecoveryPointLifecycle",
            ],
        }
    ]
}
PUBLIC_POLICY = json.dumps({"Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}}]})


def statement(**entries: Any) -> str:
    return json.dumps({"Statement": [{"Effect": "Allow", **entries}]})


def stored(
    bucket: aws.s3.Bucket, key: str, child: pulumi.ResourceOptions, kept: pulumi.ResourceOptions
) -> None:
    """The rest of a bucket, and a secret."""
    aws.s3.BucketServerSideEncryptionConfiguration(
        "bucket-encryption",
        bucket=bucket.id,
        rules=[
            {
                "apply_server_side_encryption_by_default": {
                    "sse_algorithm": "aws:kms",
                    "kms_master_key_id": key,
                },
                "bucket_key_enabled": True,
            }
        ],
        opts=child,
    )
    aws.s3.BucketOwnershipControls(
        "bucket-owner",
        bucket=bucket.id,
        rule={"object_ownership": "BucketOwnerEnforced"},
        opts=child,
    )
    aws.s3.BucketCorsConfiguration(
        "bucket-cors",
        bucket=bucket.id,
        cors_rules=[{"allowed_origins": ["https://example.com"], "allowed_methods": ["PUT"]}],
        opts=child,
    )
    aws.s3.BucketReplicationConfig(
        "bucket-copies",
        bucket=bucket.id,
        role="r",
        rules=[
            {
                "status": "Enabled",
                "source_selection_criteria": {"sse_kms_encrypted_objects": {"status": "Enabled"}},
                "destination": {
                    "bucket": "b",
                    "encryption_configuration": {"replica_kms_key_id": key},
                    "replication_time": {"status": "Enabled", "time": {"minutes": 15}},
                },
            }
        ],
        opts=child,
    )
    aws.secretsmanager.Secret(
        "secret",
        kms_key_id=key,
        recovery_window_in_days=30,
        replicas=[{"region": "eu-west-1", "kms_key_id": key}],
        opts=kept,
    )
    aws.secretsmanager.SecretPolicy(
        "secret-policy",
        secret_arn="s",
        policy=statement(Principal={"AWS": "123456789012"}),
        block_public_policy=True,
        opts=child,
    )


def aws_stack() -> None:
    """Every type that AWS has rules for, as the rules want it."""
    tags = {name: "x" for name in ("project", "stack", "owner", "cost-centre")}
    provider = aws.Provider("cloud", region="eu-central-1", default_tags={"tags": tags})
    child = pulumi.ResourceOptions(provider=provider)
    kept = pulumi.ResourceOptions(provider=provider, protect=True)
    arn = "arn:aws:kms:eu-central-1:123456789012:key/1"
    aws.kms.Key("key", enable_key_rotation=True, policy=statement(Action="kms:*"), opts=kept)
    aws.rds.ParameterGroup(
        "parameters",
        family="postgres17",
        parameters=[
            {"name": "rds.force_ssl", "value": "1"},
            {"name": "ssl_min_protocol_version", "value": "TLSv1.3"},
        ],
        opts=child,
    )
    db = aws.rds.Instance(
        "db",
        instance_class="db.t4g.medium",
        engine="postgres",
        username="app_admin",
        storage_encrypted=True,
        multi_az=True,
        monitoring_interval=60,
        deletion_protection=True,
        enabled_cloudwatch_logs_exports=["postgresql", "upgrade"],
        backup_retention_period=30,
        auto_minor_version_upgrade=True,
        copy_tags_to_snapshot=True,
        db_subnet_group_name="private",
        vpc_security_group_ids=["sg-1"],
        backup_window="02:00-02:30",
        maintenance_window="sun:03:00-sun:04:00",
        opts=kept,
    )
    for source in ("db-instance", "db-parameter-group"):
        aws.rds.EventSubscription(source, sns_topic="t", source_type=source, opts=child)
    aws.elasticache.ReplicationGroup(
        "cache",
        description="cache",
        snapshot_retention_limit=1,
        auto_minor_version_upgrade=True,
        automatic_failover_enabled=True,
        multi_az_enabled=True,
        at_rest_encryption_enabled=True,
        transit_encryption_enabled=True,
        user_group_ids=["users"],
        subnet_group_name="private",
        snapshot_window="01:00-02:00",
        maintenance_window="sun:02:00-sun:03:00",
        opts=kept,
    )
    aws.elasticache.User(
        "user", engine="valkey", user_id="u", user_name="u", access_string="on ~* +@all", opts=child
    )
    aws.ec2.SecurityGroup("group", vpc_id="vpc-1", opts=child)
    aws.vpc.SecurityGroupIngressRule(
        "entry", security_group_id="sg-1", ip_protocol="tcp", cidr_ipv4="10.0.0.0/16", opts=child
    )
    aws.iam.RolePolicy(
        "rights", role="r", policy=statement(Action="s3:GetObject", Resource="*"), opts=child
    )
    aws.cloudwatch.LogGroup("logs", retention_in_days=30, opts=child)
    watching(arn, child)
    bucket = aws.s3.Bucket("bucket", opts=kept)
    aws.s3.BucketPublicAccessBlock(
        "bucket-access",
        bucket=bucket.id,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
        opts=child,
    )
    aws.s3.BucketPolicy(
        "bucket-policy", bucket=bucket.id, policy=json.dumps(SECURE_POLICY), opts=child
    )
    aws.s3.BucketLifecycleConfiguration(
        "bucket-lifecycle",
        bucket=bucket.id,
        rules=[
            {
                "id": "all",
                "status": "Enabled",
                "expiration": {"days": 30},
                "abort_incomplete_multipart_upload": {"days_after_initiation": 7},
            }
        ],
        opts=child,
    )
    aws.s3.BucketVersioning(
        "bucket-versions",
        bucket=bucket.id,
        versioning_configuration={"status": "Enabled"},
        opts=child,
    )
    stored(bucket, arn, child, kept)
    aws.rds.Snapshot(
        "snapshot", db_instance_identifier="db", db_snapshot_identifier="before", opts=child
    )
    vault = aws.backup.Vault("vault", kms_key_arn=arn, opts=kept)
    aws.backup.VaultPolicy(
        "vault-policy", backup_vault_name=vault.name, policy=json.dumps(GUARDED), opts=child
    )
    edge_stack(child)
    plan = aws.backup.Plan(
        "plan",
        rules=[
            {
                "rule_name": "weekly",
                "target_vault_name": "vault",
                "schedule": "cron(0 5 ? * SUN *)",
                "start_window": 60,
                "completion_window": 180,
                "lifecycle": {"delete_after": 90},
                "copy_actions": [{"destination_vault_arn": "elsewhere"}],
            }
        ],
        opts=child,
    )
    aws.backup.Selection(
        "selection", plan_id=plan.id, iam_role_arn="role", resources=[db.arn], opts=child
    )
    aws.backup.RestoreTestingSelection(
        "restore-test",
        restore_testing_plan_name="test",
        iam_role_arn="role",
        protected_resource_type="RDS",
        protected_resource_arns=[db.arn],
        opts=child,
    )


def watching(key: str, child: pulumi.ResourceOptions) -> None:
    topic = aws.sns.Topic("topic", kms_master_key_id=key, opts=child)
    aws.sns.TopicSubscription(
        "subscription", topic=topic.arn, protocol="email", endpoint="a@example.com", opts=child
    )
    aws.cloudwatch.MetricAlarm(
        "alarm",
        comparison_operator="GreaterThanThreshold",
        evaluation_periods=1,
        alarm_actions=[topic.arn],
        treat_missing_data="breaching",
        opts=child,
    )
    aws.cloudwatch.CompositeAlarm(
        "composite",
        alarm_name="composite",
        alarm_rule="ALARM(alarm)",
        alarm_actions=[topic.arn],
        opts=child,
    )
    aws.chatbot.SlackChannelConfiguration(
        "chat",
        configuration_name="chat",
        iam_role_arn="role",
        slack_channel_id="C0123456789",
        slack_team_id="T0123456789",
        guardrail_policy_arns=["arn:aws:iam::aws:policy/CloudWatchReadOnlyAccess"],
        user_authorization_required=True,
        opts=child,
    )
    event = aws.cloudwatch.EventRule("event", event_pattern="{}", opts=child)
    aws.cloudwatch.EventTarget("target", rule=event.name, arn=topic.arn, opts=child)
    aws.budgets.Budget(
        "budget",
        budget_type="COST",
        time_unit="MONTHLY",
        notifications=[
            {
                "comparison_operator": "GREATER_THAN",
                "notification_type": "ACTUAL",
                "threshold": 80,
                "threshold_type": "PERCENTAGE",
                "subscriber_sns_topic_arns": [topic.arn],
            }
        ],
        opts=child,
    )
    aws.route53.HealthCheck(
        "check",
        type="HTTPS",
        request_interval=30,
        failure_threshold=3,
        regions=["us-east-1", "us-west-2", "eu-west-1"],
        opts=child,
    )
    aws.kinesis.FirehoseDeliveryStream(
        "stream",
        destination="extended_s3",
        server_side_encryption={"enabled": True},
        opts=child,
    )


def edge_stack(child: pulumi.ResourceOptions) -> None:
    """What faces the Internet, as the rules want it."""
    certificate = aws.acm.Certificate(
        "site-certificate", domain_name="a.example", validation_method="DNS", opts=child
    )
    measured: aws.wafv2.WebAclVisibilityConfigArgsDict = {
        "cloudwatch_metrics_enabled": True,
        "metric_name": "limit",
        "sampled_requests_enabled": True,
    }
    acl = aws.wafv2.WebAcl(
        "firewall",
        scope="CLOUDFRONT",
        default_action={"allow": {}},
        visibility_config=measured,
        rules=[
            {
                "name": "limit",
                "priority": 0,
                "statement": {"rate_based_statement": {"limit": 100, "aggregate_key_type": "IP"}},
                "visibility_config": measured,
            }
        ],
        opts=child,
    )
    aws.wafv2.WebAclLoggingConfiguration(
        "firewall-log", resource_arn=acl.arn, log_destination_configs=["group"], opts=child
    )
    distribution = aws.cloudfront.Distribution(
        "distribution",
        enabled=True,
        web_acl_id=acl.arn,
        restrictions={"geo_restriction": {"restriction_type": "none"}},
        origins=[
            {
                "origin_id": "site",
                "domain_name": "origin.a.example",
                "custom_origin_config": {
                    "http_port": 80,
                    "https_port": 443,
                    "origin_protocol_policy": "https-only",
                    "origin_ssl_protocols": ["TLSv1.2"],
                },
            }
        ],
        default_cache_behavior={
            "target_origin_id": "site",
            "allowed_methods": ["GET", "HEAD"],
            "cached_methods": ["GET", "HEAD"],
            "viewer_protocol_policy": "https-only",
        },
        viewer_certificate={
            "acm_certificate_arn": certificate.arn,
            "ssl_support_method": "sni-only",
            "minimum_protocol_version": "TLSv1.2_2021",
        },
        opts=child,
    )
    aws.cloudwatch.LogDeliverySource(
        "distribution-log", log_type="ACCESS_LOGS", resource_arn=distribution.arn, opts=child
    )
    zone = aws.route53.Zone("domain", name="a.example", opts=child)
    aws.route53.QueryLog(
        "domain-log", zone_id=zone.zone_id, cloudwatch_log_group_arn="group", opts=child
    )
    images = aws.ecr.Repository(
        "images",
        image_tag_mutability="IMMUTABLE",
        image_scanning_configuration={"scan_on_push": True},
        encryption_configurations=[{"encryption_type": "KMS", "kms_key": "key"}],
        opts=child,
    )
    aws.ecr.LifecyclePolicy("images-end", repository=images.name, policy="{}", opts=child)
    aws.iam.Role("workflow", assume_role_policy=json.dumps(workflow("octo/shop")), opts=child)


def workflow(repository: str, claim: str = "sub") -> dict[str, Any]:
    """The trust of a role for a workflow of GitHub's."""
    issuer = "token.actions.githubusercontent.com"
    believed = {
        f"{issuer}:aud": "sts.amazonaws.com",
        f"{issuer}:{claim}": f"repo:{repository}:environment:production",
    }
    entry = {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:aws:iam::123456789012:oidc-provider/{issuer}"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": believed},
    }
    return {"Version": "2012-10-17", "Statement": [entry]}


@cache
def compliant() -> Context:
    """Production with its data in the cluster, and AWS resources beside it."""
    chosen = IMAGE | {
        "database": "cluster",
        "cache": "cluster",
        "recoveryRpoMinutes": 1440,
        "drMode": "none",
    }
    seen = judge.context(
        Graph(
            resources=deploy_stack("production", **chosen).resources + deploy(aws_stack).resources
        ),
        stack_settings("production", **chosen),
    )
    return dataclasses.replace(seen, generated=frozenset({GENERATED}))


def fired(context: Context) -> set[str]:
    verdict = judge_context("production", context, (), date.today())
    return {violation.rule.id for violation in verdict.violations}


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """One property broken, and the rules that must say so."""

    rule: str
    on: str = ""
    """Name of the resource; empty for a change of the stack itself."""
    path: str = ""
    value: Any = REMOVE
    also: tuple[str, ...] = ()
    """Other rules that the same change breaks."""
    fields: dict[str, Any] = field(default_factory=lambda: dict[str, Any]())
    adds: str = ""
    """Type of a resource to add instead; `value` is its inputs."""
    stack: dict[str, Any] = field(default_factory=lambda: dict[str, Any]())


def mutated(context: Context, mutation: Mutation) -> Context:
    resources = list(context.resources)
    if mutation.adds:
        resources.append(resource(mutation.adds, mutation.value))
    elif mutation.on:
        (place,) = [i for i, r in enumerate(resources) if r.name == mutation.on and owned(r)]
        found = resources[place]
        inputs = copy.deepcopy(found.inputs)
        if mutation.path:
            put(inputs, mutation.path.split("."), mutation.value)
        resources[place] = dataclasses.replace(found, inputs=inputs, **mutation.fields)
        if not mutation.path and not mutation.fields:
            del resources[place]
    return dataclasses.replace(context, resources=tuple(resources), **mutation.stack)


def owned(found: Resource) -> bool:
    """Not a component, which may have the name of its main resource."""
    return not found.type.startswith("nextstack:")


def resource(type_: str, inputs: dict[str, Any]) -> Resource:
    return Resource(
        type=type_,
        name="added",
        urn=f"urn:pulumi:production::nextstack::{type_}::added",
        parent="",
        protect=True,
        depends_on=(),
        inputs=inputs,
        object_name="added",
    )


def put(node: Any, path: list[str], value: Any) -> None:
    """Sets or removes what a path leads to; missing objects on the way are made."""
    *way, last = path
    for step in way:
        node = node[int(step)] if step.isdigit() else node.setdefault(unescaped(step), {})
    if value is REMOVE:
        del node[int(last) if last.isdigit() else unescaped(last)]
    elif last.isdigit():
        node.insert(int(last), value)
    else:
        node[unescaped(last)] = value


def unescaped(step: str) -> str:
    """A step of a path, in which `~` stands for the dots of a key."""
    return step.replace("~", ".")


def on_web(rule: str, path: str, value: Any = REMOVE, *also: str) -> Mutation:
    return Mutation(rule=rule, on="web-server", path=path, value=value, also=also)


def on(name: str, rule: str, path: str, value: Any = REMOVE, *also: str) -> Mutation:
    return Mutation(rule=rule, on=name, path=path, value=value, also=also)


POD = "spec.template.spec"
METADATA, HOPS = "metadataOptions", "httpPutResponseHopLimit"
DISK = "blockDeviceMappings.0.ebs"
SECURITY = f"{WEB}.securityContext"
SSE = "rules.0.applyServerSideEncryptionByDefault"
DIGEST = f"@sha256:{'0' * 64}"
LABELLED = {
    "metadata": {
        "namespace": "nextstack-production",
        "labels": {
            "app.kubernetes.io/component": "web",
            **{f"nextstack/{key}": "x" for key in ("project", "stack", "owner", "cost-centre")},
        },
    }
}

MUTATIONS = (
    # Pod Security restricted
    on_web("host-process", f"{SECURITY}.windowsOptions", {"hostProcess": True}),
    on_web("host-process", f"{POD}.securityContext.windowsOptions", {"hostProcess": True}),
    on_web("host-namespaces", f"{POD}.hostNetwork", True),
    on_web("host-namespaces", f"{POD}.hostPID", True),
    on_web("host-namespaces", f"{POD}.hostIPC", True),
    on_web("privileged", f"{SECURITY}.privileged", True),
    on_web("capabilities-dropped", f"{SECURITY}.capabilities.drop"),
    on_web("capabilities-dropped", f"{SECURITY}.capabilities.drop", ["NET_RAW"]),
    on_web("capabilities-added", f"{SECURITY}.capabilities.add", ["SYS_ADMIN"]),
    on_web(
        "host-path-volumes",
        f"{POD}.volumes.0",
        {"name": "node", "hostPath": {"path": "/"}},
        "volume-types",
    ),
    on_web("volume-types", f"{POD}.volumes.0", {"name": "n", "nfs": {"server": "s"}}),
    on_web("host-ports", f"{WEB}.ports.0", {"containerPort": 80, "hostPort": 80}),
    on_web("probe-hosts", f"{WEB}.readinessProbe.httpGet.host", "169.254.169.254"),
    on_web("probe-hosts", f"{WEB}.startupProbe.tcpSocket.host", "10.0.0.1"),
    on_web("probe-hosts", f"{WEB}.lifecycle.postStart", {"httpGet": {"host": "a", "port": 1}}),
    on_web("apparmor", f"{SECURITY}.appArmorProfile", {"type": "Unconfined"}),
    on_web(
        "apparmor",
        "spec.template.metadata.annotations",
        {"container.apparmor.security.beta.kubernetes.io/app": "unconfined"},
    ),
    on_web("selinux", f"{POD}.securityContext.seLinuxOptions", {"type": "spc_t"}),
    on_web("selinux", f"{SECURITY}.seLinuxOptions", {"user": "system_u"}),
    on_web("proc-mount", f"{SECURITY}.procMount", "Unmasked"),
    on_web("seccomp", f"{POD}.securityContext.seccompProfile"),
    on_web("seccomp", f"{POD}.securityContext.seccompProfile.type", "Unconfined"),
    on_web("seccomp", f"{SECURITY}.seccompProfile", {"type": "Unconfined"}),
    on_web("sysctls", f"{POD}.securityContext.sysctls", [{"name": "kernel.msgmax", "value": "1"}]),
    on_web("privilege-escalation", f"{SECURITY}.allowPrivilegeEscalation"),
    on_web("privilege-escalation", f"{SECURITY}.allowPrivilegeEscalation", True),
    on_web("non-root", f"{POD}.securityContext.runAsNonRoot"),
    on_web("non-root", f"{SECURITY}.runAsNonRoot", False),
    on_web("non-root-user", f"{POD}.securityContext.runAsUser", 0),
    on_web("non-root-user", f"{SECURITY}.runAsUser", 0),
    # How pods run
    on_web("service-account-token", f"{POD}.automountServiceAccountToken"),
    on_web("service-account-token", f"{POD}.automountServiceAccountToken", True),
    on_web("service-links", f"{POD}.enableServiceLinks", True),
    on_web("read-only-root", f"{SECURITY}.readOnlyRootFilesystem"),
    on_web("image-by-digest", f"{WEB}.image", "ghcr.io/example/shop:1.2"),
    on_web("image-by-digest", f"{WEB}.image", "localhost/nextstack/app:1.2"),
    on_web("image-by-digest", f"{WEB}.image", UNKNOWN, "image-without-latest"),
    on_web("image-without-latest", f"{WEB}.image", f"shop:latest{DIGEST}"),
    on_web("image-without-latest", f"{WEB}.image", "shop", "image-by-digest"),
    on_web("image-vendor", f"{WEB}.image", f"docker.io/bitnami/node:24{DIGEST}"),
    on_web("resources-stated", f"{WEB}.resources.requests.cpu"),
    on_web("resources-stated", f"{WEB}.resources.limits.memory"),
    on_web("no-cpu-limit", f"{WEB}.resources.limits.cpu", "1"),
    on_web("scratch-space-limited", f"{POD}.volumes.0.emptyDir.sizeLimit"),
    on_web("probes", f"{WEB}.readinessProbe"),
    on_web("probes", f"{WEB}.livenessProbe"),
    on_web("rollout-keeps-serving", "spec.strategy.rollingUpdate.maxUnavailable", 1),
    on_web("rollout-keeps-serving", "spec.strategy.type", "Recreate"),
    on_web("rollout-keeps-serving", "spec.strategy"),
    Mutation(rule="disruption-budget", on="web-disruption"),
    on("web-disruption", "disruption-budget", "spec.minAvailable", 3),
    on("redis-disruption", "disruption-budget", "spec.maxUnavailable", 0),
    on(
        "web-disruption",
        "budget-has-pods",
        "spec.selector.matchLabels.app~kubernetes~io/name",
        "nobody",
        "disruption-budget",
    ),
    on_web("autoscaler-consistent", "spec.replicas", 3),
    on("web-autoscaler", "autoscaler-consistent", "spec.minReplicas", 20),
    on(
        "web-autoscaler",
        "autoscaler-consistent",
        "spec.scaleTargetRef.name",
        "gone",
        "disruption-budget",
    ),
    on_web("spread-over-nodes", f"{POD}.topologySpreadConstraints"),
    on("postgres-roles", "job-ends", "spec.activeDeadlineSeconds"),
    on("backups-backup", "job-ends", "spec.jobTemplate.spec.backoffLimit"),
    on("backups-backup", "schedule-window", "spec.timeZone"),
    on("backups-backup", "schedule-window", "spec.concurrencyPolicy", "Allow"),
    # Who reaches whom
    Mutation(rule="denies-by-default", on="namespace-deny"),
    on("namespace-deny", "denies-by-default", "spec.policyTypes", ["Egress"]),
    on(
        "namespace-namespace",
        "namespace-enforces-pod-security",
        "metadata.labels.pod-security~kubernetes~io/enforce",
        "baseline",
    ),
    on_web("own-namespace", "metadata.namespace"),
    on_web("own-namespace", "metadata.namespace", "kube-system"),
    on(
        "postgres-from-clients",
        "only-the-front-door-is-open",
        "spec.ingress.0.from",
        [],
        "reached-server-exists",
    ),
    on(
        "postgres-from-clients",
        "only-the-front-door-is-open",
        "spec.ingress.0.from.0",
        {"ipBlock": {"cidr": "0.0.0.0/0"}},
    ),
    on("nginx-from-everybody", "only-the-front-door-is-open", "spec.ingress.0.ports"),
    on("web-to-internet", "egress-is-named", "spec.egress.0.ports"),
    on("web-to-internet", "egress-is-named", "spec.egress.0.to"),
    on("web-to-internet", "egress-is-named", "spec.egress.0.to.0.ipBlock.except"),
    on("postgres-service", "one-service-is-published", "spec.type", "NodePort"),
    on("nginx-service", "one-service-is-published", "spec.externalIPs", ["192.0.2.1"]),
    Mutation(
        rule="no-second-way-in",
        adds="kubernetes:networking.k8s.io/v1:Ingress",
        value=LABELLED,
    ),
    Mutation(rule="reached-server-exists", on="pgbouncer-to-server"),
    on_web(
        "reached-server-exists",
        "spec.template.metadata.labels.nextstack/reaches-nothing",
        "true",
    ),
    Mutation(
        rule="no-rights-in-the-cluster",
        adds="kubernetes:rbac.authorization.k8s.io/v1:RoleBinding",
        value=LABELLED,
    ),
    Mutation(
        rule="no-rights-in-the-cluster",
        adds="kubernetes:core/v1:ServiceAccount",
        value=LABELLED,
    ),
    # What keeps data and secrets
    *(
        Mutation(rule="data-is-protected", on=name, fields={"protect": False})
        for name in (
            "namespace-namespace",
            "postgres-server",
            "redis-server",
            "backups-volume",
            "db",
            "cache",
            "key",
            "network-vpc",
            "network-isolated-us-east-1a",
            "eks-cluster",
            "bucket",
            "secret",
            "vault",
        )
    ),
    Mutation(rule="production-keeps-data", stack={"protect_data": False}),
    on(
        "postgres-server",
        "volumes-are-kept",
        "spec.persistentVolumeClaimRetentionPolicy.whenDeleted",
        "Delete",
    ),
    Mutation(
        rule="secrets-are-not-shown",
        on="web-server",
        fields={"secret_paths": (f"{WEB}.env[0].value",)},
    ),
    on("environment-plain", "secrets-are-not-shown", "data.NOTE", f"it is {GENERATED}"),
    on_web("no-credential-in-a-variable", f"{WEB}.env", [{"name": "DB_PASSWORD", "value": "x"}]),
    on_web(
        "no-credential-in-a-variable", f"{WEB}.env", [{"name": "DSN", "value": "redis://a:b@c"}]
    ),
    on("environment-plain", "no-credential-in-a-config-map", "data.API_TOKEN", "abc"),
    on(
        "environment-plain",
        "no-credential-in-a-config-map",
        "data.NOTE",
        "-----BEGIN EC PRIVATE KEY-----",
    ),
    on_web("says-whose-it-is", "metadata.labels.nextstack/owner"),
    on(
        "cloud",
        "account-resources-say-whose-they-are",
        "defaultTags",
        json.dumps({"tags": {"project": "x", "stack": "x", "owner": "x"}}),
    ),
    # Databases and caches at AWS
    on("db", "database-is-private", "publiclyAccessible", True),
    on("db", "database-is-encrypted", "storageEncrypted"),
    on("parameters", "database-refuses-plain-text", "parameters.0"),
    on("parameters", "database-refuses-plain-text", "parameters.1.value", "TLSv1.2"),
    on("db", "database-has-a-standby", "multiAz", False),
    on("db", "database-is-monitored", "monitoringInterval", 0),
    on("db", "database-refuses-deletion", "deletionProtection", False),
    on("db", "database-refuses-deletion", "skipFinalSnapshot", True),
    on("db", "database-keeps-logs", "enabledCloudwatchLogsExports", ["postgresql"]),
    on("db", "database-is-backed-up", "backupRetentionPeriod", 6),
    on("db", "database-is-backed-up", "backupRetentionPeriod", UNKNOWN),
    on("db", "database-takes-fixes", "autoMinorVersionUpgrade", False),
    on("db", "database-snapshots-have-tags", "copyTagsToSnapshot"),
    on("db", "database-is-in-our-network", "dbSubnetGroupName"),
    on("db", "database-is-in-our-network", "vpcSecurityGroupIds", []),
    on("db", "database-admin-is-not-guessed", "username", "postgres"),
    Mutation(rule="database-events-are-announced", on="db-parameter-group"),
    on("db-instance", "database-events-are-announced", "eventCategories", ["failure"]),
    on("db", "database-windows", "backupWindow"),
    on("db", "database-windows", "maintenanceWindow", "sun:02:15-sun:03:15"),
    on("cache", "cache-is-backed-up", "snapshotRetentionLimit", 0),
    on("cache", "cache-takes-fixes", "autoMinorVersionUpgrade", "false"),
    on("cache", "cache-fails-over", "automaticFailoverEnabled"),
    on("cache", "cache-fails-over", "multiAzEnabled", False),
    on("cache", "cache-is-encrypted", "atRestEncryptionEnabled"),
    on("cache", "cache-refuses-plain-text", "transitEncryptionEnabled", False),
    on("cache", "cache-refuses-plain-text", "transitEncryptionMode", "preferred"),
    on("cache", "cache-asks-for-a-password", "userGroupIds"),
    on("user", "cache-asks-for-a-password", "noPasswordRequired", True),
    on("cache", "cache-is-in-our-network", "subnetGroupName"),
    on("cache", "cache-windows", "snapshotWindow", "02:30-03:30"),
    # Networks at AWS, and clusters in them
    Mutation(rule="default-group-is-empty", on="network-default-group"),
    on("network-default-group", "default-group-is-empty", "egress", [{"protocol": "-1"}]),
    Mutation(rule="network-flows-are-logged", on="network-flow-log"),
    on("network-flow-log", "network-flows-are-logged", "trafficType", "ACCEPT"),
    on(
        "network-isolated-us-east-1a",
        "subnet-gives-no-public-address",
        "mapPublicIpOnLaunch",
        True,
    ),
    on("network-private-filter", "filter-admits-no-shell", "ingress.0.cidrBlock", "0.0.0.0/0"),
    on("network-private-filter", "filter-admits-no-shell", "ingress.2.fromPort", 22),
    on("network-private-filter", "filter-is-used", "subnetIds"),
    on("eks-nodes-template", "machine-keeps-its-credentials", f"{METADATA}.httpTokens", "optional"),
    on("eks-nodes-template", "machine-keeps-its-credentials", f"{METADATA}.{HOPS}", 2),
    on(
        "eks-nodes-template",
        "machine-has-no-public-address",
        "networkInterfaces.0.associatePublicIpAddress",
        "true",
    ),
    on("eks-nodes-template", "machine-disks-are-encrypted", "blockDeviceMappings"),
    on("eks-nodes-template", "machine-disks-are-encrypted", f"{DISK}.encrypted", "false"),
    on("eks-nodes-template", "machine-disks-are-encrypted", f"{DISK}.kmsKeyId"),
    on("eks-cluster", "cluster-endpoint-is-private", "vpcConfig.endpointPrivateAccess", False),
    on("eks-cluster", "cluster-endpoint-is-private", "vpcConfig.endpointPublicAccess", True),
    on("eks-cluster", "cluster-endpoint-is-private", "vpcConfig.endpointPublicAccess"),
    on("eks-cluster", "cluster-version-is-supported", "version", "1.33"),
    on("eks-cluster", "cluster-version-is-supported", "version"),
    on("eks-cluster", "cluster-pays-no-extended-support", "upgradePolicy"),
    on("eks-cluster", "cluster-secrets-are-encrypted", "encryptionConfig.resources", []),
    on("eks-cluster", "cluster-secrets-are-encrypted", "encryptionConfig"),
    on("eks-cluster", "cluster-is-audited", "enabledClusterLogTypes", ["api", "authenticator"]),
    on("eks-cluster", "cluster-refuses-deletion", "deletionProtection", False),
    on(
        "eks-cluster",
        "cluster-rights-are-entries",
        "accessConfig.authenticationMode",
        "API_AND_CONFIG_MAP",
    ),
    on(
        "eks-cluster",
        "cluster-rights-are-entries",
        "accessConfig.bootstrapClusterCreatorAdminPermissions",
    ),
    on("eks-vpc-cni", "cluster-enforces-network-policies", "configurationValues", "{}"),
    on("eks-coredns", "addon-is-pinned", "addonVersion"),
    # What surrounds them
    on("key", "key-rotates", "enableKeyRotation", False),
    on("key", "key-deletion-can-be-undone", "deletionWindowInDays", 7),
    on("key", "nothing-is-for-everybody", "policy", PUBLIC_POLICY),
    on("topic", "nothing-is-for-everybody", "policy", PUBLIC_POLICY),
    on("rights", "rights-are-named", "policy", statement(Action="*", Resource="*")),
    on("rights", "rights-are-named", "policy", statement(Action=["s3:*"], Resource="a")),
    on("rights", "rights-are-named", "policy", statement(Action="kms:Decrypt", Resource="*")),
    on("entry", "network-is-closed", "cidrIpv4", "0.0.0.0/0"),
    on("group", "network-is-closed", "ingress", [{"ipv6CidrBlocks": ["::/0"]}]),
    on("logs", "logs-end", "retentionInDays"),
    on("alarm", "alarms-reach-somebody", "alarmActions", []),
    on("alarm", "alarms-reach-somebody", "actionsEnabled", False),
    on("composite", "alarms-reach-somebody", "alarmActions", []),
    Mutation(rule="alarms-are-heard", on="subscription"),
    on("alarm", "alarms-say-what-silence-means", "treatMissingData"),
    on("topic", "topic-is-encrypted", "kmsMasterKeyId"),
    on("subscription", "messages-travel-encrypted", "protocol", "http"),
    on("chat", "chat-may-only-read", "guardrailPolicyArns"),
    on("chat", "chat-may-only-read", "guardrailPolicyArns.0", "a:policy/AdministratorAccess"),
    on("chat", "chat-may-only-read", "userAuthorizationRequired", False),
    Mutation(rule="events-reach-somebody", on="target"),
    on("event", "events-reach-somebody", "state", "DISABLED"),
    on("budget", "budgets-reach-somebody", "notifications", []),
    on("budget", "budgets-reach-somebody", "notifications.0.subscriberSnsTopicArns"),
    on("check", "site-is-asked-often", "requestInterval"),
    on("check", "site-is-asked-often", "failureThreshold", 10),
    on("check", "site-is-asked-often", "regions.2"),
    on("check", "site-is-asked-often", "disabled", True),
    on("stream", "streams-are-encrypted", "serverSideEncryption.enabled", False),
    Mutation(rule="bucket-is-private", on="bucket-access"),
    on("bucket-access", "bucket-is-private", "restrictPublicBuckets", False),
    Mutation(rule="bucket-refuses-plain-text", on="bucket-policy"),
    on("bucket", "bucket-has-no-acl", "acl", "public-read"),
    Mutation(rule="bucket-keeps-versions-for-a-time", on="bucket-lifecycle"),
    on(
        "bucket-versions",
        "bucket-keeps-versions-for-a-time",
        "versioningConfiguration.status",
        "Suspended",
    ),
    # What is kept in S3 and Secrets Manager
    Mutation(rule="bucket-has-our-key", on="bucket-encryption"),
    on("bucket-encryption", "bucket-has-our-key", f"{SSE}.sseAlgorithm", "AES256"),
    on("bucket-encryption", "bucket-has-our-key", f"{SSE}.kmsMasterKeyId"),
    on("bucket-encryption", "bucket-has-our-key", "rules.0.bucketKeyEnabled", False),
    on(
        "bucket-owner",
        "objects-belong-to-the-bucket",
        "rule.objectOwnership",
        "BucketOwnerPreferred",
    ),
    on("bucket-lifecycle", "abandoned-uploads-end", "rules.0.abortIncompleteMultipartUpload"),
    on("bucket-lifecycle", "abandoned-uploads-end", "rules.0.status", "Disabled"),
    on("bucket-lifecycle", "abandoned-uploads-end", "rules.0.filter", {"prefix": "daily/"}),
    on("bucket-copies", "copies-are-complete-and-encrypted", "rules.0.status", "Disabled"),
    on("bucket-copies", "copies-are-complete-and-encrypted", "rules.0.sourceSelectionCriteria"),
    on(
        "bucket-copies",
        "copies-are-complete-and-encrypted",
        "rules.0.destination.encryptionConfiguration",
    ),
    on(
        "bucket-copies",
        "copies-are-complete-and-encrypted",
        "rules.0.destination.replicationTime",
    ),
    on("bucket-cors", "bucket-answers-our-pages-only", "corsRules.0.allowedOrigins.0", "*"),
    on(
        "bucket-cors",
        "bucket-answers-our-pages-only",
        "corsRules.0.allowedOrigins.0",
        "http://example.com",
    ),
    on("secret", "secret-has-our-key", "kmsKeyId"),
    on("secret", "secret-has-our-key", "replicas.0.kmsKeyId"),
    on("secret", "secret-deletion-can-be-undone", "recoveryWindowInDays", 0),
    on("secret", "secret-deletion-can-be-undone", "recoveryWindowInDays", UNKNOWN),
    on("secret-policy", "secret-policy-is-checked", "blockPublicPolicy", False),
    on("vault", "backups-are-encrypted-with-our-key", "kmsKeyArn"),
    # What faces the Internet
    on(
        "distribution",
        "people-reach-the-cdn-by-tls",
        "defaultCacheBehavior.viewerProtocolPolicy",
        "allow-all",
    ),
    on("distribution", "cdn-has-its-certificate", "viewerCertificate.acmCertificateArn"),
    on("distribution", "cdn-has-its-certificate", "viewerCertificate.sslSupportMethod", "vip"),
    on(
        "distribution",
        "cdn-has-its-certificate",
        "viewerCertificate.minimumProtocolVersion",
        "TLSv1.1_2016",
    ),
    on(
        "distribution",
        "cdn-asks-by-tls",
        "origins.0.customOriginConfig.originProtocolPolicy",
        "match-viewer",
    ),
    on(
        "distribution",
        "cdn-asks-by-tls",
        "origins.0.customOriginConfig.originSslProtocols.0",
        "SSLv3",
    ),
    on("distribution", "cdn-has-a-firewall", "webAclId"),
    Mutation(rule="cdn-is-logged", on="distribution-log"),
    on("firewall", "firewall-has-rules-that-count", "rules"),
    on(
        "firewall",
        "firewall-has-rules-that-count",
        "rules.0.visibilityConfig.cloudwatchMetricsEnabled",
        False,
    ),
    Mutation(rule="firewall-is-logged", on="firewall-log"),
    on(
        "nginx-service",
        "balancer-of-aws-ends-modern-tls",
        f"metadata.annotations.{BALANCER}ssl-negotiation-policy",
        "ELBSecurityPolicy-2016-08",
    ),
    on(
        "nginx-service",
        "balancer-of-aws-ends-modern-tls",
        f"metadata.annotations.{BALANCER}cross-zone-load-balancing-enabled",
        "false",
    ),
    on("site-certificate", "certificate-renews-itself", "validationMethod", "EMAIL"),
    on("site-certificate", "certificate-renews-itself", "keyAlgorithm", "RSA_1024"),
    Mutation(rule="zone-is-logged", on="domain-log"),
    on("images", "images-are-scanned-and-fixed", "imageScanningConfiguration.scanOnPush", False),
    on("images", "images-are-scanned-and-fixed", "imageTagMutability", "MUTABLE"),
    on("images", "images-are-scanned-and-fixed", "encryptionConfigurations"),
    Mutation(rule="images-go-one-day", on="images-end"),
    on("workflow", "workflows-are-named", "assumeRolePolicy", json.dumps(workflow("octo/*"))),
    on("workflow", "workflows-are-named", "assumeRolePolicy", json.dumps(workflow("o/s", "ref"))),
    on("plan", "backup-plan-windows", "rules.0.completionWindow"),
    on("plan", "backup-plan-windows", "rules.0.lifecycle"),
    on("plan", "cold-storage-pays", "rules.0.lifecycle.coldStorageAfter", 1),
    on("plan", "backup-plan-leaves-the-log-to-rds", "rules.0.enableContinuousBackup", True),
    on("plan", "backups-are-copied-away", "rules.0.copyActions"),
    Mutation(rule="vault-refuses-deletion", on="vault-policy"),
    on("vault-policy", "vault-refuses-deletion", "policy", json.dumps(SECURE_POLICY)),
    on("vault", "vault-keeps-its-points", "forceDestroy", True),
    Mutation(rule="database-is-in-a-backup-plan", on="selection"),
    Mutation(rule="restores-are-tested", on="restore-test"),
    on("snapshot", "snapshot-is-private", "sharedAccounts", ["all"]),
)


def named(mutation: Mutation) -> str:
    return f"{mutation.rule}: {mutation.on or mutation.adds} {mutation.path}".strip()


def test_committed_stacks_obey(stack_name: str) -> None:
    """As the engine previews them, where generated values are unknown, and as it deploys them."""
    settings = stack_settings(stack_name, **IMAGE)
    for graph in (preview(stack_name, **IMAGE), deploy_stack(stack_name, **IMAGE)):
        verdict = judge.verdict(graph, stack_name, settings)
        assert verdict.passed, [v.message for v in verdict.violations]


def test_what_the_mutations_start_from_obeys() -> None:
    assert fired(compliant()) == set()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=named)
def test_each_rule_notices_what_it_is_for(mutation: Mutation) -> None:
    assert fired(mutated(compliant(), mutation)) == {mutation.rule, *mutation.also}


def test_every_rule_has_a_mutation() -> None:
    assert {mutation.rule for mutation in MUTATIONS} == {rule.id for rule in RULES}


def test_rule_names_are_unique() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)


def test_rules_that_see_one_resource_need_no_other() -> None:
    """The policy pack runs them before the rest of the stack is known."""
    for mutation in MUTATIONS:
        context = mutated(compliant(), mutation)
        alone = dataclasses.replace(context, resources=())
        for found in [r for r in context.resources if r.name in (mutation.on, "added")]:
            for rule in [rule for rule in RULES if not rule.across]:
                seen = [*problems(rule, found, alone)]
                assert seen == [*problems(rule, found, context)], (named(mutation), rule.id)


def test_development_may_lose_its_data_and_use_local_images() -> None:
    relaxed = dataclasses.replace(compliant(), stage="development", protect_data=False)
    for mutation in MUTATIONS:
        if mutation.rule in ("data-is-protected", "volumes-are-kept"):
            assert fired(mutated(relaxed, mutation)) == set(), named(mutation)
    local = on_web("image-by-digest", f"{WEB}.image", "localhost/nextstack/app:1.2")
    assert fired(mutated(relaxed, local)) == set()


@pytest.mark.parametrize(
    ("ranges", "passed"), [(["203.0.113.0/24"], True), (["0.0.0.0/0"], False), ([], False)]
)
def test_staging_may_open_its_cluster_to_named_ranges(ranges: list[str], passed: bool) -> None:
    relaxed = dataclasses.replace(compliant(), stage="staging")
    public = on("eks-cluster", "", "vpcConfig.endpointPublicAccess", True)
    named = on("eks-cluster", "", "vpcConfig.publicAccessCidrs", ranges)
    found = fired(mutated(mutated(relaxed, public), named))
    assert found == (set() if passed else {"cluster-endpoint-is-private"})


def test_a_service_account_may_be_a_name_for_aws() -> None:
    named = LABELLED | {"automountServiceAccountToken": False}
    added = Mutation(rule="", adds="kubernetes:core/v1:ServiceAccount", value=named)
    assert fired(mutated(compliant(), added)) == set()


def test_an_unknown_policy_document_is_not_judged() -> None:
    unknown = on("bucket-policy", "bucket-refuses-plain-text", "policy", UNKNOWN)
    assert fired(mutated(compliant(), unknown)) == set()


WAIVER = Waiver(
    rule="service-links",
    stacks=("production",),
    resource="web-*",
    reason="a trial",
    expires=date(2027, 1, 31),
)
LINKED = on_web("service-links", f"{POD}.enableServiceLinks", True)


@pytest.mark.parametrize(
    ("stack", "today", "passed"),
    [
        ("production", WAIVER.expires, True),
        ("production", WAIVER.expires + timedelta(days=1), False),
        ("staging", WAIVER.expires, False),
    ],
)
def test_a_waiver_counts_for_its_stack_until_its_end(stack: str, today: date, passed: bool) -> None:
    verdict = judge_context(stack, mutated(compliant(), LINKED), (WAIVER,), today)
    assert verdict.passed is passed
    assert len(verdict.waived) == passed


def test_an_expired_waiver_fails_even_if_nothing_needs_it() -> None:
    today = WAIVER.expires + timedelta(days=1)
    verdict = judge_context("production", compliant(), (WAIVER,), today)
    assert not verdict.violations
    assert verdict.expired == (WAIVER,)
    assert not verdict.passed


def test_a_waiver_is_for_the_resources_that_it_names() -> None:
    other = dataclasses.replace(WAIVER, resource="nginx-*")
    verdict = judge_context("production", mutated(compliant(), LINKED), (other,), WAIVER.expires)
    assert not verdict.passed


COMPLETE = """
[[waiver]]
rule = "service-links"
stacks = ["production"]
resource = "web-*"
reason = "a trial"
expires = 2027-01-31
"""


def test_waivers_are_read() -> None:
    assert read(COMPLETE) == (WAIVER,)
    assert read("") == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("service-links", "no-such", "rule is unknown: got 'no-such'"),
        ("2027-01-31", '"soon"', "expires is no date: got 'soon'"),
        ("a trial", " ", "reason is empty"),
        ("reason", "why", "waiver 1 has the wrong keys"),
    ],
)
def test_a_wrong_waiver_is_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        read(COMPLETE.replace(old, new))


def test_committed_waivers_are_needed() -> None:
    """A waiver that covers nothing is removed."""
    for waiver in waivers():
        assert set(waiver.stacks) <= set(STACKS), FILE
        for stack in waiver.stacks:
            seen = judge.context(deploy_stack(stack, **IMAGE), stack_settings(stack, **IMAGE))
            verdict = judge_context(stack, seen, (waiver,), waiver.expires)
            assert verdict.waived, f"{waiver.rule} is not broken in {stack}"


FSBP = {
    "RDS": {*range(1, 26), 27, 34, 35, 36, 37, 38, 40, 41, 42, 43, 44, 45, 46},
    "ElastiCache": {*range(1, 8)},
    "KMS": {1, 2, 3, 5},
    "EC2": {
        *{1, 2, 3, 4, 6, 7, 8, 9, 10, 15, 16, 17, 18, 19, 20, 21, 23, 24, 25, 51, 55, 56, 57, 58},
        *{60, 170, 171, 172, 173, 180, 181},
    },
    "EKS": {1, 2, 3, 8},
    "S3": {1, 2, 3, 5, 6, 8, 9, 12, 13, 19, 24, 25},
    "Backup": {1},
    "StepFunctions": {1},
    "SNS": {4},
    "ACM": {1, 2},
    "CloudFront": {1, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 15, 16},
    "ECR": {1, 2, 3},
    "ELB": {*range(1, 11), 12, 13, 14, 17},
    "Route53": {2},
    "WAF": {1, 2, 3, 4, 6, 7, 8, 10, 12},
    "SecretsManager": {1, 2, 3, 4},
    "DataFirehose": {1},
}
"""Controls of AWS's standard for the services that a stack can use."""


def test_every_control_is_implemented_or_has_a_reason() -> None:
    known = implemented().keys() | NOT_IMPLEMENTED.keys()
    for service, numbers in FSBP.items():
        assert {f"FSBP {service}.{number}" for number in numbers} <= known, service


def test_no_control_is_both_implemented_and_not() -> None:
    assert not implemented().keys() & NOT_IMPLEMENTED.keys()


def test_the_table_of_rules_is_up_to_date() -> None:
    """Run `python -m policies.table > docs/policies.md`."""
    assert (ROOT / "docs" / "policies.md").read_text() == table()


@pytest.mark.parametrize("as_json", [False, True])
def test_preview_shows_the_verdict_and_fails(
    as_json: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = dataclasses.replace(WAIVER, expires=date(2020, 1, 1))
    monkeypatch.setattr(judge, "waivers", lambda: (old,))
    with pytest.raises(typer.Exit) as ended:
        commands.preview.preview(["dev"], as_json=as_json)
    assert ended.value.exit_code == 1
    assert WAIVER.rule in capsys.readouterr().out


def test_a_violation_is_shown_with_its_fix() -> None:
    context = mutated(compliant(), LINKED)
    verdict = judge_context("production", context, (), date.today())
    console = Console(width=200)
    with console.capture() as shown:
        console.print(judge.show(verdict))
    (rule,) = [rule for rule in RULES if rule.id == LINKED.rule]
    for text in (rule.id, "web-server", "spec.template.spec.enableServiceLinks", rule.fix):
        assert text in shown.get()
    (entry,) = judge.as_json(verdict)["violations"]
    assert json.loads(json.dumps(entry))["fix"] == rule.fix
