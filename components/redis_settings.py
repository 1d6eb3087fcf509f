"""Settings of the cache in the cluster: its knobs, and the configuration files made of them.

Creates no resources; passwords and addresses are added when a pod starts.
"""

from dataclasses import dataclass
from enum import StrEnum

from components.image import unfixed
from components.stack_config import refuse

PORT = 6379
SENTINEL_PORT = 26379
HEALTH_PORT = 8405
SET_NAME = "main"
"""What the Sentinels, and clients that ask them, call this set of servers."""
USERS = "/etc/redis-users"
RUN = "/run/redis"
DATA = "/data"
PROXY_HARD_STOP_S = 10
# Everything but the server's own administration, as on ElastiCache.
NODE_APP_RULES = "~* &* +@all -@admin"
# What a client needs to find the primary and to hear of a new one.
SENTINEL_APP_RULES = (
    "&* -@all +@connection +role +info +subscribe +psubscribe +unsubscribe +punsubscribe "
    "+sentinel|get-master-addr-by-name +sentinel|replicas +sentinel|slaves +sentinel|sentinels "
    "+sentinel|master +sentinel|masters"
)


class Role(StrEnum):
    """What a set is for; it decides what happens when memory is full (CA-4)."""

    CACHE = "cache"
    QUEUE = "queue"


class EvictionPolicy(StrEnum):
    """Valkey's `maxmemory-policy`, as far as it suits a cache that also holds sessions."""

    VOLATILE_LRU = "volatile-lru"
    VOLATILE_LFU = "volatile-lfu"
    VOLATILE_TTL = "volatile-ttl"
    ALLKEYS_LRU = "allkeys-lru"
    ALLKEYS_LFU = "allkeys-lfu"
    NOEVICTION = "noeviction"


@dataclass(frozen=True, kw_only=True)
class RedisConfig:
    image: str
    proxy_image: str
    queue: bool
    replicas: int
    sentinels: int
    quorum: int
    proxies: int
    max_memory_mib: int
    eviction_policy: EvictionPolicy
    storage_gib: int
    down_after_ms: int
    failover_timeout_ms: int
    min_replicas_to_write: int
    min_replicas_max_lag_s: int

    def __post_init__(self) -> None:
        refuse(
            [
                *unfixed("image", self.image),
                *unfixed("proxy_image", self.proxy_image),
                *_out_of_range(self),
                *_votes(self),
                *_timing(self),
            ]
        )


RANGES = {
    "replicas": (2, 5),
    "proxies": (2, 10),
    "max_memory_mib": (64, 65_536),
    "storage_gib": (1, 1024),
    "down_after_ms": (500, 60_000),
    "min_replicas_max_lag_s": (1, 60),
}


def _out_of_range(config: RedisConfig) -> list[str]:
    return [
        f"{name} is out of range: got {value}, allowed {low} to {high}"
        for name, (low, high) in RANGES.items()
        if not low <= (value := getattr(config, name)) <= high
    ]


def _votes(config: RedisConfig) -> list[str]:
    problems: list[str] = []
    if config.sentinels not in (3, 5, 7):
        problems.append(
            f"sentinels is not allowed: got {config.sentinels}, allowed 3, 5, 7; an even number "
            "outvotes no more failures"
        )
    majority = config.sentinels // 2 + 1
    if not majority <= config.quorum <= config.sentinels:
        problems.append(
            f"quorum is out of range: got {config.quorum}, allowed {majority} to "
            f"{config.sentinels} of redisSentinels; fewer could follow two primaries"
        )
    if not 1 <= config.min_replicas_to_write <= max(1, config.replicas - 1):
        problems.append(
            f"min_replicas_to_write is out of range: got {config.min_replicas_to_write}, allowed "
            f"1 to one less than redisReplicas ({config.replicas}); else a restart stops writes"
        )
    return problems


def _timing(config: RedisConfig) -> list[str]:
    if config.failover_timeout_ms >= 2 * config.down_after_ms:
        return []
    return [
        f"failover_timeout_ms is too short: got {config.failover_timeout_ms}, allowed "
        f"{2 * config.down_after_ms} or more, which is twice redisDownAfterMs"
    ]


def node_settings(config: RedisConfig, role: Role) -> str:
    """redis.conf, without what a pod learns when it starts."""
    policy = EvictionPolicy.NOEVICTION if role is Role.QUEUE else config.eviction_policy
    return f"""\
port {PORT}
dir {DATA}
protected-mode no
aclfile {USERS}/users.acl
masteruser internal
replica-announce-port {PORT}
maxmemory {config.max_memory_mib}mb
maxmemory-policy {policy}
min-replicas-to-write {config.min_replicas_to_write}
min-replicas-max-lag {config.min_replicas_max_lag_s}
appendonly yes
appendfsync everysec
save ""
# A replica that was away for a moment catches up from this instead of copying everything.
repl-backlog-size 16mb
repl-diskless-sync-delay 0
client-output-buffer-limit replica {config.max_memory_mib}mb 32mb 60
tcp-keepalive 60
# How long to wait for replicas at the end; after a handover they follow another server.
shutdown-timeout 3
"""


def sentinel_settings(config: RedisConfig) -> str:
    """sentinel.conf, without addresses, passwords and what a Sentinel remembers."""
    return f"""\
port {SENTINEL_PORT}
dir {RUN}
protected-mode no
aclfile {USERS}/users.acl
sentinel announce-port {SENTINEL_PORT}
sentinel down-after-milliseconds {SET_NAME} {config.down_after_ms}
sentinel failover-timeout {SET_NAME} {config.failover_timeout_ms}
sentinel parallel-syncs {SET_NAME} 1
"""


def proxy_settings(nodes: list[str], sentinels: list[str], quorum: int) -> str:
    """haproxy.cfg: a server gets clients if it says that it is the primary, and `quorum` Sentinels
    name it and no other, so a former primary that wakes up gets none. redis-proxy.sh adds the
    addresses.
    """
    rules = "".join(
        f"    use_backend {node} if {_is_primary(node, nodes, quorum)}\n" for node in nodes
    )
    backends = "".join(
        _node_backend(node, i) + _vote_backend(node, i, sentinels) for i, node in enumerate(nodes)
    )
    return f"{PROXY_HEAD}{rules}{backends}"


# Clients keep idle connections and wait for messages without limit, so only keepalive ends them.
PROXY_HEAD = f"""\
global
    maxconn 4000
    hard-stop-after {PROXY_HARD_STOP_S}s
defaults
    mode tcp
    option clitcpka
    option srvtcpka
    timeout connect 1s
    timeout client 24h
    timeout server 24h
    timeout check 1s
    default-server check inter 200ms fastinter 100ms fall 2 rise 1
listen health
    bind :{HEALTH_PORT}
    mode http
    timeout client 5s
    monitor-uri /health
frontend redis
    bind :{PORT}
"""
LOGIN = """\
    option tcp-check
    tcp-check send "AUTH internal ${REDISCLI_AUTH}"\\r\\n
    tcp-check expect string +OK
"""


def _is_primary(node: str, nodes: list[str], quorum: int) -> str:
    """The others are asked too, because a change of mind is seen later in one backend's checks."""
    named = " ".join(
        f"{{ nbsrv({other}-named) {'ge' if other == node else 'lt'} {quorum} }}" for other in nodes
    )
    return f"{{ nbsrv({node}) ge 1 }} {named}"


def _node_backend(node: str, number: int) -> str:
    return f"""\
backend {node}
{LOGIN}\
    tcp-check send "INFO replication"\\r\\n
    tcp-check expect string role:master
    server {node} "${{NODE_{number}}}":{PORT} on-marked-down shutdown-sessions
"""


def _vote_backend(node: str, number: int, sentinels: list[str]) -> str:
    """Never used by clients: its count of healthy servers is the number of votes."""
    servers = "".join(
        f'    server {sentinel} "${{SENTINEL_{i}}}":{SENTINEL_PORT} fall 1\n'
        for i, sentinel in enumerate(sentinels)
    )
    return f"""\
backend {node}-named
{LOGIN}\
    tcp-check send "SENTINEL get-master-addr-by-name {SET_NAME}"\\r\\n
    tcp-check expect string \\r\\n"${{NODE_{number}}}"\\r\\n
{servers}"""
