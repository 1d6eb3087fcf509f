"""What lies between people and the cluster on AWS: zone, certificates, CDN and records.

Leaves out the load balancer, which the cluster makes for nginx's Service. Two steps: nginx needs
the certificate and the secret before it, and the CDN and the records need nginx.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi

from components.aws.edge_config import BALANCER_ZONES, origin_name
from components.aws.regions import EDGE_REGION, Regions
from components.stack import StackConfig

if TYPE_CHECKING:
    from components.aws.cdn import CdnSecret


@dataclass(frozen=True, kw_only=True)
class Edge:
    certificate_arn: pulumi.Input[str] | None = None
    """For the load balancer; by default it ends no TLS."""
    issued: tuple[pulumi.Input[str], ...] = ()
    """ARNs of the certificates that the stack makes in its own region."""
    zone_id: pulumi.Input[str] = ""
    name_servers: pulumi.Input[list[str]] | None = None
    """Of a zone that the stack makes."""
    cdn_certificate_arn: pulumi.Input[str] = ""
    cdn_secret: "CdnSecret | None" = None

    @property
    def cdn_secrets(self) -> Sequence[pulumi.Output[str]]:
        return self.cdn_secret.known if self.cdn_secret else ()


def make_edge(config: StackConfig, regions: Regions | None) -> Edge:
    """What nginx needs; nothing but a given certificate where the stack has no zone."""
    given = config.edge.certificate_arn or None
    if regions is None or not config.edge.zone_name:
        return Edge(certificate_arn=given)
    from components.aws.cdn import CdnSecret
    from components.aws.certificate import IssuedCertificate, IssuedCertificateArgs
    from components.aws.dns import HostedZone, HostedZoneArgs

    home = pulumi.ResourceOptions(providers=[regions.home])
    at_edge = pulumi.ResourceOptions(providers=[regions.edge])
    zone_id: pulumi.Input[str] = config.edge.hosted_zone_id
    name_servers: pulumi.Input[list[str]] | None = None
    if not zone_id:
        zone = HostedZone(
            "zone",
            HostedZoneArgs(
                config=config.edge,
                account_id=config.aws.account_id,
                keep_data=config.site.protect_data,
            ),
            at_edge,
        )
        zone_id, name_servers = zone.zone_id, zone.name_servers
    domain, cdn = config.site.domain, config.cdn.enabled
    names = (domain, origin_name(domain)) if cdn else (domain,)
    own = None
    if not (given or config.nginx.tls_secret):
        own = IssuedCertificate(
            "certificate", IssuedCertificateArgs(names=names, zone_id=zone_id), home
        )
    cdn_certificate: pulumi.Input[str] = ""
    if cdn and own and config.aws.region == EDGE_REGION:
        cdn_certificate = own.arn
    elif cdn:
        args = IssuedCertificateArgs(
            names=(domain,), zone_id=zone_id, proofs=own.proofs[:1] if own else ()
        )
        cdn_certificate = IssuedCertificate("cdn-certificate", args, at_edge).arn
    return Edge(
        certificate_arn=own.arn if own else given,
        issued=(own.arn,) if own else (),
        zone_id=zone_id,
        name_servers=name_servers,
        cdn_certificate_arn=cdn_certificate,
        cdn_secret=CdnSecret("cdn-secret", config.cdn.secret_epoch) if cdn else None,
    )


@dataclass(frozen=True, kw_only=True)
class Entrance:
    """Where the cluster lets people in."""

    address: pulumi.Input[str]
    """Name of the load balancer."""
    nginx: pulumi.Resource


def open_edge(
    config: StackConfig, regions: Regions | None, edge: Edge, entrance: Entrance | None
) -> None:
    """Leads people to nginx, by the CDN if there is one; nothing before there is an nginx."""
    if regions is None or entrance is None or not config.edge.zone_name:
        return
    from components.aws.cdn import Cdn, CdnArgs
    from components.aws.dns import Records, Target

    domain = config.site.domain
    balancer = Target(name=entrance.address, zone_id=BALANCER_ZONES[config.aws.region])
    targets = {domain: balancer}
    if edge.cdn_secret:
        cdn = Cdn(
            "cdn",
            CdnArgs(
                config=config.cdn,
                prefix=config.prefix,
                account_id=config.aws.account_id,
                domain=domain,
                origin=origin_name(domain),
                certificate_arn=edge.cdn_certificate_arn,
                secret=edge.cdn_secret.current,
                answer_s=max(config.nginx.page_timeout_s, config.nginx.api_timeout_s),
                idle_s=config.nginx.load_balancer_idle_s,
                after=entrance.nginx,
                keep_data=config.site.protect_data,
            ),
            pulumi.ResourceOptions(providers=[regions.edge]),
        )
        targets = {
            domain: Target(name=cdn.address, zone_id=cdn.zone_id, ipv6=True),
            origin_name(domain): balancer,
        }
    Records(
        "records",
        edge.zone_id,
        targets,
        {domain: config.edge.authorities},
        pulumi.ResourceOptions(providers=[regions.home]),
    )
