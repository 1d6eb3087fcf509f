"""Jobs that run psql or pg_dump: their files, the login they use, and a pod for one of them.

Leaves out what the scripts do (components/scripts) and when they run.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pulumi
import pulumi_kubernetes as k8s

from components.database import Database, Login
from components.network_policy import reaches
from components.pod import CONTAINER_SECURITY, unprivileged

SCRIPTS = Path(__file__).parent / "scripts"
FILES = "/etc/nextstack/job"
"""Where a step finds its scripts and `ca.pem`."""

UID = GID = 999  # user "postgres" of the Debian-based official image


@dataclass(frozen=True, kw_only=True)
class JobStep:
    """One container of a Job that may belong to another component.

    The pod around it needs `fs_group` GID, so that the step can write to its volumes.
    """

    container: k8s.core.v1.ContainerArgsDict
    volumes: list[k8s.core.v1.VolumeArgsDict]
    labels: dict[str, str] = field(default_factory=lambda: reaches("postgres"))
    """Labels of the pod that let the step reach its server; by default the database."""
    service_account: pulumi.Input[str] | None = None
    """What the pod runs as towards AWS; by default it has no rights anywhere."""


def job_files(
    name: str,
    scripts: list[str],
    ca_bundle: pulumi.Input[str],
    namespace: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
    more: Mapping[str, str] | None = None,
) -> pulumi.Output[str]:
    """The name of a new ConfigMap with scripts of this project, the CA, and `more` files."""
    files = {script: (SCRIPTS / script).read_text() for script in scripts}
    config_map = k8s.core.v1.ConfigMap(
        f"{name}-files",
        metadata={"namespace": namespace},
        data={**files, **(more or {}), "ca.pem": ca_bundle},
        opts=opts,
    )
    return config_map.metadata.name


def job_login(
    name: str,
    database: Database,
    login: Login,
    namespace: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
    more: Mapping[str, pulumi.Input[str]] | None = None,
) -> pulumi.Output[str]:
    """The name of a new Secret with libpq's environment for `login`, and `more` variables."""
    secret = k8s.core.v1.Secret(
        f"{name}-login",
        metadata={"namespace": namespace},
        string_data={
            "PGHOST": database.host,
            "PGPORT": pulumi.Output.format("{0}", database.port),
            "PGDATABASE": database.name,
            "PGUSER": login.username,
            "PGPASSWORD": login.password,
            "PGSSLMODE": database.tls_mode.value,
            # "system" (libpq 16): the image's own authorities, for public certificates.
            "PGSSLROOTCERT": pulumi.Output.from_input(database.ca_bundle).apply(
                lambda bundle: f"{FILES}/ca.pem" if bundle else "system"
            ),
            **(more or {}),
        },
        opts=opts,
    )
    return secret.metadata.name


def sql_step(
    name: str,
    script: str,
    *,
    image: str,
    files: pulumi.Input[str],
    login: pulumi.Input[str] | None,
    memory_mib: int = 256,
    env: dict[str, str] | None = None,
    mounts: dict[str, k8s.core.v1.VolumeArgsDict] | None = None,
    read_only: Collection[str] = (),
    labels: dict[str, str] | None = None,
    service_account: pulumi.Input[str] | None = None,
) -> JobStep:
    """A container that runs `script`; `mounts` are its volumes by path, some of them read-only."""
    volumes: list[k8s.core.v1.VolumeArgsDict] = [
        {"name": f"{name}-files", "config_map": {"name": files}},
        *(mounts or {}).values(),
    ]
    paths = [FILES, *(mounts or {})]
    container: k8s.core.v1.ContainerArgsDict = {
        "name": name,
        "image": image,
        "command": ["sh", f"{FILES}/{script}"],
        "env": [{"name": key, "value": value} for key, value in (env or {}).items()],
        "env_from": [] if login is None else [{"secret_ref": {"name": login}}],
        "resources": {
            "requests": {"cpu": "50m", "memory": "64Mi"},
            "limits": {"memory": f"{memory_mib}Mi"},
        },
        "security_context": {**CONTAINER_SECURITY, "run_as_user": UID, "run_as_group": GID},
        "volume_mounts": [
            {"name": volume["name"], "mount_path": path, "read_only": path in (FILES, *read_only)}
            for volume, path in zip(volumes, paths, strict=True)
        ],
    }
    return JobStep(
        container=container,
        volumes=volumes,
        labels=reaches("postgres") if labels is None else labels,
        service_account=service_account,
    )


def job_pod(
    steps: Sequence[JobStep], labels: dict[str, str]
) -> k8s.core.v1.PodTemplateSpecArgsDict:
    """A pod that takes `steps` one after the other, each only when the one before succeeded."""
    containers = [step.container for step in steps]
    spec: k8s.core.v1.PodSpecArgsDict = {
        "restart_policy": "Never",
        "containers": containers[-1:],
        # Steps may share a volume, which the pod has once.
        "volumes": [*{str(v["name"]): v for step in steps for v in step.volumes}.values()],
    }
    if len(steps) > 1:
        spec["init_containers"] = containers[:-1]
    for step in steps:
        labels = labels | step.labels
        if step.service_account is not None:
            spec["service_account_name"] = step.service_account
    return {"metadata": {"labels": labels}, "spec": unprivileged(UID, GID, spec)}
