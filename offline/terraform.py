"""The AWS part of a recorded graph as a Terraform plan, for tools that judge those.

Leaves out the state, the providers, and all else that Terraform would need to carry it out.
"""

import re
from typing import Any, cast

from offline.recorder import Graph, Registered

Json = dict[str, Any]

TYPES = {
    "acm/certificate:Certificate": "acm_certificate",
    "acm/certificateValidation:CertificateValidation": "acm_certificate_validation",
    "backup/plan:Plan": "backup_plan",
    "backup/restoreTestingPlan:RestoreTestingPlan": "backup_restore_testing_plan",
    "backup/restoreTestingSelection:RestoreTestingSelection": "backup_restore_testing_selection",
    "backup/selection:Selection": "backup_selection",
    "backup/vault:Vault": "backup_vault",
    "backup/vaultLockConfiguration:VaultLockConfiguration": "backup_vault_lock_configuration",
    "backup/vaultPolicy:VaultPolicy": "backup_vault_policy",
    "budgets/budget:Budget": "budgets_budget",
    "chatbot/slackChannelConfiguration:SlackChannelConfiguration": (
        "chatbot_slack_channel_configuration"
    ),
    "cloudfront/cachePolicy:CachePolicy": "cloudfront_cache_policy",
    "cloudfront/distribution:Distribution": "cloudfront_distribution",
    "cloudwatch/compositeAlarm:CompositeAlarm": "cloudwatch_composite_alarm",
    "cloudwatch/dashboard:Dashboard": "cloudwatch_dashboard",
    "cloudwatch/eventRule:EventRule": "cloudwatch_event_rule",
    "cloudwatch/eventTarget:EventTarget": "cloudwatch_event_target",
    "cloudwatch/logDelivery:LogDelivery": "cloudwatch_log_delivery",
    "cloudwatch/logDeliveryDestination:LogDeliveryDestination": (
        "cloudwatch_log_delivery_destination"
    ),
    "cloudwatch/logDeliverySource:LogDeliverySource": "cloudwatch_log_delivery_source",
    "cloudwatch/logGroup:LogGroup": "cloudwatch_log_group",
    "cloudwatch/logMetricFilter:LogMetricFilter": "cloudwatch_log_metric_filter",
    "cloudwatch/logResourcePolicy:LogResourcePolicy": "cloudwatch_log_resource_policy",
    "cloudwatch/logSubscriptionFilter:LogSubscriptionFilter": "cloudwatch_log_subscription_filter",
    "cloudwatch/metricAlarm:MetricAlarm": "cloudwatch_metric_alarm",
    "costexplorer/anomalyMonitor:AnomalyMonitor": "ce_anomaly_monitor",
    "costexplorer/anomalySubscription:AnomalySubscription": "ce_anomaly_subscription",
    "ec2/defaultNetworkAcl:DefaultNetworkAcl": "default_network_acl",
    "ec2/defaultRouteTable:DefaultRouteTable": "default_route_table",
    "ec2/defaultSecurityGroup:DefaultSecurityGroup": "default_security_group",
    "ec2/eip:Eip": "eip",
    "ec2/flowLog:FlowLog": "flow_log",
    "ec2/internetGateway:InternetGateway": "internet_gateway",
    "ec2/launchTemplate:LaunchTemplate": "launch_template",
    "ec2/natGateway:NatGateway": "nat_gateway",
    "ec2/networkAcl:NetworkAcl": "network_acl",
    "ec2/route:Route": "route",
    "ec2/routeTable:RouteTable": "route_table",
    "ec2/routeTableAssociation:RouteTableAssociation": "route_table_association",
    "ec2/securityGroup:SecurityGroup": "security_group",
    "ec2/subnet:Subnet": "subnet",
    "ec2/vpc:Vpc": "vpc",
    "ec2/vpcEndpoint:VpcEndpoint": "vpc_endpoint",
    "ecr/lifecyclePolicy:LifecyclePolicy": "ecr_lifecycle_policy",
    "ecr/repository:Repository": "ecr_repository",
    "eks/accessEntry:AccessEntry": "eks_access_entry",
    "eks/accessPolicyAssociation:AccessPolicyAssociation": "eks_access_policy_association",
    "eks/addon:Addon": "eks_addon",
    "eks/cluster:Cluster": "eks_cluster",
    "eks/nodeGroup:NodeGroup": "eks_node_group",
    "eks/podIdentityAssociation:PodIdentityAssociation": "eks_pod_identity_association",
    "elasticache/parameterGroup:ParameterGroup": "elasticache_parameter_group",
    "elasticache/replicationGroup:ReplicationGroup": "elasticache_replication_group",
    "elasticache/subnetGroup:SubnetGroup": "elasticache_subnet_group",
    "elasticache/user:User": "elasticache_user",
    "elasticache/userGroup:UserGroup": "elasticache_user_group",
    "iam/openIdConnectProvider:OpenIdConnectProvider": "iam_openid_connect_provider",
    "iam/policy:Policy": "iam_policy",
    "iam/role:Role": "iam_role",
    "iam/rolePolicy:RolePolicy": "iam_role_policy",
    "iam/rolePolicyAttachment:RolePolicyAttachment": "iam_role_policy_attachment",
    "kinesis/firehoseDeliveryStream:FirehoseDeliveryStream": "kinesis_firehose_delivery_stream",
    "kms/key:Key": "kms_key",
    "rds/eventSubscription:EventSubscription": "db_event_subscription",
    "rds/instance:Instance": "db_instance",
    "rds/instanceAutomatedBackupsReplication:InstanceAutomatedBackupsReplication": (
        "db_instance_automated_backups_replication"
    ),
    "rds/parameterGroup:ParameterGroup": "db_parameter_group",
    "rds/snapshot:Snapshot": "db_snapshot",
    "rds/subnetGroup:SubnetGroup": "db_subnet_group",
    "route53/healthCheck:HealthCheck": "route53_health_check",
    "route53/queryLog:QueryLog": "route53_query_log",
    "route53/record:Record": "route53_record",
    "route53/zone:Zone": "route53_zone",
    "s3/bucket:Bucket": "s3_bucket",
    "s3/bucketCorsConfiguration:BucketCorsConfiguration": "s3_bucket_cors_configuration",
    "s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": (
        "s3_bucket_lifecycle_configuration"
    ),
    "s3/bucketOwnershipControls:BucketOwnershipControls": "s3_bucket_ownership_controls",
    "s3/bucketPolicy:BucketPolicy": "s3_bucket_policy",
    "s3/bucketPublicAccessBlock:BucketPublicAccessBlock": "s3_bucket_public_access_block",
    "s3/bucketReplicationConfig:BucketReplicationConfig": "s3_bucket_replication_configuration",
    "s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": (
        "s3_bucket_server_side_encryption_configuration"
    ),
    "s3/bucketVersioning:BucketVersioning": "s3_bucket_versioning",
    "secretsmanager/secret:Secret": "secretsmanager_secret",
    "secretsmanager/secretPolicy:SecretPolicy": "secretsmanager_secret_policy",
    "secretsmanager/secretVersion:SecretVersion": "secretsmanager_secret_version",
    "sfn/stateMachine:StateMachine": "sfn_state_machine",
    "sns/topic:Topic": "sns_topic",
    "sns/topicPolicy:TopicPolicy": "sns_topic_policy",
    "sns/topicSubscription:TopicSubscription": "sns_topic_subscription",
    "vpc/securityGroupIngressRule:SecurityGroupIngressRule": "vpc_security_group_ingress_rule",
    "wafv2/webAcl:WebAcl": "wafv2_web_acl",
    "wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration": (
        "wafv2_web_acl_logging_configuration"
    ),
}
"""What Terraform calls the types that the program uses, each after `aws:` and `aws_`."""
MAPS = {"dimensions", "recoveryPointTags", "restoreMetadataOverrides", "tags"}
"""Inputs that are maps to Terraform too; every other object is a block."""
RENAMED = {
    "aws_ce_anomaly_subscription": {"monitorArnLists": "monitor_arn_list"},
    "aws_cloudwatch_log_subscription_filter": {"logGroup": "log_group_name"},
    "aws_cloudwatch_metric_alarm": {"name": "alarm_name"},
    "aws_iam_openid_connect_provider": {"clientIdLists": "client_id_list"},
    "aws_route53_record": {"aliases": "alias"},
    "aws_sns_topic_subscription": {"topic": "topic_arn"},
}
"""Inputs that pulumi-aws calls otherwise."""
PLURALS = {
    "block_device_mappings",
    "network_interfaces",
    "redacted_fields",
    "tag_specifications",
}
"""Lists of blocks that Terraform names in the plural too."""


def plan(graph: Graph) -> Json:
    """What `terraform show -json` prints of a plan that makes all of it.

    As there, a value that only another resource knows is left out, and the configuration says
    which one.
    """
    resources = [r for r in graph.resources if r.type.startswith("aws:")]
    addresses = {r.urn: _address(r) for r in resources}
    if len(set(addresses.values())) < len(resources):
        raise ValueError(f"two resources have the same address in {sorted(addresses.values())}")
    parts = [_parts(resource, addresses) for resource in resources]
    return {
        "format_version": "1.2",
        "terraform_version": "1.11.4",
        "planned_values": {"root_module": {"resources": [planned for planned, _ in parts]}},
        "configuration": {"root_module": {"resources": [written for _, written in parts]}},
    }


def _address(resource: Registered) -> str:
    known = TYPES.get(resource.type.removeprefix("aws:"))
    if known is None:
        raise ValueError(
            f"{resource.name} has no Terraform type: got {resource.type}, "
            "allowed those of TYPES; add what pulumi-aws makes it from"
        )
    return f"aws_{known}.{re.sub('[^A-Za-z0-9_-]', '_', resource.name)}"


def _parts(resource: Registered, addresses: dict[str, str]) -> tuple[Json, Json]:
    """A resource as planned, and as configured."""
    kind, label = addresses[resource.urn].split(".")
    head = {"address": addresses[resource.urn], "mode": "managed", "type": kind, "name": label}
    values: Json = {}
    expressions: Json = {}
    for key, value in resource.inputs.items():
        if value == []:
            continue
        name = RENAMED.get(kind, {}).get(key) or _name(key, value)
        references = resource.property_depends_on.get(key, [])
        if sources := [addresses[urn] for urn in references if urn in addresses]:
            expressions[name] = {"references": sources}
        if not sources or _is_composed(value):
            values[name] = _value(key, value)
    return head | {"values": values}, head | {"expressions": expressions}


def _is_composed(value: Any) -> bool:
    """Whether only parts of a value come from other resources: blocks, and policies."""
    if isinstance(value, str):
        return value.startswith("{")
    return isinstance(value, dict) or _is_blocks(value)


def _is_blocks(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(v, dict) for v in cast(list[Any], value))


def _name(key: str, value: Any) -> str:
    """kmsKeyId is kms_key_id, and a list of blocks is called like one of them."""
    snake = re.sub("([A-Z])", r"_\1", key).lower()
    if not _is_blocks(value) or snake in PLURALS or snake.endswith("ss"):
        return snake
    return re.sub("s$", "", re.sub("ies$", "ys", snake))


def _value(key: str, value: Any) -> Any:
    if isinstance(value, dict):
        fields = cast(Json, value)
        return fields if key in MAPS else [_block(fields)]
    if _is_blocks(value):
        return [_block(fields) for fields in cast(list[Json], value)]
    return value


def _block(fields: Json) -> Json:
    return {_name(k, v): _value(k, v) for k, v in fields.items() if v != []}
