"""The roles and databases of a server that this stack administers, made by a Job (DB-7).

Leaves out where the server runs; for a server somebody else administers, see external.py.
"""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.database import Database, Login
from components.generated_secrets import GeneratedSecrets
from components.pod import labels
from components.postgres_config import PostgresConfig
from components.scram import scram_verifier
from components.sql_job import job_files, job_login, job_pod, sql_step

ROLES_LIMIT_S = 600
FILES = ("roles.sh", "roles.sql", "database.sql")


@dataclass(frozen=True, kw_only=True)
class RoleLogins:
    owner: Login
    app_a: Login
    app_b: Login
    readonly: Login
    """Reads every table, for analytics."""
    monitor: Login
    """Reads statistics, no rows."""
    app: Login
    """The one of `app_a` and `app_b` whose turn it is."""
    app_previous: Login


def role_logins(secrets: GeneratedSecrets) -> RoleLogins:
    rotating = secrets.database
    current, previous = ("a", "b") if rotating.slot == "a" else ("b", "a")
    apps = {
        current: login(f"app_{current}", rotating.current),
        previous: login(f"app_{previous}", rotating.previous),
    }
    return RoleLogins(
        owner=login("owner", secrets.database_owner),
        app_a=apps["a"],
        app_b=apps["b"],
        readonly=login("readonly", secrets.database_readonly),
        monitor=login("monitor", secrets.database_monitor),
        app=apps[current],
        app_previous=apps[previous],
    )


def login(username: str, password: pulumi.Output[str]) -> Login:
    return Login(
        username=pulumi.Output.from_input(username),
        password=password,
        verifier=password.apply(lambda known: scram_verifier(username, known)),
    )


def roles_job(
    name: str,
    database: Database,
    logins: RoleLogins,
    config: PostgresConfig,
    administrator: Login,
    namespace: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
    scripts: tuple[str, ...] = FILES,
) -> k8s.batch.v1.Job:
    """Runs again when a credential or a script changes, because both are in its spec.

    Nothing else logs in as the `administrator`. The first of `scripts` is run, and reads the rest.
    """
    verifiers = {
        f"{role}_VERIFIER": one.verifier or ""
        for role, one in {
            "OWNER": logins.owner,
            "APP_A": logins.app_a,
            "APP_B": logins.app_b,
            "READONLY": logins.readonly,
            "MONITOR": logins.monitor,
        }.items()
    }
    job = f"{name}-roles"
    files = job_files(job, [*scripts], database.ca_bundle, namespace, opts)
    secret = job_login(
        job,
        database,
        administrator,
        namespace,
        opts,
        {**verifiers, "PGDATABASE": "postgres"},
    )
    step = sql_step(
        "roles",
        scripts[0],
        image=config.image,
        files=files,
        login=secret,
        env={
            "DATABASES": " ".join(config.databases),
            "TEST_DATABASE": config.test_database,
            "EXTENSIONS": " ".join(config.extensions),
            "APP_TIMEOUT_MS": str(config.statement_timeout_ms),
            "READONLY_TIMEOUT_MS": str(config.readonly_statement_timeout_ms),
            "IDLE_TIMEOUT_MS": str(config.idle_in_transaction_timeout_ms),
        },
    )
    return k8s.batch.v1.Job(
        job,
        metadata={"namespace": namespace},
        spec={
            "active_deadline_seconds": ROLES_LIMIT_S,
            "backoff_limit": 6,
            "template": job_pod([step], labels("postgres-roles", name)),
        },
        opts=opts,
    )
