"""PgBouncer: many clients on few server connections, in front of any `Database`.

Leaves out session pooling: what needs a session (migrations, advisory locks, LISTEN) goes to the
database itself.
"""

import re
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.database import Database, Login, TlsMode, connection_url
from components.generated_secrets import GeneratedSecrets
from components.image import unfixed
from components.network_policy import allow_clients, reaches
from components.pod import CONTAINER_SECURITY, labels, private_volume, spread, unprivileged
from components.scram import scram_verifier
from components.sql_job import JobStep, job_files, sql_step
from components.stack_config import out_of_range, refuse

PORT = 6432
METRICS_PORT = 9127
SERVICE = "pgbouncer"
PODS_SERVICE = "pgbouncer-pods"
"""Headless: its name resolves to every ready pod, so that RECONNECT can reach each of them."""
ADMIN = "pgbouncer_admin"
STATISTICS = "monitor"
UID = GID = 998
CONFIG = "/etc/nextstack/pgbouncer"
USERS = "/etc/nextstack/pgbouncer-users"
CLIENT_TLS = "/etc/nextstack/pgbouncer-tls"
SYSTEM_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
# Older ones let one SCRAM user log in as another (CVE-2026-107350).
OLDEST = (1, 26, 1)
# Server connections of each pooler for the test database, beside those of the application's.
TEST_POOL_SIZE = 2
# What PgBouncer itself needs after the last client has left.
STOP_MARGIN_S = 15
PROGRESS_LIMIT_S = 180  # RB-4


@dataclass(frozen=True, kw_only=True)
class PgBouncerConfig:
    image: str
    replicas: int
    size: int
    reserve: int
    direct_clients: int
    max_connections_percent: int
    max_clients: int
    max_prepared_statements: int
    query_wait_timeout_s: int
    idle_transaction_timeout_s: int
    client_lifetime_s: int
    pre_stop_s: int
    grace_s: int
    dns_max_ttl_s: int
    server_login_retry_s: int
    server_connect_timeout_s: int
    server_lifetime_s: int
    tcp_keepidle_s: int
    tcp_keepintvl_s: int
    tcp_keepcnt: int
    tcp_user_timeout_ms: int
    client_tls_secret: str
    expect_client_tls: bool
    metrics_image: str
    cpu_millicores: int
    memory_mib: int

    def __post_init__(self) -> None:
        problems = unfixed("image", self.image) + _outdated(self.image)
        if self.metrics_image:
            problems += unfixed("metrics_image", self.metrics_image)
        least = self.pre_stop_s + self.client_lifetime_s + STOP_MARGIN_S
        if self.grace_s < least:
            problems.append(
                f"grace_s is too short: got {self.grace_s}, allowed {least} or more, the sum of "
                f"poolPreStopS {self.pre_stop_s}, poolClientLifetimeS {self.client_lifetime_s} and "
                f"{STOP_MARGIN_S}; a shorter one cuts transactions"
            )
        refuse(problems + self._out_of_range())

    def _out_of_range(self) -> list[str]:
        ranges = {
            "replicas": (2, 20, "one pod cannot be replaced without an outage"),
            "size": (1, 500, "server connections of one pod"),
            "reserve": (0, 100, "server connections left free for people"),
            "direct_clients": (0, 500, "server connections of jobs and tools"),
            "max_connections_percent": (1, 100, "the share that the budget may use"),
            "max_clients": (10, 20_000, "connections of one pod"),
            "max_prepared_statements": (1, 10_000, "0 breaks drivers that prepare"),
            "query_wait_timeout_s": (1, 3600, "clients wait this long for a server connection"),
            "idle_transaction_timeout_s": (1, 3600, "idle transactions hold a server connection"),
            "client_lifetime_s": (1, 3600, "how long the application keeps a connection"),
            "pre_stop_s": (1, 300, "as long as clients may still be sent here"),
            "dns_max_ttl_s": (1, 300, "a fail-over changes the address"),
            "server_login_retry_s": (1, 60, "the pause after a refused login"),
            "server_connect_timeout_s": (1, 60, "a dead server answers nothing"),
            "server_lifetime_s": (60, 86_400, "0 would open one connection per query"),
            "tcp_keepidle_s": (1, 7200, "seconds of silence before the first probe"),
            "tcp_keepintvl_s": (1, 600, "seconds between probes"),
            "tcp_keepcnt": (1, 20, "probes without an answer"),
            "tcp_user_timeout_ms": (0, 600_000, "0 is the system's default"),
            "cpu_millicores": (10, 2000, "it uses one thread"),
            "memory_mib": (32, 4096, "a client needs about 2 KiB, a connection at work 20"),
        }
        return out_of_range(self, ranges)


def _outdated(image: str) -> list[str]:
    """Says nothing of a tag that names no version, or only major and minor: those are moved."""
    match = re.search(r":v?(\d+)\.(\d+)(?:\.(\d+))?(?![\d.])", image.split("@")[0])
    if not match:
        return []
    major, minor, patch = (int(part) if part else None for part in match.groups())
    version = (major, minor, OLDEST[2] if patch is None else patch)
    if version >= OLDEST:
        return []
    return [
        f"image is too old: got {image!r}, allowed PgBouncer 1.26.1 or newer; before it, one "
        "SCRAM user could log in as another (CVE-2026-107350)"
    ]


@dataclass(frozen=True, kw_only=True)
class PgBouncerArgs:
    config: PgBouncerConfig
    namespace: pulumi.Input[str]
    database: Database
    """What is pooled."""
    secrets: GeneratedSecrets
    """Where the passwords of the pooler's own users come from."""
    client_image: str
    """Image with psql, to tell the poolers to reconnect."""
    test_database: str = ""
    """A second database of the same server; by default there is none."""


class PgBouncer(pulumi.ComponentResource):
    host: pulumi.Output[str]
    """DNS name of the pool, without the port."""
    port: pulumi.Output[int]
    url: pulumi.Output[str]
    """The application's DATABASE_URL; secret."""
    test_url: pulumi.Output[str]
    """The same for the test database, empty where there is none; secret."""
    ready: list[pulumi.Resource]
    """What must exist before a client can log in."""

    def __init__(
        self, name: str, args: PgBouncerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:PgBouncer", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._labels = labels(SERVICE, name)
        self._metadata: k8s.meta.v1.ObjectMetaArgsDict = {"namespace": args.namespace}
        if args.config.expect_client_tls and not args.config.client_tls_secret:
            pulumi.log.warn(
                "clients reach the pool without TLS: name a Secret of type kubernetes.io/tls in "
                "poolClientTlsSecret, or set poolExpectClientTls to false",
                self,
            )
        deployment = self._deployment()
        service = self._service(SERVICE, {}, deployment)
        self._pods = self._service(PODS_SERVICE, {"cluster_ip": "None"}, deployment)
        k8s.policy.v1.PodDisruptionBudget(
            f"{name}-disruption",
            metadata=self._metadata | {"name": f"{name}-disruption"},
            spec={"min_available": 1, "selector": {"match_labels": self._labels}},
            opts=self._child,
        )
        allow_clients(SERVICE, self._labels, [PORT], args.namespace, self._child)
        self.host = pulumi.Output.format("{0}.{1}.svc", service.metadata.name, args.namespace)
        self.port = pulumi.Output.from_input(PORT)
        self.url = self._url(args.database.name)
        self.test_url = (
            self._url(args.test_database) if args.test_database else pulumi.Output.from_input("")
        )
        self.ready = [deployment, service]
        self.register_outputs({"host": self.host, "port": self.port, "url": self.url})

    def _url(self, database: pulumi.Input[str]) -> pulumi.Output[str]:
        tls = TlsMode.REQUIRE if self._args.config.client_tls_secret else TlsMode.DISABLE
        return connection_url(self._args.database.app, self.host, self.port, database, tls)

    def reconnect_step(self) -> JobStep:
        """Makes every pooler open new server connections: the last step of a migration (DB-13)."""
        name = f"{self._name}-reconnect"
        login = k8s.core.v1.Secret(
            f"{name}-login",
            metadata=self._metadata,
            string_data={
                "PGPORT": str(PORT),
                "PGDATABASE": "pgbouncer",
                "PGUSER": ADMIN,
                "PGPASSWORD": self._args.secrets.pgbouncer_admin,
                # Each pod is called by its address, which no certificate names.
                "PGSSLMODE": "require" if self._args.config.client_tls_secret else "disable",
                "POOLERS": pulumi.Output.format(
                    "{0}.{1}.svc", self._pods.metadata.name, self._args.namespace
                ),
            },
            opts=self._child,
        )
        files = job_files(name, ["reconnect.sh"], "", self._args.namespace, self._child)
        return sql_step(
            "reconnect",
            "reconnect.sh",
            image=self._args.client_image,
            files=files,
            login=login.metadata.name,
            labels=reaches(SERVICE),
        )

    def _service(
        self, name: str, spec: k8s.core.v1.ServiceSpecArgsDict, deployment: pulumi.Resource
    ) -> k8s.core.v1.Service:
        return k8s.core.v1.Service(
            name,
            metadata={"name": name, "namespace": self._args.namespace},
            spec={
                **spec,
                "selector": self._labels,
                "ports": [{"name": "postgres", "port": PORT}],
            },
            # After the pods: Pulumi waits for endpoints.
            opts=pulumi.ResourceOptions.merge(
                self._child, pulumi.ResourceOptions(depends_on=[deployment])
            ),
        )

    def _deployment(self) -> k8s.apps.v1.Deployment:
        args, database = self._args, self._args.database
        files = k8s.core.v1.ConfigMap(
            f"{self._name}-config",
            metadata=self._metadata,
            data={
                "pgbouncer.ini": pulumi.Output.all(
                    database.host, database.port, database.name, database.ca_bundle
                ).apply(
                    lambda known: pgbouncer_ini(
                        args.config,
                        host=known[0],
                        port=known[1],
                        sizes={known[2]: args.config.size}
                        | ({args.test_database: TEST_POOL_SIZE} if args.test_database else {}),
                        tls_mode=database.tls_mode,
                        own_authority=bool(known[3]),
                    )
                ),
                "ca.pem": database.ca_bundle,
            },
            opts=self._child,
        )
        users = k8s.core.v1.Secret(
            f"{self._name}-users",
            metadata=self._metadata,
            string_data={"userlist.txt": self._userlist()},
            opts=self._child,
        )
        volumes: dict[str, k8s.core.v1.VolumeArgsDict] = {
            CONFIG: {"name": "config", "config_map": {"name": files.metadata.name}},
            USERS: private_volume("users", users.metadata.name),
        }
        if args.config.client_tls_secret:
            volumes[CLIENT_TLS] = private_volume("client-tls", args.config.client_tls_secret)
        return k8s.apps.v1.Deployment(
            f"{self._name}-server",
            metadata=self._metadata | {"name": f"{self._name}-server"},
            spec=_deployment(args.config, self._labels, volumes, self._metrics()),
            opts=pulumi.ResourceOptions.merge(
                self._child, pulumi.ResourceOptions(depends_on=database.ready)
            ),
        )

    def _userlist(self) -> pulumi.Output[str]:
        """Old and new login side by side, so that a rotation fails no request (SC-6)."""
        secrets, database = self._args.secrets, self._args.database
        own = {
            ADMIN: _verifier(ADMIN, secrets.pgbouncer_admin),
            STATISTICS: _verifier(STATISTICS, secrets.database_monitor),
        }
        return pulumi.Output.all(
            pulumi.Output.all(*(_entry(login) for login in (database.app_previous, database.app))),
            own,
        ).apply(lambda known: userlist({**known[1], **dict(known[0])}))

    def _metrics(self) -> list[k8s.core.v1.ContainerArgsDict]:
        """A side-car that translates `SHOW STATS` for Prometheus (PO-9), where one is named."""
        config, name = self._args.config, f"{self._name}-metrics"
        if not config.metrics_image:
            return []
        secret = k8s.core.v1.Secret(
            name,
            metadata=self._metadata,
            string_data={
                "PGBOUNCER_EXPORTER_CONNECTION_STRING": pulumi.Output.format(
                    "postgres://{0}:{1}@127.0.0.1:{2}/pgbouncer?sslmode={3}",
                    STATISTICS,
                    self._args.secrets.database_monitor,
                    PORT,
                    "require" if config.client_tls_secret else "disable",
                )
            },
            opts=self._child,
        )
        return [
            {
                "name": "metrics",
                "image": config.metrics_image,
                "env_from": [{"secret_ref": {"name": secret.metadata.name}}],
                "ports": [{"name": "metrics", "container_port": METRICS_PORT}],
                "resources": {
                    "requests": {"cpu": "10m", "memory": "32Mi"},
                    "limits": {"memory": "64Mi"},
                },
                "security_context": CONTAINER_SECURITY,
            }
        ]


def _verifier(username: str, password: pulumi.Output[str]) -> pulumi.Output[str]:
    return password.apply(lambda known: scram_verifier(username, known))


def _entry(login: Login) -> pulumi.Output[list[str]]:
    """Name and SCRAM verifier; the password only where somebody else made the role."""
    return pulumi.Output.all(login.username, login.verifier or login.password)


def userlist(users: dict[str, str]) -> str:
    """The text of `auth_file`; a quote inside a value is doubled."""
    quoted = {name.replace('"', '""'): secret.replace('"', '""') for name, secret in users.items()}
    return "".join(f'"{name}" "{secret}"\n' for name, secret in sorted(quoted.items()))


def pgbouncer_ini(
    config: PgBouncerConfig,
    *,
    host: str,
    port: int,
    sizes: dict[str, int],
    tls_mode: TlsMode,
    own_authority: bool,
) -> str:
    """The settings; `sizes` are the server connections of one pod by database."""
    databases = {
        name: f"host={host} port={int(port)} dbname={name} pool_size={size} "
        f"max_db_connections={size}"
        for name, size in sizes.items()
    }
    settings: dict[str, str | int] = {
        "listen_addr": "*",
        "listen_port": PORT,
        "unix_socket_dir": "",
        "auth_type": "scram-sha-256",
        "auth_file": f"{USERS}/userlist.txt",
        "admin_users": ADMIN,
        "stats_users": STATISTICS,
        "pool_mode": "transaction",
        "default_pool_size": config.size,
        "max_db_connections": config.size,
        "max_client_conn": config.max_clients,
        "max_prepared_statements": config.max_prepared_statements,
        # Drivers send both; without `options` in the list, clients can make it spin
        # (CVE-2026-107349).
        "ignore_startup_parameters": "extra_float_digits,options",
        "query_wait_timeout": config.query_wait_timeout_s,
        "idle_transaction_timeout": config.idle_transaction_timeout_s,
        "client_idle_timeout": 0,
        "dns_max_ttl": config.dns_max_ttl_s,
        "dns_nxdomain_ttl": config.dns_max_ttl_s,
        "server_login_retry": config.server_login_retry_s,
        "server_connect_timeout": config.server_connect_timeout_s,
        "server_lifetime": config.server_lifetime_s,
        "tcp_keepalive": 1,
        "tcp_keepidle": config.tcp_keepidle_s,
        "tcp_keepintvl": config.tcp_keepintvl_s,
        "tcp_keepcnt": config.tcp_keepcnt,
        "tcp_user_timeout": config.tcp_user_timeout_ms,
        "server_tls_sslmode": tls_mode.value,
        # One line per connection says little and costs much.
        "log_connections": 0,
        "log_disconnections": 0,
        "log_stats": 0,
    }
    if tls_mode is not TlsMode.DISABLE:
        settings["server_tls_protocols"] = "tlsv1.3"
    if tls_mode is TlsMode.VERIFY_FULL:
        settings["server_tls_ca_file"] = f"{CONFIG}/ca.pem" if own_authority else SYSTEM_AUTHORITIES
    if config.client_tls_secret:
        settings |= {
            "client_tls_sslmode": "require",
            "client_tls_cert_file": f"{CLIENT_TLS}/tls.crt",
            "client_tls_key_file": f"{CLIENT_TLS}/tls.key",
        }
    return f"[databases]\n{_lines(databases)}\n[pgbouncer]\n{_lines(settings)}"


def _lines(settings: dict[str, str] | dict[str, str | int]) -> str:
    return "".join(f"{key} = {value}\n" for key, value in settings.items())


def _deployment(
    config: PgBouncerConfig,
    selector: dict[str, str],
    volumes: dict[str, k8s.core.v1.VolumeArgsDict],
    side_cars: list[k8s.core.v1.ContainerArgsDict],
) -> k8s.apps.v1.DeploymentSpecArgsDict:
    pod: k8s.core.v1.PodSpecArgsDict = {
        "termination_grace_period_seconds": config.grace_s,
        "topology_spread_constraints": spread(selector),
        "containers": [_container(config, volumes), *side_cars],
        "volumes": [*volumes.values()],
    }
    return {
        "replicas": config.replicas,
        "selector": {"match_labels": selector},
        "strategy": {"rolling_update": {"max_unavailable": 0, "max_surge": 1}},
        "progress_deadline_seconds": PROGRESS_LIMIT_S,
        "template": {
            "metadata": {"labels": selector | reaches("postgres")},
            "spec": unprivileged(UID, GID, pod),
        },
    }


def _container(
    config: PgBouncerConfig, volumes: dict[str, k8s.core.v1.VolumeArgsDict]
) -> k8s.core.v1.ContainerArgsDict:
    # An open port and no query: a database that is down is no reason to restart the pool. While
    # it stops, the port refuses, which is what readiness has to say.
    port: k8s.core.v1.TCPSocketActionArgsDict = {"port": PORT}
    memory = {"memory": f"{config.memory_mib}Mi"}
    return {
        "name": SERVICE,
        "image": config.image,
        "command": ["pgbouncer", f"{CONFIG}/pgbouncer.ini"],
        "ports": [{"name": "postgres", "container_port": PORT}],
        "readiness_probe": {"tcp_socket": port, "period_seconds": 2, "failure_threshold": 2},
        "liveness_probe": {"tcp_socket": port, "period_seconds": 10, "failure_threshold": 6},
        # Time to be taken out of the Service. On SIGTERM it then waits for its clients to leave,
        # which they do within their pool's maximum lifetime.
        "lifecycle": {"pre_stop": {"sleep": {"seconds": config.pre_stop_s}}},
        "resources": {
            "requests": {"cpu": f"{config.cpu_millicores}m", **memory},
            "limits": memory,
        },
        "security_context": CONTAINER_SECURITY,
        "volume_mounts": [
            {"name": volume["name"], "mount_path": path, "read_only": True}
            for path, volume in volumes.items()
        ],
    }
