"""The security headers of every answer, with their exact values (requirements 7.1).

Leaves out how nginx sends them, and what differs with each request.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from components.stack_config import refuse

POLICY = {
    "default-src": "'self'",
    "script-src": "'self' 'unsafe-eval' 'unsafe-inline'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' blob: data: https:",
    "font-src": "'self' data:",
    "connect-src": "'self' *.sentry.io",
    "media-src": "'self' blob:",
    "worker-src": "'self' blob:",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
UNSAFE = ("'unsafe-eval'", "'unsafe-inline'")
# Nothing that ends the source, the policy or the quotes around it, and no nginx variable.
SOURCE = re.compile(r"[!#%&'()*+\-./0-9:<=>?@A-Z_a-z~]+")


class CspMode(StrEnum):
    COMPAT = "compat"
    """Allows inline scripts and eval, which Next.js needs without nonces."""
    STRICT = "strict"
    """Allows neither."""
    APP = "app"
    """Leaves the header to the application."""


@dataclass(frozen=True, kw_only=True)
class HeadersConfig:
    csp_mode: CspMode
    csp_additions: dict[str, str]
    permissions_policy: str
    xss_protection: str

    def __post_init__(self) -> None:
        plain = {
            "permissions_policy": self.permissions_policy,
            "xss_protection": self.xss_protection,
        }
        refuse(
            [
                f"csp_additions.{directive} is not a directive of the policy, allowed "
                f"{', '.join(POLICY)}"
                for directive in self.csp_additions
                if directive not in POLICY
            ]
            + [
                f"csp_additions.{directive} is malformed: got {source!r}, allowed sources such as "
                "https://plausible.io, with spaces between them"
                for directive, sources in self.csp_additions.items()
                for source in sources.split(" ")
                if not SOURCE.fullmatch(source)
            ]
            + [
                f"{name} is malformed: got {value!r}, allowed printable characters but quotes, "
                "backslashes and $"
                for name, value in plain.items()
                if not re.fullmatch(r"[ !#%-\[\]-~]*", value)
            ]
        )


def content_security_policy(
    config: HeadersConfig, *, https: bool, sources: Mapping[str, tuple[str, ...]]
) -> str:
    """The policy's value; `sources` are those that the stack needs, by directive (HD-6)."""
    added = {directive: given.split(" ") for directive, given in config.csp_additions.items()}
    for directive, needed in sources.items():
        added[directive] = [*added.get(directive, []), *needed]
    parts = [
        f"{directive} {_sources(config.csp_mode, base, added.get(directive, []))}"
        for directive, base in POLICY.items()
    ]
    # Over plain http it would send the browser to a port where nobody listens.
    return "; ".join([*parts, *(["upgrade-insecure-requests"] if https else [])])


def _sources(mode: CspMode, base: str, added: list[str]) -> str:
    sources = [*base.split(" "), *added]
    if mode is CspMode.STRICT:
        sources = [source for source in sources if source not in UNSAFE]
    if len(sources) > 1:  # 'none' counts only alone
        sources = [source for source in sources if source != "'none'"]
    return " ".join(sources)


def security_headers(config: HeadersConfig) -> dict[str, str]:
    """The headers whose values are the same in every stack and mode."""
    headers = {
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "strict-origin-when-cross-origin",
        "Permissions-Policy": config.permissions_policy,
    }
    # Browsers removed the filter, and it leaked data in old ones; sent only if asked for (S-24).
    return headers | ({"X-XSS-Protection": config.xss_protection} if config.xss_protection else {})
