"""PostgreSQL inside the cluster: one server with a volume, its certificate, roles and databases.

Leaves out pooling (pgbouncer.py), dumps (backups.py) and replicas: a server that restarts in place
is back as soon as a standby would be. Stacks that need more use a managed database.
"""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.certificates import ServerCertificate, server_certificate
from components.database import Login, TlsMode
from components.generated_secrets import GeneratedSecrets
from components.network_policy import allow_clients
from components.pod import CONTAINER_SECURITY, labels, private_volume, unprivileged
from components.postgres_config import PostgresConfig
from components.postgres_roles import login, role_logins, roles_job
from components.sql_job import GID, SCRIPTS, UID

PORT = 5432
SERVER = "postgres"
"""Name of the Service and of the StatefulSet; people and DNS use it."""
VOLUME = "/var/lib/postgresql/data"
CONFIG = "/etc/nextstack/postgres"
CERTIFICATE = "/etc/nextstack/postgres-tls"
ADMIN = "/etc/nextstack/postgres-admin"
# Longer than a checkpoint of a small volume takes; a fast shutdown writes one. Default 30 s.
SHUTDOWN_GRACE_S = 60
# The first start makes the database, a start after a crash replays the log: neither is stuck.
START_LIMIT_S = 600


@dataclass(frozen=True, kw_only=True)
class ClusterPostgresArgs:
    config: PostgresConfig
    namespace: pulumi.Input[str]
    secrets: GeneratedSecrets
    """Where the passwords and the seed of the certificate come from."""
    keep_volume: bool = True
    """Whether the volume outlives this component; by default it does."""


class ClusterPostgres(pulumi.ComponentResource):
    """Satisfies `Database`."""

    host: pulumi.Output[str]
    port: pulumi.Output[int]
    name: pulumi.Output[str]
    owner: Login
    app: Login
    app_previous: Login
    ca_bundle: pulumi.Output[str]
    tls_mode: TlsMode = TlsMode.VERIFY_FULL
    ready: list[pulumi.Resource]

    def __init__(
        self, name: str, args: ClusterPostgresArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:ClusterPostgres", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        # Holds no data, and is replaced whenever its content changes.
        self._replaceable = pulumi.ResourceOptions(parent=self, protect=False)
        self._labels = labels(SERVER, name)
        self._metadata: k8s.meta.v1.ObjectMetaArgsDict = {"namespace": args.namespace}
        certificate = self._certificate()
        service = self._service()
        self._server(service, certificate)

        self.host = pulumi.Output.format("{0}.{1}.svc", service.metadata.name, args.namespace)
        self.port = pulumi.Output.from_input(PORT)
        self.name = pulumi.Output.from_input(args.config.database)
        self.ca_bundle = pulumi.Output.unsecret(certificate.apply(lambda made: made.ca))
        logins = role_logins(args.secrets)
        self.owner, self.app, self.app_previous = logins.owner, logins.app, logins.app_previous
        self.ready = [
            roles_job(
                name,
                self,
                logins,
                args.config,
                login("postgres", args.secrets.database_admin),
                args.namespace,
                self._replaceable,
            )
        ]
        allow_clients(SERVER, self._labels, [PORT], args.namespace, self._replaceable)
        self.register_outputs({"host": self.host, "port": self.port, "name": self.name})

    def _certificate(self) -> pulumi.Output[ServerCertificate]:
        """For every name that resolves to the Service; secret as a whole."""

        def derive(known: list[str]) -> ServerCertificate:
            seed, namespace = known
            domains = ("", f".{namespace}", f".{namespace}.svc", f".{namespace}.svc.cluster.local")
            return server_certificate(seed, [SERVER + domain for domain in domains])

        return pulumi.Output.all(self._args.secrets.database_tls, self._args.namespace).apply(
            derive
        )

    def _service(self) -> k8s.core.v1.Service:
        return k8s.core.v1.Service(
            f"{self._name}-service",
            metadata={
                "name": SERVER,
                "namespace": self._args.namespace,
                # Else Pulumi waits up to 10 min for endpoints, which need the server below.
                "annotations": {"pulumi.com/skipAwait": "true"},
            },
            spec={"selector": self._labels, "ports": [{"name": "postgres", "port": PORT}]},
            opts=self._child,
        )

    def _server(
        self, service: k8s.core.v1.Service, certificate: pulumi.Output[ServerCertificate]
    ) -> None:
        args, metadata = self._args, self._metadata
        files = k8s.core.v1.ConfigMap(
            f"{self._name}-config",
            metadata=metadata,
            data={
                "postgresql.conf": postgresql_conf(args.config),
                "pg_hba.conf": PG_HBA,
                "postgres-start.sh": (SCRIPTS / "postgres-start.sh").read_text(),
            },
            opts=self._replaceable,
        )
        tls = k8s.core.v1.Secret(
            f"{self._name}-tls",
            metadata=metadata,
            type="kubernetes.io/tls",
            string_data={
                "tls.crt": certificate.apply(lambda made: made.certificate),
                "tls.key": certificate.apply(lambda made: made.key),
            },
            opts=self._replaceable,
        )
        admin = k8s.core.v1.Secret(
            f"{self._name}-admin",
            metadata=metadata,
            string_data={"password": args.secrets.database_admin},
            opts=self._replaceable,
        )
        volumes: dict[str, k8s.core.v1.VolumeArgsDict] = {
            CONFIG: {"name": "config", "config_map": {"name": files.metadata.name}},
            # The server refuses a key that others may read.
            CERTIFICATE: private_volume("tls", tls.metadata.name),
            ADMIN: private_volume("admin", admin.metadata.name),
            "/var/run/postgresql": {"name": "run", "empty_dir": {"size_limit": "16Mi"}},
            "/tmp": {"name": "tmp", "empty_dir": {"size_limit": "256Mi"}},
            # Parallel queries share memory here; the runtime's own is 64 MiB.
            "/dev/shm": {
                "name": "shm",
                "empty_dir": {"medium": "Memory", "size_limit": f"{args.config.memory_mib // 4}Mi"},
            },
        }
        k8s.apps.v1.StatefulSet(
            f"{self._name}-server",
            metadata={"name": SERVER, **metadata},
            spec=_stateful_set(
                args.config, args.keep_volume, self._labels, service.metadata.name, volumes
            ),
            opts=self._child,
        )


def postgresql_conf(config: PostgresConfig) -> str:
    """The server's settings; whatever is not here has PostgreSQL's own default."""
    settings: dict[str, str | int] = {
        "listen_addresses": "*",
        "port": PORT,
        "unix_socket_directories": "/var/run/postgresql",
        "max_connections": config.max_connections,
        # A quarter and three quarters of the memory are what the PostgreSQL manual starts from.
        "shared_buffers": f"{config.memory_mib // 4}MB",
        "effective_cache_size": f"{config.memory_mib * 3 // 4}MB",
        "password_encryption": "scram-sha-256",
        "ssl": "on",
        "ssl_cert_file": f"{CERTIFICATE}/tls.crt",
        "ssl_key_file": f"{CERTIFICATE}/tls.key",
        "ssl_min_protocol_version": "TLSv1.3",
        "shared_preload_libraries": "pg_stat_statements",
        "idle_in_transaction_session_timeout": f"{config.idle_in_transaction_timeout_ms}ms",
        # After a crash one call instead of one for each of a thousand files, which takes 1 to 2 s.
        "recovery_init_sync_method": "syncfs",
        # A client that vanished without a word is found after 60 s instead of 2 h.
        "tcp_keepalives_idle": 30,
        "tcp_keepalives_interval": 10,
        "tcp_keepalives_count": 3,
        "log_destination": "stderr",
        "log_line_prefix": "%m [%p] %q%u@%d ",
        "log_timezone": "UTC",
        "timezone": "UTC",
        "log_min_duration_statement": f"{config.log_min_duration_ms}ms",
        # Parameters hold what users typed, session tokens included.
        "log_parameter_max_length": 0,
        "log_lock_waits": "on",
    }
    return "".join(f"{key} = '{value}'\n" for key, value in settings.items())


# The socket is inside the pod: `kubectl exec` as the server's own user needs no password.
PG_HBA = """\
local     all  postgres       peer
hostssl   all  all       all  scram-sha-256
hostnossl all  all       all  reject
"""


def _stateful_set(
    config: PostgresConfig,
    keep_volume: bool,
    selector: dict[str, str],
    service: pulumi.Input[str],
    volumes: dict[str, k8s.core.v1.VolumeArgsDict],
) -> k8s.apps.v1.StatefulSetSpecArgsDict:
    pod: k8s.core.v1.PodSpecArgsDict = {
        "termination_grace_period_seconds": SHUTDOWN_GRACE_S,
        "containers": [_container(config, volumes)],
        "volumes": [*volumes.values()],
    }
    return {
        "service_name": service,
        "replicas": 1,
        "selector": {"match_labels": selector},
        "template": {"metadata": {"labels": selector}, "spec": unprivileged(UID, GID, pod)},
        "volume_claim_templates": [
            {
                "metadata": {"name": "data"},
                "spec": {
                    "access_modes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": f"{config.storage_gib}Gi"}},
                },
            }
        ],
        # Kubernetes reads this when it deletes the set, so it has to be there from the start.
        "persistent_volume_claim_retention_policy": {
            "when_deleted": "Retain" if keep_volume else "Delete",
            "when_scaled": "Retain",
        },
    }


def _container(
    config: PostgresConfig, volumes: dict[str, k8s.core.v1.VolumeArgsDict]
) -> k8s.core.v1.ContainerArgsDict:
    memory = {"memory": f"{config.memory_mib}Mi"}
    # Over TCP: that is where clients come in.
    ready: k8s.core.v1.ExecActionArgsDict = {
        "command": ["pg_isready", "--quiet", "--host=127.0.0.1", "--username=postgres"]
    }
    return {
        "name": SERVER,
        "image": config.image,
        "command": ["sh", f"{CONFIG}/postgres-start.sh"],
        "env": [
            # Below the volume's top folder, whose mode and owner are not PostgreSQL's.
            {"name": "PGDATA", "value": f"{VOLUME}/pgdata"},
            {"name": "PGCONFIG", "value": CONFIG},
            {"name": "PGADMIN", "value": f"{ADMIN}/password"},
        ],
        "ports": [{"name": "postgres", "container_port": PORT}],
        "startup_probe": {
            "exec_": ready,
            "period_seconds": 1,
            "timeout_seconds": 2,
            "failure_threshold": START_LIMIT_S,
        },
        "readiness_probe": {"exec_": ready, "period_seconds": 5, "timeout_seconds": 2},
        # No query: a busy server is no dead one. The start script restarts one that died.
        "liveness_probe": {
            "tcp_socket": {"port": PORT},
            "period_seconds": 10,
            "timeout_seconds": 5,
            "failure_threshold": 12,
        },
        "resources": {
            "requests": {"cpu": f"{config.cpu_millicores}m", **memory},
            "limits": memory,
        },
        "security_context": CONTAINER_SECURITY,
        "volume_mounts": [
            {"name": "data", "mount_path": VOLUME},
            *_mounts(volumes),
        ],
    }


def _mounts(
    volumes: dict[str, k8s.core.v1.VolumeArgsDict],
) -> list[k8s.core.v1.VolumeMountArgsDict]:
    return [{"name": volume["name"], "mount_path": path} for path, volume in volumes.items()]
