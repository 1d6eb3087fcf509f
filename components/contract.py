"""The environment contract: one table of every variable that the application gets (EN-1).

Leaves out where the values come from and how they reach the pods (environment.py).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit


class Stage(StrEnum):
    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"


class Source(StrEnum):
    GENERATED = "generated"
    COMPUTED = "computed"
    SECRET = "secret configuration"
    PLAIN = "plain configuration"


@dataclass(frozen=True)
class Rule:
    allowed: str
    """What is accepted, in words."""
    accepts: Callable[[str], bool]
    schema: Mapping[str, object]
    """The same as JSON Schema, as far as a pattern can tell."""
    bounds: tuple[int, int] | None = None
    """Least and greatest whole number."""


@dataclass(frozen=True, kw_only=True)
class Variable:
    name: str
    source: Source
    about: str
    """One line for `.env.example`."""
    rule: Rule
    default: str | None = None
    """Value of a plain variable where the configuration says nothing."""
    required: bool = True
    """Whether every stack has it; otherwise it is optional, or named in `requiredEnv`."""
    build: bool = False
    """Whether the image build needs it too (S-20)."""
    credential: bool = False
    """Whether a computed value is secret."""

    @property
    def secret(self) -> bool:
        return self.credential or self.source in (Source.GENERATED, Source.SECRET)


ORIGIN = r"https?://[a-z0-9.-]+(:\d+)?"


def is_origin(text: str) -> bool:
    """Whether `text` is scheme, host and port, and nothing more (RFC 6454)."""
    return re.fullmatch(ORIGIN, text) is not None


def _url(*schemes: str) -> Rule:
    def accepts(text: str) -> bool:
        try:
            parts = urlsplit(text)
            return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:  # a port that is no number, or a broken IPv6 address
            return False

    return Rule(
        f"a URL that starts with {' or '.join(f'{s}://' for s in schemes)}",
        accepts,
        {"pattern": rf"^({'|'.join(schemes)})://[^/?#\s]"},
    )


def _number(low: int, high: int) -> Rule:
    return Rule(
        f"a whole number from {low} to {high}",
        lambda text: text.isdecimal() and low <= int(text) <= high,
        {"pattern": r"^\d+$"},
        (low, high),
    )


def _one_of(*values: str) -> Rule:
    return Rule(" or ".join(values), lambda text: text in values, {"enum": list(values)})


def _pattern(words: str, pattern: str) -> Rule:
    """`pattern` is for Python and for JavaScript; it matches the whole text."""
    return Rule(
        words,
        lambda text: re.fullmatch(pattern, text) is not None,
        {"pattern": f"^({pattern})$"},
    )


ANY = Rule("any text but none", bool, {"minLength": 1})
BOOLEAN = _one_of("true", "false")
WEB_URL = _url("http", "https")
DATABASE_URL = _url("postgresql", "postgres")
CACHE_URL = _url("redis", "rediss")
KEY = _pattern("32 bytes in base64", r"[A-Za-z0-9+/]{43}=")
ENCRYPTION_KEY = _pattern(
    "32 bytes in base64 or hex, or as 32 letters and digits",
    r"[A-Za-z0-9+/]{43}=|[0-9a-f]{64}|[A-Za-z0-9]{32}",
)
PASSPHRASE = _pattern("32 characters or more", r"\S{32,}")
# ".ts" and the like, each with its dot.
FILE_TYPES = _pattern("a comma list of endings that start with a dot", r"\.[\w.+-]+(,\.[\w.+-]+)*")
ORIGINS = _pattern(
    "a comma list of origins such as https://example.com, and no *", f"{ORIGIN}(,{ORIGIN})*"
)
DEFAULT_FILE_TYPES = (
    ".js,.ts,.jsx,.tsx,.py,.java,.cpp,.c,.go,.rs,.php,.rb,.swift,.kt,.scala,.clj,.hs,.ml,.fs,.ex,"
    ".elixir,.erl,.pl,.r,.m,.pas,.ada,.vb,.cs,.vbs,.ps1,.sh,.bash,.zsh,.fish,.lua,.nim,.cr,.d,.zig"
)


def _computed(
    name: str, rule: Rule, about: str, *, required: bool = True, build: bool = False
) -> Variable:
    return Variable(
        name=name, source=Source.COMPUTED, rule=rule, about=about, required=required, build=build
    )


def _offered(name: str, rule: Rule, about: str) -> Variable:
    """Computed and secret, but only where the stack has such a thing."""
    return Variable(
        name=name, source=Source.COMPUTED, rule=rule, about=about, credential=True, required=False
    )


def _generated(name: str, rule: Rule, about: str, *, required: bool = True) -> Variable:
    build = name == "NEXT_SERVER_ACTIONS_ENCRYPTION_KEY"
    return Variable(
        name=name, source=Source.GENERATED, rule=rule, about=about, required=required, build=build
    )


def _plain(name: str, rule: Rule, default: str, about: str, *, build: bool = False) -> Variable:
    return Variable(
        name=name, source=Source.PLAIN, rule=rule, default=default, about=about, build=build
    )


def _optional(name: str, rule: Rule, about: str, *, build: bool = False) -> Variable:
    return Variable(
        name=name, source=Source.PLAIN, rule=rule, about=about, required=False, build=build
    )


def _external(name: str, rule: Rule, about: str, *, build: bool = False) -> Variable:
    return Variable(
        name=name, source=Source.SECRET, rule=rule, about=about, required=False, build=build
    )


TABLE = (
    _computed("NODE_ENV", _one_of("production"), "Fixed: Next.js knows no staging", build=True),
    _computed("APP_ENV", _one_of(*Stage), "Name of the stage"),
    _computed("PORT", _number(1024, 65535), "Port that the application listens on"),
    _computed("HOSTNAME", _one_of("0.0.0.0"), "Else Next.js binds to the pod's name only"),
    _computed("AUTH_TRUST_HOST", BOOLEAN, "The platform's proxy sets the forwarded headers"),
    _computed("NEXT_PUBLIC_APP_URL", WEB_URL, "Address of the site", build=True),
    _computed("NEXT_PUBLIC_API_URL", WEB_URL, "Address of the API", build=True),
    _computed("NEXT_DEPLOYMENT_ID", ANY, "Version that Next.js checks for skew", build=True),
    _computed("DEPLOYMENT_VERSION", ANY, "Commit that the image was built from", build=True),
    _generated("NEXT_SERVER_ACTIONS_ENCRYPTION_KEY", KEY, "Equal in all replicas and the build"),
    _computed("KEEP_ALIVE_TIMEOUT", _number(61_000, 600_000), "ms; above nginx's 60 s"),
    _computed("NODE_OPTIONS", ANY, "Heap limit, from the container's memory"),
    _computed("MALLOC_ARENA_MAX", _number(1, 64), "Keeps glibc from fragmenting memory"),
    _computed("CACHE_KEY_PREFIX", _pattern("text that ends with a colon", r"\S+:"), "Of a build"),
    _computed(
        "NODE_EXTRA_CA_CERTS",
        _pattern("an absolute path", r"/\S+"),
        "File with the database's certificate authorities",
        required=False,
    ),
    _generated("NEXTAUTH_SECRET", PASSPHRASE, "Key of the session cookies"),
    _computed("NEXTAUTH_URL", WEB_URL, "Address of the site, for sign-in"),
    _generated("JWT_SECRET", PASSPHRASE, "Key of signed tokens"),
    _generated("ENCRYPTION_KEY", ENCRYPTION_KEY, "Key of what the application stores encrypted"),
    _generated(
        "ENCRYPTION_KEY_PREVIOUS",
        ENCRYPTION_KEY,
        "After a rotation: the key before",
        required=False,
    ),
    Variable(
        name="DATABASE_URL",
        source=Source.COMPUTED,
        rule=Rule(
            "a postgresql:// URL without pgbouncer=true",
            lambda text: DATABASE_URL.accepts(text) and "pgbouncer=true" not in text,
            {"pattern": f"^(?!.*pgbouncer=true){DATABASE_URL.schema['pattern']}"},
        ),
        about="The database through the pool",
        credential=True,
    ),
    _offered("DIRECT_URL", DATABASE_URL, "The database itself; migrations only by default"),
    _offered("ANALYTICS_DATABASE_URL", DATABASE_URL, "Read replica, read-only role"),
    _offered("DATABASE_URL_DEV", DATABASE_URL, "Development only: the same as DATABASE_URL"),
    _offered("DATABASE_URL_TEST", DATABASE_URL, "Development only: an empty second database"),
    _plain("DATABASE_POOL_SIZE", _number(1, 100), "10", "Connections of one pod to the pool"),
    _plain("DATABASE_TIMEOUT", _number(1, 600_000), "30000", "ms that a statement may take"),
    Variable(
        name="REDIS_URL",
        source=Source.COMPUTED,
        rule=CACHE_URL,
        about="The cache's primary",
        credential=True,
    ),
    _offered("QUEUE_REDIS_URL", CACHE_URL, "Instance that never evicts, for job queues"),
    _plain("REDIS_TTL", _number(1, 31_536_000), "3600", "s that a session lives"),
    _optional("GITHUB_CLIENT_ID", ANY, "OAuth application of GitHub"),
    _external("GITHUB_CLIENT_SECRET", ANY, "Its secret"),
    _optional("GOOGLE_CLIENT_ID", ANY, "OAuth client of Google"),
    _external("GOOGLE_CLIENT_SECRET", ANY, "Its secret"),
    _external("OPENAI_API_KEY", _pattern("text that starts with sk-", r"sk-\S+"), "OpenAI"),
    _plain("OPENAI_MODEL", ANY, "gpt-4", "Model for analyses"),
    _plain("OPENAI_MAX_TOKENS", _number(1, 1_000_000), "4000", "Longest answer"),
    _external("ANTHROPIC_API_KEY", ANY, "Anthropic"),
    _optional("SUPABASE_URL", WEB_URL, "Supabase project; all three or none"),
    _external("SUPABASE_ANON_KEY", ANY, "Supabase project; all three or none"),
    _external("SUPABASE_SERVICE_ROLE_KEY", ANY, "Supabase project; all three or none"),
    _computed("UPLOAD_BUCKET", ANY, "Bucket of the users' files", required=False),
    _computed("UPLOAD_REGION", ANY, "Its region", required=False),
    _plain("UPLOAD_MAX_SIZE", _number(1, 10**10), "50000000", "bytes; nginx refuses more"),
    _plain("ALLOWED_FILE_TYPES", FILE_TYPES, DEFAULT_FILE_TYPES, "What may be uploaded"),
    _plain("RATE_LIMIT_REQUESTS_PER_MINUTE", _number(1, 10**6), "100", "For one address on /api"),
    _plain("RATE_LIMIT_MAX_BURST", _number(1, 10**6), "20", "At once beyond the rate"),
    _plain("API_RATE_LIMIT_ENABLED", BOOLEAN, "true", "Whether nginx limits at all"),
    _plain("SECURITY_HEADERS_ENABLED", BOOLEAN, "true", "Whether nginx sends security headers"),
    _plain("CSP_ENABLED", BOOLEAN, "true", "Whether nginx sends the content security policy"),
    _plain("HSTS_MAX_AGE", _number(0, 10**9), "31536000", "s; 0 sends none"),
    _computed("CORS_ORIGINS", ORIGINS, "Sites that may call the API"),
    _external("RESEND_API_KEY", ANY, "Mail"),
    _external("TELNYX_API_KEY", ANY, "Telephony"),
    _external("STRIPE_SECRET_KEY", ANY, "Payment"),
    _external("SENTRY_DSN", _url("https"), "Error reports", build=True),
    _computed("SENTRY_ENVIRONMENT", ANY, "Name of the stack", build=True),
    _computed("SENTRY_RELEASE", ANY, "Same as DEPLOYMENT_VERSION", build=True),
    _optional("GOOGLE_ANALYTICS_ID", ANY, "Add its hosts to the CSP lists", build=True),
    _optional("POSTHOG_KEY", ANY, "Add its hosts to the CSP lists", build=True),
    _optional("VERCEL_ANALYTICS_ID", ANY, "Add its hosts to the CSP lists", build=True),
    _plain("LOG_LEVEL", _one_of("debug", "info", "warn", "error"), "info", "Least level logged"),
    _plain("LOG_FORMAT", _one_of("json", "text"), "json", "Form of the log lines"),
    _plain("MAINTENANCE_MODE", BOOLEAN, "false", "true answers 503 everywhere"),
    _plain("SECURITY_MODE", _one_of("standard", "enhanced"), "standard", "enhanced halves limits"),
    _plain("DEGRADED_MODE", BOOLEAN, "false", "true switches costly features off"),
    _plain("NEW_EDITOR", BOOLEAN, "false", "Feature flag"),
    _plain("BATCH_PROCESSING", BOOLEAN, "false", "Feature flag"),
    _plain("TEAM_FEATURES", BOOLEAN, "false", "Feature flag"),
    _plain("DEBUG_MODE", BOOLEAN, "false", "Feature flag"),
)
CONTRACT: Mapping[str, Variable] = {variable.name: variable for variable in TABLE}

NEVER_IN_PODS: Mapping[str, str] = {
    "SLACK_WEBHOOK": "a secret of workflows and scripts",
    "STATUS_PAGE_WEBHOOK": "a secret of workflows and scripts",
    "RECOVERY_DATABASE_URL": "a secret of workflows and scripts",
    "SENTRY_AUTH_TOKEN": "a secret of the application's CI",
    "LHCI_GITHUB_APP_TOKEN": "a secret of the application's CI",
    "PLAYWRIGHT_TEST_BASE_URL": "a setting of the application's CI",
    "HOSTED_ZONE_ID": "a setting of the platform",
    "MONGODB_URI": "not provided: the platform's database is PostgreSQL",
} | {
    f"VERCEL_{name}": "not provided: the platform replaces that host"
    for name in ("TOKEN", "ORG_ID", "PROJECT_ID", "TEAM", "SCOPE")
}
