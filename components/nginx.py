"""nginx in front of the application: its pods, their address, and who may talk to whom.

Leaves out what nginx does with a request (nginx_file.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.network_policy import reaches
from components.nginx_config import Front, NginxConfig, ServiceType, SharedSettings
from components.nginx_file import (
    CDN_FILE,
    HEALTH_PATH,
    HTTP_PORT,
    HTTPS_PORT,
    SCRATCH,
    TLS_FOLDER,
    cdn_file,
    nginx_file,
)
from components.pod import CONTAINER_SECURITY, labels, spread, unprivileged

UID = GID = 101  # user "nginx" of the official unprivileged image
FILE = "/etc/nextstack/nginx/nginx.conf"
ANNOTATION = "service.beta.kubernetes.io/aws-load-balancer-"
# TLS 1.2 and 1.3 with forward secrecy and authenticated ciphers alone: Mozilla's "intermediate"
# without what AWS lacks (ChaCha20 in TLS 1.2, finite-field Diffie-Hellman).
TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-Res-2021-06"


@dataclass(frozen=True, kw_only=True)
class NginxArgs:
    config: NginxConfig
    shared: SharedSettings
    namespace: pulumi.Input[str]
    app_host: pulumi.Input[str]
    """Name that resolves to the application's pods, without the cluster's domain."""
    app_port: int
    domain: str
    """Host that people ask for."""
    on_aws: bool = False
    """Whether the cluster's load balancers are those of AWS; by default any."""
    certificate_arn: pulumi.Input[str] | None = None
    """Certificate of the load balancer on AWS that ends TLS; by default none does."""
    cdn_secrets: Sequence[pulumi.Input[str]] = ()
    """What a CDN shows in CDN_HEADER; by default there is none, and everybody may ask."""

    @property
    def front(self) -> Front:
        return Front(
            hosts=(self.domain, *self.config.extra_hosts),
            balancer_tls=self.certificate_arn is not None,
            cdn=bool(self.cdn_secrets),
        )

    def __post_init__(self) -> None:
        if self.shared.keep_alive_ms <= self.config.upstream_keepalive_s * 1000:
            raise ValueError(
                f"KEEP_ALIVE_TIMEOUT is too short: got {self.shared.keep_alive_ms} ms, allowed "
                f"more than nginxUpstreamKeepaliveS ({self.config.upstream_keepalive_s} s); else "
                "nginx sends requests into connections that the application just closed"
            )


class Nginx(pulumi.ComponentResource):
    host: pulumi.Output[str]
    """DNS name of the Service inside the cluster."""
    address: pulumi.Output[str]
    """DNS name of the load balancer; empty where there is none, or one without a name."""

    def __init__(
        self, name: str, args: NginxArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:Nginx", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        metadata: k8s.meta.v1.ObjectMetaArgsDict = {"namespace": args.namespace}
        selector = labels("nginx", name)
        file = pulumi.Output.from_input(args.app_host).apply(
            lambda host: nginx_file(args.config, args.shared, args.front, host, args.app_port)
        )
        cdn_secret = self._cdn_secret(name, args, metadata, child)
        config_map = k8s.core.v1.ConfigMap(
            f"{name}-config", metadata=metadata, data={"nginx.conf": file}, opts=child
        )
        deployment = k8s.apps.v1.Deployment(
            f"{name}-server",
            metadata=metadata | {"name": f"{name}-server"},
            spec=_deployment(args, config_map.metadata.name, cdn_secret, selector),
            opts=child,
        )
        k8s.policy.v1.PodDisruptionBudget(
            f"{name}-disruption",
            metadata=metadata | {"name": f"{name}-disruption"},
            spec={"max_unavailable": 1, "selector": {"match_labels": selector}},
            opts=child,
        )
        _allow_everybody(name, args, selector, child)
        service = k8s.core.v1.Service(
            f"{name}-service",
            metadata={
                "name": "nginx",
                "namespace": args.namespace,
                "annotations": _annotations(args),
            },
            spec=_service(args, selector),
            # The Service counts as made once it has an address and a pod behind it.
            opts=pulumi.ResourceOptions.merge(
                child, pulumi.ResourceOptions(depends_on=[deployment])
            ),
        )
        self.host = service.metadata.name
        self.address = service.status.apply(_address)
        self.register_outputs({"host": self.host, "address": self.address})

    def _cdn_secret(
        self,
        name: str,
        args: NginxArgs,
        metadata: k8s.meta.v1.ObjectMetaArgsDict,
        child: pulumi.ResourceOptions,
    ) -> pulumi.Input[str]:
        """Name of the Secret with the part of the configuration that is one; empty for none."""
        if not args.cdn_secrets:
            return ""
        secret = k8s.core.v1.Secret(
            f"{name}-cdn",
            metadata=metadata,
            string_data={
                CDN_FILE.rsplit("/", 1)[1]: pulumi.Output.all(*args.cdn_secrets).apply(cdn_file)
            },
            opts=child,
        )
        return secret.metadata.name


def _address(status: k8s.core.v1.outputs.ServiceStatus | None) -> str:
    """AWS names its load balancers; other clouds only have their addresses."""
    balancer = status.load_balancer if status else None
    points = (balancer.ingress if balancer else None) or []
    return next((point.hostname for point in points if point.hostname), "")


def _annotations(args: NginxArgs) -> dict[str, pulumi.Input[str]]:
    """What makes the load balancer of a cluster on AWS a network load balancer, which ends TLS.

    Its own add-on would have to be installed first; these the cluster's cloud controller reads by
    itself. Clients keep their addresses: nodes without a pod fail the health check (Local, below).
    """
    aws: dict[str, pulumi.Input[str]] = {}
    ours = args.config.service_type is ServiceType.LOAD_BALANCER
    if ours and (args.on_aws or args.front.balancer_tls):
        aws = {
            f"{ANNOTATION}type": "nlb",
            f"{ANNOTATION}internal": "false",
            f"{ANNOTATION}cross-zone-load-balancing-enabled": "true",
            f"{ANNOTATION}target-group-attributes": "preserve_client_ip.enabled=true",
        }
    if args.certificate_arn is not None:
        aws |= {
            f"{ANNOTATION}ssl-cert": args.certificate_arn,
            f"{ANNOTATION}ssl-ports": "https",
            f"{ANNOTATION}ssl-negotiation-policy": TLS_POLICY,
            f"{ANNOTATION}backend-protocol": "tcp",
        }
    return aws | args.config.service_annotations


def _ports(args: NginxArgs) -> dict[str, int]:
    secure = args.config.tls_secret or args.front.balancer_tls
    return {"http": HTTP_PORT} | ({"https": HTTPS_PORT} if secure else {})


def _deployment(
    args: NginxArgs,
    config_map: pulumi.Input[str],
    cdn_secret: pulumi.Input[str],
    selector: dict[str, str],
) -> k8s.apps.v1.DeploymentSpecArgsDict:
    config = args.config
    volumes: list[k8s.core.v1.VolumeArgsDict] = [
        {"name": "config", "config_map": {"name": config_map}},
        {"name": "scratch", "empty_dir": {"size_limit": f"{config.scratch_mib}Mi"}},
    ]
    if config.tls_secret:
        secret: k8s.core.v1.SecretVolumeSourceArgsDict = {
            "secret_name": config.tls_secret,
            "default_mode": 0o440,
        }
        volumes.append({"name": "tls", "secret": secret})
    if args.front.cdn:
        volumes.append(
            {"name": "cdn", "secret": {"secret_name": cdn_secret, "default_mode": 0o440}}
        )
    pod: k8s.core.v1.PodSpecArgsDict = {
        "termination_grace_period_seconds": config.grace_s,
        "topology_spread_constraints": spread(selector),
        "containers": [_container(args)],
        "volumes": volumes,
    }
    return {
        "replicas": config.replicas,
        "selector": {"match_labels": selector},
        "strategy": {"rolling_update": {"max_unavailable": 0, "max_surge": 1}},
        "progress_deadline_seconds": 180,
        "template": {
            "metadata": {"labels": selector | reaches("web")},
            "spec": unprivileged(UID, GID, pod),
        },
    }


def _container(args: NginxArgs) -> k8s.core.v1.ContainerArgsDict:
    config = args.config
    memory = {"memory": f"{config.memory_mib}Mi"}
    mounts: list[k8s.core.v1.VolumeMountArgsDict] = [
        {"name": "config", "mount_path": FILE.rsplit("/", 1)[0]},
        {"name": "scratch", "mount_path": SCRATCH},
    ]
    if config.tls_secret:
        mounts.append({"name": "tls", "mount_path": TLS_FOLDER})
    if args.front.cdn:
        mounts.append({"name": "cdn", "mount_path": CDN_FILE.rsplit("/", 1)[0]})
    return {
        "name": "nginx",
        "image": config.image,
        # -e: else it opens a log file of its own before it reads the configuration.
        "command": ["nginx", "-e", "stderr", "-g", "daemon off;", "-c", FILE],
        "ports": [{"name": name, "container_port": port} for name, port in _ports(args).items()],
        "lifecycle": {"pre_stop": {"sleep": {"seconds": config.pre_stop_s}}},
        "readiness_probe": {
            "http_get": {"path": HEALTH_PATH, "port": HTTP_PORT},
            "period_seconds": 5,
            "timeout_seconds": 2,
        },
        "liveness_probe": {"tcp_socket": {"port": HTTP_PORT}, "timeout_seconds": 2},
        "resources": {"requests": {"cpu": f"{config.cpu_millis}m", **memory}, "limits": memory},
        "security_context": CONTAINER_SECURITY,
        "volume_mounts": mounts,
    }


def _service(args: NginxArgs, selector: dict[str, str]) -> k8s.core.v1.ServiceSpecArgsDict:
    config = args.config
    public = {"http": 80, "https": 443}
    ports: list[k8s.core.v1.ServicePortArgsDict] = [
        {"name": name, "port": public[name], "target_port": port}
        for name, port in _ports(args).items()
    ]
    if config.node_port:
        # With a certificate the named port is the one for HTTPS.
        ports[-1]["node_port"] = config.node_port
    spec: k8s.core.v1.ServiceSpecArgsDict = {
        "type": config.service_type.value,
        "selector": selector,
        "ports": ports,
    }
    if config.service_type is not ServiceType.CLUSTER_IP:
        # Else the node's address takes the place of the client's, and all share one rate limit.
        spec["external_traffic_policy"] = "Local"
    return spec


def _allow_everybody(
    name: str, args: NginxArgs, selector: dict[str, str], child: pulumi.ResourceOptions
) -> None:
    k8s.networking.v1.NetworkPolicy(
        f"{name}-from-everybody",
        metadata={"namespace": args.namespace},
        spec={
            "pod_selector": {"match_labels": selector},
            "policy_types": ["Ingress"],
            "ingress": [
                {"ports": [{"port": port, "protocol": "TCP"} for port in _ports(args).values()]}
            ],
        },
        opts=child,
    )
