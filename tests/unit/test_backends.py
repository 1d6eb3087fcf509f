"""The contracts `Database` and `Cache`, against every backend that a stack can choose."""

from typing import Any
from urllib.parse import urlsplit

import pytest
from conftest import deploy_stack
from pulumi.runtime import rpc

from components.backend_config import CacheBackend, DatabaseBackend
from components.contract import CONTRACT
from offline.recorder import Graph, Providers, plain, program, record, stack_settings

IMAGE: dict[str, Any] = {"image": f"shop@sha256:{'0' * 64}", "deploymentVersion": "3f2a9c1"}
ELSEWHERE: dict[str, Any] = {
    "externalDatabaseUrl": "postgresql://shop@db.example.net/shop",
    "externalCacheUrl": "rediss://default@cache.example.net",
    "externalPasswords": {"database": "app-pass", "cache": "cache-pass"},
    "appMigrationCommand": ["node", "migrate.mjs"],
    # What dumps alone can keep.
    "recoveryRpoMinutes": 1440,
}


@pytest.fixture(
    scope="module", params=zip(DatabaseBackend, CacheBackend, strict=True), ids=lambda pair: pair[0]
)
def graph(request: pytest.FixtureRequest) -> Graph:
    """Staging on each backend; whatever is not named stays as it is committed."""
    database, cache = request.param
    settings = stack_settings("staging", database=database, cache=cache, **ELSEWHERE, **IMAGE)
    secret = ["nextstack:externalPasswords"]
    return record(program, Providers(), settings, "staging", secret_keys=secret)


def output(graph: Graph, name: str) -> str:
    value = graph.outputs["nextstack-staging"][name]
    assert rpc.is_rpc_secret(value), name
    return plain(value)


def test_the_application_reaches_the_pool_and_never_the_server(graph: Graph) -> None:
    """PO-10, DB-7."""
    url = urlsplit(output(graph, "databaseUrl"))
    assert (url.scheme, url.port) == ("postgresql", 6432)
    assert url.hostname == "pgbouncer.nextstack-staging.svc"
    assert url.username
    assert url.password
    assert url.username not in ("owner", "postgres", "breakglass")
    pod = graph.one("Deployment", "web").inputs["spec"]["template"]
    assert "nextstack/reaches-postgres" not in pod["metadata"]["labels"]


def test_sessions_with_the_server_verify_it(graph: Graph) -> None:
    """DB-6."""
    direct = urlsplit(output(graph, "directUrl"))
    assert direct.query == "sslmode=verify-full"
    assert direct.port == 5432
    settings = graph.one("ConfigMap", "pgbouncer-config").inputs["data"]["pgbouncer.ini"]
    assert f"host={direct.hostname} port=5432 dbname={direct.path[1:]} " in settings
    assert "server_tls_sslmode = verify-full" in settings


def test_the_pool_knows_the_login_that_the_application_uses(graph: Graph) -> None:
    user = urlsplit(output(graph, "databaseUrl")).username
    users = graph.one("Secret", "pgbouncer-users").inputs["stringData"]["userlist.txt"]
    assert f'"{user}" "' in users


def test_the_cache_has_one_url_with_a_login(graph: Graph) -> None:
    """CA-1, CA-3."""
    url = urlsplit(output(graph, "redisUrl"))
    assert url.port == 6379
    assert url.hostname
    assert url.username
    assert url.password
    assert url.scheme == ("redis" if url.hostname.endswith(".svc") else "rediss")


def test_dumps_are_taken_and_proven_on_every_backend(graph: Graph) -> None:
    """BK-9, BK-16, DB-13."""
    assert {r.inputs["metadata"]["name"] for r in graph.all("CronJob")} == {
        "backup",
        "restore-test",
        "sql-maintenance",
    }
    migration = graph.one("Job", "migration").inputs["spec"]["template"]["spec"]
    first = migration["initContainers"][0]["name"]
    assert first == "dump" or (first == "migrate" and graph.all("Snapshot"))


def test_the_variables_are_the_same_and_obey_the_contract(graph: Graph) -> None:
    """EN-1, EN-3."""
    found: dict[str, str] = dict(plain(graph.outputs["nextstack-staging"]["runtimeEnv"]))
    required = {name for name, variable in CONTRACT.items() if variable.required}
    assert required <= found.keys()
    assert found.keys() - required <= {"NODE_EXTRA_CA_CERTS"}
    for name, value in found.items():
        assert CONTRACT[name].rule.accepts(value), name


def test_backends_mix() -> None:
    """The two choices are independent."""
    mixed = deploy_stack("staging", cache="cluster", **IMAGE)
    assert mixed.all("Instance")
    assert not mixed.all("ReplicationGroup")
    assert mixed.all("StatefulSet")
