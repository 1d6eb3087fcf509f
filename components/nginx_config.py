"""What a stack may say about nginx, what it is refused for, and what it shares with the pods.

Leaves out the text of nginx's own configuration (nginx_file.py).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_network

from components.image import unfixed
from components.security_headers import HeadersConfig
from components.stack_config import refuse

PATH = re.compile(r"/[A-Za-z0-9._~!&'()*+,=:@%/-]*")
# As in a Host header without its port: a name, *.name, or an IPv4 address.
HOST = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
ANY_HOST = "*"
# Measured as 40 KiB for a POST with 12 KiB of headers that waits for the application; TLS adds its
# buffers. Each takes two connections, the client's and the application's.
REQUEST_KIB = 64
# Program, configuration, and the shared zones when they are full.
FIXED_MIB = 56
OWN_PATHS = ("/", "/api/", "/api/auth/", "/_next/static/", "/_next/image", "/nginx-health")
OWN_TRIMMED = [path.rstrip("/") for path in OWN_PATHS]


class ServiceType(StrEnum):
    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"


@dataclass(frozen=True, kw_only=True)
class RateConfig:
    auth_per_second: int
    auth_burst: int
    api_per_second: int
    api_burst: int
    exempt_paths: tuple[str, ...]

    def __post_init__(self) -> None:
        numbers = {
            "auth_per_second": self.auth_per_second,
            "auth_burst": self.auth_burst,
            "api_per_second": self.api_per_second,
            "api_burst": self.api_burst,
        }
        refuse(
            [
                f"{name} is too small: got {number}, allowed 1 or more"
                for name, number in numbers.items()
                if number < 1
            ]
            + _no_paths("exempt_paths", self.exempt_paths)
        )


@dataclass(frozen=True, kw_only=True)
class NginxConfig:
    image: str
    replicas: int
    workers: int
    connections: int
    cpu_millis: int
    memory_mib: int
    scratch_mib: int
    asset_cache_mib: int
    service_type: ServiceType
    node_port: int
    service_annotations: dict[str, str]
    tls_secret: str
    extra_hosts: tuple[str, ...]
    trusted_ranges: tuple[str, ...]
    admitted_ranges: tuple[str, ...]
    lockdown: bool
    websocket_paths: tuple[str, ...]
    closed_paths: tuple[str, ...]
    dns_server: str
    dns_valid_s: int
    cluster_domain: str
    client_keepalive_s: int
    load_balancer_idle_s: int
    upstream_keepalive_s: int
    upstream_connection_life_s: int
    connect_timeout_s: int
    api_timeout_s: int
    page_timeout_s: int
    pre_stop_s: int
    rate: RateConfig
    headers: HeadersConfig

    def __post_init__(self) -> None:
        refuse(
            [
                *unfixed("image", self.image),
                *_sizes(self),
                *_memory(self),
                *_service(self),
                *_keep_alive(self),
                *_no_ranges("trusted_ranges", self.trusted_ranges),
                *_no_ranges("admitted_ranges", self.admitted_ranges),
                *_no_paths("websocket_paths", self.websocket_paths),
                *_no_paths("closed_paths", self.closed_paths),
                *_twice(self),
                *_no_names(self),
                *_no_hosts(self.extra_hosts),
            ]
        )

    @property
    def grace_s(self) -> int:
        """Seconds until a stopping pod is killed: the longest answer, and a reserve of 5 s."""
        return self.pre_stop_s + self.page_timeout_s + 5


def _sizes(config: NginxConfig) -> list[str]:
    least = {
        "replicas": 2,
        "workers": 1,
        "connections": 64,
        "cpu_millis": 1,
        "memory_mib": 32,
        "asset_cache_mib": 8,
        "dns_valid_s": 1,
        "upstream_connection_life_s": 1,
        "connect_timeout_s": 1,
        "api_timeout_s": 1,
        "page_timeout_s": 1,
        "pre_stop_s": 1,
    }
    problems = [
        f"{name} is too small: got {getattr(config, name)}, allowed {minimum} or more"
        for name, minimum in least.items()
        if getattr(config, name) < minimum
    ]
    if config.scratch_mib < 2 * config.asset_cache_mib:
        problems.append(
            f"scratch_mib is too small: got {config.scratch_mib}, allowed "
            f"{2 * config.asset_cache_mib} or more, twice nginxAssetCacheMib; it also holds "
            "uploads, and a full one evicts the pod"
        )
    return problems


def _memory(config: NginxConfig) -> list[str]:
    """A pod that takes in more requests than fit is killed with all of them."""
    requests = config.workers * config.connections // 2
    needed = FIXED_MIB + -(-requests * REQUEST_KIB // 1024)
    if config.memory_mib >= needed:
        return []
    return [
        f"memory_mib is too small: got {config.memory_mib}, allowed {needed} or more for "
        f"nginxWorkers {config.workers} x nginxConnections {config.connections}, which hold "
        f"{requests} requests of {REQUEST_KIB} KiB; lower one of them, or raise nginxMemoryMib"
    ]


def _service(config: NginxConfig) -> list[str]:
    if config.node_port == 0:
        return []
    if config.service_type is not ServiceType.NODE_PORT:
        return [
            f"node_port has no effect: got {config.node_port}, allowed 0 unless nginxServiceType "
            "is NodePort"
        ]
    if not 30000 <= config.node_port <= 32767:
        return [
            f"node_port is out of range: got {config.node_port}, allowed 30000 to 32767, or 0 for "
            "any free one"
        ]
    return []


def _keep_alive(config: NginxConfig) -> list[str]:
    """Whoever sends must close first: else a request meets a closed connection (WB-3)."""
    problems: list[str] = []
    if config.client_keepalive_s <= config.load_balancer_idle_s:
        problems.append(
            f"client_keepalive_s is too short: got {config.client_keepalive_s}, allowed more than "
            f"nginxLoadBalancerIdleS ({config.load_balancer_idle_s})"
        )
    if config.upstream_connection_life_s > config.upstream_keepalive_s:
        problems.append(
            "upstream_connection_life_s is too long: got "
            f"{config.upstream_connection_life_s}, allowed at most nginxUpstreamKeepaliveS "
            f"({config.upstream_keepalive_s})"
        )
    return problems


def _no_ranges(name: str, ranges: tuple[str, ...]) -> list[str]:
    problems: list[str] = []
    for entry in ranges:
        try:
            if ip_network(entry).prefixlen:
                continue
            reason = "everybody is no range"
        except ValueError as error:
            reason = str(error)
        problems.append(
            f"{name} has a malformed range: got {entry!r} ({reason}), allowed CIDR ranges such as "
            "10.0.0.0/16"
        )
    return problems


def _no_paths(name: str, paths: tuple[str, ...]) -> list[str]:
    return [
        f"{name} has a malformed path: got {path!r}, allowed a path such as /api/hook, or /hooks/ "
        "with all below it"
        for path in paths
        if not PATH.fullmatch(path)
    ]


def _twice(config: NginxConfig) -> list[str]:
    """Paths with two meanings, which nginx would only refuse when it starts."""
    closed = [path.rstrip("/") for path in config.closed_paths]
    open_ = [path.rstrip("/") for path in config.websocket_paths]
    return [
        f"{name} has a path with another meaning: got {path or '/'}, allowed each path once, and "
        f"none of {', '.join(OWN_PATHS)}"
        for name, paths, others in (
            ("closed_paths", closed, []),
            ("websocket_paths", open_, closed),
        )
        for path in sorted(set(paths))
        if paths.count(path) > 1 or path in others or path in OWN_TRIMMED
    ]


def _no_names(config: NginxConfig) -> list[str]:
    names = {"dns_server": config.dns_server, "cluster_domain": config.cluster_domain}
    problems = [
        f"{name} is malformed: got {value!r}, allowed a DNS name or address"
        for name, value in names.items()
        if not re.fullmatch(r"[A-Za-z0-9.-]+", value)
    ]
    if config.tls_secret and not re.fullmatch(r"[a-z0-9.-]+", config.tls_secret):
        problems.append(
            f"tls_secret is malformed: got {config.tls_secret!r}, allowed the name of a Secret of "
            "type kubernetes.io/tls, or nothing"
        )
    return problems


def _no_hosts(hosts: tuple[str, ...]) -> list[str]:
    return [
        f"extra_hosts has a malformed name: got {host!r}, allowed a host such as "
        "shop.example.com or *.example.com without a port, an IPv4 address, or * for any"
        for host in hosts
        if host != ANY_HOST and not HOST.fullmatch(host)
    ]


@dataclass(frozen=True, kw_only=True)
class Front:
    """What stands before nginx, and the names that people know it by."""

    hosts: tuple[str, ...]
    """Whoever asks for another host gets 421; "*" is any."""
    balancer_tls: bool = False
    """Whether the Service's load balancer ends TLS; by default nginx does, or a proxy before it."""
    cdn: bool = False
    """Whether a CDN asks for people, and nobody else may; by default they ask themselves."""

    @property
    def answers_all(self) -> bool:
        return ANY_HOST in self.hosts


@dataclass(frozen=True, kw_only=True)
class SharedSettings:
    """What nginx enforces and the application is told: one value for both."""

    https: bool
    """Whether people reach the site over HTTPS."""
    deployment_version: str
    cors_origins: tuple[str, ...]
    form_targets: tuple[str, ...]
    """Origins of the sign-in providers."""
    csp_sources: Mapping[str, tuple[str, ...]]
    """What configured analytics need of the content security policy, by directive."""
    keep_alive_ms: int
    """After which the application closes an idle connection."""
    upload_max_size: int
    """Bytes of the longest request body."""
    rate_limits: bool
    requests_per_minute: int
    minute_burst: int
    security_headers: bool
    csp: bool
    hsts_max_age: int
    maintenance: bool
    enhanced: bool
    """Whether limits are halved and requests are logged in full."""


PROVIDERS = {
    "GITHUB_CLIENT_ID": "https://github.com",
    "GOOGLE_CLIENT_ID": "https://accounts.google.com",
}
# Where their scripts come from and report to; pictures may come from any https address (HD-5).
ANALYTICS = {
    "GOOGLE_ANALYTICS_ID": {
        "script-src": ("https://*.googletagmanager.com",),
        "connect-src": (
            "https://*.google-analytics.com",
            "https://*.analytics.google.com",
            "https://*.googletagmanager.com",
        ),
    },
    "POSTHOG_KEY": {
        "script-src": ("https://*.posthog.com",),
        "connect-src": ("https://*.posthog.com",),
    },
    "VERCEL_ANALYTICS_ID": {
        "script-src": ("https://va.vercel-scripts.com",),
        "connect-src": ("https://vitals.vercel-insights.com",),
    },
}


def shared_settings(
    plain: Callable[[str], str],
    *,
    https: bool,
    deployment_version: str,
    cors_origins: tuple[str, ...],
    keep_alive_ms: int,
) -> SharedSettings:
    """Reads what is in the environment contract; `plain` gives the value of a plain variable."""
    return SharedSettings(
        https=https,
        deployment_version=deployment_version,
        cors_origins=cors_origins,
        form_targets=tuple(origin for name, origin in PROVIDERS.items() if plain(name)),
        csp_sources=_sources_of_analytics(plain),
        keep_alive_ms=keep_alive_ms,
        upload_max_size=int(plain("UPLOAD_MAX_SIZE")),
        rate_limits=plain("API_RATE_LIMIT_ENABLED") == "true",
        requests_per_minute=int(plain("RATE_LIMIT_REQUESTS_PER_MINUTE")),
        minute_burst=int(plain("RATE_LIMIT_MAX_BURST")),
        security_headers=plain("SECURITY_HEADERS_ENABLED") == "true",
        csp=plain("CSP_ENABLED") == "true",
        hsts_max_age=int(plain("HSTS_MAX_AGE")),
        maintenance=plain("MAINTENANCE_MODE") == "true",
        enhanced=plain("SECURITY_MODE") == "enhanced",
    )


def _sources_of_analytics(plain: Callable[[str], str]) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, sources in ANALYTICS.items():
        if plain(name):
            found |= {d: (*found.get(d, ()), *added) for d, added in sources.items()}
    return found
