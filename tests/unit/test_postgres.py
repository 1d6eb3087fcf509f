"""PostgreSQL in the cluster (DB-1 to DB-10, SC-6): what it refuses and what it asks for."""

import base64
import hashlib
import hmac
import json
import subprocess
from collections import Counter
from functools import cache
from typing import Any

import pulumi
import pytest
from conftest import deploy, knobs
from pulumi.runtime import rpc

from components.certificates import server_certificate
from components.database import Database
from components.generated_secrets import GeneratedSecrets, SecretsConfig, key
from components.postgres import ClusterPostgres, ClusterPostgresArgs, PostgresConfig
from components.scram import scram_verifier
from components.sql_job import SCRIPTS
from components.stack_config import ConfigError
from offline.recorder import Graph, Registered, invented


def config(**changes: Any) -> PostgresConfig:
    return knobs(PostgresConfig, "postgres", **changes)


def run(
    *,
    keep_volume: bool = False,
    protect: bool = False,
    generations: dict[str, int] | None = None,
    **changes: Any,
) -> Graph:
    def program() -> None:
        secrets = GeneratedSecrets(
            "secrets", knobs(SecretsConfig, "", secret_generations=generations or {})
        )
        args = ClusterPostgresArgs(
            config=config(**changes), namespace="shop", secrets=secrets, keep_volume=keep_volume
        )
        postgres = ClusterPostgres("postgres", args, pulumi.ResourceOptions(protect=protect))
        database: Database = postgres  # pyright proves that the Protocol is satisfied
        pulumi.export("app", database.app.username)
        pulumi.export("previous", database.app_previous.username)
        pulumi.export("verifier", database.app.verifier)
        pulumi.export("authority", database.ca_bundle)
        pulumi.export("tls", database.tls_mode.value)

    return deploy(program)


@cache
def standard() -> Graph:
    """As dev has it; made once, because tests only read it."""
    return run()


def output(graph: Graph, name: str) -> Any:
    return rpc.unwrap_rpc_secret(graph.outputs["nextstack-test"][name])


def password(name: str) -> str:
    return invented("RandomPassword", f"secrets-{name}", {"length": 64})


def server(graph: Graph) -> dict[str, Any]:
    return graph.one("StatefulSet").inputs["spec"]


def files(graph: Graph, name: str) -> dict[str, str]:
    return graph.one("ConfigMap", name).inputs["data"]


def settings(graph: Graph) -> dict[str, str]:
    lines = files(graph, "postgres-config")["postgresql.conf"].splitlines()
    return {key: value.strip("'") for key, value in (line.split(" = ") for line in lines)}


def jobs_env(graph: Graph) -> dict[str, str]:
    [container] = graph.one("Job").inputs["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry["value"] for entry in container["env"]}


def test_registers_exactly_these_resources() -> None:
    kinds = Counter(r.type.rsplit(":", 1)[1] for r in standard().resources)
    assert {k: n for k, n in kinds.items() if not k.startswith(("Random", "pulumi", "Stack"))} == {
        "GeneratedSecrets": 1,
        "ClusterPostgres": 1,
        "Service": 1,
        "StatefulSet": 1,
        "ConfigMap": 2,
        "Secret": 3,
        "Job": 1,
        "NetworkPolicy": 2,
    }


def test_certificate_verifies_for_every_name_of_the_service() -> None:
    """DB-6."""
    graph = standard()
    expected = server_certificate(
        key(password("databaseTls")),
        ["postgres", "postgres.shop", "postgres.shop.svc", "postgres.shop.svc.cluster.local"],
    )
    tls = graph.one("Secret", "postgres-tls").inputs["stringData"]
    assert tls == {"tls.crt": expected.certificate, "tls.key": expected.key}
    assert output(graph, "authority") == expected.ca
    assert output(graph, "tls") == "verify-full"


def test_the_authority_is_public_and_the_verifier_is_not() -> None:
    outputs = standard().outputs["nextstack-test"]
    assert not rpc.is_rpc_secret(outputs["authority"])
    assert rpc.is_rpc_secret(outputs["verifier"])


def test_only_tls_1_3_and_scram_get_in() -> None:
    """DB-6, DB-7."""
    graph = standard()
    assert settings(graph)["ssl"] == "on"
    assert settings(graph)["ssl_min_protocol_version"] == "TLSv1.3"
    assert settings(graph)["password_encryption"] == "scram-sha-256"
    rules = [line.split() for line in files(graph, "postgres-config")["pg_hba.conf"].splitlines()]
    assert [(rule[0], rule[-1]) for rule in rules] == [
        ("local", "peer"),
        ("hostssl", "scram-sha-256"),
        ("hostnossl", "reject"),
    ]


def test_slow_statements_are_logged_without_what_users_typed() -> None:
    """DB-9."""
    assert settings(standard())["log_min_duration_statement"] == "1000ms"
    assert settings(run(log_min_duration_ms=250))["log_min_duration_statement"] == "250ms"
    assert settings(standard())["log_parameter_max_length"] == "0"


def test_limits_of_the_roles_come_from_the_configuration() -> None:
    """DB-10."""
    env = jobs_env(standard())
    assert (env["APP_TIMEOUT_MS"], env["IDLE_TIMEOUT_MS"]) == ("30000", "60000")
    assert jobs_env(run(statement_timeout_ms=5000))["APP_TIMEOUT_MS"] == "5000"


def test_vector_and_statistics_are_installed_in_every_database() -> None:
    """DB-8."""
    env = jobs_env(standard())
    assert env["EXTENSIONS"].split() == ["pgcrypto", "pg_stat_statements", "vector"]
    assert env["DATABASES"].split() == ["app", "app_test"]
    assert settings(standard())["shared_preload_libraries"] == "pg_stat_statements"


def test_no_test_database_unless_the_stack_names_one() -> None:
    env = jobs_env(run(test_database=""))
    assert (env["DATABASES"], env["TEST_DATABASE"]) == ("app", "")


def test_first_start_makes_checksums_and_a_locale_that_no_library_changes() -> None:
    script = (SCRIPTS / "postgres-start.sh").read_text()
    assert "--data-checksums" in script
    assert "--locale-provider=builtin --builtin-locale=C.UTF-8" in script


def test_two_logins_take_turns() -> None:
    """SC-6: the other one keeps its password, so that both are valid."""
    first, second, third = (run(generations={"database": number}) for number in (1, 2, 3))
    names = [(output(g, "app"), output(g, "previous")) for g in (first, second, third)]
    assert names == [("app_a", "app_b"), ("app_b", "app_a"), ("app_a", "app_b")]
    verifiers = [g.one("Secret", "roles-login").inputs["stringData"] for g in (first, second)]
    assert verifiers[0]["APP_A_VERIFIER"] == scram_verifier("app_a", password("databaseA"))
    assert verifiers[1]["APP_A_VERIFIER"] == scram_verifier("app_a", password("databaseA"))
    assert verifiers[1]["APP_B_VERIFIER"] == scram_verifier("app_b", password("databaseB"))


@pytest.mark.parametrize("secret", ["databaseOwner", "databaseA", "databaseReadonly"])
def test_passwords_of_roles_reach_no_object_but_as_verifiers(secret: str) -> None:
    """SC-3, SC-4: not even the Job that sets them knows them."""
    kubernetes = [r.inputs for r in standard().resources if r.type.startswith("kubernetes:")]
    assert password(secret) not in json.dumps(kubernetes)


def test_a_rotation_changes_the_job_and_no_running_server() -> None:
    """SC-6: nothing that the server's pod refers to is made from an application password."""
    graph = standard()
    name_of = {r.urn: r.name for r in graph.resources}

    def sources(name: str, kind: str) -> set[str]:
        return {name_of[urn] for urn in graph.one(kind, name).depends_on}

    own = {"postgres-service", "postgres-config", "postgres-tls", "postgres-admin"}
    assert sources("postgres-server", "StatefulSet") == own
    assert sources("postgres-config", "ConfigMap") == set()
    assert sources("postgres-tls", "Secret") == {"secrets-databaseTls"}
    assert sources("postgres-admin", "Secret") == {"secrets-databaseAdmin"}
    assert {"secrets-databaseA", "secrets-databaseB"} <= sources("postgres-roles-login", "Secret")


def test_secret_names_reach_the_pods_by_reference() -> None:
    graph = standard()
    volumes = {v["name"]: v for v in server(graph)["template"]["spec"]["volumes"]}
    assert volumes["tls"]["secret"] == {"secretName": "postgres-tls", "defaultMode": 0o440}
    assert volumes["admin"]["secret"] == {"secretName": "postgres-admin", "defaultMode": 0o440}
    [step] = graph.one("Job").inputs["spec"]["template"]["spec"]["containers"]
    assert step["envFrom"] == [{"secretRef": {"name": "postgres-roles-login"}}]


@pytest.mark.parametrize("kind", ["StatefulSet", "Job"])
def test_pods_are_unprivileged_without_a_token_and_read_only(kind: str) -> None:
    pod = standard().one(kind).inputs["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 999
    [container] = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_the_server_writes_to_its_volume_and_scratch_only() -> None:
    [container] = server(standard())["template"]["spec"]["containers"]
    paths = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert paths == {
        "/var/lib/postgresql/data",
        "/var/run/postgresql",
        "/tmp",
        "/dev/shm",
        "/etc/nextstack/postgres",
        "/etc/nextstack/postgres-tls",
        "/etc/nextstack/postgres-admin",
    }


@pytest.mark.parametrize(("keep_volume", "policy"), [(True, "Retain"), (False, "Delete")])
def test_volume_outlives_the_component_only_where_asked(keep_volume: bool, policy: str) -> None:
    """PL-8."""
    spec = server(run(keep_volume=keep_volume))
    assert spec["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == policy
    assert spec["persistentVolumeClaimRetentionPolicy"]["whenScaled"] == "Retain"


def test_protection_covers_the_data_and_not_what_rotation_replaces() -> None:
    """PL-8: the engine refuses to replace a protected Job."""
    protected = {r.name for r in run(protect=True).resources if r.protect}
    assert {"postgres-server", "postgres-service"} <= protected
    assert not protected & {"postgres-roles", "postgres-roles-login", "postgres-tls"}


def test_only_labelled_pods_reach_the_port() -> None:
    """PO-10."""
    policy = standard().one("NetworkPolicy", "postgres-from-clients").inputs["spec"]
    [rule] = policy["ingress"]
    [source] = rule["from"]
    assert source == {"podSelector": {"matchLabels": {"nextstack/reaches-postgres": "true"}}}
    assert rule["ports"] == [{"port": 5432, "protocol": "TCP"}]


def test_memory_and_storage_are_what_dev_asks_for() -> None:
    """DB-2, DB-4."""
    spec = server(standard())
    [container] = spec["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"memory": "1024Mi"}
    [claim] = spec["volumeClaimTemplates"]
    assert claim["spec"]["resources"] == {"requests": {"storage": "5Gi"}}
    assert settings(standard())["max_connections"] == "100"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": "postgres:17"}, "postgresImage is not fixed: got 'postgres:17'"),
        ({"image": "localhost/nextstack/postgres:latest"}, "postgresImage is not fixed"),
        ({"image": "postgres@sha256:12"}, "postgresImage is not fixed"),
        ({"database": "App"}, "postgresDatabase is not a usable name: got 'App'"),
        ({"database": "1app"}, "postgresDatabase is not a usable name"),
        ({"database": ""}, "postgresDatabase is not a usable name"),
        ({"database": "a" * 64}, "postgresDatabase is not a usable name"),
        ({"database": "postgres"}, "none of postgres, template0, template1, pgbouncer"),
        ({"database": "pgbouncer"}, "postgresDatabase is not a usable name"),
        ({"test_database": "app"}, "postgresTestDatabase is the database itself"),
        ({"test_database": "x y"}, "postgresTestDatabase is not a usable name"),
        ({"extensions": ["vector; drop table x"]}, "postgresExtensions names 'vector; drop"),
        ({"storage_gib": 0}, "postgresStorageGib is out of range: got 0, allowed 1 to 1024"),
        ({"storage_gib": 1025}, "got 1025, allowed 1 to 1024"),
        ({"memory_mib": 255}, "got 255, allowed 256 to 65536"),
        ({"memory_mib": 65537}, "got 65537, allowed 256 to 65536"),
        ({"cpu_millicores": 9}, "got 9, allowed 10 to 64000"),
        ({"cpu_millicores": 64001}, "got 64001, allowed 10 to 64000"),
        ({"max_connections": 19}, "got 19, allowed 20 to 1000"),
        ({"max_connections": 1001}, "got 1001, allowed 20 to 1000"),
        ({"log_min_duration_ms": -1}, "got -1, allowed 0 to 3600000"),
        ({"log_min_duration_ms": 3_600_001}, "got 3600001, allowed 0 to 3600000"),
        ({"statement_timeout_ms": 0}, "got 0, allowed 1 to 3600000"),
        ({"statement_timeout_ms": 3_600_001}, "got 3600001, allowed 1 to 3600000"),
        ({"readonly_statement_timeout_ms": 0}, "got 0, allowed 1 to 86400000"),
        ({"readonly_statement_timeout_ms": 86_400_001}, "got 86400001, allowed 1 to 86400000"),
        ({"idle_in_transaction_timeout_ms": 0}, "got 0, allowed 1 to 3600000"),
        ({"idle_in_transaction_timeout_ms": 3_600_001}, "got 3600001, allowed 1 to 3600000"),
    ],
)
def test_bad_values_are_refused_with_what_is_allowed(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"image": f"postgres:18@sha256:{'a' * 64}"},
        {"image": "localhost/nextstack/postgres:18"},
        {"database": "_" + "a" * 62},
        {"extensions": ["uuid-ossp"]},
        {"storage_gib": 1},
        {"storage_gib": 1024},
        {"max_connections": 20},
        {"max_connections": 1000},
        {"log_min_duration_ms": 0},
    ],
)
def test_values_at_the_limits_are_accepted(changes: dict[str, Any]) -> None:
    assert config(**changes)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        config(image="postgres", storage_gib=0, database="")
    assert len(caught.value.problems) == 3


def test_verifier_proves_the_password_and_nothing_else() -> None:
    """RFC 5802: what a server computes from the client's proof."""
    verifier = scram_verifier("app_a", "secret123")
    head, keys = verifier.removeprefix("SCRAM-SHA-256$").split("$")
    iterations, salt = head.split(":")
    stored, server_key = (base64.b64decode(part) for part in keys.split(":"))
    salted = hashlib.pbkdf2_hmac("sha256", b"secret123", base64.b64decode(salt), int(iterations))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    assert stored == hashlib.sha256(client_key).digest()
    assert server_key == hmac.digest(salted, b"Server Key", "sha256")
    assert len(base64.b64decode(salt)) == 16


def test_verifier_is_stable_and_differs_by_user_and_password() -> None:
    same = scram_verifier("app_a", "secret123")
    assert same == scram_verifier("app_a", "secret123")
    assert len({same, scram_verifier("app_b", "secret123"), scram_verifier("app_a", "other")}) == 3


@pytest.mark.parametrize("text", ["", "with space", "päss", "a'b"])
def test_a_password_that_needs_escaping_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not letters and digits only"):
        scram_verifier("app_a", text)


@pytest.mark.parametrize(
    "script",
    [
        "postgres-start.sh",
        "roles.sh",
        "dump.sh",
        "archive.sh",
        "restore-test.sh",
        "sql-maintenance.sh",
    ],
)
def test_scripts_are_posix_shell(script: str) -> None:
    checked = subprocess.run(["sh", "-n", SCRIPTS / script], capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_the_server_starts_after_its_service_and_the_job_needs_no_waiting_server() -> None:
    """Neither waits for the other: the Job asks until the server answers."""
    graph = standard()
    job: Registered = graph.one("Job")
    assert graph.one("StatefulSet").urn not in job.depends_on
