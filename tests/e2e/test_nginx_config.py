"""The generated configuration in a real nginx: what clients see and what the application gets."""

import base64
import hashlib
import json
import socket
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import pytest
from nginx_lab import CDN_SECRETS, Lab, find_nginx, running

from components.nginx_config import (
    REQUEST_KIB,
    Front,
    NginxConfig,
    SharedSettings,
    shared_settings,
)
from components.security_headers import CspMode
from tests.unit.conftest import knobs

Start = Callable[..., AbstractContextManager[Lab]]

DEFAULTS = {
    "API_RATE_LIMIT_ENABLED": "true",
    "CSP_ENABLED": "true",
    "HSTS_MAX_AGE": "31536000",
    "MAINTENANCE_MODE": "false",
    "RATE_LIMIT_MAX_BURST": "20",
    "RATE_LIMIT_REQUESTS_PER_MINUTE": "100",
    "SECURITY_HEADERS_ENABLED": "true",
    "SECURITY_MODE": "standard",
    "UPLOAD_MAX_SIZE": "1000000",
}
ANYBODY = Front(hosts=("*",))
"""For tests of what has nothing to do with hosts."""
CORS = "http://localhost:3000"
FIXED = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Permissions-Policy": "camera=(), microphone=(self), geolocation=()",
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-eval' 'unsafe-inline'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' blob: data: https:; "
        "font-src 'self' data:; connect-src 'self' *.sentry.io; media-src 'self' blob:; "
        "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
}


def shared(https: bool = False, **changes: Any) -> SharedSettings:
    settings = shared_settings(
        lambda name: DEFAULTS.get(name, ""),
        https=https,
        deployment_version="abc123",
        cors_origins=(CORS,),
        keep_alive_ms=75_000,
    )
    return replace(settings, **changes)


@pytest.fixture(scope="module")
def start() -> Start:
    command = find_nginx()
    if command is None:
        pytest.skip("no nginx 1.30 or newer on this machine, and no image of it: ./nextstack up")

    @contextmanager
    def started(
        settings: SharedSettings | None = None,
        front: Front = ANYBODY,
        builds: tuple[str, ...] = ("old", "old", "new"),
        headers: dict[str, Any] | None = None,
        rate: dict[str, Any] | None = None,
        **changes: Any,
    ) -> Generator[Lab]:
        base = knobs(NginxConfig, "nginx", "dev")
        config = replace(
            base,
            headers=replace(base.headers, **(headers or {})),
            rate=replace(base.rate, **(rate or {})),
            **changes,
        )
        with running(command, config, settings or shared(), front, builds) as lab:
            yield lab

    return started


@pytest.fixture(scope="module")
def lab(start: Start) -> Iterator[Lab]:
    """One nginx without rate limits, for all tests that change nothing."""
    with start(shared(rate_limits=False)) as lab:
        yield lab


def test_every_answer_has_each_header_exactly_once(start: Start) -> None:
    """HD-1 … HD-9: also errors, of nginx and of the application."""
    with start() as lab:
        answers = {
            200: lab.ask("/"),
            204: lab.ask("/x", "OPTIONS", {"Access-Control-Request-Method": "PUT", "Origin": CORS}),
            404: lab.ask("/_next/static/none.js"),
            413: lab.ask("/api/upload", "POST", body=b"x" * 1_000_001),
            502: lab.ask("/api/break", "POST", body=b"x"),
            400: lab.ask("/", headers={"X-Long": "x" * 17_000}),
            429: next(a for a in (lab.ask("/api/x") for _ in range(60)) if a.status == 429),
        }
    for status, answer in answers.items():
        assert answer.status == status
        for name, value in FIXED.items():
            assert answer.all(name) == [value], (status, name)
        for name in ("X-Powered-By", "X-XSS-Protection", "Strict-Transport-Security"):
            assert answer.all(name) == [], (status, name)
        assert answer.one("Server") == "nginx"


@pytest.mark.parametrize(
    ("headers", "settings", "csp"),
    [
        ({"csp_mode": CspMode.STRICT}, {}, "default-src 'self'; script-src 'self'; style-src"),
        ({"csp_additions": {"script-src": "https://a.example"}}, {}, "'unsafe-inline' https://a.e"),
        ({}, {"form_targets": ("https://github.com",)}, "form-action 'self' https://github.com;"),
        ({"csp_mode": CspMode.APP}, {}, "of-the-application"),
        ({}, {"csp": False}, "of-the-application"),
        ({}, {"security_headers": False}, "of-the-application"),
    ],
)
def test_the_policy_is_sent_once_in_every_mode(
    start: Start, headers: dict[str, Any], settings: dict[str, Any], csp: str
) -> None:
    """HD-5, HD-6, S-25."""
    with start(shared(**settings), headers=headers) as lab:
        assert csp in lab.ask("/").one("Content-Security-Policy")


def test_strict_transport_security_only_over_https(start: Start) -> None:
    """HD-4, WB-2, with TLS ending at a load balancer: its word counts, a client's does not."""
    over_http = {"X-Forwarded-Proto": "http"}
    with start(shared(https=True), trusted_ranges=("127.0.0.1/32",)) as lab:
        secure = lab.ask("/", headers={"X-Forwarded-Proto": "https"})
        plain = lab.ask("/a?b=c", headers={"Host": "example.com", **over_http})
        layer_4 = lab.ask("/")
    assert secure.one("Strict-Transport-Security") == "max-age=31536000; includeSubDomains"
    assert secure.one("Content-Security-Policy").endswith("; upgrade-insecure-requests")
    assert secure.json["headers"]["x-forwarded-proto"] == "https"
    assert (plain.status, plain.one("Location")) == (301, "https://example.com/a?b=c")
    assert plain.all("Strict-Transport-Security") == []
    assert layer_4.json["headers"]["x-forwarded-proto"] == "https"
    with start(shared(https=True)) as lab:
        assert lab.ask("/", headers=over_http).status == 200


def test_tls_ends_at_nginx_where_a_certificate_is_given(start: Start) -> None:
    """WB-2: and plain HTTP only leads there, but for the health check."""
    with start(shared(https=True), tls_secret="site-tls") as lab:
        secure, plain = lab.ask_tls("/"), lab.ask("/a", headers={"Host": "example.com:80"})
        assert lab.ask("/nginx-health").status == 200
    assert secure.status == 200
    assert secure.json["headers"]["x-forwarded-proto"] == "https"
    assert secure.one("Strict-Transport-Security") == "max-age=31536000; includeSubDomains"
    assert (plain.status, plain.one("Location")) == (301, "https://example.com/a")
    assert plain.all("Strict-Transport-Security") == []


def test_tls_that_ends_at_the_load_balancer_has_a_port_of_its_own(start: Start) -> None:
    """WB-2, HD-4: what came to port 80 is sent to HTTPS, but for the health check."""
    ours = Front(hosts=("example.com",), balancer_tls=True)
    host = {"Host": "example.com"}
    with start(shared(https=True), front=ours) as lab:
        secure = lab.ask("/", headers=host, port=lab.tls_port)
        plain = lab.ask("/a?b=c", headers=host)
        pretended = lab.ask("/", headers=host | {"X-Forwarded-Proto": "https"})
        assert lab.ask("/nginx-health").status == 200
    assert (secure.status, secure.json["headers"]["x-forwarded-proto"]) == (200, "https")
    assert secure.one("Strict-Transport-Security") == "max-age=31536000; includeSubDomains"
    assert (plain.status, plain.one("Location")) == (301, "https://example.com/a?b=c")
    assert plain.all("Strict-Transport-Security") == []
    assert pretended.status == 301


@pytest.mark.parametrize("tls", ["nobody", "balancer", "nginx"])
def test_other_hosts_are_not_served(start: Start, tls: str) -> None:
    """WB-4: no link, cookie or redirect is made of a host that somebody invents."""
    front = Front(hosts=("example.com", "*.shop.example"), balancer_tls=tls == "balancer")
    secret = "site-tls" if tls == "nginx" else ""
    with start(shared(https=tls != "nobody"), front=front, tls_secret=secret) as lab:

        def ask(host: str) -> int:
            headers = {"Host": host}
            if tls == "nginx":
                return lab.ask_tls("/", headers).status
            port = lab.tls_port if tls == "balancer" else lab.port
            return lab.ask("/", headers=headers, port=port).status

        for host in ("example.com", "EXAMPLE.com:8080", "a.shop.example"):
            assert ask(host) == 200, host
        for host in ("example.com.evil.org", "www.example.com", "127.0.0.1", "shop.example"):
            assert ask(host) == 421, host
        other = lab.ask("/", headers={"Host": "evil.org"})
        assert lab.raw(b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 421 ")
        assert lab.ask("/nginx-health", headers={"Host": "10.0.0.1"}).status == 200
        served = [r for pod in lab.pods for r in pod.requests if "evil" in r["headers"]["host"]]
    assert (other.status, other.all("Location"), served) == (421, [], [])
    assert other.all("X-Content-Type-Options") == ["nosniff"]


CDN = Front(hosts=("*",), balancer_tls=True, cdn=True)


def test_nobody_goes_round_the_cdn(start: Start) -> None:
    """DT-3: with the secret of today or of before; not without, nor with another."""
    with start(shared(https=True), front=CDN) as lab:

        def ask(path: str, headers: dict[str, str]) -> int:
            return lab.ask(path, headers=headers, port=lab.tls_port).status

        for secret in CDN_SECRETS:
            assert ask("/", {"X-Origin-Secret": secret}) == 200
        for headers in ({}, {"X-Origin-Secret": "1"}, {"X-Origin-Secret": ""}):
            assert ask("/", headers) == 403
            assert ask("/_next/static/old.js", headers) == 403
        assert ask("/nginx-health", {}) == 200
        told = [r["headers"] for pod in lab.pods for r in pod.asked("/")]
    assert not [headers for headers in told if "x-origin-secret" in headers]


def test_clients_of_the_cdn_have_their_own_addresses(start: Start) -> None:
    """WB-4: the address that the CDN adds, whatever the client put before it."""
    key = {"X-Origin-Secret": CDN_SECRETS[0]}
    forged = key | {"X-Forwarded-For": "6.6.6.6, 203.0.113.7"}
    with start(shared(https=True), front=CDN) as lab:
        answer = lab.ask("/", headers=forged, port=lab.tls_port)
        assert lab.log()[-1]["client"] == "203.0.113.7"
    assert answer.json["headers"]["x-real-ip"] == "203.0.113.7"
    assert answer.json["headers"]["x-forwarded-for"] == "203.0.113.7"
    assert answer.json["headers"]["x-forwarded-proto"] == "https"


def test_files_are_compressed_by_the_cdn_and_pages_by_nginx(start: Start) -> None:
    """WB-9: a CDN does not compress with brotli what is compressed already."""
    headers = {"X-Origin-Secret": CDN_SECRETS[0], "Accept-Encoding": "gzip, br", "Via": "1.1 cdn"}
    with start(shared(https=True), front=CDN) as lab:
        page = lab.ask("/", headers=headers, port=lab.tls_port)
        file = lab.ask("/_next/static/old.js", headers=headers, port=lab.tls_port)
    assert page.all("Content-Encoding") == ["gzip"]
    assert file.status == 200
    assert file.all("Content-Encoding") == []


def test_the_memory_limit_holds_the_connections(start: Start) -> None:
    """A request that waits takes less than what nginxMemoryMib is checked with."""
    count = 150
    with start(shared(rate_limits=False), workers=1) as lab:
        before = lab.memory_kib()
        body = b"x" * 20_000
        request = (
            b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n"
            + b"Cookie: "
            + b"c" * 12_000
            + b"\r\n\r\n"
            + body
        )
        waiting: list[socket.socket] = []
        for _ in range(count):
            waiting.append(socket.create_connection(("127.0.0.1", lab.port)))
            waiting[-1].sendall(request)
            time.sleep(0.01)  # a pod of the lab keeps five connections waiting
        deadline = time.monotonic() + 20
        while sum(len(pod.asked("/slow")) for pod in lab.pods) < count:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        each = (lab.memory_kib() - before) / count
        for connection in waiting:
            connection.close()
    assert 1 < each < REQUEST_KIB


def statuses(lab: Lab, path: str, count: int) -> list[int]:
    return [lab.ask(path).status for _ in range(count)]


@pytest.mark.parametrize(("enhanced", "rate"), [(False, "100"), (True, "50")])
def test_sustained_use_of_the_api_is_refused(start: Start, enhanced: bool, rate: str) -> None:
    """RL-3, WB-12: 20 at once beyond the rate; then 429, which says when to come back."""
    with start(shared(enhanced=enhanced)) as lab:
        assert f"rate={rate}r/m" in (lab.folder / "nginx.conf").read_text()
        got = statuses(lab, "/api/x", 30)
        refused = lab.ask("/api/x")
    assert got[:21] == [200] * 21
    # Within the second or so that this takes, one or two more come free.
    assert got[24:] == [429] * 6
    assert (refused.status, refused.all("Retry-After")) == (429, ["60"])


def test_bursts_are_delayed_then_refused(start: Start) -> None:
    """RL-1: 10 r/s for sign-in, so that six requests take at least half a second."""
    with start() as lab:
        before = time.monotonic()
        assert statuses(lab, "/api/auth/x", 6) == [200] * 6
        assert time.monotonic() - before >= 0.45


def test_what_is_never_limited(start: Start) -> None:
    """RL-5; and the switch for load tests."""
    exempt = ("/api/hook", "/api/hooks/")
    with start(rate={"exempt_paths": exempt}) as lab:
        for path in ("/", "/_next/static/old.js", "/nginx-health", "/api/hook", "/api/hooks/a"):
            assert statuses(lab, path, 60) == [200] * 60, path
        assert 429 in statuses(lab, "/api/hook2", 60)
    with start(shared(rate_limits=False)) as lab:
        assert statuses(lab, "/api/auth/x", 60) == [200] * 60


@pytest.mark.parametrize("path", ["/api/socket", "/api/sockets/"])
def test_a_websocket_path_of_the_api_is_limited_too(start: Start, path: str) -> None:
    """RL-2, RL-3: else it is a way around the limits for ordinary requests."""
    with start(websocket_paths=(path,)) as lab:
        assert 429 in statuses(lab, path, 60)


def test_body_limit(lab: Lab) -> None:
    """WB-6."""
    assert lab.ask("/api/upload", "POST", body=b"x" * 1_000_000).json["received"] == 1_000_000
    assert lab.ask("/api/upload", "POST", body=b"x" * 1_000_001).status == 413


@pytest.mark.parametrize(("path", "compressed"), [("/stream", True), ("/api/events", False)])
def test_streams_arrive_piece_by_piece(lab: Lab, path: str, compressed: bool) -> None:
    """WB-5, WB-9: the last of four pieces is sent 0.9 s after the first."""
    request = (
        f"GET {path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n"
    )
    arrivals: list[float] = []
    received = b""
    with socket.create_connection(("127.0.0.1", lab.port), timeout=10) as connection:
        connection.sendall(request.encode())
        while part := connection.recv(65536):
            arrivals.append(time.monotonic())
            received += part
    assert arrivals[-1] - arrivals[0] > 0.8
    assert len(arrivals) >= 4
    assert (b"Content-Encoding: gzip" in received) == compressed


def test_text_is_compressed(lab: Lab) -> None:
    """WB-9: by nginx, which asks the application for plain text."""
    answer = lab.ask("/", headers={"Accept-Encoding": "gzip"})
    assert answer.one("Content-Encoding") == "gzip"
    assert answer.body[:2] == b"\x1f\x8b"
    assert "accept-encoding" not in lab.ask("/").json["headers"]


def test_a_sent_post_is_never_repeated(lab: Lab) -> None:
    """WB-7: the application breaks off after it has read the request; a GET is tried again.

    A connection that was kept counts as no try when it breaks, hence 2 or 3.
    """
    for method, tries in (("POST", {1}), ("GET", {2, 3})):
        before = sum(len(pod.asked("/api/break")) for pod in lab.pods)
        assert lab.ask("/api/break", method, body=b"x" if method == "POST" else None).status == 502
        assert sum(len(pod.asked("/api/break")) for pod in lab.pods) - before in tries


def test_a_dead_pod_costs_no_request(start: Start) -> None:
    """WB-7: an unsent POST goes to another pod."""
    with start(shared(rate_limits=False)) as lab:
        lab.pods[0].stop()
        got = [lab.ask("/api/x", "POST", body=b"x").status for _ in range(20)]
    assert got == [200] * 20


def test_a_pod_that_leaves_gets_nothing_more(start: Start) -> None:
    """AP-6: kept connections included, long before its pre-stop has passed."""
    with start(shared(rate_limits=False), dns_valid_s=1) as lab:
        leaving, *rest = lab.pods
        assert [lab.ask("/x").status for _ in range(12)] == [200] * 12
        lab.publish(*rest)
        lab.publish(*rest)
        before = len(leaving.requests)
        assert [lab.ask("/x").status for _ in range(30)] == [200] * 30
        assert len(leaving.requests) == before


def test_both_builds_files_are_there_during_a_rollout(start: Start) -> None:
    """WB-8: whichever pod is asked first, and after the old build is gone."""
    with start(dns_valid_s=1) as lab:
        for path in ("/_next/static/old-1.js", "/_next/static/new-1.js?dpl=b"):
            answers = [lab.ask(path) for _ in range(10)]
            assert [answer.status for answer in answers] == [200] * 10
            for answer in answers:
                assert answer.all("Cache-Control") == [
                    "public, max-age=31536000, stale-while-revalidate=86400, immutable"
                ]
                assert answer.all("Set-Cookie") == []
            assert sum(len(pod.asked(path)) for pod in lab.pods if pod.build in path) == 1
        fresh = [lab.ask(f"/_next/static/new-{n}.js").status for n in range(2, 20)]
        assert fresh == [200] * 18
        unknown = lab.ask("/_next/static/none.js")
        assert (unknown.status, unknown.all("Cache-Control")) == (404, ["no-store"])
        lab.publish(lab.pods[2])
        lab.publish(lab.pods[2])
        assert lab.ask("/_next/static/old-1.js").status == 200
        assert lab.ask("/_next/static/old-2.js").status == 404


def test_pages_are_not_cached(lab: Lab) -> None:
    """WB-8."""
    before = sum(len(pod.asked("/page")) for pod in lab.pods)
    assert statuses(lab, "/page", 5) == [200] * 5
    assert sum(len(pod.asked("/page")) for pod in lab.pods) == before + 5


def test_other_sites_need_to_be_listed(lab: Lab) -> None:
    """WB-10."""
    asked = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-a"}
    before = len([r for pod in lab.pods for r in pod.requests if r["method"] == "OPTIONS"])
    allowed = lab.ask("/api/x", "OPTIONS", {"Origin": CORS, **asked})
    foreign = lab.ask("/api/x", "OPTIONS", {"Origin": "https://evil.example", **asked})
    assert (allowed.status, foreign.status) == (204, 204)
    assert allowed.one("Access-Control-Allow-Origin") == CORS
    assert allowed.one("Access-Control-Allow-Credentials") == "true"
    assert "PUT" in allowed.one("Access-Control-Allow-Methods")
    assert allowed.one("Access-Control-Allow-Headers") == "x-a"
    assert [name for name, _ in foreign.headers if name.startswith("Access-Control")] == []
    assert len([r for pod in lab.pods for r in pod.requests if r["method"] == "OPTIONS"]) == before
    # The application answers every origin with *, which does not get out.
    assert lab.ask("/api/x", headers={"Origin": CORS}).all("Access-Control-Allow-Origin") == [CORS]
    assert (
        lab.ask("/api/x", headers={"Origin": "https://e.x"}).all("Access-Control-Allow-Origin")
        == []
    )


def test_maintenance(start: Start) -> None:
    """WB-11: a page that says when to come back, for everybody but the admitted."""
    with start(shared(maintenance=True)) as lab:
        for path, method in (("/", "GET"), ("/api/x", "POST"), ("/_next/static/old.js", "GET")):
            answer = lab.ask(path, method, body=b"x" if method == "POST" else None)
            assert (answer.status, answer.all("Retry-After")) == (503, ["600"])
            assert answer.one("Content-Type") == "text/html; charset=utf-8"
            assert b"We will be back soon" in answer.body
            assert answer.all("X-Frame-Options") == ["DENY"]
        assert lab.ask("/nginx-health").status == 200
        assert [r["path"] for pod in lab.pods for r in pod.requests] == []
    with start(shared(maintenance=True), admitted_ranges=("127.0.0.0/8",)) as lab:
        assert lab.ask("/").status == 200


def test_the_strict_policy_lets_the_maintenance_page_keep_its_style(start: Start) -> None:
    """S-25: the policy names the hash of the style sheet as it is sent."""
    strict = {"csp_mode": CspMode.STRICT}
    with start(shared(maintenance=True), headers=strict) as lab:
        answer = lab.ask("/")
    style = answer.body.split(b"<style>")[1].split(b"</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style).digest()).decode()
    assert f"style-src 'self' 'sha256-{digest}';" in answer.one("Content-Security-Policy")


def test_lockdown(start: Start) -> None:
    with start(lockdown=True) as lab:
        assert (lab.ask("/").status, lab.ask("/nginx-health").status) == (403, 200)
    with start(lockdown=True, admitted_ranges=("127.0.0.1/32",)) as lab:
        assert lab.ask("/").status == 200


@pytest.mark.parametrize(
    "path",
    ["/api/metrics", "/api/metrics/", "/api//metrics", "/api/%6detrics", "/a/../api/metrics?x"],
)
def test_metrics_are_closed(lab: Lab, path: str) -> None:
    """WB-13."""
    assert lab.ask(path).status == 404
    assert [r for pod in lab.pods for r in pod.requests if "etrics" in r["path"]] == []


def test_health_does_not_need_the_application(start: Start) -> None:
    """WB-13."""
    with start() as lab:
        for pod in lab.pods:
            pod.stop()
        assert lab.ask("/nginx-health").body == b"ok\n"
        assert lab.ask("/").status == 502


def test_log_lines_are_json_whatever_is_asked(start: Start) -> None:
    """WB-14, and no query string, which may hold a token."""
    with start(shared(enhanced=True)) as lab:
        lab.ask("/a?token=secret", headers={"User-Agent": 'a"b\\c', "Referer": "http://x/?secret"})
        for target in (b"/\xff\xfe?\x80", b'/a"b\\c', b"/%00%0a", b"/\xe2\x82"):
            lab.raw(
                b"GET " + target + b" HTTP/1.1\r\nHost: a\xff\r\nUser-Agent: \xff\xfe\r\n"
                b"X-Forwarded-For: \xff\r\nConnection: close\r\n\r\n"
            )
        lab.raw(b"\x16\x03\x01\x02\r\n\r\n")
        lab.raw(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        lines = lab.log()
    first = next(line for line in lines if line["path"] == "/a")
    assert set(first) >= {
        "time", "request_id", "client", "method", "path", "status", "duration_s",
        "upstream_duration_s", "bytes", "version",
    }  # fmt: skip
    assert (first["version"], first["status"], first["client"]) == ("abc123", 200, "127.0.0.1")
    assert isinstance(first["upstream_duration_s"], float)
    assert first["user_agent"] == 'a"b\\c'
    assert "secret" not in json.dumps(lines)
    assert [line["status"] for line in lines][-2:] == [400, 400]


def test_large_cookies_and_headers_pass(lab: Lab) -> None:
    """WB-5: 12 kB from the client, 28 kB from the application."""
    cookie = "a=" + "x" * 12_000
    assert lab.ask("/", headers={"Cookie": cookie}).json["headers"]["cookie"] == cookie
    assert lab.ask("/big-headers").status == 200


def test_what_the_application_is_told(lab: Lab) -> None:
    """WB-4: nothing that a client made up."""
    spoofed = {
        "Host": "shop.example:3000",
        "X-Forwarded-For": "1.2.3.4",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Port": "1",
        "X-Real-IP": "1.2.3.4",
        "Forwarded": "for=1.2.3.4",
        "X-Middleware-Subrequest": "middleware",
        "X-Request-ID": "mine",
    }
    told = lab.ask("/", headers=spoofed).json["headers"]
    assert told["host"] == told["x-forwarded-host"] == "shop.example:3000"
    assert told["x-forwarded-for"] == told["x-real-ip"] == "127.0.0.1"
    assert told["x-forwarded-proto"] == "http"
    assert told["x-request-id"] != "mine"
    assert {"forwarded", "x-middleware-subrequest", "x-forwarded-port"} & set(told) == set()


def test_client_addresses_come_from_trusted_ranges_only(start: Start) -> None:
    """WB-4: the last address that no trusted proxy could have made up."""
    chain = {"X-Forwarded-For": "6.6.6.6, 9.9.9.9, 10.0.0.7"}
    with start(trusted_ranges=("127.0.0.1/32", "10.0.0.0/8")) as lab:
        assert lab.ask("/", headers=chain).json["headers"]["x-forwarded-for"] == "9.9.9.9"
        assert lab.log()[-1]["client"] == "9.9.9.9"


def upgrade(lab: Lab, target: str) -> tuple[bytes, list[dict[str, Any]]]:
    """The answer to a request for an upgrade, and what reached the application."""
    for pod in lab.pods:
        pod.requests.clear()
    answer = lab.raw(
        f"GET {target} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade, close\r\n"
        "\r\n".encode()
    )
    return answer, [request for pod in lab.pods for request in pod.requests]


def test_upgrades_reach_only_the_paths_for_it(start: Start) -> None:
    """WB-4."""
    with start(websocket_paths=("/socket", "/live/")) as lab:
        for target in ("/", "/socketry", "/liver"):
            _, [request] = upgrade(lab, target)
            assert "upgrade" not in request["headers"], target
            assert "connection" not in request["headers"], target
        for target in ("/socket", "/live/a", "/live"):
            _, [request] = upgrade(lab, target)
            assert request["headers"]["upgrade"] == "websocket"
            assert request["headers"]["connection"] == "upgrade"


@pytest.mark.parametrize("target", ["http://169.254.169.254/latest", "https://a.example/socket"])
def test_an_upgrade_of_a_full_url_is_refused(start: Start, target: str) -> None:
    """WB-4, also on a WebSocket path."""
    with start(websocket_paths=("/latest", "/socket")) as lab:
        answer, reached = upgrade(lab, target)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert reached == []


def test_a_full_url_reaches_the_application_as_a_path(lab: Lab) -> None:
    """The URL's host counts, not the header's (RFC 9112, 3.2.2)."""
    answer = lab.raw(
        b"GET http://shop.example:81/full HTTP/1.1\r\nHost: evil.example\r\n"
        b"Connection: close\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 200 ")
    [request] = [request for pod in lab.pods for request in pod.asked("/full")]
    assert request["headers"]["host"] == "shop.example:81"


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/auth"])
def test_nginx_redirects_no_path_to_another(lab: Lab, path: str) -> None:
    assert lab.ask(path).status == 200


def test_scaled_images_are_cached_by_format(lab: Lab) -> None:
    """a10: one copy for all browsers that take the same formats."""
    formats = {
        "image/avif,image/webp,*/*;q=0.8": "image/avif,image/webp",
        "image/avif,image/webp,image/apng,*/*": "image/avif,image/webp",
        "image/webp,*/*": "image/webp",
        "*/*": "*/*",
    }
    for accept, asked in formats.items():
        answer = lab.ask("/_next/image?url=a", headers={"Accept": accept})
        assert answer.json["headers"]["accept"] == asked
    assert sum(len(pod.asked("/_next/image")) for pod in lab.pods) == 3
