"""Which types hold data, and which properties can't be changed without making a resource anew.

Leaves out types that hold none: their replacement costs a moment at most. Where versions of a
provider differ, the more careful one counts.
"""

import re
from dataclasses import dataclass
from typing import Any

from offline.recorder import Registered

AWS_SOURCE = "hashicorp/terraform-provider-aws, internal/service/{}: ForceNew"
KUBERNETES_SOURCE = "pulumi/pulumi-kubernetes, provider/pkg/provider/diff.go: forceNew"
RANDOM_SOURCE = "pulumi/pulumi-random: every input of a RandomPassword makes a new value"
# Of all Kubernetes objects; the second is the source's metadataForceNewProperties.
KUBERNETES = ("apiVersion", "kind", "metadata.name", "metadata.namespace")

# Of all regional resources of AWS.
REGION = "region"


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A type that holds data."""

    data: str
    """What is lost with it."""
    forcing: tuple[str, ...]
    """Paths whose change replaces the resource; all below them counts, too."""
    source: str
    """Where that is written."""


def _aws(data: str, file: str, *forcing: str) -> Kept:
    return Kept(data=data, forcing=forcing, source=AWS_SOURCE.format(file))


def _kubernetes(data: str, *forcing: str) -> Kept:
    return Kept(data=data, forcing=forcing, source=KUBERNETES_SOURCE)


KEPT: dict[str, Kept] = {
    "aws:rds/instance:Instance": _aws(
        "the database",
        "rds/instance.go",
        "availabilityZone",
        "backupTarget",
        "characterSetName",
        "customIamInstanceProfile",
        "dbName",
        "engine",
        "engineLifecycleSupport",
        "identifier",
        "identifierPrefix",
        "kmsKeyId",
        "ncharCharacterSetName",
        "restoreToPointInTime",
        "s3Import",
        "snapshotIdentifier",
        "storageEncrypted",
        "timezone",
        "username",
    ),
    "aws:elasticache/replicationGroup:ReplicationGroup": _aws(
        "all sessions, cached pages and queued jobs",
        "elasticache/replication_group.go",
        "atRestEncryptionEnabled",
        "dataTieringEnabled",
        "engine",
        "globalReplicationGroupId",
        "kmsKeyId",
        "networkType",
        "port",
        "replicationGroupId",
        "securityGroupNames",
        "snapshotArns",
        "snapshotName",
        "subnetGroupName",
        "transitEncryptionEnabled",
    ),
    "aws:kms/key:Key": _aws(
        "everything that is encrypted with it, backups included",
        "kms/key.go",
        "customKeyStoreId",
        "customerMasterKeySpec",
        "keyUsage",
        "multiRegion",
        "xksKeyId",
    ),
    "aws:s3/bucket:Bucket": _aws(
        "all objects of the bucket", "s3/bucket.go", "bucket", "bucketPrefix", "objectLockEnabled"
    ),
    "aws:backup/vault:Vault": _aws(
        "all recovery points of the vault", "backup/vault.go", "kmsKeyArn", "name"
    ),
    "aws:secretsmanager/secret:Secret": _aws(
        "the secret and its versions", "secretsmanager/secret.go", "name", "namePrefix"
    ),
    "aws:ecr/repository:Repository": _aws(
        "all images, those that a rollback needs included",
        "ecr/repository.go",
        "encryptionConfigurations",
        "name",
    ),
    "aws:cloudwatch/logGroup:LogGroup": _aws(
        "all log lines", "logs/group.go", "logGroupClass", "name", "namePrefix"
    ),
    "aws:dynamodb/table:Table": _aws(
        "all items", "dynamodb/table.go", "hashKey", "importTable", "name", "rangeKey"
    ),
    "aws:efs/fileSystem:FileSystem": _aws(
        "all files",
        "efs/file_system.go",
        "availabilityZoneName",
        "creationToken",
        "encrypted",
        "kmsKeyId",
        "performanceMode",
    ),
    "aws:eks/cluster:Cluster": _aws(
        "everything that runs in the cluster, its volumes included",
        "eks/cluster.go",
        "accessConfig.bootstrapClusterCreatorAdminPermissions",
        "bootstrapSelfManagedAddons",
        "kubernetesNetworkConfig",
        "name",
        "outpostConfig",
        "roleArn",
    ),
    "aws:route53/zone:Zone": _aws(
        "the delegation of the domain", "route53/hosted_zone.go", "delegationSetId", "name"
    ),
    "kubernetes:core/v1:Namespace": _kubernetes("everything inside it, volumes included"),
    "kubernetes:core/v1:PersistentVolumeClaim": _kubernetes(
        "the volume",
        "spec.accessModes",
        "spec.selector",
        "spec.storageClassName",
        "spec.volumeName",
    ),
    "kubernetes:apps/v1:StatefulSet": _kubernetes(
        "the volumes, unless they are kept by the claims' retention policy",
        "spec.podManagementPolicy",
        "spec.revisionHistoryLimit",
        "spec.selector",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
    ),
    "random:index/randomPassword:RandomPassword": Kept(
        data="the only copy of a secret",
        forcing=(
            "keepers",
            "length",
            "lower",
            "minLower",
            "minNumeric",
            "minSpecial",
            "minUpper",
            "number",
            "numeric",
            "overrideSpecial",
            "special",
            "upper",
        ),
        source=RANDOM_SOURCE,
    ),
}

# A provider with another one of these leads to other things, so all that it made is made anew.
PROVIDERS: dict[str, tuple[str, ...]] = {
    "pulumi:providers:aws": ("region",),
    # docs/engine.md: seen with the engine.
    "pulumi:providers:kubernetes": ("clusterIdentifier",),
}
# These replace objects that hold no data, but the tree should not call it an update.
OTHERS: dict[str, tuple[str, ...]] = {
    "kubernetes:apps/v1:Deployment": ("spec.selector",),
    "kubernetes:batch/v1:Job": (
        "spec.completions",
        "spec.parallelism",
        "spec.selector",
        "spec.template",
    ),
    "kubernetes:core/v1:Secret": ("data", "stringData", "type"),
    "kubernetes:core/v1:ConfigMap": ("binaryData", "data"),
    "kubernetes:core/v1:Service": ("spec.clusterIP",),
}


def forces(type_: str, path: str) -> bool:
    """Whether a change at `path` replaces a resource of the type."""
    prefixes = PROVIDERS.get(type_, OTHERS.get(type_, ()))
    if type_ in KEPT:
        prefixes = KEPT[type_].forcing
    if type_.startswith("kubernetes:"):
        prefixes = (*prefixes, *KUBERNETES)
    elif type_.startswith("aws:"):
        prefixes = (*prefixes, REGION)
    return any(re.match(rf"{re.escape(prefix)}(?![^.\[])", path) for prefix in prefixes)


def held(resource: Registered) -> str:
    """What is lost with the resource; empty if it holds no data."""
    kept = KEPT.get(resource.type)
    return kept.data if kept and _has_data(resource.type, resource.inputs) else ""


def _has_data(type_: str, inputs: dict[str, Any]) -> bool:
    if type_.endswith(":StatefulSet"):
        return bool(inputs.get("spec", {}).get("volumeClaimTemplates"))
    return not inputs.get("replicateSourceDb")  # a read replica is a copy
