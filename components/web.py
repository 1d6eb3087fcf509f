"""The application's pods: any Next.js image, hardened, migrated before each roll-out.

Leaves out what the pods are told (environment.py) and who stands before them (nginx.py).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import pulumi
import pulumi_kubernetes as k8s

from components.app_config import AppConfig
from components.database import CA_FILE
from components.network_policy import allow_clients, reaches
from components.pod import CONTAINER_SECURITY, labels, spread, unprivileged
from components.sql_job import GID, UID, JobStep
from components.stack_config import refuse

# What the root file system, logs and small files beside the writable folders may take on the node.
OTHER_STORAGE_MIB = 256
# Not the internet (RFC 1918, RFC 6598), and where clouds offer a machine's credentials (RFC 3927).
PRIVATE = ["10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"]
PODS_SERVICE = "web-pods"
"""Headless: its name resolves to every ready pod, so that nginx can ask another one."""


@dataclass(frozen=True, kw_only=True)
class Migration:
    env: Mapping[str, pulumi.Input[str]]
    """Secret variables of the migration, such as DIRECT_URL; a change runs it again."""
    before: Sequence[JobStep] = ()
    """What has to succeed first: the dump."""
    after: Sequence[JobStep] = ()
    """What comes next: new server connections, and a query through them."""


@dataclass(frozen=True, kw_only=True)
class WebAppArgs:
    config: AppConfig
    namespace: pulumi.Input[str]
    image: str
    """Image of the application, by digest or a fixed tag."""
    deployment_version: str
    """Commit that the image was built from; a label of every pod."""
    config_map: pulumi.Input[str]
    """Name of the ConfigMap whose entries become environment variables."""
    secret: pulumi.Input[str]
    """Name of the Secret whose entries become environment variables."""
    ca_bundle: pulumi.Input[str]
    """PEM certificates that verify the database; empty where the system's are enough."""
    own_authority: bool = True
    """Whether `ca_bundle` holds any; by default it does."""
    migration: Migration
    """What runs around the migration command; without a command nothing of it is used."""
    servers: tuple[str, ...] = ("pgbouncer", "redis")
    """Servers of the namespace that the pods may connect to, as its policies call them."""
    service_account: pulumi.Input[str] | None = None
    """What the server's pods run as towards AWS; by default they have no rights there."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?", self.deployment_version):
            refuse(
                [
                    f"deployment_version is no label: got {self.deployment_version!r}, allowed 1 "
                    "to 63 letters, digits, -, _ and . such as a commit"
                ]
            )


class WebApp(pulumi.ComponentResource):
    host: pulumi.Output[str]
    """DNS name that resolves to every ready pod, without the cluster's domain."""
    port: int
    """TCP port of the pods."""
    ready: list[pulumi.Resource]
    """What must exist before requests are answered."""

    def __init__(
        self, name: str, args: WebAppArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:WebApp", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        config, metadata = args.config, _in(args.namespace)
        selector = labels("web", name)
        authorities = k8s.core.v1.ConfigMap(
            f"{name}-database-ca",
            metadata=metadata,
            data={PurePosixPath(CA_FILE).name: args.ca_bundle},
            opts=child,
        )
        volumes = _volumes(config, authorities.metadata.name)
        first = _first_jobs(name, args, volumes, child)
        deployment = k8s.apps.v1.Deployment(
            f"{name}-server",
            metadata=_versioned(args) | {"name": f"{name}-server"},
            spec=_deployment(args, volumes, selector),
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=first)),
        )
        service, pods = _services(config.port, args.namespace, selector, child)
        if config.scales:
            # Not by the provider's word, which a preview of a new cluster does not have.
            _autoscaler(name, args, deployment.urn.apply(lambda _: f"{name}-server"), child)
        k8s.policy.v1.PodDisruptionBudget(
            f"{name}-disruption",
            metadata=metadata | {"name": f"{name}-disruption"},
            spec={"min_available": config.min_available, "selector": {"match_labels": selector}},
            opts=child,
        )
        allow_clients("web", selector, [config.port], args.namespace, child)
        _allow_https(name, selector, config.private_ranges, args.namespace, child)
        self.host = pulumi.Output.format("{0}.{1}.svc", PODS_SERVICE, args.namespace)
        self.port = config.port
        self.ready = [deployment, service, pods]
        self.register_outputs({"host": self.host, "port": self.port})


def _in(namespace: pulumi.Input[str]) -> k8s.meta.v1.ObjectMetaArgsDict:
    return {"namespace": namespace}


def _versioned(args: WebAppArgs) -> k8s.meta.v1.ObjectMetaArgsDict:
    return {"namespace": args.namespace, "labels": _version(args)}


def _version(args: WebAppArgs) -> dict[str, str]:
    return {"app.kubernetes.io/version": args.deployment_version}


def _volumes(config: AppConfig, authorities: pulumi.Input[str]) -> list[k8s.core.v1.VolumeArgsDict]:
    folders: list[k8s.core.v1.VolumeArgsDict] = [
        {"name": volume, "empty_dir": {"size_limit": f"{config.writable_mib[folder]}Mi"}}
        for folder, volume in _volume_names(config).items()
    ]
    return [*folders, {"name": "database-ca", "config_map": {"name": authorities}}]


def _volume_names(config: AppConfig) -> dict[str, str]:
    return {folder: f"writable-{i}" for i, folder in enumerate(sorted(config.writable_mib))}


def _container(args: WebAppArgs) -> k8s.core.v1.ContainerArgsDict:
    """What the server and the migration have in common."""
    mounts: list[k8s.core.v1.VolumeMountArgsDict] = [
        {"name": volume, "mount_path": folder}
        for folder, volume in _volume_names(args.config).items()
    ]
    ca_folder = str(PurePosixPath(CA_FILE).parent)
    return {
        "name": "app",
        "image": args.image,
        "resources": _resources(args.config),
        "security_context": CONTAINER_SECURITY,
        "volume_mounts": [*mounts, {"name": "database-ca", "mount_path": ca_folder}],
    }


def _pullable(config: AppConfig, spec: k8s.core.v1.PodSpecArgsDict) -> k8s.core.v1.PodSpecArgsDict:
    if not config.pull_secret:
        return spec
    return {**spec, "image_pull_secrets": [{"name": config.pull_secret}]}


def _resources(config: AppConfig) -> k8s.core.v1.ResourceRequirementsArgsDict:
    """No CPU limit: it throttles start and garbage collection while the node idles."""
    storage = sum(config.writable_mib.values()) + OTHER_STORAGE_MIB
    return {
        "requests": {
            "cpu": f"{config.cpu_millis}m",
            "memory": f"{config.memory_request_mib}Mi",
            "ephemeral-storage": f"{OTHER_STORAGE_MIB}Mi",
        },
        "limits": {"memory": f"{config.memory_mib}Mi", "ephemeral-storage": f"{storage}Mi"},
    }


def _deployment(
    args: WebAppArgs, volumes: list[k8s.core.v1.VolumeArgsDict], selector: dict[str, str]
) -> k8s.apps.v1.DeploymentSpecArgsDict:
    config = args.config
    server: k8s.core.v1.PodSpecArgsDict = {
        "termination_grace_period_seconds": config.grace_s,
        "topology_spread_constraints": spread(selector),
        "containers": [_server(args)],
        "volumes": volumes,
    }
    if args.service_account is not None:
        server["service_account_name"] = args.service_account
    spec: k8s.apps.v1.DeploymentSpecArgsDict = {
        "selector": {"match_labels": selector},
        "strategy": {"rolling_update": {"max_unavailable": 0, "max_surge": 1}},
        "progress_deadline_seconds": config.progress_deadline_s,
        "template": {
            "metadata": {"labels": selector | _version(args) | reaches(*args.servers)},
            "spec": unprivileged(config.uid, config.gid, _pullable(config, server)),
        },
    }
    # The autoscaler owns the number; to write it too would undo its work at each update.
    return spec if config.scales else {**spec, "replicas": config.min_replicas}


def _server(args: WebAppArgs) -> k8s.core.v1.ContainerArgsDict:
    config = args.config
    # Liveness asks for no more than an open port: a restart cures nothing outside the pod.
    port: k8s.core.v1.TCPSocketActionArgsDict = {"port": config.port}
    readiness: k8s.core.v1.ProbeArgsDict = {
        "period_seconds": config.readiness_period_s,
        "timeout_seconds": config.readiness_timeout_s,
        "failure_threshold": config.readiness_failures,
    }
    if config.readiness_path:
        readiness["http_get"] = {"path": config.readiness_path, "port": config.port}
    else:
        readiness["tcp_socket"] = port
    return {
        **_container(args),
        "env_from": [
            {"config_map_ref": {"name": args.config_map}},
            {"secret_ref": {"name": args.secret}},
        ],
        "ports": [{"name": "http", "container_port": config.port}],
        # By the kubelet, so that the image needs no shell (GA in Kubernetes 1.34).
        "lifecycle": {"pre_stop": {"sleep": {"seconds": config.pre_stop_s}}},
        "startup_probe": {
            "tcp_socket": port,
            "period_seconds": 1,
            "failure_threshold": config.startup_s,
        },
        # A minute, because an overloaded server that is restarted only passes its load on.
        "liveness_probe": {
            "tcp_socket": port,
            "period_seconds": 10,
            "timeout_seconds": 5,
            "failure_threshold": 6,
        },
        "readiness_probe": readiness,
    }


def _services(
    port: int, namespace: pulumi.Input[str], selector: dict[str, str], child: pulumi.ResourceOptions
) -> tuple[k8s.core.v1.Service, k8s.core.v1.Service]:
    # Without waiting for pods: a roll-out that fails is told by the Deployment, and once is enough.
    annotations = {"pulumi.com/skipAwait": "true"}
    service = k8s.core.v1.Service(
        "web",
        metadata={"name": "web", "namespace": namespace, "annotations": annotations},
        spec={"selector": selector, "ports": [{"name": "http", "port": port}]},
        opts=child,
    )
    pods = k8s.core.v1.Service(
        PODS_SERVICE,
        metadata={"name": PODS_SERVICE, "namespace": namespace, "annotations": annotations},
        spec={
            "cluster_ip": "None",
            "selector": selector,
            "ports": [{"name": "http", "port": port}],
        },
        opts=child,
    )
    return service, pods


def _autoscaler(
    name: str,
    args: WebAppArgs,
    deployment: pulumi.Input[str],
    child: pulumi.ResourceOptions,
) -> None:
    config = args.config
    targets = {"cpu": config.scale_cpu_percent, "memory": config.scale_memory_percent}
    k8s.autoscaling.v2.HorizontalPodAutoscaler(
        f"{name}-autoscaler",
        metadata=_in(args.namespace) | {"name": f"{name}-autoscaler"},
        spec={
            "scale_target_ref": {
                "api_version": "apps/v1",
                "kind": "Deployment",
                "name": deployment,
            },
            "min_replicas": config.min_replicas,
            "max_replicas": config.max_replicas,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {
                        "name": resource,
                        "target": {"type": "Utilization", "average_utilization": percent},
                    },
                }
                for resource, percent in targets.items()
            ],
        },
        opts=child,
    )


def _allow_https(
    name: str,
    selector: dict[str, str],
    private_ranges: tuple[str, ...],
    namespace: pulumi.Input[str],
    child: pulumi.ResourceOptions,
) -> None:
    k8s.networking.v1.NetworkPolicy(
        f"{name}-to-internet",
        metadata={"namespace": namespace},
        spec={
            "pod_selector": {"match_labels": selector},
            "policy_types": ["Egress"],
            "egress": [
                {
                    "to": [
                        {"ip_block": {"cidr": "0.0.0.0/0", "except_": PRIVATE}},
                        *({"ip_block": {"cidr": cidr}} for cidr in private_ranges),
                    ],
                    "ports": [{"port": 443, "protocol": "TCP"}],
                }
            ],
        },
        opts=child,
    )


def _first_jobs(
    name: str,
    args: WebAppArgs,
    volumes: list[k8s.core.v1.VolumeArgsDict],
    child: pulumi.ResourceOptions,
) -> list[pulumi.Resource]:
    """What has to succeed before the first pod of an image starts: the schema, then the data."""
    config = args.config
    if not (config.migration_command or config.seed_command):
        return []
    secret = k8s.core.v1.Secret(
        f"{name}-migration",
        metadata=_in(args.namespace),
        string_data=args.migration.env,
        opts=child,
    ).metadata.name
    jobs: list[pulumi.Resource] = []
    if config.migration_command:
        jobs.append(_migration(name, args, volumes, secret, child))
    if config.seed_command:
        after = pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=jobs))
        jobs.append(_seed(name, args, volumes, secret, after))
    return jobs


def _migration(
    name: str,
    args: WebAppArgs,
    volumes: list[k8s.core.v1.VolumeArgsDict],
    secret: pulumi.Input[str],
    child: pulumi.ResourceOptions,
) -> k8s.batch.v1.Job:
    """One Job per image and migration settings."""
    config, migration = args.config, args.migration
    steps = [*migration.before, *migration.after]
    containers = [
        *(step.container for step in migration.before),
        _with_direct_url("migrate", config.migration_command, args, secret),
        *(step.container for step in migration.after),
    ]
    spec: k8s.core.v1.PodSpecArgsDict = {
        "restart_policy": "Never",
        # One after the other, each only when the one before has succeeded.
        "init_containers": containers[:-1],
        "containers": containers[-1:],
        "volumes": [*volumes, *(volume for step in steps for volume in step.volumes)],
    }
    pod_labels = labels("migration", name) | reaches("postgres", "pgbouncer")
    for step in steps:
        pod_labels |= step.labels
    limit = pulumi.CustomTimeouts(create=f"{config.migration_timeout_s + 60}s")
    return k8s.batch.v1.Job(
        f"{name}-migration",
        metadata=_versioned(args),
        spec={
            "backoff_limit": 2,
            "active_deadline_seconds": config.migration_timeout_s,
            "template": {
                "metadata": {"labels": pod_labels},
                # The steps' group, because the dump's volume belongs to it.
                "spec": unprivileged(UID, GID, _pullable(config, spec)),
            },
        },
        opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(custom_timeouts=limit)),
    )


def _seed(
    name: str,
    args: WebAppArgs,
    volumes: list[k8s.core.v1.VolumeArgsDict],
    secret: pulumi.Input[str],
    child: pulumi.ResourceOptions,
) -> k8s.batch.v1.Job:
    """One Job per generation, whatever the image: data is put in once (DB-14)."""
    config = args.config
    spec: k8s.core.v1.PodSpecArgsDict = {
        "restart_policy": "Never",
        "containers": [_with_direct_url("seed", config.seed_command, args, secret)],
        "volumes": volumes,
    }
    pod_labels = labels("seed", name) | reaches("postgres", "pgbouncer")
    limit = pulumi.CustomTimeouts(create=f"{config.migration_timeout_s + 60}s")
    return k8s.batch.v1.Job(
        f"{name}-seed",
        metadata=_in(args.namespace) | {"name": f"{name}-seed-{config.seed_generation}"},
        spec={
            # Half of the data may be in already: a person decides whether it is run again.
            "backoff_limit": 0,
            "active_deadline_seconds": config.migration_timeout_s,
            "template": {
                "metadata": {"labels": pod_labels},
                "spec": unprivileged(config.uid, config.gid, _pullable(config, spec)),
            },
        },
        opts=pulumi.ResourceOptions.merge(
            child, pulumi.ResourceOptions(custom_timeouts=limit, ignore_changes=["spec"])
        ),
    )


def _with_direct_url(
    name: str, command: tuple[str, ...], args: WebAppArgs, secret: pulumi.Input[str]
) -> k8s.core.v1.ContainerArgsDict:
    """The application's image without its variables: each change of one would run it again."""
    config = args.config
    return {
        **_container(args),
        "name": name,
        "command": list(command),
        "env_from": [{"secret_ref": {"name": secret}}],
        "env": [
            {"name": "NODE_ENV", "value": "production"},
            *_authorities(args.own_authority),
        ],
        "security_context": {
            **CONTAINER_SECURITY,
            "run_as_user": config.uid,
            "run_as_group": config.gid,
        },
    }


def _authorities(own: bool) -> list[k8s.core.v1.EnvVarArgsDict]:
    """What Node.js and libpq verify the database with."""
    if not own:
        # libpq 16 and newer: the image's own authorities, as Node.js takes them anyway.
        return [{"name": "PGSSLROOTCERT", "value": "system"}]
    return [
        {"name": "NODE_EXTRA_CA_CERTS", "value": CA_FILE},
        {"name": "PGSSLROOTCERT", "value": CA_FILE},
    ]
