"""nginx's configuration as text, made by pure functions from typed settings.

Leaves out the pods that run it, and the TLS certificate's content. Needs nginx 1.30: `resolve`
(1.27.3), `add_header_inherit` and `$request_port` (1.29.3).
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from components.nginx_config import Front, NginxConfig, SharedSettings
from components.security_headers import CspMode, content_security_policy, security_headers

HTTP_PORT, HTTPS_PORT = 8080, 8443
HEALTH_PATH = "/nginx-health"
TLS_FOLDER = "/etc/nextstack/tls"
CDN_FILE = "/etc/nextstack/cdn/secret.conf"
CDN_HEADER = "X-Origin-Secret"
"""What only the CDN and nginx know; else anybody could go round the CDN, and say who they are."""
SCRATCH = "/tmp"
"""The only folder that nginx writes to."""

MAINTENANCE_PAGE = (Path(__file__).parent / "maintenance.html").read_text().replace("\n", " ")
RETRY_AFTER_MAINTENANCE_S = 600
RETRY_AFTER_LIMIT_S = 60
ASSET_LIFETIME = "public, max-age=31536000, stale-while-revalidate=86400, immutable"  # WB-8
PREFLIGHT_LIFETIME_S = 7200  # the longest that Chromium remembers one
COMPRESSED = (
    "text/plain text/css text/xml text/javascript text/x-component application/javascript "
    "application/json application/manifest+json application/xml application/rss+xml "
    "application/wasm image/svg+xml font/ttf"
)
CORS_HEADERS = {
    "Access-Control-Allow-Origin": "$cors_origin",
    "Access-Control-Allow-Credentials": "$cors_credentials",
    "Access-Control-Allow-Methods": "$cors_methods",
    "Access-Control-Allow-Headers": "$cors_headers",
    "Access-Control-Max-Age": "$cors_max_age",
}
# Sent by the application too, but never passed on.
HIDDEN = (*CORS_HEADERS, "Access-Control-Expose-Headers", "X-Powered-By", "X-XSS-Protection")


def nginx_file(
    config: NginxConfig, shared: SharedSettings, front: Front, app_host: str, app_port: int
) -> str:
    """The whole file; `app_host` is a name that resolves to the application's pods."""
    return "\n".join(
        [
            f"worker_processes {config.workers};",
            f"pid {SCRATCH}/nginx.pid;",
            # Errors repeat the whole request line, sign-in codes included (SC-3); the access log
            # tells status and upstream times without them.
            "error_log stderr crit;",
            # An answer that streams for ever must not keep a replaced pod alive.
            f"worker_shutdown_timeout {config.page_timeout_s}s;",
            _block("events", f"worker_connections {config.connections};"),
            _block(
                "http",
                _basics(config),
                _upstream(config, app_host, app_port),
                _clients(config, shared, front),
                _log(shared),
                _limits(config, shared),
                _cors(shared),
                _headers(config, shared),
                _to_app(config, shared),
                *_servers(config, shared, front),
            ),
            "",
        ]
    )


def _block(head: str, *body: str) -> str:
    """`head { body }`, indented; empty parts are left out."""
    lines = "\n".join(part for part in body if part).splitlines()
    return "\n".join([f"{head} {{", *(f"    {line}" for line in lines), "}"])


def _map(source: str, target: str, values: Mapping[str, str]) -> str:
    return _block(f"map {source} {target}", *(f"{_text(k)} {_text(v)};" for k, v in values.items()))


def _text(value: str) -> str:
    """`value` in quotes, as one parameter; variables in it stay variables."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _below(path: str) -> str:
    """A regular expression for `path`, and for all below it if it ends with a slash."""
    return f"~^{re.escape(path.rstrip('/'))}" + ("(/|$)" if path.endswith("/") else "$")


def _basics(config: NginxConfig) -> str:
    temporary = "\n".join(
        f"{kind}_temp_path {SCRATCH}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""\
{temporary}
default_type application/octet-stream;
server_tokens off;
keepalive_timeout {config.client_keepalive_s}s;
client_header_timeout 15s;
client_body_timeout 30s;
send_timeout 60s;
reset_timedout_connection on;
# Session cookies of several providers reach 12 kB and more.
large_client_header_buffers 4 16k;
gzip on;
gzip_types {COMPRESSED};
gzip_proxied any;
gzip_vary on;
gzip_comp_level 5;
gzip_min_length 1024;"""


def _upstream(config: NginxConfig, app_host: str, app_port: int) -> str:
    # max_fails=0: pods fail together when what they depend on is slow; to shut them all out would
    # turn that into an outage. least_conn already avoids a pod that does not answer.
    servers = _block(
        "upstream app",
        "zone app 256k;",
        "least_conn;",
        f"server {app_host}.{config.cluster_domain}:{app_port} resolve max_fails=0;",
        "keepalive 64;",
        f"keepalive_timeout {config.upstream_keepalive_s}s;",
        # Shorter than the pods' pre-stop, so that no request meets a connection that a stopping pod
        # closes: such a POST would be lost.
        f"keepalive_time {config.upstream_connection_life_s}s;",
    )
    return f"resolver {config.dns_server} valid={config.dns_valid_s}s;\n{servers}"


def cdn_file(secrets: Iterable[str]) -> str:
    """Who has one of `secrets` is the CDN: the current one, and while it changes the one before.

    Two, because the CDN's own change takes minutes to reach all of its servers.
    """
    known = {"default": "0"} | {secret: "1" for secret in secrets}
    variable = "$http_" + CDN_HEADER.lower().replace("-", "_")
    # Longer than a bucket of the machine's cache line.
    return "\n".join(["map_hash_bucket_size 256;", _map(variable, "$from_cdn", known), ""])


def _clients(config: NginxConfig, shared: SharedSettings, front: Front) -> str:
    """Who asks, over which scheme: told by others only from the trusted ranges (WB-4)."""
    trusted = [f"set_real_ip_from {entry};" for entry in config.trusted_ranges]
    lines = [*trusted, "real_ip_header X-Forwarded-For;", "real_ip_recursive on;"]
    if front.cdn:
        # A CDN's addresses change without notice; its secret does not. Nobody else is answered, so
        # the last address, which the CDN has added, is the client's whatever came before it.
        trusted = [f"set_real_ip_from {entry};" for entry in ("0.0.0.0/0", "::/0")]
        lines = [
            f"include {CDN_FILE};",
            *trusted,
            "real_ip_header X-Forwarded-For;",
            "real_ip_recursive off;",
        ]
    told = _geo("$realip_remote_addr", "$proxy_trusted", config.trusted_ranges)
    # A balancer that ends TLS and adds no header only forwards what came over HTTPS, or to a port
    # of its own.
    default = "$scheme" if config.tls_secret or not shared.https else "https"
    if front.balancer_tls:
        default = "$port_scheme"
    scheme = _map(
        '"$proxy_trusted:$http_x_forwarded_proto"',
        "$public_scheme",
        {"default": default, "1:http": "http", "1:https": "https"},
    )
    admitted = _geo("$remote_addr", "$admitted", config.admitted_ranges)
    port = _map("$server_port", "$port_scheme", {"default": "http", str(HTTPS_PORT): "https"})
    return "\n".join([*(lines if trusted else []), told, port, scheme, admitted])


def _geo(source: str, target: str, ranges: tuple[str, ...]) -> str:
    return _block(f"geo {source} {target}", "default 0;", *(f"{entry} 1;" for entry in ranges))


def _log(shared: SharedSettings) -> str:
    """One JSON object for each request (WB-14), without query strings: they may hold secrets.

    What a client may fill with any bytes is cut at the first that is not ASCII, because `json`
    escapes quotes and control characters only, and half a character is not valid JSON.
    """
    fields = {
        "time": '"$time_iso8601"',
        "request_id": '"$request_id"',
        "client": '"$remote_addr"',
        "method": '"$request_method"',
        "path": '"$log_path"',
        "status": "$status",
        "duration_s": "$request_time",
        "upstream_duration_s": "$log_upstream_s",
        "bytes": "$body_bytes_sent",
        "version": json.dumps(shared.deployment_version),
    }
    # "!->" and "@-~" are the printable ASCII characters but space and question mark.
    before_query, ascii_only = r"~^(?<{0}>[!->@-~]*)", r"~^(?<{0}>[ -~]*)"
    cut = {"$log_path": ("$request_uri", before_query)}
    if shared.enhanced:
        fields |= {
            "host": '"$log_host"',
            "user_agent": '"$log_agent"',
            "referer": '"$log_referer"',
            "forwarded_for": '"$log_forwarded"',
            "peer": '"$realip_remote_addr"',
            "scheme": '"$public_scheme"',
            "protocol": '"$server_protocol"',
            "request_bytes": "$request_length",
            "upstream": '"$upstream_addr"',
            "limit": '"$limit_req_status"',
        }
        cut |= {
            "$log_host": ("$http_host", ascii_only),
            "$log_agent": ("$http_user_agent", ascii_only),
            "$log_referer": ("$http_referer", before_query),
            "$log_forwarded": ("$http_x_forwarded_for", ascii_only),
        }
    maps = [
        _map(source, target, {pattern.format(target[1:] + "_part"): f"{target}_part"})
        for target, (source, pattern) in cut.items()
    ]
    # The last try's; empty, or a dash, where the application was not asked.
    last = _map(
        "$upstream_response_time",
        "$log_upstream_s",
        {"default": "null", "~(?<log_upstream_last>[0-9.]+)$": "$log_upstream_last"},
    )
    line = ",".join(f'"{name}":{value}' for name, value in fields.items())
    return "\n".join(
        [*maps, last, f"log_format json escape=json '{{{line}}}';", "access_log /dev/stdout json;"]
    )


def _limits(config: NginxConfig, shared: SharedSettings) -> str:
    """Zones are per nginx pod: together the pods let through up to their number times the rate."""
    if not shared.rate_limits:
        return ""
    exempt = {_below(path): "" for path in config.rate.exempt_paths}
    rate, share = config.rate, 2 if shared.enhanced else 1
    zones = {
        "auth": f"{max(1, rate.auth_per_second // share)}r/s",
        "api": f"{max(1, rate.api_per_second // share)}r/s",
        "minute": f"{max(1, shared.requests_per_minute // share)}r/m",
    }
    return "\n".join(
        [
            # Requests without a key are not counted.
            _map("$uri", "$limited_client", {"default": "$binary_remote_addr", **exempt}),
            *(f"limit_req_zone $limited_client zone={z}:10m rate={r};" for z, r in zones.items()),
            "limit_req_status 429;",
            # Each refusal is in the access log; a flood must not fill the error log too.
            "limit_req_log_level info;",
            _map(
                "$limit_req_status",
                "$retry_after",
                {"default": "", "REJECTED": str(RETRY_AFTER_LIMIT_S)},
            ),
            "add_header Retry-After $retry_after always;",
        ]
    )


def _cors(shared: SharedSettings) -> str:
    """Answers for other sites' pages (WB-10): empty values are not sent."""
    origins = dict.fromkeys(shared.cors_origins, "$http_origin")
    both = '"$preflight:$cors_origin"'
    return "\n".join(
        [
            _map("$http_origin", "$cors_origin", {"default": "", **origins}),
            _map("$cors_origin", "$cors_credentials", {"default": "true", "": ""}),
            _map(
                '"$request_method:$http_access_control_request_method"',
                "$preflight",
                {"default": "0", "~^OPTIONS:.": "1"},
            ),
            _map(both, "$cors_methods", {"default": "", "~^1:.": "GET, POST, PUT, PATCH, DELETE"}),
            _map(
                both,
                "$cors_headers",
                {"default": "", "~^1:.": "$http_access_control_request_headers"},
            ),
            _map(both, "$cors_max_age", {"default": "", "~^1:.": str(PREFLIGHT_LIFETIME_S)}),
        ]
    )


def _headers(config: NginxConfig, shared: SharedSettings) -> str:
    """What every answer carries exactly once: the application's copies are removed (S-39)."""
    headers = _sent_headers(config, shared)
    hsts = f"max-age={shared.hsts_max_age}; includeSubDomains"
    return "\n".join(
        [
            # Headers of a location come on top of these instead of replacing them.
            "add_header_inherit merge;",
            # Never over plain http (RFC 6797, 7.2).
            _map(
                "$public_scheme",
                "$hsts",
                {"default": "", "https": hsts if shared.hsts_max_age else ""},
            ),
            *(f"add_header {name} {_text(value)} always;" for name, value in headers.items()),
            "add_header Vary Origin always;",
            *_hide(headers),
        ]
    )


def _sent_headers(config: NginxConfig, shared: SharedSettings) -> dict[str, str]:
    if not shared.security_headers:
        return CORS_HEADERS
    headers = CORS_HEADERS | security_headers(config.headers)
    headers["Strict-Transport-Security"] = "$hsts"
    if shared.csp and config.headers.csp_mode is not CspMode.APP:
        headers["Content-Security-Policy"] = content_security_policy(
            config.headers,
            https=shared.https,
            sources=_csp_sources(config, shared),
        )
    return headers


def _csp_sources(config: NginxConfig, shared: SharedSettings) -> dict[str, tuple[str, ...]]:
    """Chromium checks the redirects that follow a sign-in form too, hence its targets (HD-6)."""
    sources = {**shared.csp_sources, "form-action": shared.form_targets}
    if config.headers.csp_mode is CspMode.STRICT:
        sources["style-src"] = _style_hashes(MAINTENANCE_PAGE)
    return sources


def _hide(headers: Mapping[str, str], *more: str) -> list[str]:
    return [f"proxy_hide_header {name};" for name in sorted({*headers, *HIDDEN, *more})]


def _style_hashes(page: str) -> tuple[str, ...]:
    styles = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digests = (hashlib.sha256(style.encode()).digest() for style in styles)
    return tuple(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


def _to_app(config: NginxConfig, shared: SharedSettings) -> str:
    """How requests reach the application. Locations override none of the headers set here."""
    websockets = {_below(path): "$http_upgrade" for path in config.websocket_paths}
    sent = {
        # Also right for a request line with a full URL, whose host counts and not the header's.
        "Host": "$host$is_request_port$request_port",
        "X-Forwarded-Host": "$host$is_request_port$request_port",
        "X-Forwarded-Proto": "$public_scheme",
        "X-Forwarded-For": "$remote_addr",
        "X-Real-IP": "$remote_addr",
        "X-Request-ID": "$request_id",
        "Accept": "$app_accept",
        "Upgrade": "$app_upgrade",
        "Connection": "$app_connection",
        # nginx compresses, so that the cache has one copy of each file.
        "Accept-Encoding": "",
        "Forwarded": "",
        CDN_HEADER: "",
        "X-Forwarded-Port": "",
        # Old versions take it as a sign to skip the middleware (CVE-2025-29927).
        "X-Middleware-Subrequest": "",
    }
    formats = {
        "default": "*/*",
        "~image/avif": "image/avif,image/webp",
        "~image/webp": "image/webp",
    }
    # Vulnerable versions of Next.js would fetch the URL of such a request line (CVE-2026-44578).
    url = r"~^\S.* \S+ [A-Za-z][A-Za-z0-9+.-]*://"
    return "\n".join(
        [
            _map('"$http_upgrade $request"', "$upgrades_a_url", {"default": "0", url: "1"}),
            _map("$uri", "$app_upgrade", {"default": "", **websockets}),
            _map("$app_upgrade", "$app_connection", {"default": "upgrade", "": ""}),
            # What makes a difference to /_next/image: a cached copy for each of three values.
            _map("$http_accept", "$image_formats", formats),
            _map(
                "$uri", "$app_accept", {"default": "$http_accept", "/_next/image": "$image_formats"}
            ),
            _map(
                "$status",
                "$asset_lifetime",
                {"default": "no-store", "~^(200|206|304)$": ASSET_LIFETIME},
            ),
            f"proxy_cache_path {SCRATCH}/assets levels=1:2 keys_zone=assets:4m "
            f"max_size={config.asset_cache_mib}m inactive=30d use_temp_path=off;",
            "proxy_http_version 1.1;",
            *(f"proxy_set_header {name} {_text(value)};" for name, value in sent.items()),
            f"client_max_body_size {shared.upload_max_size};",
            "proxy_buffering off;",
            "proxy_buffer_size 32k;",
            "proxy_buffers 8 32k;",
            "proxy_busy_buffers_size 64k;",
            f"proxy_connect_timeout {config.connect_timeout_s}s;",
            f"proxy_read_timeout {config.page_timeout_s}s;",
            # nginx itself never repeats a POST that it has begun to send.
            "proxy_next_upstream error timeout;",
            "proxy_next_upstream_tries 2;",
            f"proxy_next_upstream_timeout {2 * config.connect_timeout_s}s;",
        ]
    )


def _servers(config: NginxConfig, shared: SharedSettings, front: Front) -> list[str]:
    # Whose TLS ends before nginx says so by the port that the load balancer chose.
    secure = f"listen {HTTPS_PORT}{' ssl' if config.tls_secret else ''}"
    if not (config.tls_secret or front.balancer_tls):
        return [
            _unknown_hosts(front, f"listen {HTTP_PORT}"),
            _site(config, shared, front, f"listen {HTTP_PORT};"),
        ]
    redirect = _block(
        "server",
        f"listen {HTTP_PORT};",
        _names(front),
        _health(),
        _block("location /", "return 301 https://$host$request_uri;"),
    )
    return [
        _tls() if config.tls_secret else "",
        _unknown_hosts(front, f"listen {HTTP_PORT}", secure),
        redirect,
        _site(config, shared, front, f"{secure};"),
    ]


def _tls() -> str:
    # A certificate named by a variable is read anew, so that a renewed one needs no restart.
    folder = _map('""', "$tls_folder", {"default": TLS_FOLDER})
    return f"""\
{folder}
http2 on;
ssl_certificate $tls_folder/tls.crt;
ssl_certificate_key $tls_folder/tls.key;
ssl_certificate_cache max=4 valid=1m;
ssl_protocols TLSv1.2 TLSv1.3;
ssl_session_cache shared:tls:4m;
ssl_session_timeout 1d;"""


def _unknown_hosts(front: Front, *listen: str) -> str:
    """Whoever asks for a host that is not ours is told so, and gets no link made of its name."""
    if front.answers_all:
        return ""
    return _block(
        "server",
        *(f"{address} default_server;" for address in listen),
        _health(),
        _block("location /", "return 421;"),
    )


def _names(front: Front) -> str:
    return "" if front.answers_all else f"server_name {' '.join(front.hosts)};"


def _site(config: NginxConfig, shared: SharedSettings, front: Front, listen: str) -> str:
    return _block(
        "server",
        listen,
        _names(front),
        _only_the_cdn() if front.cdn else "",
        _gate(config, shared),
        # To HTTPS, where a balancer that ends TLS says that a request came without.
        _if("$public_scheme = http", "return 301 https://$host$request_uri;")
        if shared.https
        else "",
        _if("$preflight", "return 204;"),
        _if("$upgrades_a_url", "return 400;"),
        _health(),
        *(block for path in config.closed_paths for block in _closed(path)),
        *(block for p in config.websocket_paths for block in _websocket(config, shared, p)),
        _assets(config, shared, front),
        _images(),
        *_api(config, shared),
        _block("location /", "proxy_pass http://app;"),
    )


def _only_the_cdn() -> str:
    others = _if(f'$round_it !~ "^1|^0{HEALTH_PATH}$"', "return 403;")
    return f'set $round_it "$from_cdn$uri";\n{others}'


def _if(condition: str, action: str) -> str:
    return f"if ({condition}) {{ {action} }}"


def _gate(config: NginxConfig, shared: SharedSettings) -> str:
    """Shut for all but the admitted ranges: maintenance says when to come back, lockdown not."""
    if not (shared.maintenance or config.lockdown):
        return ""
    status = 403 if config.lockdown else 503
    shut = f'set $shut "$admitted$uri";\nif ($shut !~ "^1|^0{HEALTH_PATH}$") {{ return {status}; }}'
    if config.lockdown:
        return shut
    return "\n".join(
        [
            shut,
            "error_page 503 @maintenance;",
            _block(
                "location @maintenance",
                "default_type text/html;",
                "charset utf-8;",
                f"add_header Retry-After {RETRY_AFTER_MAINTENANCE_S} always;",
                "add_header Cache-Control no-store always;",
                f"return 503 '{MAINTENANCE_PAGE}';",
            ),
        ]
    )


def _health() -> str:
    return _block(
        f"location = {HEALTH_PATH}",
        "access_log off;",
        "default_type text/plain;",
        r'return 200 "ok\n";',
    )


def _closed(path: str) -> list[str]:
    """Only from inside the cluster, where the pods are asked directly (WB-13)."""
    return _exact_and_below(f"{path.rstrip('/')}/", "return 404;")


def _websocket(config: NginxConfig, shared: SharedSettings, path: str) -> list[str]:
    # A connection may be silent for long; the application ends dead ones by its own pings.
    limits = _limits_of(config, shared, path)
    body = [*limits, "proxy_read_timeout 1h;", "proxy_pass http://app;"]
    if path.endswith("/"):
        return _exact_and_below(path, *body)
    return [_block(f"location = {path}", *body)]


def _assets(config: NginxConfig, shared: SharedSettings, front: Front) -> str:
    """Files whose names change with their content, of the new build and the one before (WB-8).

    A pod that lacks a file is of the other build, so the next pod is asked, until all have been.
    """
    return _block(
        "location /_next/static/",
        *_cached("$uri $arg_dpl"),
        # The CDN compresses, with brotli too, but only what is not compressed yet (WB-9).
        "gzip off;" if front.cdn else "",
        "proxy_cache_valid 200 30d;",
        "proxy_ignore_headers Cache-Control Expires Set-Cookie Vary X-Accel-Expires;",
        "proxy_cache_use_stale error timeout updating http_404 http_500 http_502 http_503;",
        "proxy_next_upstream error timeout http_404;",
        "proxy_next_upstream_tries 0;",
        # A location's own list replaces the one above it.
        *_hide(_sent_headers(config, shared), "Cache-Control", "Expires", "Set-Cookie"),
        "add_header Cache-Control $asset_lifetime always;",
        "proxy_pass http://app;",
    )


def _images() -> str:
    """For as long as the application says; else each pod would scale and store each image."""
    return _block(
        "location = /_next/image",
        *_cached("$request_uri $image_formats"),
        "proxy_ignore_headers Vary;",
        "proxy_pass http://app;",
    )


def _cached(key: str) -> list[str]:
    return [
        "proxy_buffering on;",
        "proxy_cache assets;",
        f"proxy_cache_key {_text(key)};",
        "proxy_cache_lock on;",
    ]


def _api(config: NginxConfig, shared: SharedSettings) -> list[str]:
    to_app = [f"proxy_read_timeout {config.api_timeout_s}s;", "proxy_pass http://app;"]
    return [
        block
        for path in ("/api/", "/api/auth/")
        for block in _exact_and_below(path, *_limits_of(config, shared, path), *to_app)
    ]


def _limits_of(config: NginxConfig, shared: SharedSettings, path: str) -> list[str]:
    """RL-1 to RL-3, for the location of a path."""
    below = f"{path.rstrip('/')}/"
    if not shared.rate_limits or not below.startswith("/api/"):
        return []
    sign_in = [f"limit_req zone=auth burst={config.rate.auth_burst};"]
    return [
        *(sign_in if below.startswith("/api/auth/") else []),
        f"limit_req zone=api burst={config.rate.api_burst};",
        f"limit_req zone=minute burst={shared.minute_burst} nodelay;",
    ]


def _exact_and_below(path: str, *body: str) -> list[str]:
    """Both, because nginx would redirect /api to /api/, and Next.js back again, for ever."""
    return [_block(f"location = {path.rstrip('/')}", *body), _block(f"location ^~ {path}", *body)]
