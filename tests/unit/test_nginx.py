"""Nginx: what it refuses, what it hands to the cluster, and the text of its configuration.

How a real nginx behaves with that text is in tests/e2e/test_nginx_config.py.
"""

import re
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from conftest import STACKS, deploy, deploy_stack, knobs

from components.environment import EnvironmentConfig
from components.nginx import Nginx, NginxArgs
from components.nginx_config import Front, NginxConfig, SharedSettings, shared_settings
from components.nginx_file import MAINTENANCE_PAGE, nginx_file
from components.security_headers import (
    CspMode,
    HeadersConfig,
    content_security_policy,
    security_headers,
)
from offline.recorder import Graph

HASH = "'sha256-x'"
OURS = Front(hosts=("shop.example",))
ARN = "arn:aws:acm:us-east-1:123456789012:certificate/1"
AWS = "service.beta.kubernetes.io/aws-load-balancer-"


def config(stack: str = "dev", **changes: Any) -> NginxConfig:
    return knobs(NginxConfig, "nginx", stack, **changes)


def shared(stack: str = "dev", https: bool = False, **changes: Any) -> SharedSettings:
    environment = knobs(EnvironmentConfig, "", stack)
    settings = shared_settings(
        environment.plain,
        https=https,
        deployment_version="3f2a9c1",
        cors_origins=("https://shop.example",),
        keep_alive_ms=75_000,
    )
    return replace(settings, **changes)


def text(
    stack: str = "dev",
    settings: SharedSettings | None = None,
    front: Front = OURS,
    **changes: Any,
) -> str:
    settings = settings or shared(stack)
    return nginx_file(config(stack, **changes), settings, front, "web-pods.a.svc", 3000)


def run(
    settings: SharedSettings | None = None,
    certificate_arn: str | None = None,
    cdn_secrets: tuple[str, ...] = (),
    **changes: Any,
) -> Graph:
    args = NginxArgs(
        config=config(**changes),
        shared=settings or shared(),
        namespace="shop",
        app_host="web-pods.shop.svc",
        app_port=3000,
        domain="shop.example",
        certificate_arn=certificate_arn,
        cdn_secrets=cdn_secrets,
    )
    return deploy(lambda: Nginx("nginx", args))


def pod(graph: Graph) -> dict[str, Any]:
    return graph.one("Deployment").inputs["spec"]["template"]["spec"]


def lines(configuration: str) -> list[str]:
    return [line.strip() for line in configuration.splitlines()]


def test_registers_exactly_these_resources() -> None:
    kinds = Counter(r.type.rsplit(":", 1)[1] for r in run().resources if "Stack" not in r.type)
    assert kinds == {
        "Nginx": 1,
        "ConfigMap": 1,
        "Deployment": 1,
        "PodDisruptionBudget": 1,
        "NetworkPolicy": 1,
        "Service": 1,
    }


def test_two_unprivileged_pods_that_write_to_one_folder() -> None:
    """WB-1, AP-4."""
    graph = run()
    spec = graph.one("Deployment").inputs["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert graph.one("PodDisruptionBudget").inputs["spec"]["maxUnavailable"] == 1
    [container] = pod(graph)["containers"]
    assert pod(graph)["securityContext"]["runAsUser"] == 101
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["command"] == [
        *("nginx", "-e", "stderr", "-g", "daemon off;"),
        *("-c", "/etc/nextstack/nginx/nginx.conf"),
    ]
    writable = {v["name"] for v in pod(graph)["volumes"] if "emptyDir" in v}
    assert {m["mountPath"] for m in container["volumeMounts"] if m["name"] in writable} == {"/tmp"}


def test_a_stopping_pod_finishes_the_longest_answer() -> None:
    """The open point of defaults.md: pre-stop, 60 s for a page, and a reserve."""
    spec = pod(run())
    assert spec["terminationGracePeriodSeconds"] == 10 + 60 + 5
    assert spec["containers"][0]["lifecycle"] == {"preStop": {"sleep": {"seconds": 10}}}
    assert "worker_shutdown_timeout 60s;" in lines(text())


def test_pods_read_the_generated_file() -> None:
    """AP-10: the ConfigMap has no name of its own, so that a change rolls the pods."""
    graph = run()
    file = graph.one("ConfigMap")
    assert "name" not in file.inputs["metadata"]
    assert file.inputs["data"]["nginx.conf"] == nginx_file(
        config(),
        shared(),
        Front(hosts=("shop.example", *config().extra_hosts)),
        "web-pods.shop.svc",
        3000,
    )
    assert file.urn in graph.one("Deployment").depends_on


def test_probes_do_not_need_the_application() -> None:
    """WB-13."""
    [container] = pod(run())["containers"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/nginx-health", "port": 8080}
    assert container["livenessProbe"]["tcpSocket"] == {"port": 8080}


@pytest.mark.parametrize(
    ("stack", "kind", "port"),
    [("dev", "NodePort", 30080), ("staging", "LoadBalancer", 0), ("production", "LoadBalancer", 0)],
)
def test_how_it_is_reached(stack: str, kind: str, port: int) -> None:
    """WB-1."""
    settings = config(stack)
    assert (settings.service_type, settings.node_port, settings.replicas) == (kind, port, 2)


def test_the_service_keeps_the_clients_address() -> None:
    """WB-4: limits are per address."""
    spec = run().one("Service").inputs["spec"]
    assert spec["externalTrafficPolicy"] == "Local"
    assert spec["ports"] == [{"name": "http", "port": 80, "targetPort": 8080, "nodePort": 30080}]
    inner = run(service_type="ClusterIP", node_port=0).one("Service").inputs["spec"]
    assert "externalTrafficPolicy" not in inner
    assert inner["type"] == "ClusterIP"


def test_a_certificate_opens_the_port_for_https() -> None:
    """WB-2."""
    graph = run(shared(https=True), tls_secret="site-tls")
    ports = {p["name"]: p["targetPort"] for p in graph.one("Service").inputs["spec"]["ports"]}
    assert ports == {"http": 8080, "https": 8443}
    [volume] = [v for v in pod(graph)["volumes"] if v["name"] == "tls"]
    assert volume["secret"] == {"secretName": "site-tls", "defaultMode": 0o440}
    opened = graph.one("NetworkPolicy").inputs["spec"]["ingress"][0]["ports"]
    assert [port["port"] for port in opened] == [8080, 8443]
    file = graph.one("ConfigMap").inputs["data"]["nginx.conf"]
    assert "ssl_protocols TLSv1.2 TLSv1.3;" in lines(file)


def test_a_load_balancer_on_aws_ends_tls() -> None:
    """WB-1, WB-2, WB-4."""
    chosen: dict[str, Any] = {"service_type": "LoadBalancer", "node_port": 0}
    graph = run(shared(https=True), certificate_arn=ARN, **chosen)
    service = graph.one("Service").inputs
    assert service["metadata"]["annotations"] == {
        f"{AWS}type": "nlb",
        f"{AWS}internal": "false",
        f"{AWS}cross-zone-load-balancing-enabled": "true",
        f"{AWS}ssl-cert": ARN,
        f"{AWS}ssl-ports": "https",
        f"{AWS}ssl-negotiation-policy": "ELBSecurityPolicy-TLS13-1-2-Res-2021-06",
        f"{AWS}backend-protocol": "tcp",
        f"{AWS}target-group-attributes": "preserve_client_ip.enabled=true",
    }
    assert service["spec"]["ports"] == [
        {"name": "http", "port": 80, "targetPort": 8080},
        {"name": "https", "port": 443, "targetPort": 8443},
    ]
    assert service["spec"]["externalTrafficPolicy"] == "Local"
    file = graph.one("ConfigMap").inputs["data"]["nginx.conf"]
    assert "listen 8443;" in lines(file)
    assert "ssl_certificate" not in file
    ours = run(shared(https=True), certificate_arn=ARN, service_annotations={f"{AWS}type": "x"})
    assert ours.one("Service").inputs["metadata"]["annotations"][f"{AWS}type"] == "x"


def test_the_secret_of_the_cdn_is_in_a_secret() -> None:
    """DT-3, SC-3."""
    graph = run(shared(https=True), certificate_arn=ARN, cdn_secrets=("k1", "k2"))
    assert graph.one("Secret").inputs["stringData"] == {
        "secret.conf": "map_hash_bucket_size 256;\nmap $http_x_origin_secret $from_cdn {\n"
        '    "default" "0";\n    "k1" "1";\n    "k2" "1";\n}\n'
    }
    assert "k1" not in graph.one("ConfigMap").inputs["data"]["nginx.conf"]
    [volume] = [v for v in pod(graph)["volumes"] if v["name"] == "cdn"]
    assert volume["secret"] == {"secretName": "nginx-cdn", "defaultMode": 0o440}
    [mount] = [m for m in pod(graph)["containers"][0]["volumeMounts"] if m["name"] == "cdn"]
    assert mount["mountPath"] == "/etc/nextstack/cdn"


def test_only_our_hosts_are_served() -> None:
    """WB-4."""
    own = lines(text("production", front=Front(hosts=("a.example", "*.b.example"))))
    assert "server_name a.example *.b.example;" in own
    assert "return 421;" in own
    assert "421" not in text(front=Front(hosts=("a.example", "*")))


def test_pods_reach_the_application_only() -> None:
    labels = run().one("Deployment").inputs["spec"]["template"]["metadata"]["labels"]
    assert [name for name in labels if "reaches" in name] == ["nextstack/reaches-web"]


def test_an_application_that_hangs_up_first_is_refused() -> None:
    """WB-3: app 75 s > nginx 60 s."""
    with pytest.raises(ValueError, match="KEEP_ALIVE_TIMEOUT is too short: got 60000 ms, allowed"):
        run(shared(keep_alive_ms=60_000))


@pytest.mark.parametrize(
    ("line", "requirement"),
    [
        ("keepalive_timeout 75s;", "WB-3, to clients"),
        ("keepalive_timeout 60s;", "WB-3, to the application"),
        ("keepalive_time 5s;", "shorter than the pods' pre-stop"),
        ("large_client_header_buffers 4 16k;", "WB-5"),
        ("proxy_buffer_size 32k;", "WB-5"),
        ("proxy_buffering off;", "WB-5"),
        ("client_max_body_size 50000000;", "WB-6"),
        ("proxy_connect_timeout 5s;", "WB-7"),
        ("proxy_read_timeout 60s;", "WB-7, pages"),
        ("proxy_read_timeout 30s;", "WB-7, /api"),
        ("proxy_next_upstream_tries 2;", "WB-7"),
        ("server web-pods.a.svc.cluster.local:3000 resolve max_fails=0;", "WB-8"),
        ("limit_req_zone $limited_client zone=auth:10m rate=10r/s;", "RL-1"),
        ("limit_req zone=auth burst=10;", "RL-1, delayed"),
        ("limit_req_zone $limited_client zone=api:10m rate=50r/s;", "RL-2"),
        ("limit_req zone=api burst=20;", "RL-2, delayed"),
        ("limit_req_zone $limited_client zone=minute:10m rate=100r/m;", "RL-3"),
        ("limit_req zone=minute burst=20 nodelay;", "RL-3, immediate"),
        ("server_tokens off;", "HD-9"),
    ],
)
@pytest.mark.parametrize("stack", STACKS)
def test_default_numbers(stack: str, line: str, requirement: str) -> None:
    assert line in lines(text(stack)), requirement


def test_enhanced_mode_halves_the_rates_and_logs_more() -> None:
    """WB-12."""
    enhanced = text(settings=shared(enhanced=True))
    assert re.findall(r"rate=(\S+);", enhanced) == ["5r/s", "25r/s", "50r/m"]
    assert '"user_agent"' in enhanced
    assert '"user_agent"' not in text()


def test_switched_off_limits_leave_no_zone() -> None:
    assert "limit_req" not in text(settings=shared(rate_limits=False))


def test_the_log_has_what_is_asked_for_and_no_query() -> None:
    """WB-14."""
    [log] = [line for line in lines(text()) if line.startswith("log_format")]
    assert re.findall(r'"(\w+)":', log) == [
        *("time", "request_id", "client", "method", "path", "status", "duration_s"),
        *("upstream_duration_s", "bytes", "version"),
    ]
    assert "escape=json" in log
    assert "$request_uri" not in log and "$args" not in log


def test_the_maintenance_page_fits_into_the_configuration() -> None:
    """nginx takes parameters of less than 4,096 bytes; quotes and variables would break out."""
    assert len(MAINTENANCE_PAGE.encode()) < 4000
    assert not set("'$\\") & set(MAINTENANCE_PAGE)
    shut = text(settings=shared(maintenance=True))
    assert "add_header Retry-After 600 always;" in lines(shut)
    assert "@maintenance" not in text()


def test_lockdown_goes_before_maintenance() -> None:
    both = text(settings=shared(maintenance=True), lockdown=True)
    assert "return 403" in both
    assert "return 503" not in both


HD_5 = (
    "default-src 'self'; script-src 'self' 'unsafe-eval' 'unsafe-inline'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' blob: data: https:; font-src 'self' data:; "
    "connect-src 'self' *.sentry.io; media-src 'self' blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)


def policy(https: bool = False, targets: tuple[str, ...] = (), **changes: Any) -> str:
    headers = replace(knobs(HeadersConfig, "nginxHeaders"), **changes)
    sources = {"form-action": targets}
    if headers.csp_mode is CspMode.STRICT:
        sources["style-src"] = (HASH,)
    return content_security_policy(headers, https=https, sources=sources)


def test_the_content_security_policy() -> None:
    """HD-5, HD-6."""
    assert policy() == HD_5
    assert policy(https=True) == f"{HD_5}; upgrade-insecure-requests"
    assert "form-action 'self' https://github.com;" in policy(targets=("https://github.com",))
    added = policy(csp_additions={"script-src": "https://a.b https://c.d", "object-src": "blob:"})
    assert "script-src 'self' 'unsafe-eval' 'unsafe-inline' https://a.b https://c.d;" in added
    assert "object-src blob:;" in added


def test_the_strict_policy_allows_nginx_own_page_only() -> None:
    """S-25."""
    strict = policy(csp_mode=CspMode.STRICT)
    assert "unsafe" not in strict
    assert f"style-src 'self' {HASH};" in strict


def test_the_other_security_headers() -> None:
    """HD-1 … HD-3, HD-7, HD-8."""
    assert security_headers(knobs(HeadersConfig, "nginxHeaders")) == {
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "strict-origin-when-cross-origin",
        "Permissions-Policy": "camera=(), microphone=(self), geolocation=()",
    }
    old = knobs(HeadersConfig, "nginxHeaders", xss_protection="1; mode=block")
    assert security_headers(old)["X-XSS-Protection"] == "1; mode=block"


@pytest.mark.parametrize(
    ("given", "targets"),
    [
        ({}, ()),
        ({"GITHUB_CLIENT_ID": "a"}, ("https://github.com",)),
        ({"GOOGLE_CLIENT_ID": "a"}, ("https://accounts.google.com",)),
    ],
)
def test_sign_in_providers_may_take_forms(given: dict[str, str], targets: tuple[str, ...]) -> None:
    """HD-6, S-26."""
    plain = knobs(EnvironmentConfig, "").plain
    settings = shared_settings(
        lambda name: given.get(name) or plain(name),
        https=False,
        deployment_version="1",
        cors_origins=(),
        keep_alive_ms=75_000,
    )
    assert settings.form_targets == targets


@pytest.mark.parametrize(
    ("name", "script", "reports"),
    [
        ("GOOGLE_ANALYTICS_ID", "https://*.googletagmanager.com", "https://*.google-analytics.com"),
        ("POSTHOG_KEY", "https://*.posthog.com", "https://*.posthog.com"),
        (
            "VERCEL_ANALYTICS_ID",
            "https://va.vercel-scripts.com",
            "https://vitals.vercel-insights.com",
        ),
    ],
)
def test_configured_analytics_are_in_the_policy(name: str, script: str, reports: str) -> None:
    """Section 10: their hosts must be in the CSP lists; without them nobody else's are (S-18)."""
    plain = knobs(EnvironmentConfig, "").plain
    settings = shared_settings(
        lambda key: "an-id" if key == name else plain(key),
        https=False,
        deployment_version="1",
        cors_origins=(),
        keep_alive_ms=75_000,
    )
    file = text(settings=settings)
    assert re.search(rf"script-src [^;]*{re.escape(script)}", file)
    assert re.search(rf"connect-src [^;]*{re.escape(reports)}", file)
    assert script not in text()


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"image": "nginx:1.30"}, "nginxImage is not fixed: got 'nginx:1.30'"),
    ({"replicas": 1}, "nginxReplicas is too small: got 1, allowed 2 or more"),
    ({"workers": 0}, "nginxWorkers is too small"),
    ({"cpu_millis": 0}, "nginxCpuMillis is too small"),
    ({"memory_mib": 16}, "nginxMemoryMib is too small: got 16, allowed 32"),
    ({"asset_cache_mib": 1}, "nginxAssetCacheMib is too small"),
    ({"scratch_mib": 400}, "nginxScratchMib is too small: got 400, allowed 512 or more"),
    ({"dns_valid_s": 0}, "nginxDnsValidS is too small"),
    ({"upstream_connection_life_s": 0}, "nginxUpstreamConnectionLifeS is too small"),
    ({"connect_timeout_s": 0}, "nginxConnectTimeoutS is too small"),
    ({"api_timeout_s": 0}, "nginxApiTimeoutS is too small"),
    ({"page_timeout_s": 0}, "nginxPageTimeoutS is too small"),
    ({"pre_stop_s": 0}, "nginxPreStopS is too small"),
    ({"service_type": "Ingress"}, "nginxServiceType is not allowed: got 'Ingress'"),
    ({"node_port": 80}, "nginxNodePort is out of range: got 80, allowed 30000 to 32767"),
    ({"service_type": "ClusterIP"}, "nginxNodePort has no effect: got 30080, allowed 0 unless"),
    ({"client_keepalive_s": 60}, "nginxClientKeepaliveS is too short: got 60, allowed more than"),
    ({"upstream_connection_life_s": 61}, "nginxUpstreamConnectionLifeS is too long: got 61"),
    ({"trusted_ranges": ["10.0.0.1/8"]}, "nginxTrustedRanges has a malformed range"),
    ({"trusted_ranges": ["0.0.0.0/0"]}, "everybody is no range"),
    ({"admitted_ranges": ["office"]}, "nginxAdmittedRanges has a malformed range: got 'office'"),
    ({"websocket_paths": ["ws"]}, "nginxWebsocketPaths has a malformed path: got 'ws'"),
    ({"websocket_paths": ["/w;s"]}, "nginxWebsocketPaths has a malformed path"),
    ({"websocket_paths": ["/"]}, "nginxWebsocketPaths has a path with another meaning: got /"),
    ({"websocket_paths": ["/api/metrics"]}, "nginxWebsocketPaths has a path with another meaning"),
    ({"closed_paths": ["/a", "/a/"]}, "nginxClosedPaths has a path with another meaning: got /a"),
    ({"closed_paths": ["/api"]}, "nginxClosedPaths has a path with another meaning: got /api"),
    ({"closed_paths": ["/a b"]}, "nginxClosedPaths has a malformed path"),
    ({"dns_server": "a;b"}, "nginxDnsServer is malformed: got 'a;b'"),
    ({"cluster_domain": ""}, "nginxClusterDomain is malformed"),
    ({"tls_secret": "My Secret"}, "nginxTlsSecret is malformed"),
    ({"connections": 63}, "nginxConnections is too small: got 63, allowed 64 or more"),
    ({"memory_mib": 119}, "nginxMemoryMib is too small: got 119, allowed 120 or more for"),
    ({"connections": 4096}, "nginxMemoryMib is too small: got 128, allowed 312 or more for"),
    ({"extra_hosts": ["a.example:80"]}, "nginxExtraHosts has a malformed name: got 'a.example:80'"),
    ({"extra_hosts": ["A.example"]}, "nginxExtraHosts has a malformed name"),
    ({"extra_hosts": ["~^a"]}, "nginxExtraHosts has a malformed name"),
    ({"extra_hosts": ["a.*"]}, "nginxExtraHosts has a malformed name"),
    ({"extra_hosts": [""]}, "nginxExtraHosts has a malformed name: got ''"),
]
REFUSED_HEADERS: list[tuple[dict[str, Any], str]] = [
    ({"csp_mode": "loose"}, "nginxHeadersCspMode is not allowed: got 'loose', allowed compat"),
    ({"csp_additions": {"scripts": "a"}}, "nginxHeadersCspAdditions.scripts is not a directive"),
    ({"csp_additions": {"img-src": "a;b"}}, "nginxHeadersCspAdditions.img-src is malformed"),
    ({"csp_additions": {"img-src": "a,b"}}, "nginxHeadersCspAdditions.img-src is malformed"),
    ({"csp_additions": {"img-src": "$host"}}, "nginxHeadersCspAdditions.img-src is malformed"),
    ({"csp_additions": {"img-src": ""}}, "nginxHeadersCspAdditions.img-src is malformed: got ''"),
    ({"permissions_policy": 'a"b'}, "nginxHeadersPermissionsPolicy is malformed"),
    ({"permissions_policy": "a\\"}, "nginxHeadersPermissionsPolicy is malformed"),
    ({"xss_protection": "$a"}, "nginxHeadersXssProtection is malformed"),
]
REFUSED_RATES: list[tuple[dict[str, Any], str]] = [
    ({"auth_per_second": 0}, "nginxRateAuthPerSecond is too small: got 0, allowed 1 or more"),
    ({"auth_burst": 0}, "nginxRateAuthBurst is too small"),
    ({"api_per_second": 0}, "nginxRateApiPerSecond is too small"),
    ({"api_burst": 0}, "nginxRateApiBurst is too small"),
    ({"exempt_paths": ["hook"]}, "nginxRateExemptPaths has a malformed path: got 'hook'"),
]


@pytest.mark.parametrize(
    ("prefix", "changes", "message"),
    [("", *case) for case in REFUSED]
    + [("headers_", *case) for case in REFUSED_HEADERS]
    + [("rate_", *case) for case in REFUSED_RATES],
)
def test_bad_values_are_refused_with_what_is_allowed(
    prefix: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match="configuration has") as refused:
        config(**{prefix + name: value for name, value in changes.items()})
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"memory_mib": 120},
        {"connections": 64, "memory_mib": 60},
        {"extra_hosts": ["*"]},
        {"extra_hosts": ["*.a.example", "a", "10.0.0.1"]},
    ],
)
def test_values_at_their_limits_are_accepted(changes: dict[str, Any]) -> None:
    assert config(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"appPreStopS": 7}, "appPreStopS is too short: got 7, allowed more than 7"),
        ({"nginxUpstreamConnectionLifeS": 10}, "appPreStopS is too short: got 10, allowed more"),
        ({"nginxApiTimeoutS": 29}, "nginxApiTimeoutS is too short: got 29, allowed 30 or more"),
    ],
)
def test_what_must_hold_between_nginx_and_the_rest(changes: dict[str, Any], message: str) -> None:
    """WB-3, S-9."""
    with pytest.raises(ValueError, match="configuration has 1 problem") as refused:
        deploy_stack("dev", **changes)
    assert message in str(refused.value)
