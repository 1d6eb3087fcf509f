"""Makes what surrounds a stack on AWS, in the order in which one part needs the other.

Leaves out what holds the data and the network it is in (backends.py). Stacks without AWS have none
of it, and import none of it (PL-3).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pulumi

from components.aws.edge import Edge, Entrance, open_edge
from components.aws.regions import Regions
from components.stack import StackConfig


@dataclass(frozen=True, kw_only=True)
class Services:
    """What the stack hands over of them; empty where there are none."""

    alert_topics: Mapping[str, pulumi.Input[str]] = field(
        default_factory=dict[str, pulumi.Input[str]]
    )
    """ARNs of the SNS topics, by severity."""
    dashboard_url: pulumi.Input[str] = ""
    registry_url: pulumi.Input[str] = ""
    """What the name of an image starts with."""
    name_servers: pulumi.Input[Sequence[str]] = ()
    """Where the domain has to be delegated to, of a zone that the stack makes."""


def make_ci_access(config: StackConfig, regions: Regions | None) -> None:
    """Roles for workflows; whatever role comes after them is bound by what theirs may make."""
    if regions is None or not config.ci.repository:
        return
    from components.aws.ci_access import CiAccess, CiAccessArgs, bound_every_role

    access = CiAccess(
        "ci",
        CiAccessArgs(
            config=config.ci,
            aws=config.aws,
            stack=pulumi.get_stack(),
            prefix=config.prefix,
            break_glass_role=config.vault.break_glass_role,
        ),
        pulumi.ResourceOptions(providers=[regions.home]),
    )
    bound_every_role(access.boundary_arn)


def make_services(
    config: StackConfig,
    regions: Regions | None,
    ready: Sequence[pulumi.Resource],
    runtime_env: pulumi.Input[Mapping[str, str]],
    edge: Edge,
    entrance: Entrance | None,
) -> Services:
    """Nothing where the stack uses no AWS; `ready` are the database and the cache."""
    if regions is None:
        return Services()
    if config.secrets_copy.enabled:
        _secrets_copy(config, regions, runtime_env)
    open_edge(config, regions, edge, entrance)
    kept = Services(
        registry_url=_registry_url(config, regions), name_servers=edge.name_servers or ()
    )
    if not config.monitoring.on:
        return kept
    from components.aws.monitoring import Monitoring, MonitoringArgs

    monitoring = Monitoring(
        "monitoring",
        MonitoringArgs(
            config=config,
            edge=regions.edge,
            ready=ready,
            certificates=(edge.certificate_arn,) if edge.certificate_arn else (),
            cdn_certificates=(edge.cdn_certificate_arn,) if edge.cdn_certificate_arn else (),
        ),
        pulumi.ResourceOptions(providers=[regions.home]),
    )
    return replace(kept, alert_topics=monitoring.topics, dashboard_url=monitoring.dashboard_url)


def _secrets_copy(
    config: StackConfig, regions: Regions, values: pulumi.Input[Mapping[str, str]]
) -> None:
    from components.aws.secrets_copy import SecretsCopy, SecretsCopyArgs

    SecretsCopy(
        "secrets-copy",
        SecretsCopyArgs(
            config=config.secrets_copy,
            aws=config.aws,
            recovery=regions.recovery,
            values=values,
            keep_data=config.site.protect_data,
        ),
        pulumi.ResourceOptions(providers=[regions.home], protect=config.site.protect_data),
    )


def _registry_url(config: StackConfig, regions: Regions) -> pulumi.Input[str]:
    if not config.registry.name:
        return ""
    from components.aws.registry import Registry, RegistryArgs

    registry = Registry(
        "registry",
        RegistryArgs(
            config=config.registry,
            account_id=config.aws.account_id,
            keep_data=config.site.protect_data,
        ),
        pulumi.ResourceOptions(providers=[regions.home]),
    )
    return registry.url
