"""Dumps of a database to a volume in the cluster, and a weekly proof that they can be restored.

Leaves out copies elsewhere (dump_archive.py), and point-in-time recovery, which managed databases
have.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.database import Database
from components.dump_archive import DumpArchive
from components.pod import labels
from components.schedule import (
    Weekday,
    daily_cron,
    malformed_time,
    weekly_cron,
)
from components.sql_job import JobStep, job_files, job_login, job_pod, sql_step
from components.stack_config import out_of_range, refuse

DUMP = "backup"
RESTORE_TEST = "restore-test"
"""Names of the CronJobs: `kubectl create job now --from=cronjob/backup` runs one at once."""
BACKUPS = "/backups"
SCRATCH = "/scratch"
# A file that the kubelet reads into the pod's status: results need no `exec` and no token.
RESULT = "/dev/termination-log"
INTERVALS_H = (1, 2, 3, 4, 6, 8, 12, 24)
# A run that was missed, because the machine was off, still starts up to so many seconds later.
LATE_START_S = 3600


@dataclass(frozen=True, kw_only=True)
class BackupConfig:
    time: str
    interval_hours: int
    keep_days: int
    keep_count: int
    keep_least: int
    storage_gib: int
    deadline_minutes: int
    verify_day: Weekday
    verify_time: str
    verify_deadline_minutes: int
    verify_sql: tuple[str, ...]

    def __post_init__(self) -> None:
        problems = malformed_time("time", self.time)
        problems += malformed_time("verify_time", self.verify_time)
        if self.interval_hours not in INTERVALS_H:
            problems.append(
                f"interval_hours does not divide a day: got {self.interval_hours}, allowed "
                f"{', '.join(map(str, INTERVALS_H))}; 24 is one dump a day"
            )
        problems += [
            f"verify_sql has a statement that is no query: got {statement!r}, allowed one "
            "statement without semicolon or backslash, such as SELECT count(*) FROM users"
            for statement in self.verify_sql
            if not statement.strip() or ";" in statement or "\\" in statement
        ]
        if self.keep_least > self.keep_count:
            problems.append(
                f"keep_least is more than is kept: got {self.keep_least}, allowed at most "
                f"backupKeepCount {self.keep_count}"
            )
        refuse(problems + self._out_of_range())

    def _out_of_range(self) -> list[str]:
        ranges = {
            "keep_days": (1, 3650, "older dumps are removed after each dump"),
            "keep_count": (1, 10_000, "more dumps than this are removed, the oldest first"),
            "keep_least": (1, 1000, "the newest ones, which neither age nor a full volume removes"),
            "storage_gib": (1, 16_384, "room for all kept dumps; Kubernetes fixes it for ever"),
            "deadline_minutes": (1, 1440, "a dump that takes longer is stopped and fails"),
            "verify_deadline_minutes": (1, 1440, "a restore that takes longer has failed"),
        }
        return out_of_range(self, ranges)


@dataclass(frozen=True, kw_only=True)
class ClusterBackupsArgs:
    config: BackupConfig
    namespace: pulumi.Input[str]
    database: Database
    """What is dumped."""
    image: str
    """Image with a PostgreSQL at least as new as the database's."""
    scratch_gib: int
    """Room on the node for the restored copy, in GiB."""
    archive: DumpArchive | None = None
    """Where each scheduled dump is copied to; by default nowhere."""
    keep_volume: bool = True
    """Whether the dumps outlive this component; by default they do."""


class ClusterBackups(pulumi.ComponentResource):
    ready: list[pulumi.Resource]
    """What must exist before a dump can be taken."""

    def __init__(
        self, name: str, args: ClusterBackupsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:ClusterBackups", name, {}, opts)
        self._name, self._args = name, args
        # Holds no data, and is replaced whenever its content changes.
        self._replaceable = pulumi.ResourceOptions(parent=self, protect=False)
        volume = self._volume()
        self._claim = volume.metadata.name
        self._files = job_files(
            name,
            ["dump.sh", "dump.sql", "facts.sql", "restore-test.sh"],
            args.database.ca_bundle,
            args.namespace,
            self._replaceable,
            {"verify.sql": verify_sql(args.config.verify_sql)},
        )
        self._login = job_login(
            name, args.database, args.database.owner, args.namespace, self._replaceable
        )
        config = args.config
        self._cron_job(
            DUMP,
            daily_cron(config.time, config.interval_hours),
            [self.dump_step(), *self._archive_step()],
            config.deadline_minutes,
        )
        self._cron_job(
            RESTORE_TEST,
            weekly_cron(config.verify_day, config.verify_time),
            [self._restore_test_step()],
            config.verify_deadline_minutes,
        )
        self.ready = [volume, *args.database.ready]
        self.register_outputs({"volume": self._claim})

    def dump_step(self) -> JobStep:
        """One dump, as the CronJob takes it: the first step of a migration (BK-9, DB-13)."""
        config = self._args.config
        return sql_step(
            "dump",
            "dump.sh",
            image=self._args.image,
            files=self._files,
            login=self._login,
            env={
                "BACKUPS": BACKUPS,
                "KEEP_DAYS": str(config.keep_days),
                "KEEP_COUNT": str(config.keep_count),
                "KEEP_LEAST": str(config.keep_least),
                "RESULT": RESULT,
            },
            mounts={BACKUPS: self._backups()},
        )

    def _archive_step(self) -> list[JobStep]:
        archive = self._args.archive
        return [archive.step(BACKUPS, self._backups(), RESULT)] if archive else []

    def _restore_test_step(self) -> JobStep:
        """Talks to nobody: it has the dump, and a server of its own."""
        return sql_step(
            "restore-test",
            "restore-test.sh",
            image=self._args.image,
            files=self._files,
            login=None,
            memory_mib=1024,
            env={"BACKUPS": BACKUPS, "SCRATCH": SCRATCH, "RESULT": RESULT},
            mounts={
                BACKUPS: self._backups(),
                SCRATCH: {
                    "name": "scratch",
                    "empty_dir": {"size_limit": f"{self._args.scratch_gib}Gi"},
                },
            },
            labels={},
        )

    def _backups(self) -> k8s.core.v1.VolumeArgsDict:
        return {"name": "backups", "persistent_volume_claim": {"claim_name": self._claim}}

    def _volume(self) -> k8s.core.v1.PersistentVolumeClaim:
        return k8s.core.v1.PersistentVolumeClaim(
            f"{self._name}-volume",
            metadata={
                "namespace": self._args.namespace,
                # It may be bound only when the first pod asks for it.
                "annotations": {"pulumi.com/skipAwait": "true"},
            },
            spec={
                "access_modes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": f"{self._args.config.storage_gib}Gi"}},
            },
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=self._args.keep_volume),
        )

    def _cron_job(
        self, name: str, schedule: str, steps: list[JobStep], deadline_minutes: int
    ) -> None:
        archive = self._args.archive
        k8s.batch.v1.CronJob(
            f"{self._name}-{name}",
            metadata={"name": name, "namespace": self._args.namespace},
            spec=cron_job(schedule, steps, deadline_minutes, labels(name, self._name)),
            opts=pulumi.ResourceOptions.merge(
                self._replaceable,
                pulumi.ResourceOptions(depends_on=archive.ready if archive else []),
            ),
        )


def cron_job(
    schedule: str, steps: Sequence[JobStep], deadline_minutes: int, pod_labels: dict[str, str]
) -> k8s.batch.v1.CronJobSpecArgsDict:
    """One run at a time; the last ones stay, because their pods tell the result."""
    return {
        "schedule": schedule,
        "time_zone": "Etc/UTC",
        "concurrency_policy": "Forbid",
        "starting_deadline_seconds": LATE_START_S,
        "successful_jobs_history_limit": 3,
        "failed_jobs_history_limit": 3,
        "job_template": {
            "metadata": {"labels": pod_labels},
            "spec": {
                "active_deadline_seconds": deadline_minutes * 60,
                "backoff_limit": 1,
                "template": job_pod(steps, pod_labels),
            },
        },
    }


def verify_sql(statements: tuple[str, ...]) -> str:
    """A psql script that writes each statement's answer, or why there is none."""
    return "".join(
        f"\\qecho '#statement' {number}\n{statement};\n"
        f"\\if :ERROR\n\\qecho '#error' statement {number}: :LAST_ERROR_MESSAGE\n\\endif\n"
        for number, statement in enumerate(statements, start=1)
    )
