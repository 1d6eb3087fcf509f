"""Knobs of the network on AWS, and how a created one is divided into subnets.

Creates no resources, and leaves out pulumi_aws: stacks without AWS read this file too.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network

from components.aws.config import LOG_RETENTION_DAYS, malformed_ranges
from components.stack_config import refuse

PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
"""Addresses that nobody has on the Internet (RFC 1918)."""
WIDEST, NARROWEST = 16, 20
"""Prefix lengths of a created network: AWS makes none wider, and below the second a zone's quarter
has under a thousand addresses, of which a node takes up to 60 for itself and its pods."""
ZONES = (2, 3)
MOST_PEERS = 12
"""AWS allows 20 entries in a network ACL, of which the subnets need up to 6 themselves."""
SERVICE = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*")


class NatGateways(StrEnum):
    ONE = "one"
    EACH_ZONE = "each-zone"


@dataclass(frozen=True, kw_only=True)
class ZoneRanges:
    """What a zone gets of a created network."""

    zone: str
    public: str
    private: str
    isolated: str


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    # Of a network that exists
    vpc_id: str
    subnet_ids: tuple[str, ...]
    subnet_ranges: tuple[str, ...]
    node_subnet_ids: tuple[str, ...]
    client_security_group_ids: tuple[str, ...]
    # Of one that the stack creates
    vpc_range: str
    zones: tuple[str, ...]
    nat_gateways: NatGateways
    peer_ranges: tuple[str, ...]
    interface_endpoints: tuple[str, ...]
    flow_log_retention_days: int

    def __post_init__(self) -> None:
        refuse([*_ids(self), *_range(self), *_zones(self), *_endpoints(self), *_logs(self)])

    @property
    def zone_ranges(self) -> tuple[ZoneRanges, ...]:
        """A quarter for each zone's nodes and pods; of the last, eighths for all other subnets.

        They depend on the zone's place only, so that a third zone leaves the others as they are.
        """
        *private, rest = IPv4Network(self.vpc_range).subnets(2)
        small = list(rest.subnets(3))
        return tuple(
            ZoneRanges(
                zone=zone,
                private=str(private[index]),
                public=str(small[index]),
                isolated=str(small[4 + index]),
            )
            for index, zone in enumerate(self.zones)
        )

    @property
    def data_ranges(self) -> tuple[str, ...]:
        """Where database and cache have their addresses, whoever made the network."""
        if self.vpc_range:
            return tuple(ranges.isolated for ranges in self.zone_ranges)
        return self.subnet_ranges

    @property
    def missing_of_created(self) -> list[str]:
        """The problems of a stack that creates its network and says too little, or too much."""
        problems = [
            f"aws_{name} is empty, but awsNetwork is created; set it, such as {sample}"
            for name, value, sample in (
                ("vpc_range", self.vpc_range, "10.20.0.0/16"),
                ("zones", self.zones, "[us-east-1a, us-east-1b]"),
            )
            if not value
        ]
        known = ("vpc_id", "subnet_ids", "subnet_ranges", "node_subnet_ids")
        return problems + [
            f"aws_{name} is set, but awsNetwork is created, which makes its own; remove it, or "
            "set awsNetwork to existing"
            for name in known
            if getattr(self, name)
        ]

    @property
    def missing_for_servers(self) -> list[str]:
        """The problems of a stack with a database or cache in a network that exists."""
        problems = [
            f"aws_{name} is empty, but the stack keeps data on AWS; set it, or choose database: "
            "cluster and cache: cluster"
            for name in ("vpc_id", "subnet_ranges")
            if not getattr(self, name)
        ]
        return problems + _too_few("subnet_ids", self.subnet_ids)

    @property
    def missing_for_nodes(self) -> list[str]:
        """The problems of a stack with nodes of its own in a network that exists."""
        problems = [] if self.vpc_id else ["aws_vpc_id is empty, but clusterSource is eks; set it"]
        return problems + _too_few("node_subnet_ids", self.node_subnet_ids)


def _too_few(name: str, ids: tuple[str, ...]) -> list[str]:
    if len(set(ids)) >= 2:
        return []
    return [
        f"aws_{name} has too few: got {len(set(ids))}, allowed 2 or more private subnets in "
        "different zones (PL-10); AWS refuses fewer"
    ]


def malformed_ids(field: str, kind: str, ids: tuple[str, ...]) -> list[str]:
    return [
        f"{field} has a malformed id: got {given!r}, allowed {kind}- and 8 or 17 hex digits"
        for given in ids
        if not re.fullmatch(rf"{kind}-([0-9a-f]{{8}}|[0-9a-f]{{17}})", given)
    ]


def _ids(config: NetworkConfig) -> list[str]:
    kinds = {
        "vpc_id": ("vpc", (config.vpc_id,) if config.vpc_id else ()),
        "subnet_ids": ("subnet", config.subnet_ids),
        "node_subnet_ids": ("subnet", config.node_subnet_ids),
        "client_security_group_ids": ("sg", config.client_security_group_ids),
    }
    problems = [
        problem
        for field, (kind, ids) in kinds.items()
        for problem in malformed_ids(field, kind, ids)
    ]
    return problems + malformed_ranges("subnet_ranges", config.subnet_ranges)


def _range(config: NetworkConfig) -> list[str]:
    given = (config.vpc_range,) if config.vpc_range else ()
    problems = malformed_ranges("vpc_range", given)
    problems += malformed_ranges("peer_ranges", config.peer_ranges)
    if len(config.peer_ranges) > MOST_PEERS:
        problems.append(
            f"peer_ranges has too many: got {len(config.peer_ranges)}, allowed {MOST_PEERS}; join "
            "neighbouring ranges"
        )
    if problems or not config.vpc_range:
        return problems
    network = IPv4Network(config.vpc_range)
    problems += not_private("vpc_range", (config.vpc_range,))
    if not WIDEST <= network.prefixlen <= NARROWEST:
        problems.append(
            f"vpc_range has the wrong size: got {config.vpc_range}, allowed /{WIDEST} to "
            f"/{NARROWEST}; AWS makes none wider, and pods of a narrower one run out of addresses"
        )
    return problems + overlapping(
        "vpc_range", config.vpc_range, "awsPeerRanges", config.peer_ranges
    )


def not_private(field: str, ranges: tuple[str, ...]) -> list[str]:
    """The problems of well-formed ranges that somebody has on the Internet."""
    return [
        f"{field} is not private: got {given}, allowed a part of {', '.join(PRIVATE)}"
        for given in ranges
        if not is_private(given)
    ]


def is_private(given: str) -> bool:
    return any(within(given, private) for private in PRIVATE)


def within(given: str, range_: str) -> bool:
    return IPv4Network(given).subnet_of(IPv4Network(range_))


def overlapping(field: str, given: str, other: str, ranges: tuple[str, ...]) -> list[str]:
    """The problems of a well-formed range that shares addresses with some of `ranges`."""
    return [
        f"{field} overlaps with {other}: got {given} and {taken}, allowed no common address; else "
        "packets for one never leave the other"
        for taken in ranges
        if IPv4Network(given).overlaps(IPv4Network(taken))
    ]


def _zones(config: NetworkConfig) -> list[str]:
    zones = config.zones
    problems = [
        f"zones has no zone: got {zone!r}, allowed a name such as us-east-1a"
        for zone in zones
        if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d[a-z]", zone)
    ]
    if zones and (len(zones) not in ZONES or len(set(zones)) != len(zones)):
        problems.append(
            f"zones has the wrong number: got {', '.join(zones)}, allowed {ZONES[0]} or "
            f"{ZONES[1]} different ones (PL-10)"
        )
    return problems


def _endpoints(config: NetworkConfig) -> list[str]:
    names = config.interface_endpoints
    problems = [
        f"interface_endpoints has no service: got {name!r}, allowed the end of its name, such as "
        "logs or ecr.dkr"
        for name in names
        if not SERVICE.fullmatch(name)
    ]
    problems += [
        "interface_endpoints has s3, which the network reaches through its gateway endpoint at no "
        "charge; remove it"
        for name in names
        if name == "s3"
    ]
    if len(set(names)) != len(names):
        problems.append(f"interface_endpoints names one twice: got {', '.join(names)}; remove it")
    return problems


def _logs(config: NetworkConfig) -> list[str]:
    if config.flow_log_retention_days in LOG_RETENTION_DAYS:
        return []
    return [
        f"flow_log_retention_days is not offered by AWS: got {config.flow_log_retention_days}, "
        f"allowed {', '.join(map(str, LOG_RETENTION_DAYS))}"
    ]
