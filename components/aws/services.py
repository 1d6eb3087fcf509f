"""Makes what surrounds a stack on AWS, in the order in which one part needs the other.

Leaves out what holds the data and the network it is in (backends.py). Stacks without AWS have none
of it, and import none of it (PL-3).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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
    if not config.monitoring.on:
        return Services()
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
    return Services(alert_topics=monitoring.topics, dashboard_url=monitoring.dashboard_url)


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
