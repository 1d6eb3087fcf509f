"""A database and a cache that somebody else runs: refusals, logins, TLS, the pool's entries."""

from typing import Any

import pytest
from conftest import deploy_stack, knobs, own_cluster
from pulumi.runtime import rpc

from components.backend_config import BackendConfig, CacheBackend, DatabaseBackend
from components.external_config import ExternalConfig, address
from components.redis_settings import RedisConfig
from components.stack import external_needs
from components.stack_config import ConfigError, load, secret_keys
from offline.recorder import Graph, Providers, plain, program, record, stack_settings

DATABASE = "postgresql://shop@db.example.net:5433/shop"
OWNER = "postgresql://shop_owner@db.example.net:5433/shop"
CACHE = "rediss://default@cache.example.net:6380"
PASSWORDS = {"database": "app-pass", "databaseOwner": "owner-pass", "cache": "cache.pass~1"}
EXTERNAL = knobs(BackendConfig, "", database=DatabaseBackend.EXTERNAL, cache=CacheBackend.EXTERNAL)


def config(**changes: Any) -> ExternalConfig:
    given: dict[str, Any] = {
        "database_url": DATABASE,
        "database_owner_url": OWNER,
        "database_ca_file": "",
        "database_ranges": ("203.0.113.0/24",),
        "cache_url": CACHE,
        "queue_url": "",
        "cache_ranges": ("198.51.100.0/24",),
        "passwords": PASSWORDS,
    }
    return ExternalConfig(**(given | changes))


def stack(**changes: Any) -> Graph:
    """Staging in a cluster that exists, with both services elsewhere."""
    given = own_cluster() | {
        "database": "external",
        "cache": "external",
        "externalDatabaseUrl": DATABASE,
        "externalDatabaseOwnerUrl": OWNER,
        "externalDatabaseRanges": ["203.0.113.0/24"],
        "externalCacheUrl": CACHE,
        "externalCacheRanges": ["198.51.100.0/24"],
        "externalPasswords": PASSWORDS,
        "appMigrationCommand": ["node", "migrate.mjs"],
    }
    settings = stack_settings("staging", **(given | changes))
    secret = ["nextstack:externalPasswords"]
    return record(program, Providers(), settings, "staging", secret_keys=secret)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return stack()


def output(graph: Graph, name: str) -> Any:
    value = graph.outputs["nextstack-staging"][name]
    assert rpc.is_rpc_secret(value)
    return plain(value)


def test_nothing_of_aws_is_used(graph: Graph) -> None:
    assert not [r for r in graph.resources if "aws" in r.type]
    assert not graph.all("StatefulSet")


def test_the_pool_holds_the_passwords_that_it_logs_in_with(graph: Graph) -> None:
    """PO-6: without a verifier there is nothing else to log in with."""
    users = graph.one("Secret", "pgbouncer-users").inputs["stringData"]["userlist.txt"]
    assert '"shop" "app-pass"\n' in users
    assert "owner-pass" not in users
    assert '"pgbouncer_admin" "SCRAM-SHA-256$' in users


def test_the_server_is_verified_with_the_systems_authorities(graph: Graph) -> None:
    """DB-6."""
    settings = graph.one("ConfigMap", "pgbouncer-config").inputs["data"]["pgbouncer.ini"]
    assert "server_tls_sslmode = verify-full" in settings
    assert "server_tls_ca_file = /etc/ssl/certs/ca-certificates.crt" in settings
    assert "host=db.example.net port=5433 dbname=shop " in settings
    login = graph.one("Secret", "backups-login").inputs["stringData"]
    assert (login["PGSSLMODE"], login["PGSSLROOTCERT"]) == ("verify-full", "system")
    assert (login["PGUSER"], login["PGPASSWORD"]) == ("shop_owner", "owner-pass")
    assert "NODE_EXTRA_CA_CERTS" not in output(graph, "runtimeEnv")
    pod = graph.one("Job", "migration").inputs["spec"]["template"]["spec"]
    [migrate] = [c for c in pod["initContainers"] + pod["containers"] if c["name"] == "migrate"]
    assert {"name": "PGSSLROOTCERT", "value": "system"} in migrate["env"]


def test_an_authority_of_its_own_is_handed_to_every_client() -> None:
    own = stack(externalDatabaseCaFile="certificates/rds.pem")
    settings = own.one("ConfigMap", "pgbouncer-config").inputs["data"]
    assert "server_tls_ca_file = /etc/nextstack/pgbouncer/ca.pem" in settings["pgbouncer.ini"]
    assert "BEGIN CERTIFICATE" in settings["ca.pem"]
    assert output(own, "runtimeEnv")["NODE_EXTRA_CA_CERTS"]


def test_urls_carry_the_passwords_and_are_secret(graph: Graph) -> None:
    """SC-3."""
    assert output(graph, "databaseUrl").startswith("postgresql://shop:app-pass@pgbouncer.")
    assert output(graph, "directUrl") == (
        "postgresql://shop_owner:owner-pass@db.example.net:5433/shop?sslmode=verify-full"
    )
    assert output(graph, "redisUrl") == "rediss://default:cache.pass~1@cache.example.net:6380"
    for r in graph.resources:
        if not r.type.endswith(":Secret"):
            assert not [p for p in PASSWORDS.values() if p in str(r.inputs)], r.name


def test_pods_reach_the_named_ranges_alone(graph: Graph) -> None:
    """PO-10."""
    for name, cidr, port in (
        ("postgres", "203.0.113.0/24", 5433),
        ("redis", "198.51.100.0/24", 6380),
    ):
        [rule] = graph.one("NetworkPolicy", f"{name}-to-server").inputs["spec"]["egress"]
        assert rule["to"] == [{"ipBlock": {"cidr": cidr}}]
        assert rule["ports"] == [{"port": port, "protocol": "TCP"}]


def test_a_queue_has_its_own_url() -> None:
    """CA-4."""
    queue = stack(
        redisQueue=True,
        externalQueueUrl="rediss://jobs@queue.example.net",
        externalPasswords=PASSWORDS | {"queue": "queue-pass"},
    )
    url = output(queue, "runtimeEnv")["QUEUE_REDIS_URL"]
    assert url == "rediss://jobs:queue-pass@queue.example.net:6379"


def test_one_role_for_everything_is_enough() -> None:
    single = stack(externalDatabaseOwnerUrl="")
    assert output(single, "directUrl").startswith("postgresql://shop:app-pass@db.example.net")


def test_no_more_is_promised_than_dumps_can_keep() -> None:
    """BK-19: what a service saves is not under this program's control."""
    with pytest.raises(Exception, match="recoveryRpoMinutes cannot be kept: got 15, allowed 1440"):
        deploy_stack(
            "staging",
            database="external",
            externalDatabaseUrl=DATABASE,
            externalPasswords="{}",
        )


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://shop@db.example.net/shop?sslmode=disable",
        "postgresql://shop@db.example.net",
        "postgresql://db.example.net/shop",
        "postgresql://sh%40op@db.example.net/shop",
        "mysql://shop@db.example.net/shop",
        "postgresql://shop@db.example.net:port/shop",
        "postgresql://shop@/shop",
        "db.example.net",
    ],
)
def test_a_malformed_database_url_is_refused(url: str) -> None:
    """PL-7."""
    with pytest.raises(ConfigError, match="database_url is malformed"):
        config(database_url=url)


@pytest.mark.parametrize(
    "url", ["redis://default@cache.example.net", "rediss://cache.example.net", "rediss://a@b/0"]
)
def test_a_cache_without_tls_or_user_is_refused(url: str) -> None:
    """CA-3."""
    with pytest.raises(ConfigError, match="cache_url is malformed"):
        config(cache_url=url)


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    """SC-2, SC-3."""
    with pytest.raises(ConfigError, match="database_url holds a password") as error:
        config(database_url="postgresql://shop:geheim@db.example.net/shop")
    assert "geheim" not in str(error.value)


def test_a_password_that_would_need_escaping_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError, match=r"passwords\.database has characters") as error:
        config(passwords={"database": "p@ss/word"})
    assert "p@ss" not in str(error.value)
    with pytest.raises(ConfigError, match=r"passwords\.sql belongs to nothing"):
        config(passwords={"sql": "x"})


def test_passwords_in_clear_are_refused() -> None:
    """SC-2."""
    assert secret_keys(ExternalConfig, "external") == {"externalPasswords"}
    given = {
        "externalDatabaseUrl": DATABASE,
        "externalDatabaseOwnerUrl": "",
        "externalDatabaseCaFile": "",
        "externalDatabaseRanges": "[]",
        "externalCacheUrl": "",
        "externalQueueUrl": "",
        "externalCacheRanges": "[]",
        "externalPasswords": '{"database": "x"}',
    }
    with pytest.raises(ConfigError, match="externalPasswords is not encrypted"):
        load(ExternalConfig, given, prefix="external")


def test_every_service_in_use_needs_an_address_and_a_password() -> None:
    """PL-7: all at once."""
    redis = knobs(RedisConfig, "redis", "staging", queue=True)
    empty = config(database_url="", cache_url="", passwords={}, database_ca_file="nowhere.pem")
    assert [problem.split(" ")[0] for problem in external_needs(EXTERNAL, empty, redis)] == [
        "external_database_url",
        "external_cache_url",
        "external_queue_url",
        "external_passwords.database",
        "external_passwords.databaseOwner",
        "external_passwords.cache",
        "external_passwords.queue",
        "external_database_ca_file",
    ]
    here = knobs(BackendConfig, "", database=DatabaseBackend.RDS, cache=CacheBackend.CLUSTER)
    assert external_needs(here, empty, redis) == []


def test_addresses_have_the_services_own_ports_by_default() -> None:
    assert address("rediss://a@h", 6379).port == 6379
    assert address("rediss://a@h:6380", 6379).port == 6380
