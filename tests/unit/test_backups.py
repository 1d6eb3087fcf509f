"""Dumps, restore test, weekly SQL, recovery contract (BK-2, BK-9, BK-13 to BK-19, OP-3)."""

import os
import subprocess
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pulumi
import pytest
from conftest import STACKS, deploy, knobs

from components.aws.rds_config import RdsConfig
from components.backend_config import BackendConfig, CacheBackend, DatabaseBackend
from components.backups import BackupConfig, ClusterBackups, ClusterBackupsArgs, verify_sql
from components.environment import EnvironmentConfig
from components.generated_secrets import GeneratedSecrets, SecretsConfig
from components.pgbouncer import PgBouncerConfig
from components.postgres import ClusterPostgres, ClusterPostgresArgs, PostgresConfig
from components.recovery import RecoveryConfig
from components.schedule import WEEK, Period, Weekday, daily_cron, weekly, weekly_cron
from components.sql_job import SCRIPTS
from components.sql_maintenance import MaintenanceConfig, SqlMaintenance, SqlMaintenanceArgs
from components.stack import meeting_schedules, recovery_contract, wait_limits
from components.stack_config import ConfigError
from offline.recorder import Graph, invented

IMAGE = "localhost/nextstack/postgres:17"


def backup(stack_name: str = "dev", **changes: Any) -> BackupConfig:
    return knobs(BackupConfig, "backup", stack_name, **changes)


def recovery(stack_name: str = "dev", **changes: Any) -> RecoveryConfig:
    return knobs(RecoveryConfig, "recovery", stack_name, **changes)


def maintenance(**changes: Any) -> MaintenanceConfig:
    return knobs(MaintenanceConfig, "sqlMaintenance", **changes)


def run(
    *,
    keep_volume: bool = False,
    protect: bool = False,
    statements: list[str] | None = None,
    **changes: Any,
) -> Graph:
    def program() -> None:
        secrets = GeneratedSecrets("secrets", knobs(SecretsConfig, ""))
        database = ClusterPostgres(
            "postgres",
            ClusterPostgresArgs(
                config=knobs(PostgresConfig, "postgres"), namespace="shop", secrets=secrets
            ),
        )
        backups = ClusterBackups(
            "backups",
            ClusterBackupsArgs(
                config=backup(**changes),
                namespace="shop",
                database=database,
                image=IMAGE,
                scratch_gib=5,
                keep_volume=keep_volume,
            ),
            pulumi.ResourceOptions(protect=protect),
        )
        pulumi.export("labels", backups.dump_step().labels)
        SqlMaintenance(
            "sql",
            SqlMaintenanceArgs(
                config=maintenance(statements=statements or ["ANALYZE"]),
                namespace="shop",
                database=database,
                image=IMAGE,
            ),
        )

    return deploy(program)


@cache
def standard() -> Graph:
    """As dev has it; made once, because tests only read it."""
    return run()


def cron(graph: Graph, name: str) -> dict[str, Any]:
    [found] = [r for r in graph.all("CronJob") if r.inputs["metadata"]["name"] == name]
    return found.inputs["spec"]


def pod(graph: Graph, name: str) -> dict[str, Any]:
    return cron(graph, name)["jobTemplate"]["spec"]["template"]["spec"]


def env(graph: Graph, name: str) -> dict[str, str]:
    [container] = pod(graph, name)["containers"]
    return {entry["name"]: entry["value"] for entry in container["env"]}


def test_registers_exactly_these_resources() -> None:
    own = [
        r.type.rsplit(":", 1)[1]
        for r in standard().resources
        if r.name.startswith(("backups", "sql"))
    ]
    assert Counter(own) == {
        "ClusterBackups": 1,
        "SqlMaintenance": 1,
        "PersistentVolumeClaim": 1,
        "ConfigMap": 2,
        "Secret": 2,
        "CronJob": 3,
    }


@pytest.mark.parametrize(
    ("name", "schedule"),
    [
        ("backup", "0 2 * * *"),  # BK-2
        ("restore-test", "0 6 * * 1"),  # BK-13
        ("sql-maintenance", "10 4 * * 0"),  # OP-3
    ],
)
def test_runs_at_the_required_time_of_utc_and_never_twice_at_once(name: str, schedule: str) -> None:
    spec = cron(standard(), name)
    assert (spec["schedule"], spec["timeZone"]) == (schedule, "Etc/UTC")
    assert spec["concurrencyPolicy"] == "Forbid"


def test_deadlines_are_those_of_the_configuration() -> None:
    """OP-3: 45 minutes."""
    limits = [
        cron(standard(), name)["jobTemplate"]["spec"]["activeDeadlineSeconds"]
        for name in ("backup", "restore-test", "sql-maintenance")
    ]
    assert limits == [3600, 1800, 2700]


def test_dumps_are_kept_by_age_and_count() -> None:
    """BK-2: 7 days in dev."""
    assert (env(standard(), "backup")["KEEP_DAYS"], env(standard(), "backup")["KEEP_COUNT"]) == (
        "7",
        "50",
    )
    assert env(run(keep_days=3), "backup")["KEEP_DAYS"] == "3"


def test_results_are_told_where_the_pods_status_shows_them() -> None:
    """BK-16: no `exec` and no token needed."""
    for name in ("backup", "restore-test"):
        assert env(standard(), name)["RESULT"] == "/dev/termination-log"
        spec = cron(standard(), name)
        assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (3, 3)


def test_the_restore_test_has_no_credentials_and_no_network() -> None:
    graph = standard()
    template = cron(graph, "restore-test")["jobTemplate"]["spec"]["template"]
    assert not [k for k in template["metadata"]["labels"] if k.startswith("nextstack/reaches")]
    [container] = template["spec"]["containers"]
    assert container.get("envFrom", []) == []


def test_the_dump_reaches_the_database_over_tls_with_the_owners_login() -> None:
    graph = standard()
    login = graph.one("Secret", "backups-login").inputs["stringData"]
    assert login["PGUSER"] == "owner"
    assert login["PGPASSWORD"] == invented(
        "RandomPassword", "secrets-databaseOwner", {"length": 64}
    )
    assert login["PGSSLMODE"] == "verify-full"
    assert login["PGSSLROOTCERT"] == "/etc/nextstack/job/ca.pem"
    template = cron(graph, "backup")["jobTemplate"]["spec"]["template"]
    assert template["metadata"]["labels"]["nextstack/reaches-postgres"] == "true"
    assert graph.outputs["nextstack-test"]["labels"] == {"nextstack/reaches-postgres": "true"}


@pytest.mark.parametrize("name", ["backup", "restore-test", "sql-maintenance"])
def test_pods_are_unprivileged_without_a_token_and_read_only(name: str) -> None:
    spec = pod(standard(), name)
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["fsGroup"] == 999
    [container] = spec["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_protection_covers_the_volume_and_not_what_a_change_replaces() -> None:
    """PL-8."""
    names = {r.name for r in run(protect=True).resources if r.protect}
    assert names == {"backups", "backups-volume"}


def test_a_dump_may_take_longer_than_a_transaction_may_idle() -> None:
    """BK-2: the session that holds the snapshot says nothing while pg_dump works."""
    script = (SCRIPTS / "dump.sql").read_text()
    before, began, _ = script.partition("\nBEGIN ")
    assert began
    assert "SET idle_in_transaction_session_timeout = 0;" in before


def test_each_statement_of_the_weekly_sql_is_a_file_of_its_own() -> None:
    """OP-3: CONCURRENTLY refuses to share a transaction."""
    data = run(statements=["ANALYZE", "REINDEX INDEX CONCURRENTLY i"]).one("ConfigMap", "sql")
    files = data.inputs["data"]
    assert (files["01.sql"], files["02.sql"]) == ("ANALYZE;\n", "REINDEX INDEX CONCURRENTLY i;\n")


def test_a_failing_check_is_recorded_and_stops_no_dump() -> None:
    """BK-16."""
    script = verify_sql(("SELECT 1", "SELECT 2"))
    assert script.splitlines() == [
        "\\qecho '#statement' 1",
        "SELECT 1;",
        "\\if :ERROR",
        "\\qecho '#error' statement 1: :LAST_ERROR_MESSAGE",
        "\\endif",
        "\\qecho '#statement' 2",
        "SELECT 2;",
        "\\if :ERROR",
        "\\qecho '#error' statement 2: :LAST_ERROR_MESSAGE",
        "\\endif",
    ]
    data = run(verify_sql=["SELECT 1", "SELECT 2"]).one("ConfigMap", "backups").inputs["data"]
    assert data["verify.sql"] == script


RANGES: dict[str, tuple[int, int]] = {
    "keep_days": (1, 3650),
    "keep_count": (1, 10_000),
    "keep_least": (1, 1000),
    "storage_gib": (1, 16_384),
    "deadline_minutes": (1, 1440),
    "verify_deadline_minutes": (1, 1440),
}


@pytest.mark.parametrize("name", RANGES)
def test_numbers_are_accepted_up_to_their_limits_and_refused_beyond(name: str) -> None:
    low, high = RANGES[name]
    fitting = {"keep_least": 1, "keep_count": 10_000}
    for value in (low, high):
        assert backup("dev", **fitting | {name: value})
    for value in (low - 1, high + 1):
        with pytest.raises(ConfigError, match=f"got {value}, allowed {low} to {high}"):
            backup("dev", **fitting | {name: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"time": "24:00"}, "backupTime is no time: got '24:00'"),
        ({"time": "2:00"}, "backupTime is no time"),
        ({"time": "02:60"}, "backupTime is no time"),
        ({"verify_time": "noon"}, "backupVerifyTime is no time"),
        ({"verify_day": "Monday"}, "backupVerifyDay is not allowed: got 'Monday', allowed Sun"),
        ({"interval_hours": 5}, "backupIntervalHours does not divide a day: got 5"),
        ({"interval_hours": 0}, "backupIntervalHours does not divide a day: got 0"),
        ({"interval_hours": 48}, "backupIntervalHours does not divide a day: got 48"),
        ({"verify_sql": ["SELECT 1;"]}, "backupVerifySql has a statement that is no query"),
        ({"verify_sql": ["\\! rm -r /"]}, "backupVerifySql has a statement that is no query"),
        ({"verify_sql": [" "]}, "backupVerifySql has a statement that is no query"),
        ({"keep_least": 51}, "backupKeepLeast is more than is kept: got 51, allowed at most .* 50"),
    ],
)
def test_bad_values_are_refused_with_what_is_allowed(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        backup(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"time": "4:10"}, "sqlMaintenanceTime is no time"),
        ({"deadline_minutes": 0}, "got 0, allowed 1 to 720"),
        ({"deadline_minutes": 721}, "got 721, allowed 1 to 720"),
        ({"statements": ["ANALYZE;"]}, "sqlMaintenanceStatements has one that cannot run"),
        ({"statements": [""]}, "sqlMaintenanceStatements has one that cannot run"),
        ({"statements": ["ANALYZE"] * 100}, "has too many: got 100, allowed 99"),
    ],
)
def test_bad_weekly_sql_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        maintenance(**changes)


@pytest.mark.parametrize(
    ("field", "high"), [("rpo_minutes", 10_080), ("rto_minutes", 10_080), ("retention_days", 3650)]
)
def test_promises_have_limits(field: str, high: int) -> None:
    for value in (1, high):
        assert recovery("dev", **{field: value})
    for value in (0, high + 1):
        with pytest.raises(ConfigError, match=f"got {value}, allowed 1 to {high}"):
            recovery("dev", **{field: value})


@pytest.mark.parametrize("stack_name", STACKS)
def test_every_committed_stack_keeps_its_promises(stack_name: str) -> None:
    """BK-19."""
    chosen = knobs(BackendConfig, "", stack_name)
    promised, done = recovery(stack_name), backup(stack_name)
    assert recovery_contract(chosen, promised, done, rds(stack_name)) == []


def test_dev_promises_a_day_of_data_and_half_an_hour() -> None:
    """BK-19, RO-13."""
    assert recovery() == RecoveryConfig(rpo_minutes=1440, rto_minutes=30, retention_days=7)


IN_CLUSTER = knobs(BackendConfig, "", database=DatabaseBackend.CLUSTER, cache=CacheBackend.CLUSTER)


def rds(stack_name: str = "dev") -> RdsConfig:
    return knobs(RdsConfig, "rds", stack_name)


@pytest.mark.parametrize(
    ("promised", "done", "message"),
    [
        ({"rpo_minutes": 1439}, {}, "recovery_rpo_minutes cannot be kept: got 1439, allowed 1440"),
        ({"rpo_minutes": 59}, {"interval_hours": 1, "keep_count": 200}, "allowed 60 or more"),
        ({"rto_minutes": 29}, {}, "recovery_rto_minutes is not proven: got 29, allowed 30"),
        ({"retention_days": 8}, {}, "recovery_retention_days cannot be kept: got 8, allowed at"),
        ({}, {"keep_count": 6}, "backup_keep_count is too small: got 6, allowed 7"),
    ],
)
def test_a_promise_that_dumps_cannot_keep_is_refused(
    promised: dict[str, Any], done: dict[str, Any], message: str
) -> None:
    """BK-19, PL-7."""
    [problem] = recovery_contract(IN_CLUSTER, recovery(**promised), backup(**done), rds())
    assert problem.startswith(message) or message in problem


def test_a_promise_that_is_just_kept_is_accepted() -> None:
    done = backup(interval_hours=1, keep_count=168)
    assert recovery_contract(IN_CLUSTER, recovery(rpo_minutes=60), done, rds()) == []


@pytest.mark.parametrize(
    ("sql", "dumps", "refused"),
    [
        ({}, {}, False),
        ({"time": "01:15"}, {}, False),  # ends at 02:00, when the dump starts
        ({"time": "01:16"}, {}, True),
        ({"time": "02:00"}, {}, True),
        ({"time": "02:01"}, {}, False),
        ({"time": "23:40"}, {"time": "00:10"}, True),  # over midnight
        ({"day": "Mon", "time": "05:15"}, {}, False),  # ends at 06:00, when the restore test starts
        ({"day": "Mon", "time": "05:16"}, {}, True),
        ({"day": "Mon", "time": "06:29"}, {}, True),
        ({"day": "Mon", "time": "06:30"}, {}, False),  # the restore test is over
        ({}, {"interval_hours": 1}, False),  # 04:10 to 04:55, between two dumps
        ({"deadline_minutes": 51}, {"interval_hours": 1}, True),
    ],
)
def test_weekly_sql_keeps_clear_of_dumps_and_restore_tests(
    sql: dict[str, Any], dumps: dict[str, Any], refused: bool
) -> None:
    """BK-14."""
    assert bool(meeting_schedules(backup(**dumps), maintenance(**sql))) == refused


@pytest.mark.parametrize(
    ("pool", "postgres", "message"),
    [
        ({"query_wait_timeout_s": 30}, {}, "pool_query_wait_timeout_s is too long: got 30"),
        (
            {},
            {"statement_timeout_ms": 29_000},
            "differs from DATABASE_TIMEOUT: got 29000 and 30000",
        ),
    ],
)
def test_the_innermost_limit_fires_first(
    pool: dict[str, Any], postgres: dict[str, Any], message: str
) -> None:
    """Settled contradiction S-9."""
    [problem] = wait_limits(
        knobs(PgBouncerConfig, "pool", **pool),
        knobs(PostgresConfig, "postgres", **postgres),
        knobs(EnvironmentConfig, ""),
    )
    assert message in problem


@pytest.mark.parametrize(
    ("time", "interval", "schedule"),
    [
        ("02:00", 24, "0 2 * * *"),
        ("02:30", 12, "30 2,14 * * *"),
        ("23:05", 8, "5 7,15,23 * * *"),
        ("00:00", 1, f"0 {','.join(str(hour) for hour in range(24))} * * *"),
    ],
)
def test_cron_of_dumps(time: str, interval: int, schedule: str) -> None:
    assert daily_cron(time, interval) == schedule


def test_cron_of_a_week_counts_from_sunday() -> None:
    assert weekly_cron(Weekday.SUNDAY, "04:10") == "10 4 * * 0"
    assert weekly_cron(Weekday.SATURDAY, "23:59") == "59 23 * * 6"


@pytest.mark.parametrize(
    ("one", "other", "met"),
    [
        (Period(0, 10), Period(10, 5), False),
        (Period(0, 11), Period(10, 5), True),
        (Period(12, 1), Period(10, 5), True),
        (weekly(Weekday.SATURDAY, "23:50", 20), Period(5, 1), True),  # into the next week
        (weekly(Weekday.SATURDAY, "23:50", 10), Period(0, 1), False),
        (Period(WEEK - 1, 1), Period(0, 1), False),
    ],
)
def test_periods_meet_where_they_share_a_minute(one: Period, other: Period, met: bool) -> None:
    assert one.meets(other) == met
    assert other.meets(one) == met


@dataclass
class Dumps:
    """The dump script on a folder, with a psql that needs no server and a df that tells a size."""

    folder: Path

    def make(self, *days: int) -> None:
        """Dumps of 100 KiB, taken so many days ago."""
        for age in days:
            taken = datetime.now(UTC) - timedelta(days=age)
            dump = self.folder / "backups" / f"{taken:%Y%m%dT%H%M%SZ}"
            dump.mkdir(parents=True)
            (dump / "dump").write_bytes(bytes(100 * 1024))
            os.utime(dump, (taken.timestamp(), taken.timestamp()))

    def take(
        self, *, psql: str = "touch $DUMP $FACTS", free_kib: int = 10**6, keep_count: int = 50
    ) -> int:
        """The script's exit code."""
        programs = self.folder / "bin"
        programs.mkdir(exist_ok=True)
        room = f"{free_kib} - $(du -sk $BACKUPS | cut -f 1)"
        (programs / "psql").write_text(f"#!/bin/sh\n{psql}\n")
        (programs / "df").write_text(f'#!/bin/sh\necho header\necho disk 0 0 "$(({room}))" 0% /\n')
        for program in programs.iterdir():
            program.chmod(0o755)
        limits = {"KEEP_DAYS": 7, "KEEP_COUNT": keep_count, "KEEP_LEAST": 2}
        environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PGDATABASE": "app",
            "PGHOST": "nowhere",
            "BACKUPS": str(self.folder / "backups"),
            "RESULT": str(self.folder / "result"),
            **{name: str(value) for name, value in limits.items()},
        }
        script = ["sh", str(SCRIPTS / "dump.sh")]
        return subprocess.run(script, env=environment, check=False, capture_output=True).returncode

    @property
    def ages(self) -> list[int]:
        """Days since the dumps that are there were taken, the oldest first."""
        names = sorted(path.name for path in (self.folder / "backups").glob("20*"))
        now = datetime.now(UTC)
        taken = [datetime.strptime(name, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) for name in names]
        return [round((now - at).total_seconds() / 86_400) for at in taken]


@pytest.mark.parametrize(
    ("days", "keep_count", "left"),
    [
        ([9, 8, 6, 1], 50, [6, 1, 0]),
        ([9, 8], 50, [8, 0]),  # never fewer than KEEP_LEAST
        ([6, 5, 4, 3], 3, [4, 3, 0]),
    ],
)
def test_old_dumps_go_after_a_new_one(
    tmp_path: Path, days: list[int], keep_count: int, left: list[int]
) -> None:
    """BK-2."""
    dumps = Dumps(tmp_path)
    dumps.make(*days)
    assert dumps.take(keep_count=keep_count) == 0
    assert dumps.ages == left


def test_expired_dumps_go_even_while_new_ones_fail(tmp_path: Path) -> None:
    """They may be what fills the volume."""
    dumps = Dumps(tmp_path)
    dumps.make(12, 11, 10, 9)
    assert dumps.take(psql="exit 1") == 1
    assert dumps.ages == [10, 9]
    assert dumps.take(psql="exit 1") == 1
    assert dumps.ages == [10, 9]


@pytest.mark.parametrize(
    ("free_kib", "left"),
    [
        (10_000, [4, 3, 2, 1, 0]),
        (500, [3, 2, 1, 0]),  # a dump of 100 KiB needs 125, and a folder takes 4
        (400, [2, 1, 0]),
        (50, [2, 1, 0]),  # too little for any: the newest two stay, whatever happens
    ],
)
def test_a_full_volume_gives_up_its_oldest_dumps_first(
    tmp_path: Path, free_kib: int, left: list[int]
) -> None:
    """BK-2: else no dump would ever succeed again."""
    dumps = Dumps(tmp_path)
    dumps.make(4, 3, 2, 1)
    assert dumps.take(free_kib=free_kib) == 0
    assert dumps.ages == left
