"""Weekly SQL on the database itself: statistics, indexes, whatever the stack lists (OP-3).

Leaves out the statements' sense: they run one by one, and the Job fails if one of them does.
"""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.backups import cron_job
from components.database import Database
from components.pod import labels
from components.schedule import Weekday, malformed_time, weekly_cron
from components.sql_job import FILES, job_files, job_login, sql_step
from components.stack_config import refuse

MAINTENANCE = "sql-maintenance"
"""Name of the CronJob."""


@dataclass(frozen=True, kw_only=True)
class MaintenanceConfig:
    day: Weekday
    time: str
    deadline_minutes: int
    statements: tuple[str, ...]

    def __post_init__(self) -> None:
        problems = malformed_time("time", self.time)
        if not 1 <= self.deadline_minutes <= 720:
            problems.append(
                f"deadline_minutes is out of range: got {self.deadline_minutes}, allowed 1 to 720; "
                "what takes longer belongs into a migration"
            )
        problems += [
            f"statements has one that cannot run: got {statement!r}, allowed one SQL statement "
            "without semicolon or backslash, such as REINDEX INDEX CONCURRENTLY users_email"
            for statement in self.statements
            if not statement.strip() or ";" in statement or "\\" in statement
        ]
        if len(self.statements) > 99:
            problems.append(f"statements has too many: got {len(self.statements)}, allowed 99")
        refuse(problems)


@dataclass(frozen=True, kw_only=True)
class SqlMaintenanceArgs:
    config: MaintenanceConfig
    namespace: pulumi.Input[str]
    database: Database
    """Where the statements run, as the owner of the tables."""
    image: str
    """Image with psql."""


class SqlMaintenance(pulumi.ComponentResource):
    def __init__(
        self, name: str, args: SqlMaintenanceArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:SqlMaintenance", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        config = args.config
        # One file each, because some statements (… CONCURRENTLY) refuse any company.
        files = {f"{number:02}.sql": f"{sql};\n" for number, sql in enumerate(config.statements, 1)}
        step = sql_step(
            MAINTENANCE,
            "sql-maintenance.sh",
            image=args.image,
            files=job_files(
                name, ["sql-maintenance.sh"], args.database.ca_bundle, args.namespace, child, files
            ),
            login=job_login(name, args.database, args.database.owner, args.namespace, child),
            env={"STATEMENTS": FILES},
        )
        k8s.batch.v1.CronJob(
            f"{name}-weekly",
            metadata={"name": MAINTENANCE, "namespace": args.namespace},
            spec=cron_job(
                weekly_cron(config.day, config.time),
                [step],
                config.deadline_minutes,
                labels(MAINTENANCE, name),
            ),
            opts=pulumi.ResourceOptions.merge(
                child, pulumi.ResourceOptions(depends_on=args.database.ready)
            ),
        )
        self.register_outputs({})
