"""What a stack may say about its names, certificates and CDN.

Creates no resources, and leaves out pulumi_aws: stacks without AWS read this file too.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from components.aws.config import LOG_RETENTION_DAYS, AwsConfig
from components.backend_config import BackendConfig
from components.nginx_config import NginxConfig, ServiceType
from components.stack_config import out_of_range, refuse

LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
NAME = re.compile(rf"{LABEL}(\.{LABEL})+")
ZONE_ID = re.compile(r"Z[A-Z0-9]{1,31}")
CERTIFICATE = re.compile(r"arn:aws:acm:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):certificate/\S+")
LEAST_RATE, MOST_RATE = 10, 2_000_000_000
"""Of the firewall's limit on requests of one address."""
MOST_ORIGIN_S = 60
"""Seconds that CloudFront waits for an origin, or keeps a connection to it, without a request to
AWS to raise them."""

# Where aliases of network load balancers lead: AWS's table of Elastic Load Balancing endpoints, as
# hosted_zone_id_data_source.go of Terraform's provider has it. To look one up needs credentials.
BALANCER_ZONES = {
    "af-south-1": "Z203XCE67M25HM",
    "ap-east-1": "Z12Y7K3UBGUAD1",
    "ap-northeast-1": "Z31USIVHYNEOWT",
    "ap-northeast-2": "ZIBE1TIR4HY56",
    "ap-northeast-3": "Z1GWIQ4HH19I5X",
    "ap-south-1": "ZVDDRBQ08TROA",
    "ap-south-2": "Z0711778386UTO08407HT",
    "ap-southeast-1": "ZKVM4W9LS7TM",
    "ap-southeast-2": "ZCT6FZBF4DROD",
    "ap-southeast-3": "Z01971771FYVNCOVWJU1G",
    "ca-central-1": "Z2EPGBW3API2WT",
    "eu-central-1": "Z3F0SRJ5LGBH90",
    "eu-central-2": "Z02239872DOALSIDCX66S",
    "eu-north-1": "Z1UDT6IFJ4EJM",
    "eu-south-1": "Z23146JA1KNAFP",
    "eu-south-2": "Z1011216NVTVYADP1SSV",
    "eu-west-1": "Z2IFOLAFXWLO4F",
    "eu-west-2": "ZD4D7Y8KGAS4G",
    "eu-west-3": "Z1CMS0P5QUZ6D5",
    "me-central-1": "Z00282643NTTLPANJJG2P",
    "me-south-1": "Z3QSRYVP46NYYV",
    "sa-east-1": "ZTK26PT1VY4CU",
    "us-east-1": "Z26RNL4JYFTOTI",
    "us-east-2": "ZLMOA37VPKANP",
    "us-west-1": "Z24FKFUX50B4VW",
    "us-west-2": "Z18D5FSROUN65G",
}
# Those of AWSManagedRulesCommonRuleSet; AWS takes no other names.
COMMON_RULES = (
    "NoUserAgent_HEADER",
    "UserAgent_BadBots_HEADER",
    "SizeRestrictions_QUERYSTRING",
    "SizeRestrictions_Cookie_HEADER",
    "SizeRestrictions_BODY",
    "SizeRestrictions_URIPATH",
    "EC2MetaDataSSRF_BODY",
    "EC2MetaDataSSRF_COOKIE",
    "EC2MetaDataSSRF_URIPATH",
    "EC2MetaDataSSRF_QUERYARGUMENTS",
    "GenericLFI_QUERYARGUMENTS",
    "GenericLFI_URIPATH",
    "GenericLFI_BODY",
    "RestrictedExtensions_URIPATH",
    "RestrictedExtensions_QUERYARGUMENTS",
    "GenericRFI_QUERYARGUMENTS",
    "GenericRFI_BODY",
    "GenericRFI_URIPATH",
    "CrossSiteScripting_COOKIE",
    "CrossSiteScripting_QUERYARGUMENTS",
    "CrossSiteScripting_BODY",
    "CrossSiteScripting_URIPATH",
)


class PriceClass(StrEnum):
    """Whose locations the CDN uses; more of the world costs more."""

    NORTH = "PriceClass_100"
    MOST = "PriceClass_200"
    ALL = "PriceClass_All"


@dataclass(frozen=True, kw_only=True)
class EdgeConfig:
    zone_name: str
    hosted_zone_id: str
    certificate_arn: str
    authorities: tuple[str, ...]
    query_log_days: int

    def __post_init__(self) -> None:
        problems: list[str] = []
        if self.zone_name and not NAME.fullmatch(self.zone_name):
            problems.append(
                f"zone_name is malformed: got {self.zone_name!r}, allowed a domain such as "
                "example.com, or nothing"
            )
        if self.hosted_zone_id and not ZONE_ID.fullmatch(self.hosted_zone_id):
            problems.append(
                f"hosted_zone_id is malformed: got {self.hosted_zone_id!r}, allowed such as "
                "Z0123456789ABCDEFGHIJ, without /hostedzone/"
            )
        if self.hosted_zone_id and not self.zone_name:
            problems.append(
                f"hosted_zone_id has no name: got {self.hosted_zone_id!r}, allowed nothing unless "
                "edgeZoneName names the zone"
            )
        if self.certificate_arn and not CERTIFICATE.fullmatch(self.certificate_arn):
            problems.append(
                f"certificate_arn is malformed: got {self.certificate_arn!r}, allowed such as "
                "arn:aws:acm:us-east-1:123456789012:certificate/..., or nothing"
            )
        problems += [
            f"authorities has a malformed entry: got {entry!r}, allowed a domain such as "
            "amazon.com or letsencrypt.org"
            for entry in self.authorities
            if not NAME.fullmatch(entry)
        ]
        refuse(problems + unkept(self, "query_log_days"))

    @property
    def ends_tls(self) -> bool:
        """Whether there is a certificate for the load balancer."""
        return bool(self.certificate_arn or self.zone_name)


@dataclass(frozen=True, kw_only=True)
class CdnConfig:
    enabled: bool
    price_class: PriceClass
    requests_per_5_minutes: int
    counted_rules: tuple[str, ...]
    log_days: int
    secret_epoch: int

    def __post_init__(self) -> None:
        ranges = {
            "requests_per_5_minutes": (LEAST_RATE, MOST_RATE, "requests of one address"),
            "secret_epoch": (1, 10_000, "add 1 to rotate"),
        }
        unknown = [name for name in self.counted_rules if name not in COMMON_RULES]
        problems = [
            f"counted_rules has an unknown rule: got {name!r}, allowed {', '.join(COMMON_RULES)}"
            for name in unknown
        ]
        refuse(out_of_range(self, ranges) + problems + unkept(self, "log_days"))


def unkept(config: EdgeConfig | CdnConfig, field: str) -> list[str]:
    days: int = getattr(config, field)
    if days in LOG_RETENTION_DAYS:
        return []
    return [
        f"{field} is not offered: got {days}, allowed "
        f"{', '.join(str(offered) for offered in LOG_RETENTION_DAYS)}"
    ]


def origin_name(domain: str) -> str:
    """Under which the CDN asks; the domain's own name leads to the CDN."""
    return f"origin.{domain}"


def tls_needs(https: bool, nginx: NginxConfig, edge: EdgeConfig) -> list[str]:
    """HTTPS ends somewhere, and in one place (WB-2)."""
    if nginx.service_type is not ServiceType.LOAD_BALANCER:
        return []
    if https and not (nginx.tls_secret or edge.ends_tls):
        return [
            "https has no certificate: got neither nginxTlsSecret, edgeCertificateArn nor "
            "edgeZoneName, allowed one of them; else nobody answers on port 443"
        ]
    if nginx.tls_secret and edge.certificate_arn:
        return [
            f"edge_certificate_arn is one too many: got it and nginxTlsSecret {nginx.tls_secret!r},"
            " allowed one of them; TLS ends at the load balancer or at nginx"
        ]
    return []


def zone_needs(
    domain: str,
    https: bool,
    nginx: NginxConfig,
    edge: EdgeConfig,
    aws: AwsConfig,
    backend: BackendConfig,
) -> list[str]:
    """Names and certificates are for a site that has an address (DT-1)."""
    problems: list[str] = []
    found = CERTIFICATE.fullmatch(edge.certificate_arn)
    if found and aws.region and found["region"] != aws.region:
        problems.append(
            f"edge_certificate_arn is elsewhere: got region {found['region']}, allowed awsRegion "
            f"{aws.region}, where the load balancer is"
        )
    zone = edge.zone_name
    if not zone:
        return problems
    if domain != zone and not domain.endswith(f".{zone}"):
        problems.append(
            f"edge_zone_name does not hold the domain: got {zone!r}, allowed {domain!r} or a "
            "domain above it"
        )
    if not (https and nginx.service_type is ServiceType.LOAD_BALANCER):
        problems.append(
            f"edge_zone_name has no use: got {zone!r}, allowed nothing unless https is true and "
            "nginxServiceType LoadBalancer"
        )
    if not backend.uses_aws:
        problems.append(
            f"edge_zone_name has no use: got {zone!r}, allowed nothing unless the cluster, the "
            "network, the database or the cache is on AWS"
        )
    if aws.region and aws.region not in BALANCER_ZONES:
        problems.append(
            f"aws_region has no known load balancers: got {aws.region!r}, allowed "
            f"{', '.join(BALANCER_ZONES)}; or leave edgeZoneName out and make the records yourself"
        )
    return problems


def cdn_needs(nginx: NginxConfig, edge: EdgeConfig, cdn: CdnConfig) -> list[str]:
    """A CDN has a name, and does not give up before nginx does (DT-3, WB-3, WB-7)."""
    if not cdn.enabled:
        return []
    problems: list[str] = []
    if not edge.zone_name:
        problems.append(
            "cdn_enabled needs a zone: got true without edgeZoneName, allowed false; its "
            "certificate and its name are made there"
        )
    if nginx.trusted_ranges:
        problems.append(
            "nginx_trusted_ranges has no effect with cdnEnabled: got "
            f"{', '.join(nginx.trusted_ranges)}, allowed none; the CDN is known by its secret"
        )
    problems += [
        f"{name} is too long for the CDN: got {seconds}, allowed 1 to {MOST_ORIGIN_S}"
        for name, seconds in (
            ("nginx_page_timeout_s", max(nginx.page_timeout_s, nginx.api_timeout_s)),
            ("nginx_load_balancer_idle_s", nginx.load_balancer_idle_s),
        )
        if not 1 <= seconds <= MOST_ORIGIN_S
    ]
    return problems
