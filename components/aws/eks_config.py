"""Knobs of a cluster on EKS: versions, who reaches and administers it, its machines.

Creates no resources, and leaves out pulumi_aws: stacks without AWS read this file too.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from components.aws.config import LOG_RETENTION_DAYS, malformed_ranges
from components.aws.network_config import is_private, not_private
from components.stack_config import out_of_range, refuse

CLUSTER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
ROLE = re.compile(r"arn:aws:iam::\d{12}:role/([\w+=,.@-]+/)*([\w+=,.@-]+)")
NETWORK_ADDONS = ("vpc-cni", "kube-proxy", "eks-pod-identity-agent")
"""Without these a node is never ready, so they come before the nodes."""
OTHER_ADDONS = (
    "coredns",
    "aws-ebs-csi-driver",
    "metrics-server",
    "amazon-cloudwatch-observability",
)
MOST_PUBLIC_RANGES = 40
# EKS: between /12 and /24.
WIDEST_SERVICES, NARROWEST_SERVICES = 12, 24


class Architecture(StrEnum):
    X86_64 = "x86_64"
    ARM64 = "arm64"


@dataclass(frozen=True, kw_only=True)
class EksConfig:
    version: str
    service_range: str
    public_access_ranges: tuple[str, ...]
    private_access_ranges: tuple[str, ...]
    tunnel_port: int
    admin_role_arns: tuple[str, ...]
    view_role_arns: tuple[str, ...]
    architecture: Architecture
    instance_types: tuple[str, ...]
    nodes_per_zone: int
    min_nodes_per_zone: int
    max_nodes_per_zone: int
    node_disk_gib: int
    addon_versions: dict[str, str]
    log_retention_days: int

    def __post_init__(self) -> None:
        refuse(
            [
                *_versions(self),
                *_ranges(self),
                *_roles(self),
                *_machines(self),
                *_numbers(self),
            ]
        )


def role_name(arn: str) -> str:
    return arn.rsplit("/", 1)[-1]


def _versions(config: EksConfig) -> list[str]:
    problems: list[str] = []
    if not re.fullmatch(r"1\.\d\d", config.version):
        problems.append(f"version is no version: got {config.version!r}, allowed such as 1.36")
    wanted, given = {*NETWORK_ADDONS, *OTHER_ADDONS}, config.addon_versions
    problems += [
        f"addon_versions.{name} is missing; name its version, as in: aws eks "
        f"describe-addon-versions --addon-name {name} --kubernetes-version {config.version}"
        for name in sorted(wanted - given.keys())
    ]
    problems += [
        f"addon_versions.{name} is unknown, allowed {', '.join(sorted(wanted))}; remove it"
        for name in sorted(given.keys() - wanted)
    ]
    problems += [
        f"addon_versions.{name} is no version: got {version!r}, allowed such as v1.2.3-eksbuild.4"
        for name, version in given.items()
        if not re.fullmatch(r"v\d+\.\d+\.\d+-eksbuild\.\d+", version)
    ]
    proxy = given.get("kube-proxy", "")
    if proxy and not proxy.startswith(f"v{config.version}."):
        problems.append(
            f"addon_versions.kube-proxy is of another Kubernetes: got {proxy}, allowed "
            f"v{config.version}.…; change it with eksVersion, and the others with it"
        )
    return problems


def _ranges(config: EksConfig) -> list[str]:
    fields = {
        "service_range": (config.service_range,),
        "public_access_ranges": config.public_access_ranges,
        "private_access_ranges": config.private_access_ranges,
    }
    problems = [
        problem for name, ranges in fields.items() for problem in malformed_ranges(name, ranges)
    ]
    if problems:
        return problems
    problems += not_private("service_range", fields["service_range"])
    problems += not_private("private_access_ranges", config.private_access_ranges)
    length = int(config.service_range.partition("/")[2] or 32)
    if not WIDEST_SERVICES <= length <= NARROWEST_SERVICES:
        problems.append(
            f"service_range has the wrong size: got {config.service_range}, allowed "
            f"/{WIDEST_SERVICES} to /{NARROWEST_SERVICES}"
        )
    problems += [
        f"public_access_ranges is no address of the Internet: got {given}; private networks "
        "belong into eksPrivateAccessRanges"
        for given in config.public_access_ranges
        if is_private(given)
    ]
    if "0.0.0.0/0" in config.public_access_ranges:
        problems.append(
            "public_access_ranges lets everybody knock: got 0.0.0.0/0, allowed the ranges of your "
            "office, VPN or CI; leave it empty for the private address alone"
        )
    if len(config.public_access_ranges) > MOST_PUBLIC_RANGES:
        problems.append(
            f"public_access_ranges has too many: got {len(config.public_access_ranges)}, allowed "
            f"{MOST_PUBLIC_RANGES}"
        )
    return problems


def _roles(config: EksConfig) -> list[str]:
    problems = [
        f"{field} has no role: got {arn!r}, allowed such as arn:aws:iam::123456789012:role/deploy"
        for field in ("admin_role_arns", "view_role_arns")
        for arn in getattr(config, field)
        if not ROLE.fullmatch(arn)
    ]
    names = [role_name(arn) for arn in (*config.admin_role_arns, *config.view_role_arns)]
    if len(set(names)) != len(names):
        problems.append(
            f"admin_role_arns and eksViewRoleArns name a role twice: got {', '.join(names)}, "
            "allowed each once; an administrator may look, too"
        )
    return problems


def _machines(config: EksConfig) -> list[str]:
    problems: list[str] = []
    if not config.instance_types:
        problems.append("instance_types is empty; name a type such as m7i.large")
    arm = config.architecture is Architecture.ARM64
    for given in config.instance_types:
        found = re.fullmatch(r"([a-z]+\d+)([a-z]*)(-flex)?\.[a-z0-9-]+", given)
        if not found:
            problems.append(f"instance_types has no type: got {given!r}, allowed such as m7i.large")
        # Amazon's own processors have a g behind the generation.
        elif ("g" in found[2]) is not arm:
            problems.append(
                f"instance_types has the wrong processor: got {given}, allowed types of "
                f"{config.architecture.value}; the images of all pods have to be made for it, too"
            )
    return problems


def _numbers(config: EksConfig) -> list[str]:
    problems = out_of_range(
        config,
        {
            "min_nodes_per_zone": (1, 10, "a zone without a node cannot take over"),
            "max_nodes_per_zone": (1, 10, "a zone's subnet has addresses for so many"),
            "node_disk_gib": (20, 16_384, "images and logs of a node"),
        },
    )
    low, got, high = config.min_nodes_per_zone, config.nodes_per_zone, config.max_nodes_per_zone
    if not low <= got <= high:
        problems.append(
            f"nodes_per_zone is out of range: got {got}, allowed {low} to {high}, "
            "eksMinNodesPerZone to eksMaxNodesPerZone"
        )
    if config.tunnel_port and not 1024 <= config.tunnel_port <= 65535:
        problems.append(
            f"tunnel_port is out of range: got {config.tunnel_port}, allowed 1024 to 65535, or 0 "
            "for no tunnel"
        )
    if config.log_retention_days not in LOG_RETENTION_DAYS:
        problems.append(
            f"log_retention_days is not offered by AWS: got {config.log_retention_days}, allowed "
            f"{', '.join(map(str, LOG_RETENTION_DAYS))}"
        )
    return problems
