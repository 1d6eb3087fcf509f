"""PostgreSQL on RDS (DB-1 to DB-17, BK-1, BK-4, BK-14, BK-18, BK-19): refusals and resources."""

import inspect
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import deploy_stack, knobs
from pulumi.runtime import rpc
from pulumi_aws import rds

from components.aws import rds_config
from components.aws.config import AwsConfig
from components.aws.elasticache_config import ElastiCacheConfig
from components.aws.rds_config import RdsConfig, apply_method, authorities, is_sample
from components.backend_config import BackendConfig, CacheBackend, DatabaseBackend
from components.backups import BackupConfig
from components.recovery import RecoveryConfig
from components.sql_maintenance import MaintenanceConfig
from components.stack import meeting_windows, rds_needs, recovery_contract
from components.stack_config import ConfigError
from offline.recorder import Graph, Registered, invented, plain

IMAGE: dict[str, Any] = {"image": f"shop@sha256:{'0' * 64}", "deploymentVersion": "3f2a9c1"}
ON_AWS = knobs(BackendConfig, "", database=DatabaseBackend.RDS, cache=CacheBackend.ELASTICACHE)

# Inputs that stay unset, each for a reason.
UNSET = {
    "availabilityZone": "Multi-AZ moves between zones",
    "backupTarget": "the region, unless the machine is an Outpost",
    "characterSetName": "Oracle and SQL Server only",
    "customIamInstanceProfile": "RDS Custom only",
    "customerOwnedIpEnabled": "Outposts only",
    "dbName": "the roles' Job makes the database, with its owner",
    "domain": "no directory",
    "domainAuthSecretArn": "no directory",
    "domainDnsIps": "no directory",
    "domainFqdn": "no directory",
    "domainIamRoleName": "no directory",
    "domainOu": "no directory",
    "identifierPrefix": "the identifier is given",
    "iops": "fixed below 400 GiB",
    "manageMasterUserPassword": "RDS would change it each week",
    "masterUserSecretKmsKeyId": "as above",
    "ncharCharacterSetName": "Oracle only",
    "optionGroupName": "PostgreSQL has none",
    "passwordWo": "the password is given",
    "passwordWoVersion": "as above",
    "region": "the provider's",
    "replicaMode": "Oracle and Db2 only",
    "replicateSourceDb": "of replicas",
    "restoreToPointInTime": "of restores",
    "s3Import": "MySQL only",
    "snapshotIdentifier": "of restores",
    "storageThroughput": "fixed below 400 GiB",
    "timezone": "SQL Server only",
    "upgradeStorageConfig": "of replicas with old file systems",
    "warningEventCategories": "a hint about the instance's own events",
}


def stack(name: str = "production", **changes: Any) -> Graph:
    return deploy_stack(name, **IMAGE, **changes)


def primary(graph: Graph) -> Registered:
    return next(r for r in graph.all("Instance") if "replicateSourceDb" not in r.inputs)


def config(stack_name: str = "production", **changes: Any) -> RdsConfig:
    return knobs(RdsConfig, "rds", stack_name, **changes)


@pytest.mark.parametrize(
    ("name", "machine", "multi_az", "storage", "most", "days"),
    [
        ("staging", "db.t4g.medium", False, 20, 100, 7),
        ("production", "db.m7g.large", True, 100, 500, 30),
    ],
)
def test_every_value_is_as_required(
    name: str, machine: str, multi_az: bool, storage: int, most: int, days: int
) -> None:
    """DB-1 to DB-6, DB-11, DB-16, DB-17, BK-1, BK-2, S-1."""
    inputs = dict(primary(stack(name)).inputs)
    final = inputs.pop("finalSnapshotIdentifier")
    assert re.fullmatch(rf"nextstack-{name}-1-final-[0-9a-f]{{8}}", final)
    assert "--" not in final
    assert inputs.pop("password") == invented("", "secrets-databaseAdmin", {"length": 64})
    key = "arn:aws:kms:zz-none-1:000000000000:postgres-key"
    assert inputs == {
        "allocatedStorage": storage,
        "allowMajorVersionUpgrade": False,
        "applyImmediately": False,
        "autoMinorVersionUpgrade": True,
        "backupRetentionPeriod": days,
        "backupWindow": "02:00-02:30",
        "blueGreenUpdate": {"enabled": False},
        "caCertIdentifier": "rds-ca-rsa2048-g1",
        "copyTagsToSnapshot": True,
        "databaseInsightsMode": "standard",
        "dbSubnetGroupName": "postgres-subnets",
        "dedicatedLogVolume": False,
        "deleteAutomatedBackups": False,
        "deletionProtection": True,
        "enabledCloudwatchLogsExports": ["postgresql", "upgrade"],
        "engine": "postgres",
        "engineLifecycleSupport": "open-source-rds-extended-support-disabled",
        "engineVersion": "17",
        "iamDatabaseAuthenticationEnabled": False,
        "identifier": f"nextstack-{name}-1",
        "instanceClass": machine,
        "kmsKeyId": key,
        "licenseModel": "postgresql-license",
        "maintenanceWindow": "sun:03:00-sun:04:00",
        "maxAllocatedStorage": most,
        "monitoringInterval": 60,
        "monitoringRoleArn": "arn:aws:iam:zz-none-1:000000000000:postgres-monitoring",
        "multiAz": multi_az,
        "networkType": "IPV4",
        "parameterGroupName": "postgres-postgres17",
        "performanceInsightsEnabled": True,
        "performanceInsightsKmsKeyId": key,
        "performanceInsightsRetentionPeriod": 7,
        "port": 5432,
        "publiclyAccessible": False,
        "skipFinalSnapshot": False,
        "storageEncrypted": True,
        "storageType": "gp3",
        "tags": {"nextstack/component": "postgres"},
        "username": "breakglass",
        "vpcSecurityGroupIds": ["postgres-firewall-id"],
    }


def test_nothing_is_left_to_the_providers_defaults() -> None:
    known = inspect.signature(rds.InstanceArgs.__init__).parameters
    names = {_camel(name) for name in known if not name.startswith("__")}
    assert names - primary(stack()).inputs.keys() == UNSET.keys()


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.title() for word in tail)


def test_settings_apply_at_once_unless_they_wait_for_a_reboot() -> None:
    """DB-6, DB-9, DB-10, PO-3."""
    group = stack().one("ParameterGroup", "postgres17").inputs
    assert group["family"] == "postgres17"
    settings = {p["name"]: (p["value"], p["applyMethod"]) for p in group["parameters"]}
    assert settings == {
        "rds.force_ssl": ("1", "immediate"),
        "ssl_min_protocol_version": ("TLSv1.3", "immediate"),
        "rds.accepted_password_auth_method": ("scram", "immediate"),
        "max_connections": ("200", "pending-reboot"),
        "shared_preload_libraries": ("pg_stat_statements", "pending-reboot"),
        "log_min_duration_statement": ("1000", "immediate"),
        "idle_in_transaction_session_timeout": ("60000", "immediate"),
        "log_lock_waits": ("1", "immediate"),
    }
    assert apply_method("max_connections") == "pending-reboot"


def test_logs_are_kept_for_30_days_from_the_first_line_on() -> None:
    """DB-11."""
    graph = stack()
    groups = {r.inputs["name"]: r for r in graph.all("LogGroup") if "/rds/" in r.inputs["name"]}
    assert groups.keys() == {
        f"/aws/rds/instance/nextstack-production-1{replica}/{log}"
        for replica in ("", "-replica-1")
        for log in ("postgresql", "upgrade")
    }
    assert {r.inputs["retentionInDays"] for r in groups.values()} == {30}
    first = primary(graph).depends_on
    assert groups["/aws/rds/instance/nextstack-production-1/postgresql"].urn in first
    assert graph.one("RolePolicyAttachment", "postgres").urn in first


def test_enhanced_monitoring_may_write_figures_and_nothing_else() -> None:
    """DB-11."""
    graph = stack()
    role = graph.one("Role", "postgres-monitoring")
    assert "monitoring.rds.amazonaws.com" in role.inputs["assumeRolePolicy"]
    assert (
        graph.one("RolePolicyAttachment", "postgres")
        .inputs["policyArn"]
        .endswith("service-role/AmazonRDSEnhancedMonitoringRole")
    )


def test_production_has_a_read_replica_whose_url_is_exported() -> None:
    """DB-12."""
    graph = stack()
    [replica] = [r for r in graph.all("Instance") if "replicateSourceDb" in r.inputs]
    assert replica.inputs["replicateSourceDb"] == "nextstack-production-1"
    assert replica.inputs["backupRetentionPeriod"] == 0
    assert replica.inputs["skipFinalSnapshot"] is True
    assert not replica.inputs.keys() & {"username", "password", "engine", "allocatedStorage"}
    assert replica.inputs["storageEncrypted"] is True
    assert replica.inputs["publiclyAccessible"] is False
    url = graph.outputs["nextstack-production"]["analyticsDatabaseUrl"]
    assert rpc.is_rpc_secret(url)
    assert re.fullmatch(
        r"postgresql://readonly:\w+@nextstack-production-1-replica-1\.\S+:5432/app"
        r"\?sslmode=verify-full",
        plain(url),
    )
    assert len(stack("staging").all("Instance")) == 1
    assert stack("staging").outputs["nextstack-staging"]["analyticsDatabaseUrl"] == ""


def test_backups_are_copied_to_the_recovery_region_under_a_key_of_its_own() -> None:
    """BK-4."""
    graph = stack()
    copy = graph.one("InstanceAutomatedBackupsReplication")
    key = graph.one("Key", "postgres-recovery")
    assert "::aws-recovery::" in copy.provider
    assert "::aws-recovery::" in key.provider
    assert copy.inputs["kmsKeyId"].endswith(key.name)
    assert copy.inputs["sourceDbInstanceArn"].endswith(":nextstack-production-1")
    assert copy.inputs["retentionPeriod"] == 30
    staging = stack("staging")
    assert not staging.all("InstanceAutomatedBackupsReplication")
    assert not [r for r in staging.all("Key") if r.name == "postgres-recovery-key"]


@pytest.mark.parametrize("keep", [True, False])
def test_data_is_protected_as_configured(keep: bool) -> None:
    """PL-8, DB-16: without protection it can go, but never without a last snapshot."""
    made = primary(stack(protectData=keep))
    assert (made.protect, made.retain_on_delete) == (keep, keep)
    assert made.inputs["deletionProtection"] is keep
    assert made.inputs["deleteAutomatedBackups"] is not keep
    assert made.inputs["skipFinalSnapshot"] is False
    for replaceable in ("ParameterGroup", "RandomId", "Role"):
        names = {r.protect for r in stack(protectData=keep).all(replaceable)}
        assert names == {False}, replaceable


@pytest.mark.parametrize(
    ("changes", "origin"),
    [
        ({"rdsRestoreSnapshot": "before-migration"}, {"snapshotIdentifier": "before-migration"}),
        (
            {
                "rdsRestoreSource": "nextstack-production-1",
                "rdsRestoreTime": "2026-05-04T03:02:01Z",
            },
            {
                "restoreToPointInTime": {
                    "sourceDbInstanceIdentifier": "nextstack-production-1",
                    "restoreTime": "2026-05-04T03:02:01Z",
                }
            },
        ),
        (
            {"rdsRestoreSource": "nextstack-production-1", "rdsRestoreTime": "latest"},
            {
                "restoreToPointInTime": {
                    "sourceDbInstanceIdentifier": "nextstack-production-1",
                    "useLatestRestorableTime": True,
                }
            },
        ),
    ],
)
def test_a_restore_makes_another_instance(changes: dict[str, str], origin: dict[str, Any]) -> None:
    """BK-18."""
    before = primary(stack())
    after = primary(stack(rdsInstanceName="nextstack-production-2", **changes))
    assert after.urn != before.urn
    assert {name: after.inputs[name] for name in origin} == origin
    # Taking the keys out of the configuration afterwards changes nothing; nor does the key that
    # the instance has from its origin.
    ignored = {"snapshotIdentifier", "restoreToPointInTime", "kmsKeyId"}
    assert set(after.ignore_changes) == ignored
    assert before.retain_on_delete


def test_roles_are_made_by_a_job_that_verifies_the_server() -> None:
    """DB-6, DB-7: nothing but this Job logs in as the administrator."""
    graph = stack()
    spec = graph.one("Job", "postgres-roles").inputs["spec"]["template"]["spec"]
    [container] = spec["containers"]
    assert container["command"] == ["sh", "/etc/nextstack/job/rds-roles.sh"]
    login = graph.one("Secret", "postgres-roles-login").inputs["stringData"]
    assert login["PGUSER"] == "breakglass"
    assert login["PGSSLMODE"] == "verify-full"
    assert login["PGSSLROOTCERT"] == "/etc/nextstack/job/ca.pem"
    files = graph.one("ConfigMap", "postgres-roles-files").inputs["data"]
    assert files["ca.pem"] == authorities("certificates/rds.pem")[0]
    assert files.keys() == {"rds-roles.sh", "rds-owner.sql", "roles.sql", "database.sql", "ca.pem"}
    admin = login["PGPASSWORD"]
    users = [r.name for r in graph.all("Secret") if admin in str(r.inputs)]
    assert users == ["postgres-roles-login"]


def test_what_only_a_superuser_may_do_is_left_out() -> None:
    """The filter of rds-roles.sh takes two lines of roles.sql, and they only concern the log."""
    lines = (rds_config.ROOT / "components/scripts/roles.sql").read_text().splitlines()
    assert [line.split(" = ")[0] for line in lines if line.startswith("SET log_min_")] == [
        "SET log_min_duration_statement",
        "SET log_min_error_statement",
    ]
    script = (rds_config.ROOT / "components/scripts/rds-roles.sh").read_text()
    assert "grep -v '^SET log_min_' roles.sql" in script


def test_the_pool_verifies_the_server() -> None:
    """PO-6."""
    files = stack().one("ConfigMap", "pgbouncer-config").inputs["data"]
    assert "server_tls_sslmode = verify-full" in files["pgbouncer.ini"]
    assert "server_tls_ca_file = /etc/nextstack/pgbouncer/ca.pem" in files["pgbouncer.ini"]
    assert "server_tls_protocols = tlsv1.3" in files["pgbouncer.ini"]
    assert files["ca.pem"] == authorities("certificates/rds.pem")[0]
    host = "host=nextstack-production-1.invented.rds.amazonaws.com port=5432 "
    assert host in files["pgbouncer.ini"]


def test_the_sample_authority_is_noticed(caplog: pytest.LogCaptureFixture) -> None:
    bundle, problems = authorities("certificates/rds.pem")
    assert not problems
    assert is_sample(bundle)
    deploy_stack.__wrapped__("staging")
    assert "certificates/rds.pem is a sample" in caplog.text


def test_the_component_makes_no_more_than_this() -> None:
    parents = [r for r in stack().resources if r.parent.endswith(":RdsPostgres::postgres")]
    assert Counter(r.type.rsplit(":", 1)[1] for r in parents) == {
        "ConfigMap": 1,
        "Instance": 2,
        "InstanceAutomatedBackupsReplication": 1,
        "Job": 1,
        "Key": 2,
        "LogGroup": 4,
        "NetworkPolicy": 1,
        "ParameterGroup": 1,
        "RandomId": 1,
        "Role": 1,
        "RolePolicyAttachment": 1,
        "Secret": 1,
        "SecurityGroup": 1,
        "SecurityGroupIngressRule": 1,
        "SubnetGroup": 1,
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"instance_name": "1-shop"}, "rdsInstanceName is malformed: got '1-shop'"),
        ({"instance_name": "shop--1"}, "rdsInstanceName is malformed"),
        ({"instance_name": "shop-"}, "rdsInstanceName is malformed"),
        ({"instance_name": "a" * 51}, "rdsInstanceName is malformed"),
        ({"engine_version": "16"}, "rdsEngineVersion is not supported: got '16', allowed 17 or 18"),
        ({"engine_version": "17.x"}, "rdsEngineVersion is not supported"),
        ({"instance_class": "cache.m7g.large"}, "rdsInstanceClass is malformed"),
        ({"storage_gib": 19}, "rdsStorageGib is out of range: got 19, allowed 20 to 65536"),
        ({"max_storage_gib": 109}, "rdsMaxStorageGib is too small: got 109, allowed 110 or more"),
        ({"iops": 12_000}, "rdsIops cannot be chosen: got 12000 with rdsStorageGib 100, allowed 0"),
        ({"throughput_mibps": 500}, "rdsThroughputMibps cannot be chosen"),
        ({"storage_gib": 399, "iops": 12_000}, "rdsIops cannot be chosen"),
        ({"storage_gib": 400, "iops": 11_999}, "rdsIops is out of range: got 11999"),
        ({"storage_gib": 400, "iops": 64_001}, "rdsIops is out of range: got 64001"),
        ({"storage_gib": 400, "throughput_mibps": 499}, "rdsThroughputMibps is out of range"),
        (
            {"storage_gib": 400, "iops": 12_000, "throughput_mibps": 3001},
            "rdsThroughputMibps is too high: got 3001, allowed a quarter of rdsIops 12000",
        ),
        ({"backup_retention_days": 0}, "rdsBackupRetentionDays is out of range: got 0, allowed 1"),
        ({"backup_retention_days": 36}, "got 36, allowed 1 to 35"),
        ({"read_replicas": 6}, "rdsReadReplicas is out of range: got 6, allowed 0 to 5"),
        ({"monitoring_interval_s": 0}, "rdsMonitoringIntervalS is not offered by AWS: got 0"),
        ({"log_retention_days": 31}, "rdsLogRetentionDays is not offered by AWS: got 31"),
        ({"insights_mode": "full"}, "rdsInsightsMode is not allowed: got 'full'"),
        ({"backup_time": "03:30"}, "rdsMaintenanceTime meets the daily backup"),
        ({"backup_minutes": 29}, "rdsBackupMinutes is out of range: got 29, allowed 30"),
        ({"restore_time": "latest"}, "rdsRestoreTime and rdsRestoreSource go together"),
        ({"restore_source": "shop-0"}, "rdsRestoreTime and rdsRestoreSource go together"),
        (
            {"restore_source": "shop-0", "restore_time": "yesterday"},
            "rdsRestoreTime is no time: got 'yesterday'",
        ),
        (
            {"restore_source": "nextstack-production-1", "restore_time": "latest"},
            "rdsRestoreSource is the instance itself",
        ),
        (
            {"restore_source": "a", "restore_time": "latest", "restore_snapshot": "b"},
            "rdsRestoreSnapshot and rdsRestoreSource are both set",
        ),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    """DB-4, BK-14, PL-7."""
    with pytest.raises(ConfigError, match=message):
        config(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"storage_gib": 400, "iops": 12_000, "throughput_mibps": 3000},
        {"storage_gib": 400, "iops": 64_000, "throughput_mibps": 4000},
        {"max_storage_gib": 110},
        {"backup_retention_days": 35},
        {"instance_name": "a" * 50},
        {"engine_version": "18.1"},
        {"backup_time": "02:30"},
    ],
)
def test_settings_at_their_limits_are_accepted(changes: dict[str, Any]) -> None:
    assert config(**changes)


def test_provisioned_storage_reaches_the_instance() -> None:
    """DB-4."""
    sizes: dict[str, Any] = {"rdsStorageGib": 400, "rdsIops": 16_000, "rdsThroughputMibps": 1000}
    inputs = primary(stack(**sizes)).inputs
    assert (inputs["iops"], inputs["storageThroughput"]) == (16_000, 1000)


def test_advanced_insights_keep_what_aws_asks_for() -> None:
    inputs = primary(stack(rdsInsightsMode="advanced")).inputs
    assert inputs["performanceInsightsRetentionPeriod"] == 465


@pytest.mark.parametrize(
    ("promised", "kept", "message"),
    [
        ({"rpo_minutes": 4}, {}, "recovery_rpo_minutes cannot be kept: got 4, allowed 5 or more"),
        (
            {},
            {"backup_retention_days": 29},
            "recovery_retention_days cannot be kept: got 30, allowed at most "
            "rdsBackupRetentionDays 29",
        ),
        ({"rto_minutes": 29}, {}, "recovery_rto_minutes is not proven: got 29, allowed 30"),
    ],
)
def test_a_promise_that_rds_cannot_keep_is_refused(
    promised: dict[str, Any], kept: dict[str, Any], message: str
) -> None:
    """BK-19."""
    recovery = knobs(RecoveryConfig, "recovery", "production", **promised)
    backup = knobs(BackupConfig, "backup", "production")
    [problem] = recovery_contract(ON_AWS, recovery, backup, config(**kept))
    assert problem.startswith(message)


def test_what_rds_can_promise_dumps_cannot() -> None:
    """BK-19: the same promise on another backend."""
    recovery = knobs(RecoveryConfig, "recovery", "production")
    backup = knobs(BackupConfig, "backup", "production")
    assert recovery_contract(ON_AWS, recovery, backup, config()) == []
    for backend in (DatabaseBackend.CLUSTER, DatabaseBackend.EXTERNAL):
        chosen = knobs(BackendConfig, "", database=backend, cache=CacheBackend.CLUSTER)
        [problem] = recovery_contract(chosen, recovery, backup, config())
        assert problem.startswith("recovery_rpo_minutes cannot be kept: got 15, allowed 1440")


@pytest.mark.parametrize(
    ("cache", "sql", "dump", "message"),
    [
        ({}, {}, {}, ""),
        (
            {"maintenance_time": "03:59"},
            {},
            {},
            "elasticache_maintenance_time meets the database's",
        ),
        ({"maintenance_time": "04:00"}, {}, {}, ""),
        ({}, {"time": "03:16"}, {}, "sql_maintenance_time meets a window of RDS"),
        ({}, {"time": "02:29", "day": "Wed"}, {}, "sql_maintenance_time meets a window of RDS"),
        ({}, {"time": "02:30", "day": "Wed"}, {}, ""),
        ({}, {}, {"time": "02:01"}, "backup_time meets the maintenance of RDS"),
        ({}, {}, {"time": "02:00"}, ""),
    ],
)
def test_windows_that_meet_are_refused(
    cache: dict[str, Any], sql: dict[str, Any], dump: dict[str, Any], message: str
) -> None:
    """BK-14, S-1."""
    problems = meeting_windows(
        ON_AWS,
        config(),
        knobs(ElastiCacheConfig, "elasticache", "production", **cache),
        knobs(BackupConfig, "backup", "production", **dump),
        knobs(MaintenanceConfig, "sqlMaintenance", "production", **sql),
    )
    assert len(problems) == (1 if message else 0)
    assert not message or problems[0].startswith(message)


def test_a_stack_on_rds_says_what_it_needs(tmp_path: Path) -> None:
    """PL-7."""
    aws = knobs(AwsConfig, "aws", "staging", recovery_region="")
    empty = config(instance_name="", ca_file="nowhere.pem", replicate_backups=True)
    problems = rds_needs(ON_AWS, empty, aws)
    assert [problem.split(" ")[0] for problem in problems] == [
        "rds_instance_name",
        "rds_ca_file",
        "rds_replicate_backups",
    ]
    assert "global-bundle.pem" in problems[1]
    text = tmp_path / "text.pem"
    text.write_text("no certificate")
    assert "holds no PEM certificates" in rds_needs(ON_AWS, config(ca_file=str(text)), aws)[0]
