"""Users' files on S3: the bucket, its copy elsewhere, and who may use them (BK-10, RO-9)."""

import json
from collections import Counter
from typing import Any

import pytest
from conftest import deploy_stack, knobs

from components.aws.uploads_config import UploadsConfig
from components.contract import CONTRACT
from components.stack_config import ConfigError
from offline.recorder import Graph, Registered, plain

IMAGE: dict[str, Any] = {"image": f"shop@sha256:{'0' * 64}", "deploymentVersion": "3f2a9c1"}
ARN = "arn:aws:s3:::nextstack-production-uploads"
COPY = f"{ARN}-copy"


def stack(name: str = "production", **changes: Any) -> Graph:
    return deploy_stack(name, **IMAGE, **{"uploadsEnabled": True} | changes)


def one(kind: str, name: str = "uploads", graph: Graph | None = None) -> Registered:
    [found] = [r for r in (graph or stack()).all(kind) if r.name == name]
    return found


def statements(resource: Registered, name: str = "policy") -> list[dict[str, Any]]:
    return json.loads(resource.inputs[name])["Statement"]


def test_without_it_there_is_neither_bucket_nor_role() -> None:
    off = stack(uploadsEnabled=False)
    assert not [r for r in off.resources if "uploads" in r.name]
    pod = off.one("Deployment", "web-server").inputs["spec"]["template"]
    assert "serviceAccountName" not in pod["spec"]
    assert "UPLOAD_BUCKET" not in plain(off.outputs["nextstack-production"]["runtimeEnv"])


def test_the_component_makes_no_more_than_this() -> None:
    own = [r for r in stack().resources if r.parent.endswith(":Uploads::uploads")]
    assert Counter(r.type.rsplit(":", 1)[1] for r in own) == {
        "Bucket": 2,
        "BucketCorsConfiguration": 1,
        "BucketLifecycleConfiguration": 2,
        "BucketOwnershipControls": 2,
        "BucketPolicy": 2,
        "BucketPublicAccessBlock": 2,
        "BucketReplicationConfig": 1,
        "BucketServerSideEncryptionConfiguration": 2,
        "BucketVersioning": 2,
        "Key": 2,
        "NetworkPolicy": 1,
        "PodIdentityAssociation": 1,
        "Role": 2,
        "RolePolicy": 2,
        "ServiceAccount": 1,
    }


def test_files_and_their_copy_are_protected_under_keys_of_their_own() -> None:
    """BK-10, BK-22, PL-8."""
    for name, region in (("uploads", "home"), ("uploads-replica", "recovery")):
        bucket, key = one("Bucket", name), one("Key", f"{name}-key")
        assert (bucket.protect, bucket.retain_on_delete, key.protect) == (True, True, True)
        assert bucket.inputs["forceDestroy"] is False
        for resource in (bucket, key, one("BucketPolicy", name), one("BucketVersioning", name)):
            assert f"::aws-{region}::" in resource.provider, resource.name
        [rule] = one("BucketServerSideEncryptionConfiguration", name).inputs["rules"]
        default = rule["applyServerSideEncryptionByDefault"]
        assert default["kmsMasterKeyId"].endswith(f":{key.name}")


@pytest.mark.parametrize("name", ["uploads", "uploads-replica"])
def test_current_files_stay_and_old_ones_go_after_90_days(name: str) -> None:
    """BK-10: in a Glacier class, and the one that answers at once (RO-9)."""
    rules = one("BucketLifecycleConfiguration", name).inputs["rules"]
    assert rules[0] == {
        "id": "old-versions",
        "status": "Enabled",
        "filter": {"prefix": ""},
        "noncurrentVersionTransitions": [{"noncurrentDays": 1, "storageClass": "GLACIER_IR"}],
        "noncurrentVersionExpiration": {"noncurrentDays": 91},
        "expiration": {"expiredObjectDeleteMarker": True},
    }
    assert [rule["id"] for rule in rules] == ["old-versions", "abandoned-uploads"]


def test_every_version_is_copied_within_15_minutes() -> None:
    """BK-10, RO-9: S3 answers for it, and the hour asked for is four times as long."""
    replication = one("BucketReplicationConfig", "uploads-replication")
    [rule] = replication.inputs["rules"]
    key = one("Key", "uploads-replica-key").name
    assert rule == {
        "id": "everything",
        "status": "Enabled",
        "priority": 0,
        "filter": {"prefix": ""},
        "deleteMarkerReplication": {"status": "Enabled"},
        "sourceSelectionCriteria": {
            "sseKmsEncryptedObjects": {"status": "Enabled"},
            "replicaModifications": {"status": "Disabled"},
        },
        "destination": {
            "bucket": "arn:aws:s3:zz-none-1:000000000000:uploads-replica",
            "storageClass": "STANDARD",
            "encryptionConfiguration": {
                "replicaKmsKeyId": f"arn:aws:kms:zz-none-1:000000000000:{key}"
            },
            "replicationTime": {"status": "Enabled", "time": {"minutes": 15}},
            "metrics": {"status": "Enabled", "eventThreshold": {"minutes": 15}},
        },
    }
    for versioned in ("uploads", "uploads-replica"):
        assert one("BucketVersioning", versioned).urn in replication.depends_on
    assert one("RolePolicy", "uploads-replication").urn in replication.depends_on


def test_the_copying_role_reads_here_writes_there_and_does_nothing_else() -> None:
    """BK-22."""
    role = one("Role", "uploads-replication")
    assert statements(role, "assumeRolePolicy")[0]["Principal"] == {"Service": "s3.amazonaws.com"}
    rights = statements(one("RolePolicy", "uploads-replication"))
    reached: dict[str, set[str]] = {}
    for right in rights:
        actions: list[str] = (
            [right["Action"]] if isinstance(right["Action"], str) else right["Action"]
        )
        reached.setdefault(right["Resource"].split(":key/")[0], set()).update(actions)
    keys = "arn:aws:kms:zz-none-1:000000000000"
    assert reached == {
        ARN: {"s3:GetReplicationConfiguration", "s3:ListBucket"},
        f"{ARN}/*": {"s3:GetObjectVersionForReplication", "s3:GetObjectVersionTagging"},
        f"{COPY}/*": {"s3:ReplicateDelete", "s3:ReplicateObject", "s3:ReplicateTags"},
        f"{keys}:uploads-key": {"kms:Decrypt"},
        f"{keys}:uploads-replica-key": {"kms:Encrypt", "kms:GenerateDataKey"},
    }
    assert [r["Condition"]["StringEquals"]["kms:ViaService"] for r in rights[3:]] == [
        "s3.us-east-1.amazonaws.com",
        "s3.us-west-2.amazonaws.com",
    ]
    assert rights[3]["Condition"]["StringLike"] == {
        "kms:EncryptionContext:aws:s3:arn": [ARN, f"{ARN}/*"]
    }


def test_the_sites_own_pages_may_upload() -> None:
    [rule] = one("BucketCorsConfiguration").inputs["corsRules"]
    assert rule["allowedOrigins"] == ["https://www.example.com"]
    assert rule["allowedMethods"] == ["GET", "HEAD", "POST", "PUT"]
    assert "*" not in rule["allowedHeaders"]


def test_the_applications_pods_have_a_role_and_no_key() -> None:
    """AP-4, SC-3: nor a token that Kubernetes accepts."""
    graph = stack()
    pod = graph.one("Deployment", "web-server").inputs["spec"]["template"]
    assert pod["spec"]["serviceAccountName"] == "web"
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["metadata"]["labels"]["nextstack/reaches-pod-identity"] == "true"
    association = one("PodIdentityAssociation", "uploads-pods")
    assert association.inputs["serviceAccount"] == "web"
    assert association.urn in graph.one("WebApp").depends_on
    jobs = [r.inputs["spec"]["template"]["spec"] for r in graph.all("Job")]
    assert not [spec for spec in jobs if "serviceAccountName" in spec]
    actions = {str(right["Action"]) for right in statements(one("RolePolicy", "uploads-pods"))}
    assert actions == {
        "s3:ListBucket",
        "['s3:AbortMultipartUpload', 's3:DeleteObject', 's3:GetObject', "
        "'s3:ListMultipartUploadParts', 's3:PutObject']",
        "['kms:Decrypt', 'kms:GenerateDataKey']",
    }


def test_the_application_is_told_where_files_go() -> None:
    """EN-1."""
    told = plain(stack().outputs["nextstack-production"]["runtimeEnv"])
    assert told["UPLOAD_BUCKET"] == "nextstack-production-uploads"
    assert told["UPLOAD_REGION"] == "us-east-1"
    for name in ("UPLOAD_BUCKET", "UPLOAD_REGION"):
        assert not CONTRACT[name].required


def test_staging_has_a_versioned_bucket_without_a_copy() -> None:
    """BK-10."""
    graph = stack("staging")
    assert not graph.all("BucketReplicationConfig")
    assert [r.name for r in graph.all("Bucket") if "uploads" in r.name] == ["uploads"]
    assert one("BucketVersioning", graph=graph)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"enabled": True, "bucket": ""}, "uploadsBucket is empty"),
        ({"bucket": "Shop"}, "uploadsBucket is no bucket name: got 'Shop'"),
        ({"replica_bucket": "ab"}, "uploadsReplicaBucket is no bucket name: got 'ab'"),
        ({"bucket": "shop", "replica_bucket": "shop"}, "uploadsReplicaBucket is the bucket itself"),
        ({"old_version_days": 89}, "uploadsOldVersionDays is out of range: got 89, allowed 90"),
        ({"old_version_days": 3651}, "got 3651, allowed 90 to 3650"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    """PL-7."""
    with pytest.raises(ConfigError, match=message):
        knobs(UploadsConfig, "uploads", "production", **changes)


@pytest.mark.parametrize("days", [90, 3650])
def test_settings_at_their_limits_are_accepted(days: int) -> None:
    assert knobs(UploadsConfig, "uploads", "production", old_version_days=days)
