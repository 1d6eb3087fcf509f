"""Dumps in object storage: settings, the Job's second step, the stack's own bucket (BK-6, BK-7)."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from conftest import deploy_stack

from commands.pods import final_message
from components.dump_archive import ArchiveConfig
from components.stack_config import ConfigError, camel_case, keys, load
from offline.recorder import Graph, Providers, program, record, stack_settings

IMAGE: dict[str, Any] = {"image": f"shop@sha256:{'0' * 64}", "deploymentVersion": "3f2a9c1"}
ELSEWHERE: dict[str, Any] = {
    "enabled": True,
    "image": "localhost/nextstack/rclone:1.60",
    "endpoint": "https://s3.example.net:8443",
    "region": "eu-1",
    "bucket": "shop-dumps",
    "keys": {"accessKeyId": "AK", "secretAccessKey": "s3cr3t"},
}


def keys_of(settings: dict[str, Any]) -> dict[str, Any]:
    return {camel_case("archive", name): value for name, value in settings.items()}


def archive(**changes: Any) -> ArchiveConfig:
    settings = stack_settings("dev", **keys_of(ELSEWHERE | changes))
    given = {k.removeprefix("nextstack:"): v for k, v in settings.items()}
    wanted = {key: given[key] for key in keys(ArchiveConfig, "archive")}
    return load(ArchiveConfig, wanted, ["archiveKeys"], "archive")


@cache
def elsewhere(**changes: Any) -> Graph:
    """The dev stack with its dumps at another provider."""
    settings = stack_settings("dev", **keys_of(ELSEWHERE | changes))
    return record(program, Providers(), settings, "dev", secret_keys=["nextstack:archiveKeys"])


def pod(graph: Graph) -> dict[str, Any]:
    [job] = [r for r in graph.all("CronJob") if r.inputs["metadata"]["name"] == "backup"]
    return job.inputs["spec"]["jobTemplate"]["spec"]["template"]


def test_nothing_changes_where_the_archive_is_off() -> None:
    """PL-3: dev."""
    off = deploy_stack("dev", **IMAGE)
    assert not [r for r in off.resources if "archive" in r.name]
    assert "initContainers" not in pod(off)["spec"]
    assert [c["name"] for c in pod(off)["spec"]["containers"]] == ["dump"]


def test_the_dump_comes_first_and_the_copy_decides_over_the_job() -> None:
    """BK-6, BK-17: a Job without a copy elsewhere has failed."""
    spec = pod(elsewhere())["spec"]
    assert [c["name"] for c in spec["initContainers"]] == ["dump"]
    [copy] = spec["containers"]
    assert copy["command"] == ["sh", "/etc/nextstack/job/archive.sh"]
    env = {v["name"]: v["value"] for v in copy["env"]}
    assert env == {
        "BACKUPS": "/backups",
        "TARGET": "archive:shop-dumps",
        "DAYS": "7",
        "DAILY": "true",
        "WEEKLY_DAY": "0",
        "DAILY_KEEP_DAYS": "30",
        "WEEKLY_KEEP_DAYS": "365",
        "PRUNE": "false",
        "RESULT": "/dev/termination-log",
    }
    names = [volume["name"] for volume in spec["volumes"]]
    assert sorted(names) == ["archive-files", "backups", "dump-files"]


def test_the_copy_may_read_dumps_and_reach_the_store_alone() -> None:
    """AP-4, BK-22."""
    graph = elsewhere()
    template = pod(graph)
    [copy] = template["spec"]["containers"]
    assert {m["mountPath"]: m["readOnly"] for m in copy["volumeMounts"]} == {
        "/etc/nextstack/job": True,
        "/backups": True,
    }
    assert copy["securityContext"]["readOnlyRootFilesystem"] is True
    assert copy["securityContext"]["runAsUser"] == 999
    assert template["spec"]["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in template["spec"]
    reached = {k for k in template["metadata"]["labels"] if k.startswith("nextstack/reaches")}
    assert reached == {"nextstack/reaches-postgres", "nextstack/reaches-archive"}
    [rule] = graph.one("NetworkPolicy", "archive-to-server").inputs["spec"]["egress"]
    assert rule["ports"] == [{"port": 8443, "protocol": "TCP"}]


def test_another_provider_is_reached_with_keys_that_are_secret() -> None:
    """S-7, SC-3."""
    data = elsewhere().one("Secret", "archive-login").inputs["stringData"]
    assert data == {
        "AWS_ACCESS_KEY_ID": "AK",
        "AWS_SECRET_ACCESS_KEY": "s3cr3t",
        "RCLONE_CONFIG": "/notfound",
        "RCLONE_CONFIG_ARCHIVE_CHUNK_SIZE": "16Mi",
        "RCLONE_CONFIG_ARCHIVE_ENDPOINT": "https://s3.example.net:8443",
        "RCLONE_CONFIG_ARCHIVE_ENV_AUTH": "true",
        "RCLONE_CONFIG_ARCHIVE_NO_CHECK_BUCKET": "true",
        "RCLONE_CONFIG_ARCHIVE_PROVIDER": "Other",
        "RCLONE_CONFIG_ARCHIVE_REGION": "eu-1",
        "RCLONE_CONFIG_ARCHIVE_TYPE": "s3",
        "RCLONE_CONFIG_ARCHIVE_UPLOAD_CONCURRENCY": "4",
        "RCLONE_TRANSFERS": "1",
    }
    shown = [r.name for r in elsewhere().resources if "s3cr3t" in str(r.inputs)]
    assert shown == ["archive-login"]


def test_an_authority_of_its_own_verifies_the_store(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("authority")
    graph = elsewhere(ca_file=str(tmp_path / "ca.pem"))
    files = graph.one("ConfigMap", "archive-files").inputs["data"]
    assert files["ca.pem"] == "authority"
    login = graph.one("Secret", "archive-login").inputs["stringData"]
    assert login["RCLONE_CA_CERT"] == "/etc/nextstack/job/ca.pem"


def test_settings_of_an_archive_elsewhere_are_complete() -> None:
    """PL-7: all at once."""
    with pytest.raises(ConfigError) as refused:
        archive(**{"image": "rclone:latest", "bucket": "", "keys": {}})
    assert [problem.split(" ")[0] for problem in refused.value.problems] == [
        "archiveImage",
        "archiveBucket",
        "archiveKeys.accessKeyId",
        "archiveKeys.secretAccessKey",
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"endpoint": "http://s3.example.net"}, "archiveEndpoint is no address: got 'http:"),
        ({"endpoint": "https://s3.example.net/b"}, "archiveEndpoint is no address"),
        ({"endpoint": "https://s3.example.net:0"}, "archiveEndpoint is no address"),
        ({"endpoint": "https://s3.example.net:x"}, "archiveEndpoint is no address"),
        ({"endpoint": "https://a:b@s3.example.net"}, "archiveEndpoint is no address"),
        ({"endpoint": "https://"}, "archiveEndpoint is no address"),
        ({"endpoint": ""}, "archiveEndpoint is empty, but archiveKeys"),
        ({"keys": {"password": "x"}}, "archiveKeys.password is not a key"),
        (
            {"keys": {"accessKeyId": "AK", "secretAccessKey": "s3cr3t two"}},
            "archiveKeys.secretAccessKey is malformed: got 10 characters",
        ),
        ({"ca_file": "nowhere.pem"}, "archiveCaFile is no file: got 'nowhere.pem'"),
        ({"ranges": ["10.0.0.1/8"]}, "archiveRanges has no range"),
        ({"daily_keep_days": 0}, "archiveDailyKeepDays is out of range: got 0"),
        ({"weekly_keep_days": 3651}, "archiveWeeklyKeepDays is out of range: got 3651"),
        ({"cold_after_days": 0}, "archiveColdAfterDays is out of range: got 0"),
        ({"cold_after_days": 276}, "archiveColdAfterDays leaves too few: got 276 of"),
        ({"cold_class": "DEEP_ARCHIVE", "cold_after_days": 186}, "allowed 180 days or more"),
        ({"cold_class": "STANDARD_IA"}, "archiveColdClass is not allowed: got 'STANDARD_IA'"),
        ({"weekly_day": "Sunday"}, "archiveWeeklyDay is not allowed: got 'Sunday'"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    """PL-7; the value of a key is never repeated."""
    with pytest.raises(ConfigError, match=message) as refused:
        archive(**changes)
    assert "s3cr3t" not in str(refused.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"cold_after_days": 275},
        {"cold_class": "DEEP_ARCHIVE", "cold_after_days": 185},
        {"endpoint": "https://s3.example.net"},
        {"endpoint": "https://s3.example.net/"},
        {"prune": True},
    ],
)
def test_settings_at_their_limits_are_accepted(changes: dict[str, Any]) -> None:
    assert archive(**changes)


@pytest.mark.parametrize(
    ("name", "accepted"),
    [
        ("abc", True),
        ("a" * 63, True),
        ("shop-dumps-2026", True),
        ("ab", False),
        ("a" * 64, False),
        ("Shop", False),
        ("shop.dumps", False),
        ("-shop", False),
        ("shop-", False),
        ("shop_dumps", False),
        ("xn--shop", False),
        ("sthree-shop", False),
        ("amzn-s3-demo-shop", False),
        ("shop-s3alias", False),
        ("shop--ol-s3", False),
        ("shop--x-s3", False),
        ("shop--table-s3", False),
    ],
)
def test_bucket_names_are_those_that_aws_takes(name: str, accepted: bool) -> None:
    if accepted:
        assert archive(**{"bucket": name})
        return
    with pytest.raises(ConfigError, match="archiveBucket is no bucket name"):
        archive(**{"bucket": name})


def stack(name: str, **changes: Any) -> Graph:
    return deploy_stack(name, **IMAGE, **changes)


@pytest.mark.parametrize(("name", "daily"), [("staging", "false"), ("production", "true")])
def test_each_stack_copies_what_it_has_to(name: str, daily: str) -> None:
    """BK-6, BK-7: at 01:00, Sunday's for a year, in production the others for 30 days."""
    graph = stack(name)
    [job] = [r for r in graph.all("CronJob") if r.inputs["metadata"]["name"] == "backup"]
    assert job.inputs["spec"]["schedule"] == "0 1 * * *"
    [copy] = pod(graph)["spec"]["containers"]
    env = {v["name"]: v["value"] for v in copy["env"]}
    assert (env["DAILY"], env["WEEKLY_DAY"], env["PRUNE"]) == (daily, "0", "false")
    assert env["TARGET"] == f"archive:nextstack-{name}-dumps"


@pytest.mark.parametrize("name", ["staging", "production"])
def test_the_stacks_own_bucket_is_private_and_keeps_what_it_has(name: str) -> None:
    """BK-22, PL-8, S-7: in the second region, under a key of its own there."""
    graph = stack(name)
    bucket = graph.one("Bucket", "archive-bucket")
    assert "::aws-recovery::" in bucket.provider
    assert (bucket.protect, bucket.retain_on_delete) == (True, True)
    assert bucket.inputs == {
        "bucket": f"nextstack-{name}-dumps",
        "forceDestroy": False,
        "objectLockEnabled": False,
        "tags": {"nextstack/component": "archive-bucket"},
    }
    closed = graph.one("BucketPublicAccessBlock", "archive-bucket").inputs
    assert {name for name, on in closed.items() if on is True} == {
        "blockPublicAcls",
        "blockPublicPolicy",
        "ignorePublicAcls",
        "restrictPublicBuckets",
        "skipDestroy",
    }
    owned = graph.one("BucketOwnershipControls", "archive-bucket").inputs
    assert owned["rule"] == {"objectOwnership": "BucketOwnerEnforced"}
    versions = graph.one("BucketVersioning", "archive-bucket").inputs
    assert versions["versioningConfiguration"] == {"status": "Enabled", "mfaDelete": "Disabled"}
    [rule] = graph.one("BucketServerSideEncryptionConfiguration", "archive-bucket").inputs["rules"]
    key = graph.one("Key", "archive-bucket")
    assert rule == {
        "applyServerSideEncryptionByDefault": {
            "sseAlgorithm": "aws:kms",
            "kmsMasterKeyId": f"arn:aws:kms:zz-none-1:000000000000:{key.name}",
        },
        "bucketKeyEnabled": True,
    }
    assert "::aws-recovery::" in key.provider


def test_the_bucket_refuses_old_tls_and_the_loss_of_a_version() -> None:
    """BK-22: for good only by who may change its policy first."""
    arn = "arn:aws:s3:::nextstack-production-dumps"
    policy = json.loads(stack("production").one("BucketPolicy", "archive-bucket").inputs["policy"])
    refused = {s["Sid"]: (s["Action"], s.get("Condition")) for s in policy["Statement"]}
    assert refused == {
        "TlsOnly": ("s3:*", {"Bool": {"aws:SecureTransport": "false"}}),
        "NoOldTls": ("s3:*", {"NumericLessThan": {"s3:TlsVersion": "1.2"}}),
        "NothingIsLost": (["s3:DeleteBucket", "s3:DeleteObjectVersion"], None),
    }
    for statement in policy["Statement"]:
        assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
        assert statement["Resource"] == [arn, f"{arn}/*"]


def test_copies_grow_cold_and_go_in_time() -> None:
    """BK-6, BK-7, S-4, S-6, RO-8: what a restore needs is not cold yet."""
    graph = stack("production")
    lifecycle = graph.one("BucketLifecycleConfiguration", "archive-bucket")
    assert lifecycle.inputs["transitionDefaultMinimumObjectSize"] == "all_storage_classes_128K"
    assert graph.one("BucketVersioning", "archive-bucket").urn in lifecycle.depends_on
    assert lifecycle.inputs["rules"] == [
        {
            "id": "daily",
            "status": "Enabled",
            "filter": {"prefix": "daily/"},
            "expiration": {"days": 30},
            "noncurrentVersionExpiration": {"noncurrentDays": 7},
        },
        {
            "id": "weekly",
            "status": "Enabled",
            "filter": {"prefix": "weekly/"},
            "transitions": [{"days": 14, "storageClass": "GLACIER"}],
            "expiration": {"days": 365},
            "noncurrentVersionExpiration": {"noncurrentDays": 7},
        },
        {
            "id": "abandoned-uploads",
            "status": "Enabled",
            "filter": {"prefix": ""},
            "abortIncompleteMultipartUpload": {"daysAfterInitiation": 7},
        },
    ]
    everything = stack("production", protectData=False)
    bucket = everything.one("Bucket", "archive-bucket")
    assert (bucket.inputs["forceDestroy"], bucket.retain_on_delete) == (True, False)
    assert "DeleteBucket" not in everything.one("BucketPolicy", "archive-bucket").inputs["policy"]


def test_the_job_adds_copies_by_a_role_and_deletes_none() -> None:
    """BK-22, AP-4, SC-3: no key, and no token that Kubernetes accepts."""
    graph = stack("production")
    login = graph.one("Secret", "archive-login").inputs["stringData"]
    assert not [name for name in login if name.startswith("AWS_")]
    key = f"arn:aws:kms:zz-none-1:000000000000:{graph.one('Key', 'archive-bucket').name}"
    assert login["RCLONE_CONFIG_ARCHIVE_PROVIDER"] == "AWS"
    assert login["RCLONE_CONFIG_ARCHIVE_REGION"] == "us-west-2"
    assert login["RCLONE_CONFIG_ARCHIVE_ACL"] == "bucket-owner-full-control"
    assert login["RCLONE_CONFIG_ARCHIVE_SERVER_SIDE_ENCRYPTION"] == "aws:kms"
    assert login["RCLONE_CONFIG_ARCHIVE_SSE_KMS_KEY_ID"] == key
    template = pod(graph)
    assert template["spec"]["serviceAccountName"] == "dump-archive"
    assert template["spec"]["automountServiceAccountToken"] is False
    account = graph.one("ServiceAccount", "archive-bucket").inputs
    assert account["metadata"]["name"] == "dump-archive"
    assert account["automountServiceAccountToken"] is False
    association = graph.one("PodIdentityAssociation", "archive-bucket")
    assert {k: association.inputs[k] for k in ("clusterName", "namespace", "serviceAccount")} == {
        "clusterName": "example-production",
        "namespace": "nextstack-production",
        "serviceAccount": "dump-archive",
    }
    trust = graph.one("Role", "archive-bucket").inputs["assumeRolePolicy"]
    assert "arn:aws:eks:us-east-1:123456789012:cluster/example-production" in trust
    [job] = [r for r in graph.all("CronJob") if r.inputs["metadata"]["name"] == "backup"]
    assert association.urn in job.depends_on
    assert template["metadata"]["labels"]["nextstack/reaches-pod-identity"] == "true"
    rights = json.loads(graph.one("RolePolicy", "archive-bucket").inputs["policy"])["Statement"]
    arn = "arn:aws:s3:::nextstack-production-dumps"
    assert [(r["Action"], r["Resource"]) for r in rights] == [
        ("s3:ListBucket", arn),
        (
            [
                "s3:AbortMultipartUpload",
                "s3:GetObject",
                "s3:ListMultipartUploadParts",
                "s3:PutObject",
            ],
            f"{arn}/*",
        ),
        (["kms:Decrypt", "kms:GenerateDataKey"], key),
    ]
    assert rights[2]["Condition"] == {
        "StringEquals": {"kms:ViaService": "s3.us-west-2.amazonaws.com"}
    }


def test_the_agent_is_reached_at_its_own_address_alone() -> None:
    policy = stack("production").one("NetworkPolicy", "archive-identity").inputs["spec"]
    assert policy["podSelector"] == {"matchLabels": {"nextstack/reaches-pod-identity": "true"}}
    assert policy["egress"] == [
        {
            "to": [{"ipBlock": {"cidr": "169.254.170.23/32"}}],
            "ports": [{"port": 80, "protocol": "TCP"}],
        }
    ]


@pytest.mark.parametrize(
    ("stack_name", "changes", "message"),
    [
        (
            "dev",
            {"archiveEnabled": True, "archiveImage": "localhost/a:1", "archiveBucket": "dumps"},
            "archiveEnabled is true without archiveEndpoint, but the stack has nothing on AWS",
        ),
        ("dev", {"uploadsEnabled": True, "uploadsBucket": "abc"}, "uploadsEnabled is true, but"),
        (
            "dev",
            {"secretsCopyEnabled": True, "secretsCopyName": "a"},
            "secretsCopyEnabled is true, but the stack has nothing on AWS",
        ),
        (
            "staging",
            {"awsRecoveryRegion": ""},
            "archiveEndpoint is empty without awsRecoveryRegion",
        ),
        (
            "staging",
            {"awsRecoveryRegion": "", "archiveEnabled": False, "secretsCopyReplicate": True},
            "secretsCopyReplicate is true without awsRecoveryRegion",
        ),
        (
            "staging",
            {
                "awsRecoveryRegion": "",
                "archiveEnabled": False,
                "uploadsEnabled": True,
                "uploadsReplicaBucket": "copies",
            },
            "uploadsReplicaBucket is set without awsRecoveryRegion",
        ),
        (
            "staging",
            {"backupIntervalHours": 12, "backupTime": "01:00"},
            "archiveDaily is false with 2 dumps a day: got backupIntervalHours 12, allowed 24",
        ),
    ],
)
def test_what_is_kept_on_aws_needs_aws(
    stack_name: str, changes: dict[str, Any], message: str
) -> None:
    """PL-7, BK-10, SC-5."""
    with pytest.raises(ConfigError, match=message):
        stack(stack_name, **changes)


def ended(name: str, code: int, message: str) -> dict[str, Any]:
    return {"name": name, "state": {"terminated": {"exitCode": code, "message": message}}}


@pytest.mark.parametrize(
    ("dump", "copy", "told"),
    [
        (ended("dump", 0, "dumped"), ended("archive", 0, "copied"), "copied"),
        (ended("dump", 0, "dumped"), ended("archive", 1, "differs"), "differs"),
        (ended("dump", 1, "no server"), {"name": "archive", "state": {"waiting": {}}}, "no server"),
        (ended("dump", 0, "dumped"), {"name": "archive", "state": {"running": {}}}, ""),
    ],
)
def test_the_result_is_that_of_the_step_that_decided(
    dump: dict[str, Any], copy: dict[str, Any], told: str
) -> None:
    """BK-17."""
    status = {"initContainerStatuses": [dump], "containerStatuses": [copy]}
    assert final_message({"status": status}) == told
