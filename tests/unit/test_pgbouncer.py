"""The connection pool (PO-1 to PO-10): what it refuses, its settings, its budget."""

import json
import tomllib
from collections import Counter
from collections.abc import Callable
from configparser import ConfigParser
from functools import cache
from typing import Any

import pulumi
import pytest
from conftest import STACKS, deploy, knobs

from components.database import Database, Login, TlsMode
from components.generated_secrets import GeneratedSecrets, SecretsConfig
from components.pgbouncer import (
    TEST_POOL_SIZE,
    PgBouncer,
    PgBouncerArgs,
    PgBouncerConfig,
    userlist,
)
from components.postgres import ClusterPostgres, ClusterPostgresArgs, PostgresConfig
from components.scram import scram_verifier
from components.sql_job import job_pod
from components.stack import connection_budget
from components.stack_config import ConfigError
from offline.recorder import ROOT, Graph, invented, plain


class ManagedDatabase:
    """A database that somebody else runs: passwords only, public certificates."""

    def __init__(self, tls_mode: TlsMode = TlsMode.VERIFY_FULL) -> None:
        self.host = pulumi.Output.from_input("db.example.com")
        self.port = pulumi.Output.from_input(5433)
        self.name = pulumi.Output.from_input("shop")
        login = Login(
            username=pulumi.Output.from_input("shop"), password=pulumi.Output.secret("given123")
        )
        self.owner = self.app = self.app_previous = login
        self.ca_bundle = pulumi.Output.from_input("")
        self.tls_mode = tls_mode
        self.ready: list[pulumi.Resource] = []


def in_cluster(secrets: GeneratedSecrets) -> ClusterPostgres:
    args = ClusterPostgresArgs(
        config=knobs(PostgresConfig, "postgres"), namespace="shop", secrets=secrets
    )
    return ClusterPostgres("postgres", args)


def config(stack_name: str = "dev", **changes: Any) -> PgBouncerConfig:
    return knobs(PgBouncerConfig, "pool", stack_name, **changes)


def run(
    *,
    managed: Callable[[], Database] | None = None,
    test_database: str = "app_test",
    generation: int = 1,
    **changes: Any,
) -> Graph:
    def program() -> None:
        secrets = GeneratedSecrets(
            "secrets", knobs(SecretsConfig, "", secret_generations={"database": generation})
        )
        database = managed() if managed else in_cluster(secrets)
        pool = PgBouncer(
            "pgbouncer",
            PgBouncerArgs(
                config=config(**changes),
                namespace="shop",
                database=database,
                secrets=secrets,
                client_image="localhost/nextstack/postgres:17",
                test_database=test_database,
            ),
        )
        pulumi.export("url", pool.url)
        pulumi.export("testUrl", pool.test_url)
        pulumi.export("step", pulumi.Output.from_input(job_pod([pool.reconnect_step()], {})))

    return deploy(program)


@cache
def standard() -> Graph:
    """As dev has it; made once, because tests only read it."""
    return run()


def output(graph: Graph, name: str) -> Any:
    return plain(graph.outputs["nextstack-test"][name])


def ini(graph: Graph) -> ConfigParser:
    parser = ConfigParser(interpolation=None)
    parser.read_string(graph.one("ConfigMap", "pgbouncer-config").inputs["data"]["pgbouncer.ini"])
    return parser


def settings(**changes: Any) -> dict[str, str]:
    return dict(ini(run(**changes) if changes else standard())["pgbouncer"])


def deployment(graph: Graph) -> dict[str, Any]:
    return graph.one("Deployment").inputs["spec"]


def users(graph: Graph) -> dict[str, str]:
    text = graph.one("Secret", "pgbouncer-users").inputs["stringData"]["userlist.txt"]
    return dict(line.strip('"').split('" "') for line in text.splitlines())


def password(name: str) -> str:
    return invented("RandomPassword", f"secrets-{name}", {"length": 64})


def test_registers_exactly_these_resources() -> None:
    own = [r.type.rsplit(":", 1)[1] for r in standard().resources if "pgbouncer" in r.name]
    assert Counter(own) == {
        "RandomPassword": 1,
        "PgBouncer": 1,
        "Deployment": 1,
        "Service": 2,
        "PodDisruptionBudget": 1,
        "NetworkPolicy": 2,
        "ConfigMap": 2,
        "Secret": 2,
    }


def test_pools_transactions_and_keeps_prepared_statements() -> None:
    """PO-1, PO-4."""
    values = settings()
    assert values["pool_mode"] == "transaction"
    assert values["max_client_conn"] == "1000"
    assert values["max_prepared_statements"] == "200"
    assert "options" in values["ignore_startup_parameters"].split(",")


def test_fails_over_and_waits_as_required() -> None:
    """PO-5, PO-8."""
    wanted = {
        "query_wait_timeout": "20",
        "dns_max_ttl": "5",
        "server_login_retry": "2",
        "server_connect_timeout": "5",
        "server_lifetime": "1800",
        "idle_transaction_timeout": "60",
        "tcp_keepidle": "30",
        "tcp_keepintvl": "10",
        "tcp_keepcnt": "3",
        "client_idle_timeout": "0",
    }
    assert wanted.items() <= settings().items()


@pytest.mark.parametrize(("stack_name", "size"), [("dev", 5), ("staging", 5), ("production", 10)])
def test_server_connections_of_each_pod(stack_name: str, size: int) -> None:
    """PO-2: two poolers, each with its half."""
    pool = config(stack_name)
    assert (pool.replicas, pool.size) == (2, size)


def test_pool_size_is_also_the_most_per_database() -> None:
    """PO-2: two logins during a rotation must not double the connections."""
    assert ini(run(size=7))["databases"]["app"] == (
        "host=postgres.shop.svc port=5432 dbname=app pool_size=7 max_db_connections=7"
    )
    assert settings(size=7)["max_db_connections"] == settings(size=7)["default_pool_size"] == "7"


def test_the_test_database_has_a_small_pool_of_its_own() -> None:
    databases = ini(standard())["databases"]
    assert databases["app_test"].endswith(f"max_db_connections={TEST_POOL_SIZE}")
    assert output(standard(), "testUrl").endswith("/app_test")
    assert "app_test" not in ini(run(test_database=""))["databases"]
    assert output(run(test_database=""), "testUrl") == ""


def test_server_side_verifies_the_derived_authority_by_name() -> None:
    """PO-6."""
    values = settings()
    assert values["server_tls_sslmode"] == "verify-full"
    assert values["server_tls_protocols"] == "tlsv1.3"
    assert values["server_tls_ca_file"] == "/etc/nextstack/pgbouncer/ca.pem"
    data = standard().one("ConfigMap", "pgbouncer-config").inputs["data"]
    assert data["ca.pem"].startswith("-----BEGIN CERTIFICATE-----")


def test_holds_verifiers_and_no_password() -> None:
    """PO-6, SC-3: the same strings that the server stores."""
    graph = standard()
    assert users(graph) == {
        "app_a": scram_verifier("app_a", password("databaseA")),
        "app_b": scram_verifier("app_b", password("databaseB")),
        "monitor": scram_verifier("monitor", password("databaseMonitor")),
        "pgbouncer_admin": scram_verifier("pgbouncer_admin", password("pgbouncerAdmin")),
    }
    assert settings()["auth_type"] == "scram-sha-256"
    assert "auth_query" not in settings()


def test_old_and_new_login_are_both_known_after_a_rotation() -> None:
    """SC-6."""
    graph = run(generation=2)
    assert {"app_a", "app_b"} <= users(graph).keys()
    assert output(graph, "url").startswith(f"postgresql://app_b:{password('databaseB')}@")


def test_pools_a_database_that_somebody_else_runs() -> None:
    graph = run(managed=ManagedDatabase, test_database="")
    assert users(graph)["shop"] == "given123"
    assert ini(graph)["databases"]["shop"].startswith("host=db.example.com port=5433 dbname=shop ")
    values = dict(ini(graph)["pgbouncer"])
    assert values["server_tls_ca_file"] == "/etc/ssl/certs/ca-certificates.crt"


@pytest.mark.parametrize(
    ("mode", "protocols"), [(TlsMode.DISABLE, None), (TlsMode.REQUIRE, "tlsv1.3")]
)
def test_a_weaker_tls_mode_is_passed_on_as_it_is(mode: TlsMode, protocols: str | None) -> None:
    values = dict(ini(run(managed=lambda: ManagedDatabase(mode), test_database=""))["pgbouncer"])
    assert values["server_tls_sslmode"] == mode.value
    assert values.get("server_tls_protocols") == protocols
    assert "server_tls_ca_file" not in values


def test_url_needs_no_workaround_and_no_escaping() -> None:
    """PO-4."""
    url = output(standard(), "url")
    assert url == f"postgresql://app_a:{password('databaseA')}@pgbouncer.shop.svc:6432/app"
    assert "pgbouncer=true" not in url


def test_clients_must_use_tls_once_a_certificate_is_named() -> None:
    """PO-6."""
    graph = run(client_tls_secret="pool-tls")
    assert dict(ini(graph)["pgbouncer"])["client_tls_sslmode"] == "require"
    volumes = deployment(graph)["template"]["spec"]["volumes"]
    assert {"name": "client-tls", "secret": {"secretName": "pool-tls", "defaultMode": 0o440}} in (
        volumes
    )
    assert output(graph, "url").endswith("/app?sslmode=require")


def test_production_expects_tls_from_clients() -> None:
    """PO-6."""
    assert [s for s in STACKS if config(s).expect_client_tls] == ["production"]


def test_stops_gracefully_and_never_below_its_count() -> None:
    """PO-7."""
    graph = standard()
    spec = deployment(graph)
    pod = spec["template"]["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert pod["terminationGracePeriodSeconds"] == 150
    assert pod["containers"][0]["lifecycle"] == {"preStop": {"sleep": {"seconds": 15}}}
    assert graph.one("PodDisruptionBudget").inputs["spec"]["minAvailable"] == 1


def test_probes_open_the_port_and_ask_no_database() -> None:
    """PO-8."""
    [container] = deployment(standard())["template"]["spec"]["containers"]
    for probe in ("readinessProbe", "livenessProbe"):
        assert container[probe]["tcpSocket"] == {"port": 6432}


def test_pods_are_spread_over_nodes() -> None:
    """PO-1."""
    spread = deployment(standard())["template"]["spec"]["topologySpreadConstraints"]
    assert "kubernetes.io/hostname" in {constraint["topologyKey"] for constraint in spread}


def test_starts_when_the_roles_exist() -> None:
    graph = standard()
    assert graph.one("Job").urn in graph.one("Deployment").depends_on


def test_pods_are_unprivileged_without_a_token_and_read_only() -> None:
    pod = deployment(standard())["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    [container] = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert all(mount["readOnly"] for mount in container["volumeMounts"])


def test_reaches_the_database_and_is_reached_by_labelled_pods_only() -> None:
    """PO-10."""
    graph = standard()
    assert (
        deployment(graph)["template"]["metadata"]["labels"]["nextstack/reaches-postgres"] == "true"
    )
    [rule] = graph.one("NetworkPolicy", "pgbouncer-from-clients").inputs["spec"]["ingress"]
    assert rule["ports"] == [{"port": 6432, "protocol": "TCP"}]


def test_metrics_only_with_an_image_and_by_a_user_who_may_only_look() -> None:
    """PO-9."""
    assert len(deployment(standard())["template"]["spec"]["containers"]) == 1
    graph = run(metrics_image=f"exporter@sha256:{'a' * 64}")
    side_car = deployment(graph)["template"]["spec"]["containers"][1]
    assert side_car["ports"] == [{"name": "metrics", "containerPort": 9127}]
    assert settings()["stats_users"] == "monitor"
    assert password("databaseMonitor") not in json.dumps(deployment(graph))


def test_reconnect_calls_every_ready_pod_as_the_administrator() -> None:
    """DB-13."""
    graph = standard()
    login = graph.one("Secret", "pgbouncer-reconnect").inputs["stringData"]
    assert login["POOLERS"] == "pgbouncer-pods.shop.svc"
    assert login["PGUSER"] == settings()["admin_users"]
    assert graph.one("Service", "pgbouncer-pods").inputs["spec"]["clusterIP"] == "None"
    pod = output(graph, "step")
    assert pod["metadata"]["labels"] == {"nextstack/reaches-pgbouncer": "true"}


def test_the_dev_image_is_built_from_a_version_without_the_known_holes() -> None:
    """PO-1: the tag says 1.26; the recipe says which."""
    recipe = tomllib.loads((ROOT / "local" / "images.toml").read_text())["images"]["pgbouncer"]
    version = [int(part) for part in recipe["at_least"]["pgbouncer"].split(".")]
    assert version >= [1, 26, 1]


RANGES: dict[str, tuple[int, int]] = {
    "replicas": (2, 20),
    "size": (1, 500),
    "reserve": (0, 100),
    "direct_clients": (0, 500),
    "max_connections_percent": (1, 100),
    "max_clients": (10, 20_000),
    "max_prepared_statements": (1, 10_000),
    "query_wait_timeout_s": (1, 3600),
    "idle_transaction_timeout_s": (1, 3600),
    "dns_max_ttl_s": (1, 300),
    "server_login_retry_s": (1, 60),
    "server_connect_timeout_s": (1, 60),
    "server_lifetime_s": (60, 86_400),
    "tcp_keepidle_s": (1, 7200),
    "tcp_keepintvl_s": (1, 600),
    "tcp_keepcnt": (1, 20),
    "tcp_user_timeout_ms": (0, 600_000),
    "cpu_millicores": (10, 2000),
    "memory_mib": (32, 4096),
}


@pytest.mark.parametrize("name", RANGES)
def test_numbers_are_accepted_up_to_their_limits_and_refused_beyond(name: str) -> None:
    low, high = RANGES[name]
    for value in (low, high):
        assert config("dev", **{name: value})
    for value in (low - 1, high + 1):
        with pytest.raises(ConfigError, match=f"got {value}, allowed {low} to {high}"):
            config("dev", **{name: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grace_s": 149}, "poolGraceS is too short: got 149, allowed 150 or more"),
        ({"pre_stop_s": 16}, "got 150, allowed 151 or more"),
        ({"client_lifetime_s": 121}, "got 150, allowed 151 or more"),
        ({"pre_stop_s": 0}, "poolPreStopS is out of range: got 0"),
        ({"image": "pgbouncer:1.26.1"}, "poolImage is not fixed"),
        ({"image": "localhost/x/pgbouncer:1.26.0"}, "poolImage is too old"),
        ({"image": "localhost/x/pgbouncer:1.25"}, "poolImage is too old"),
        ({"image": "localhost/x/pgbouncer:v1.24.1"}, "poolImage is too old"),
        ({"image": f"pgbouncer:1.25.1@sha256:{'a' * 64}"}, "poolImage is too old"),
        ({"metrics_image": "exporter:1"}, "poolMetricsImage is not fixed"),
    ],
)
def test_bad_values_are_refused_with_what_is_allowed(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(**changes)


@pytest.mark.parametrize(
    "image",
    [
        "localhost/x/pgbouncer:1.26",
        "localhost/x/pgbouncer:1.26.1",
        "localhost/x/pgbouncer:1.27.0",
        f"pgbouncer:2.0.0@sha256:{'a' * 64}",
        f"registry.example.com:5000/pgbouncer@sha256:{'a' * 64}",
    ],
)
def test_images_without_the_known_holes_are_accepted(image: str) -> None:
    assert config(image=image)


def budget(max_connections: int = 100, test_database: str = "", **changes: Any) -> list[str]:
    postgres = knobs(
        PostgresConfig, "postgres", max_connections=max_connections, test_database=test_database
    )
    return connection_budget(config(**changes), postgres)


def test_budget_counts_the_pod_of_a_roll_out_reserve_and_jobs() -> None:
    """PO-3: (2 + 1) x 5 + 5 + 10 = 30; 80 % of 37 is 29, of 38 is 30."""
    assert budget(max_connections=38) == []
    [problem] = budget(max_connections=37)
    assert "(2 + 1) x 5 + 5 + 10 = 30 server connections, allowed 29, 80 %" in problem


def test_budget_counts_the_test_database() -> None:
    """PO-3: 2 more for each of 3 pods."""
    assert budget(max_connections=45, test_database="t") == []
    assert "x 7 + 5 + 10 = 36" in budget(max_connections=44, test_database="t")[0]


@pytest.mark.parametrize("changes", [{"size": 22}, {"replicas": 13}, {"direct_clients": 61}])
def test_whatever_exceeds_the_budget_is_refused(changes: dict[str, Any]) -> None:
    """PO-3: 80 of 100."""
    assert budget(**changes)


def test_a_quote_in_a_name_or_secret_is_doubled() -> None:
    assert userlist({'a"b': 'c"d'}) == '"a""b" "c""d"\n'
