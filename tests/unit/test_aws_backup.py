"""AWS Backup, snapshots before migrations, and the recovery contract (BK-3 to BK-22, RO-7)."""

import json
from collections import Counter
from typing import Any

import pytest
from conftest import deploy_stack, knobs
from pulumi.runtime import rpc

from components.aws.backup_config import VaultConfig, vault_needs, vault_windows
from components.aws.backup_vault import GUARDED
from components.aws.config import AwsConfig
from components.aws.elasticache_config import ElastiCacheConfig
from components.aws.migration_snapshot import expiry_steps
from components.aws.rds_config import RdsConfig, foreign_copy
from components.backend_config import BackendConfig
from components.backups import BackupConfig
from components.dump_archive import ArchiveConfig
from components.recovery import DrConfig, RecoveryConfig, contract, region_loss
from components.schedule import Period, Weekday, aws_daily_cron, aws_weekly_cron
from components.sql_maintenance import MaintenanceConfig
from components.stack_config import ConfigError
from offline.recorder import Graph, Registered, plain

IMAGE: dict[str, Any] = {"image": f"shop@sha256:{'0' * 64}", "deploymentVersion": "3f2a9c1"}
ROLE = "arn:aws:iam::123456789012:role/backup-break-glass"
COPY = "arn:aws:rds:us-west-2:123456789012:auto-backup:ab-abcdefghijklmnopqrstuvwxyz234567"


def stack(name: str = "production", **changes: Any) -> Graph:
    return deploy_stack(name, **IMAGE | changes)


def vault(stack_name: str = "production", **changes: Any) -> VaultConfig:
    return knobs(VaultConfig, "vault", stack_name, **changes)


def rds(stack_name: str = "production", **changes: Any) -> RdsConfig:
    return knobs(RdsConfig, "rds", stack_name, **changes)


def backend(database: str = "rds") -> BackendConfig:
    return knobs(BackendConfig, "", "production", database=database)


def children(graph: Graph, component: str) -> list[Registered]:
    return [r for r in graph.resources if r.parent.endswith(component)]


def rules() -> dict[str, dict[str, Any]]:
    return {rule["ruleName"]: rule for rule in stack().one("Plan", "vault-plan").inputs["rules"]}


# The schedule


def test_the_hourly_backup_leaves_the_night_to_rds() -> None:
    """BK-3, S-3."""
    hourly = rules()["hourly"]
    assert hourly == {
        "ruleName": "hourly",
        "targetVaultName": "nextstack-production",
        "schedule": "cron(0 0,6-23 * * ? *)",
        "scheduleExpressionTimezone": "Etc/UTC",
        "startWindow": 60,
        "completionWindow": 180,
        "enableContinuousBackup": False,
        "lifecycle": {"deleteAfter": 2},
        "copyActions": [],
        "recoveryPointTags": {"nextstack/component": "vault"},
    }


def test_the_weekly_backup_is_kept_for_twelve_weeks_in_both_regions() -> None:
    """BK-5, S-2, S-4."""
    weekly = rules()["weekly"]
    assert weekly["schedule"] == "cron(0 5 ? * SUN *)"
    assert weekly["lifecycle"] == {"deleteAfter": 84}
    [copy] = weekly["copyActions"]
    assert copy["lifecycle"] == {"deleteAfter": 84}
    there = stack().one("Vault", "vault-recovery")
    assert copy["destinationVaultArn"].endswith(f":{there.name}")
    assert "::aws-recovery::" in there.provider


def test_point_in_time_recovery_has_one_owner() -> None:
    """BK-1: nor does a rule move a point to cold storage, where RDS has none (S-6)."""
    for rule in rules().values():
        assert rule["enableContinuousBackup"] is False
        assert rule["lifecycle"].keys() == {"deleteAfter"}


def test_the_plan_saves_the_primary_alone_with_rights_for_backups() -> None:
    """BK-3."""
    graph = stack()
    selection = graph.one("Selection", "vault-database")
    assert selection.inputs["resources"] == [
        "arn:aws:rds:zz-none-1:000000000000:nextstack-production-1"
    ]
    assert selection.inputs["iamRoleArn"].endswith(":vault-back-up")
    assert attached(graph, "vault-back-up").endswith("/AWSBackupServiceRolePolicyForBackup")
    trust = json.loads(graph.one("Role", "vault-back-up").inputs["assumeRolePolicy"])
    assert trust["Statement"][0]["Principal"] == {"Service": "backup.amazonaws.com"}


def attached(graph: Graph, name: str) -> str:
    return graph.one("RolePolicyAttachment", name).inputs["policyArn"]


def test_staging_has_what_rds_keeps_and_no_vault() -> None:
    """BK-3, BK-5, BK-15: production alone is asked for these."""
    graph = stack("staging")
    for kind in ("Vault", "Plan", "Selection", "RestoreTestingPlan", "VaultPolicy"):
        assert not [r for r in graph.all(kind) if r.type.startswith("aws:backup")], kind


def test_the_schedule_is_data() -> None:
    graph = stack(vaultHours="[9]", vaultMinute=30, vaultWeeklyKeepDays=0, vaultCopyKeepDays=0)
    [rule] = graph.one("Plan", "vault-plan").inputs["rules"]
    assert rule["schedule"] == "cron(30 9 * * ? *)"
    assert [r.name for r in graph.all("Vault")] == ["vault-home"]


@pytest.mark.parametrize(
    ("hours", "text"),
    [((0,), "0"), ((0, 6, 7), "0,6-7"), ((23, 22, 0), "0,22-23"), (tuple(range(24)), "0-23")],
)
def test_hours_are_written_as_aws_reads_them(hours: tuple[int, ...], text: str) -> None:
    assert aws_daily_cron(5, hours) == f"cron(5 {text} * * ? *)"


def test_days_are_written_as_aws_reads_them() -> None:
    assert aws_weekly_cron(Weekday.MONDAY, "06:05") == "cron(5 6 ? * MON *)"


# The vaults


@pytest.mark.parametrize("where", ["home", "recovery"])
def test_each_vault_has_a_key_of_its_own_in_its_region(where: str) -> None:
    """BK-22, BK-5."""
    graph = stack()
    made, key = graph.one("Vault", f"vault-{where}"), graph.one("Key", f"vault-{where}")
    assert made.inputs["kmsKeyArn"].endswith(key.name)
    assert made.inputs["forceDestroy"] is False
    assert f"::aws-{where}::" in made.provider
    assert f"::aws-{where}::" in key.provider
    assert made.protect and made.retain_on_delete


@pytest.mark.parametrize("where", ["home", "recovery"])
def test_only_the_break_glass_role_deletes_recovery_points(where: str) -> None:
    """BK-22: nor does anybody else take this rule or the lock away."""
    graph = stack()
    policy = graph.one("VaultPolicy", f"vault-{where}")
    [statement] = json.loads(policy.inputs["policy"])["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Principal"] == "*"
    assert statement["Condition"] == {"ArnNotEquals": {"aws:PrincipalArn": ROLE}}
    assert set(statement["Action"]) == set(GUARDED)
    assert not [action for action in GUARDED if "*" in action], "AWS Backup refuses wildcards"
    lock = graph.one("VaultLockConfiguration", f"vault-{where}")
    assert lock.urn in policy.depends_on, "afterwards the deployment may not lock it any more"


def test_the_lock_binds_people_until_it_binds_the_account() -> None:
    """BK-22: without a number of days the lock is one of governance."""
    lock = stack().one("VaultLockConfiguration", "vault-home").inputs
    assert (lock["minRetentionDays"], lock["maxRetentionDays"]) == (2, 84)
    assert "changeableForDays" not in lock
    bound = stack(vaultLock="compliance").one("VaultLockConfiguration", "vault-home").inputs
    assert bound["changeableForDays"] == 14
    assert not stack(vaultLock="none").all("VaultLockConfiguration")


@pytest.mark.parametrize("keep", [True, False])
def test_vaults_are_protected_as_configured(keep: bool) -> None:
    """PL-8: what holds no data can always be replaced."""
    graph = stack(protectData=keep)
    for kind in ("Vault", "VaultPolicy", "VaultLockConfiguration"):
        assert {(r.protect, r.retain_on_delete) for r in graph.all(kind)} == {(keep, keep)}, kind
    for r in children(graph, ":BackupVault::vault"):
        if r.type.rsplit(":", 1)[1] in ("Plan", "Selection", "Role", "RestoreTestingPlan"):
            assert not r.protect, r.name


def test_the_component_makes_no_more_than_this() -> None:
    parents = children(stack(), ":BackupVault::vault")
    assert Counter(r.type.rsplit(":", 1)[1] for r in parents) == {
        "Key": 2,
        "Vault": 2,
        "VaultLockConfiguration": 2,
        "VaultPolicy": 2,
        "Plan": 1,
        "Selection": 1,
        "RestoreTestingPlan": 1,
        "RestoreTestingSelection": 1,
        "Role": 2,
        "RolePolicyAttachment": 2,
    }


# The restore test


def test_the_newest_point_is_restored_each_monday() -> None:
    """BK-13, BK-15."""
    plan = stack().one("RestoreTestingPlan").inputs
    assert plan == {
        # AWS takes no hyphens here, and no other name later.
        "name": "nextstack_production_1",
        "scheduleExpression": "cron(0 6 ? * MON *)",
        "scheduleExpressionTimezone": "Etc/UTC",
        "startWindowHours": 1,
        "recoveryPointSelection": {
            "algorithm": "LATEST_WITHIN_WINDOW",
            "includeVaults": ["arn:aws:backup:zz-none-1:000000000000:vault-home"],
            "recoveryPointTypes": ["SNAPSHOT"],
            "selectionWindowDays": 7,
        },
        "tags": {"nextstack/component": "vault"},
    }


def test_the_copy_is_restored_into_the_databases_own_network() -> None:
    """BK-15: without these keys it would go to the account's default network."""
    graph = stack()
    selection = graph.one("RestoreTestingSelection").inputs
    assert selection["restoreMetadataOverrides"] == {
        "dbSubnetGroupName": "postgres-subnets",
        "vpcSecurityGroupIds": '["postgres-firewall-id"]',
    }
    assert selection["protectedResourceType"] == "RDS"
    assert selection["validationWindowHours"] == 4
    assert selection["iamRoleArn"].endswith(":vault-restore")
    assert attached(graph, "vault-restore").endswith("/AWSBackupServiceRolePolicyForRestores")


def test_a_restored_instance_is_the_one_that_is_saved_and_tested() -> None:
    """BK-18."""
    graph = stack(rdsInstanceName="nextstack-production-2")
    arn = "arn:aws:rds:zz-none-1:000000000000:nextstack-production-2"
    assert graph.one("Selection").inputs["resources"] == [arn]
    assert graph.one("RestoreTestingSelection").inputs["protectedResourceArns"] == [arn]
    assert graph.one("RestoreTestingPlan").inputs["name"] == "nextstack_production_2"


# Before a migration


@pytest.mark.parametrize("name", ["staging", "production"])
def test_a_snapshot_comes_before_each_migration(name: str) -> None:
    """BK-9, DB-13: the Job waits for it, and takes no dump beside it."""
    graph = stack(name)
    snapshot = graph.one("Snapshot")
    assert snapshot.inputs["dbInstanceIdentifier"] == f"nextstack-{name}-1"
    assert snapshot.inputs["sharedAccounts"] == []
    assert snapshot.retain_on_delete and not snapshot.protect
    migration = graph.one("Job", "web-migration")
    assert snapshot.urn in depends_on(graph, migration)
    steps = migration.inputs["spec"]["template"]["spec"]["initContainers"]
    assert [step["name"] for step in steps] == ["migrate"]


def depends_on(graph: Graph, resource: Registered) -> set[str]:
    """What a resource and the component around it wait for."""
    around = [r for r in graph.resources if r.urn == resource.parent]
    return {*resource.depends_on, *(urn for r in around for urn in r.depends_on)}


def test_each_release_has_a_snapshot_of_its_own() -> None:
    """BK-9: its name comes from a new random id, also when an old release comes back."""
    first, second = stack(), stack(deploymentVersion="8e1b0d2")
    for graph, version in ((first, "3f2a9c1"), (second, "8e1b0d2")):
        keepers = graph.one("RandomId", "migration").inputs["keepers"]
        assert keepers == {"image": IMAGE["image"], "version": version}
        name = graph.one("Snapshot").inputs["dbSnapshotIdentifier"]
        hexes = name.removeprefix("nextstack-production-1-before-")
        assert len(hexes) == 8


def test_snapshots_go_after_a_week_by_themselves() -> None:
    """BK-9: nothing of AWS ends the life of a manual snapshot."""
    graph = stack()
    machine = graph.one("StateMachine", "migration")
    states = json.loads(machine.inputs["definition"])["States"]
    assert states["Keep"] == {"Type": "Wait", "Seconds": 7 * 24 * 3600, "Next": "Delete"}
    assert states["Delete"]["Resource"] == "arn:aws:states:::aws-sdk:rds:deleteDBSnapshot"
    pattern = json.loads(graph.one("EventRule", "migration").inputs["eventPattern"])
    assert pattern == {
        "source": ["aws.rds"],
        "detail-type": ["RDS DB Snapshot Event"],
        "detail": {
            "EventID": ["RDS-EVENT-0042"],
            "SourceIdentifier": [{"prefix": "nextstack-production-1-before-"}],
        },
    }
    target = graph.one("EventTarget", "migration")
    assert target.inputs["arn"] == f"arn:aws:sfn:zz-none-1:000000000000:{machine.name}"
    # Else the event of the first snapshot could come before anybody listens.
    assert target.urn in graph.one("Snapshot").depends_on
    assert expiry_steps(35) != expiry_steps(7)


def test_only_snapshots_of_this_stack_can_be_deleted() -> None:
    """BK-22."""
    graph = stack()
    [right] = json.loads(graph.one("RolePolicy", "migration-expiry").inputs["policy"])["Statement"]
    assert right["Action"] == "rds:DeleteDBSnapshot"
    assert right["Resource"] == "arn:aws:rds:us-east-1:123456789012:snapshot:*"
    tags = right["Condition"]["StringEquals"]
    assert tags == {
        "aws:ResourceTag/nextstack/component": "migration",
        "aws:ResourceTag/nextstack/stack": "production",
    }
    assert graph.one("Snapshot").inputs["tags"] == {
        key.removeprefix("aws:ResourceTag/"): tag for key, tag in tags.items()
    }


def test_no_snapshot_without_a_migration() -> None:
    """BK-9: in the cluster, and of services elsewhere, the dump stays the first step."""
    assert not stack(appMigrationCommand="[]").all("Snapshot")
    assert not stack(image="").all("Snapshot")
    steps = stack("dev").one("Job", "web-migration").inputs["spec"]["template"]["spec"]
    assert steps["initContainers"][0]["name"] == "dump"


# What is refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hours": [24]}, "vaultHours has no hour: got 24, allowed 0 to 23"),
        ({"hours": [-1]}, "vaultHours has no hour: got -1"),
        ({"hours": [6, 6]}, "vaultHours has an hour twice"),
        ({"minute": 60}, "vaultMinute is out of range: got 60, allowed 0 to 59"),
        ({"weekly_time": "5:00"}, "vaultWeeklyTime is no time: got '5:00'"),
        ({"test_time": "24:00"}, "vaultTestTime is no time: got '24:00'"),
        ({"start_minutes": 59}, "vaultStartMinutes is out of range: got 59, allowed 60"),
        (
            {"completion_minutes": 119},
            "vaultCompletionMinutes is too short: got 119, allowed 120 or more",
        ),
        ({"hourly_keep_days": 0}, "vaultHourlyKeepDays is out of range: got 0, allowed 1"),
        ({"test_start_hours": 0}, "vaultTestStartHours is out of range: got 0, allowed 1 to 168"),
        ({"test_validation_hours": 169}, "vaultTestValidationHours is out of range: got 169"),
        ({"name": ""}, "vaultName is empty; name the vault"),
        ({"name": "shop vault"}, "vaultName is malformed: got 'shop vault'"),
        ({"name": "v"}, "vaultName is malformed"),
        ({"break_glass_role": ""}, "vaultBreakGlassRole is empty"),
        ({"break_glass_role": ROLE}, "vaultBreakGlassRole is no role"),
        ({"lock": "strict"}, "vaultLock is not allowed: got 'strict', allowed none, governance"),
        (
            {"lock_min_days": 3},
            "vaultHourlyKeepDays does not fit the lock: got 2, allowed vaultLockMinDays 3",
        ),
        (
            {"lock_max_days": 83},
            "vaultWeeklyKeepDays does not fit the lock: got 84, allowed vaultLockMinDays 2 to "
            "vaultLockMaxDays 83",
        ),
        (
            {"copy_keep_days": 85},
            "vaultCopyKeepDays does not fit the lock: got 85",
        ),
        (
            {"lock": "compliance", "lock_changeable_days": 2},
            "vaultLockChangeableDays is out of range: got 2, allowed 3",
        ),
        (
            {"weekly_keep_days": 0},
            "vaultCopyKeepDays copies nothing: got 84 with vaultWeeklyKeepDays 0",
        ),
        (
            {"hours": [], "weekly_keep_days": 0, "copy_keep_days": 0},
            "vaultTest has nothing to restore",
        ),
        (
            {"test_day": "Sun", "test_time": "07:59"},
            "vaultTestTime is too early: got Sun 07:59, allowed 180 minutes",
        ),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    """BK-14, BK-22, PL-7."""
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        vault(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"lock_min_days": 2, "lock_max_days": 84},
        {"lock": "none", "lock_min_days": 0},
        {"lock": "compliance", "lock_changeable_days": 3},
        {"completion_minutes": 120},
        {"test_day": "Sun", "test_time": "08:00"},
        {"break_glass_role": "security/backup-break-glass"},
        {"name": "v1"},
    ],
)
def test_settings_at_their_limits_are_accepted(changes: dict[str, Any]) -> None:
    assert vault(**changes).used


def test_problems_come_all_at_once() -> None:
    """PL-7."""
    with pytest.raises(ConfigError) as refused:
        vault(hours=[25], minute=61, name="", break_glass_role="")
    assert len(refused.value.problems) == 4


@pytest.mark.parametrize(
    ("hours", "minute", "start_minutes", "allowed"),
    [
        ([0], 0, 60, True),  # ends to start at 01:00, an hour before 02:00
        ([0], 1, 60, False),
        ([0], 0, 61, False),
        ([1], 0, 60, False),
        ([3], 29, 60, False),
        ([5], 0, 60, True),
        ([4], 59, 60, False),  # on Sundays RDS maintains itself until 04:00
        ([23], 59, 61, True),
        ([23], 59, 62, False),
    ],
)
def test_hourly_backups_keep_an_hour_from_the_windows_of_rds(
    hours: list[int], minute: int, start_minutes: int, allowed: bool
) -> None:
    """BK-14, S-2, S-3."""
    settings = vault(
        hours=hours,
        minute=minute,
        start_minutes=start_minutes,
        weekly_keep_days=0,
        copy_keep_days=0,
    )
    problems = vault_windows(backend(), settings, rds(), sql())
    assert len(problems) == (0 if allowed else 1)
    assert allowed or problems[0].startswith("vault_hours comes too near to a window of RDS")


def sql(**changes: Any) -> MaintenanceConfig:
    return knobs(MaintenanceConfig, "sqlMaintenance", "production", **changes)


@pytest.mark.parametrize(
    ("weekly", "refused"),
    [
        ({}, False),  # 05:00, an hour after the maintenance of RDS
        ({"weekly_time": "04:59"}, True),
        ({"weekly_time": "00:00", "weekly_day": "Wed"}, False),
        ({"weekly_time": "00:01", "weekly_day": "Wed"}, True),
        ({"weekly_time": "03:29", "weekly_day": "Wed"}, True),
        ({"weekly_time": "03:30", "weekly_day": "Wed"}, False),
    ],
)
def test_the_weekly_backup_keeps_an_hour_from_the_windows_of_rds(
    weekly: dict[str, Any], refused: bool
) -> None:
    """BK-14, S-2."""
    problems = vault_windows(backend(), vault(**weekly), rds(), sql(time="12:00", day="Sat"))
    assert [p.split(" ")[0] for p in problems] == ["vault_weekly_time"] * refused


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({}, False),  # 04:10 to 04:55
        ({"deadline_minutes": 50}, False),
        ({"deadline_minutes": 51}, True),
        ({"time": "05:59"}, True),
        ({"time": "06:00"}, False),
        ({"time": "05:30", "day": "Mon"}, False),
    ],
)
def test_sql_ends_before_the_weekly_backup(changes: dict[str, Any], refused: bool) -> None:
    """BK-14, OP-3."""
    problems = vault_windows(backend(), vault(), rds(), sql(**changes))
    assert [p.split(" ")[0] for p in problems] == ["sql_maintenance_time"] * refused


def test_other_databases_need_no_vault() -> None:
    assert not vault_windows(backend("cluster"), vault(minute=30), rds(), sql())
    nowhere = knobs(AwsConfig, "aws", "production", recovery_region="")
    assert not vault_needs(backend("cluster"), vault(), nowhere)
    [problem] = vault_needs(backend(), vault(), nowhere)
    assert problem.startswith("vault_copy_keep_days needs another region: got 84")


@pytest.mark.parametrize(
    ("period", "minutes", "start", "length"),
    [(Period(120, 30), 60, 60, 150), (Period(30, 30), 60, -30, 150)],
)
def test_a_widened_period_reaches_into_the_week_before(
    period: Period, minutes: int, start: int, length: int
) -> None:
    wide = period.widened(minutes)
    assert wide == Period(start, length)
    assert wide.meets(Period(start % (7 * 24 * 60), 1))
    assert not wide.meets(Period(start + length, 1))


# The caches


@pytest.mark.parametrize(("name", "days"), [("staging", 1), ("production", 7)])
def test_the_cache_is_saved_each_day(name: str, days: int) -> None:
    """BK-8, S-16."""
    group = stack(name).one("ReplicationGroup").inputs
    assert group["snapshotRetentionLimit"] == days
    assert group["snapshotWindow"] == "00:00-01:00"
    assert group["maintenanceWindow"] == "sun:02:00-sun:03:00"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"snapshot_retention_days": 0}, "elasticacheSnapshotRetentionDays is out of range"),
        ({"snapshot_retention_days": 36}, "got 36, allowed 1 to 35"),
        ({"snapshot_time": "01:01"}, "elasticacheMaintenanceTime meets the daily backup"),
    ],
)
def test_bad_snapshots_of_the_cache_are_refused(changes: dict[str, Any], message: str) -> None:
    """BK-8, BK-14."""
    with pytest.raises(ConfigError, match=message):
        knobs(ElastiCacheConfig, "elasticache", "production", **changes)


# The contract


def promised(name: str, **changes: Any) -> dict[str, Any]:
    output = stack(name, **changes).outputs[f"nextstack-{name}"]["recoveryContract"]
    assert not rpc.is_rpc_secret(output)
    return plain(output)


def test_the_contract_says_what_a_person_needs() -> None:
    """BK-19, BK-21, RO-5, RO-7."""
    assert promised("production") == {
        "rpoMinutes": 15,
        "rtoMinutes": 240,
        "retentionDays": 30,
        "regionLoss": {
            "mode": "backup",
            "region": "us-west-2",
            "rpoMinutes": 60,
            "rtoMinutes": 120,
        },
        "weeklyDays": 84,
        "vault": "nextstack-production",
        "cacheRpoMinutes": 1440,
        "notControlled": [],
    }


@pytest.mark.parametrize(("name", "rpo", "rto"), [("dev", 1440, 30), ("staging", 15, 240)])
def test_other_stacks_promise_nothing_for_their_region(name: str, rpo: int, rto: int) -> None:
    """BK-19, BK-21."""
    found = promised(name)
    assert (found["rpoMinutes"], found["rtoMinutes"]) == (rpo, rto)
    assert found["regionLoss"] == {"mode": "none"}
    assert (found["vault"], found["weeklyDays"]) == ("", 0)


def test_a_service_elsewhere_is_not_promised() -> None:
    """BK-19."""
    chosen = knobs(BackendConfig, "", "production", database="external", cache="external")
    found = contract(
        knobs(RecoveryConfig, "recovery", "production"),
        knobs(DrConfig, "dr", "staging"),
        chosen,
        knobs(AwsConfig, "aws", "production"),
        vault(),
    )
    assert found["notControlled"] == [
        "database: snapshots, point-in-time recovery and copies are its operator's",
        "cache: snapshots, point-in-time recovery and copies are its operator's",
    ]
    assert (found["vault"], found["weeklyDays"]) == ("", 0)
    assert "cacheRpoMinutes" not in found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "warm"}, "drMode is not built: got warm, allowed none or backup"),
        ({"mode": "hot"}, "drMode is not allowed: got 'hot', allowed none, backup, warm"),
        ({"rpo_minutes": 14}, "drRpoMinutes is out of range: got 14, allowed 15"),
        ({"rto_minutes": 119}, "drRtoMinutes is out of range: got 119, allowed 120"),
    ],
)
def test_a_promise_that_nothing_keeps_is_refused(changes: dict[str, Any], message: str) -> None:
    """BK-21, RB-7, RO-7, S-15; and DT-4, whose records only a second stack would have."""
    with pytest.raises(ConfigError, match=message):
        knobs(DrConfig, "dr", "production", **changes)


def lost(database: str = "rds", mode: str = "backup", **changes: Any) -> list[str]:
    """The problems of a promise; keys of production are changed by their name's first word."""
    fields: dict[str, dict[str, Any]] = {}
    for key, value in changes.items():
        part, name = key.split("_", 1)
        fields.setdefault(part, {})[name] = value
    return region_loss(
        backend(database),
        knobs(DrConfig, "dr", "production", mode=mode, **fields.get("dr", {})),
        knobs(AwsConfig, "aws", "production", **fields.get("aws", {})),
        rds(**fields.get("rds", {})),
        knobs(ArchiveConfig, "archive", "dev", **fields.get("archive", {})),
        knobs(BackupConfig, "backup", "production", **fields.get("backup", {})),
    )


COPIED: dict[str, Any] = {
    "archive_enabled": True,
    "archive_bucket": "dumps",
    "archive_image": f"rclone@sha256:{'0' * 64}",
}


@pytest.mark.parametrize(
    ("database", "changes", "message"),
    [
        ("rds", {}, ""),
        ("rds", {"rds_replicate_backups": False}, "dr_mode cannot be kept: got backup with aws"),
        ("rds", {"aws_recovery_region": ""}, "dr_mode cannot be kept: got backup with aws"),
        ("cluster", {}, "dr_mode cannot be kept: got backup with archiveEnabled false"),
        ("cluster", COPIED, "dr_rpo_minutes cannot be kept: got 60, allowed 1440 or more"),
        ("external", COPIED | {"dr_rpo_minutes": 1440}, ""),
        ("external", COPIED | {"backup_interval_hours": 1}, ""),
        (
            "external",
            COPIED | {"dr_rpo_minutes": 1440, "archive_daily": False},
            "dr_rpo_minutes cannot be kept: got 1440, allowed 10080 or more",
        ),
    ],
)
def test_a_lost_region_needs_copies_elsewhere(
    database: str, changes: dict[str, Any], message: str
) -> None:
    """BK-4, BK-6, BK-19, BK-21."""
    problems = lost(database, **changes)
    assert len(problems) == (1 if message else 0)
    assert not message or problems[0].startswith(message)
    assert not lost(database, mode="none", **changes)


# The restore itself


@pytest.mark.parametrize(
    ("time", "rest"),
    [
        ("latest", {"useLatestRestorableTime": True}),
        ("2026-05-04T03:02:01Z", {"restoreTime": "2026-05-04T03:02:01Z"}),
    ],
)
def test_a_lost_region_is_restored_from_the_copies_in_the_other(
    time: str, rest: dict[str, Any]
) -> None:
    """BK-18, RO-7."""
    graph = stack(
        awsRegion="us-west-2",
        awsZones='["us-west-2a", "us-west-2b", "us-west-2c"]',
        awsRecoveryRegion="us-east-1",
        rdsInstanceName="nextstack-production-2",
        rdsRestoreSource=COPY,
        rdsRestoreTime=time,
    )
    primary = next(r for r in graph.all("Instance") if "replicateSourceDb" not in r.inputs)
    assert primary.inputs["restoreToPointInTime"] == {
        "sourceDbInstanceAutomatedBackupsArn": COPY,
        **rest,
    }
    # It keeps the key of the copies, and another key in the program must not replace it.
    assert "kmsKeyId" in primary.ignore_changes


def test_what_the_old_instance_uses_stays_for_it() -> None:
    """BK-18: AWS deletes no parameter group that has an instance, and the old one is kept."""
    before, after = stack(), stack(rdsInstanceName="nextstack-production-2")
    for kind in ("ParameterGroup", "SubnetGroup", "SecurityGroup"):
        first, second = before.one(kind, "postgres-"), after.one(kind, "postgres-")
        assert first.urn == second.urn
        # These a group keeps from when it was made; another value would replace it.
        for fixed in ("family", "name", "vpcId"):
            assert first.inputs.get(fixed) == second.inputs.get(fixed)
    groups = [graph.one("ParameterGroup", "postgres-").inputs for graph in (before, after)]
    assert groups[0] == groups[1]


@pytest.mark.parametrize(
    ("region", "account", "allowed"),
    [
        ("us-west-2", "123456789012", True),
        ("us-east-1", "123456789012", False),
        ("us-west-2", "210987654321", False),
    ],
)
def test_copies_are_restored_where_they_are(region: str, account: str, allowed: bool) -> None:
    """BK-18."""
    problems = foreign_copy(
        rds(restore_source=COPY, restore_time="latest"), region, account
    ) + foreign_copy(rds(restore_source="shop-0", restore_time="latest"), region, account)
    assert len(problems) == (0 if allowed else 1)


@pytest.mark.parametrize(
    ("changes", "allowed"),
    [
        ({"restore_source": "shop-0", "restore_time": "latest"}, True),
        ({"restore_source": COPY, "restore_time": "latest"}, True),
        ({"restore_source": "0-shop", "restore_time": "latest"}, False),
        ({"restore_source": COPY.replace("auto-backup", "db"), "restore_time": "latest"}, False),
        ({"restore_source": "shop-0", "restore_time": "2026-05-04 03:02:01"}, False),
        ({"restore_source": "shop-0", "restore_time": "2026-05-04T03:02:01+02:00"}, False),
        ({"restore_source": "shop-0", "restore_time": "2026-02-30T00:00:00Z"}, False),
        ({"restore_snapshot": "rds:shop-2026-05-04-02-07"}, True),
        ({"restore_snapshot": "awsbackup:job-0b2f3c4d-5e6f"}, True),
        ({"restore_snapshot": "arn:aws:rds:us-west-2:123456789012:snapshot:awsbackup:j-1"}, True),
        ({"restore_snapshot": "before migration"}, False),
        ({"restore_snapshot": "1-before"}, False),
        ({"migration_keep_days": 0}, False),
        ({"migration_keep_days": 36}, False),
        ({"migration_keep_days": 35}, True),
    ],
)
def test_origins_of_a_restore_are_checked(changes: dict[str, Any], allowed: bool) -> None:
    """BK-18, BK-9."""
    if allowed:
        assert rds(**changes)
        return
    with pytest.raises(ConfigError):
        rds(**changes)
