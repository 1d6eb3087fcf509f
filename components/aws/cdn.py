"""The CDN before the load balancer: static files for a year, everything else passed on (DT-3).

Leaves out the names that lead to it (dns.py), and nginx, which answers nobody else then.
"""

from dataclasses import dataclass

import pulumi
import pulumi_random as random
from pulumi_aws import cloudfront, cloudwatch

from components.aws.edge_config import CdnConfig
from components.aws.kms import encryption_key
from components.aws.regions import EDGE_REGION
from components.aws.waf import make_web_acl
from components.nginx_file import CDN_HEADER

# AWS's own policies have these ids in every account: CachingDisabled and AllViewer.
NEVER_CACHED = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
AS_ASKED = "216adef6-5c7f-47e4-b989-5492eafa07d3"
STATIC = "/_next/static/*"
YEAR_S, DAY_S = 31_536_000, 86_400
SECRET_LENGTH = 64
READ = ["GET", "HEAD"]
ALL_METHODS = [*READ, "OPTIONS", "PUT", "POST", "PATCH", "DELETE"]
# The CDN would keep an error for 10 s, and people would see it after nginx is well again.
ERRORS = (400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504)
# Without queries, cookies and referrers, which may hold secrets (SC-3).
LOGGED = [
    "date",
    "time",
    "x-edge-location",
    "x-edge-request-id",
    "c-ip",
    "cs-method",
    "cs(Host)",
    "cs-uri-stem",
    "cs-protocol-version",
    "ssl-protocol",
    "sc-status",
    "sc-bytes",
    "time-taken",
    "time-to-first-byte",
    "x-edge-result-type",
    "x-edge-detailed-result-type",
]


class CdnSecret(pulumi.ComponentResource):
    """What the CDN shows to nginx, which knows the current one and the one before."""

    current: pulumi.Output[str]
    known: tuple[pulumi.Output[str], pulumi.Output[str]]

    def __init__(self, name: str, epoch: int, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("nextstack:index:CdnSecret", name, {}, opts)
        # Two that are made anew in turn, as all secrets that rotate.
        self.known = (
            self._password(f"{name}-a", (epoch + 1) // 2),
            self._password(f"{name}-b", epoch // 2),
        )
        self.current = self.known[(epoch + 1) % 2]
        self.register_outputs({"current": self.current})

    def _password(self, name: str, generation: int) -> pulumi.Output[str]:
        password = random.RandomPassword(
            name,
            length=SECRET_LENGTH,
            special=False,
            keepers={"generation": str(generation)},
            opts=pulumi.ResourceOptions(parent=self),
        )
        return password.result


@dataclass(frozen=True, kw_only=True)
class CdnArgs:
    config: CdnConfig
    prefix: str
    """What names that an account has once start with."""
    account_id: str
    domain: str
    origin: str
    """Name of the load balancer."""
    certificate_arn: pulumi.Input[str]
    """Of us-east-1."""
    secret: pulumi.Input[str]
    answer_s: int
    """Seconds that the origin may be silent."""
    idle_s: int
    """Seconds for which an idle connection to it is kept; less than nginx keeps it."""
    after: pulumi.Resource
    """What has to know the secret before the CDN shows it."""
    keep_data: bool = True
    """Whether the logs outlive the stack; by default so."""


class Cdn(pulumi.ComponentResource):
    """All of it is in us-east-1."""

    address: pulumi.Output[str]
    """Its own name."""
    zone_id: pulumi.Output[str]
    """Zone of that name, for aliases."""

    def __init__(
        self, name: str, args: CdnArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:Cdn", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._kept = pulumi.ResourceOptions(parent=self, protect=args.keep_data)
        self._tags = {"nextstack/component": name}
        key = encryption_key(
            name, "logs of the CDN", args.account_id, self._tags, self._kept, logs_in=EDGE_REGION
        )
        blocked = self._log("waf", f"aws-waf-logs-{args.prefix}", key.arn)
        acl = make_web_acl(name, args.config, blocked.arn, self._tags, self._child)
        distribution = self._distribution(acl)
        self._logged(distribution, self._log("access", f"/aws/cloudfront/{args.prefix}", key.arn))
        self.address = distribution.domain_name
        self.zone_id = distribution.hosted_zone_id
        self.register_outputs({"address": self.address, "zoneId": self.zone_id})

    def _log(self, kind: str, group: str, key: pulumi.Output[str]) -> cloudwatch.LogGroup:
        return cloudwatch.LogGroup(
            f"{self._name}-{kind}",
            name=group,
            log_group_class="STANDARD",
            retention_in_days=self._args.config.log_days,
            kms_key_id=key,
            skip_destroy=self._args.keep_data,
            tags=self._tags,
            opts=self._kept,
        )

    def _distribution(self, acl: pulumi.Output[str]) -> cloudfront.Distribution:
        args = self._args
        static: cloudfront.DistributionOrderedCacheBehaviorArgsDict = {
            "path_pattern": STATIC,
            "target_origin_id": "nginx",
            "viewer_protocol_policy": "redirect-to-https",
            "allowed_methods": [*READ, "OPTIONS"],
            "cached_methods": READ,
            "cache_policy_id": self._static_policy(),
            # With the host that was asked for, by which nginx and the application know the site.
            "origin_request_policy_id": AS_ASKED,
            "compress": True,
        }
        return cloudfront.Distribution(
            self._name,
            enabled=True,
            comment=args.prefix,
            aliases=[args.domain],
            price_class=args.config.price_class.value,
            http_version="http2and3",
            is_ipv6_enabled=True,
            web_acl_id=acl,
            origins=[self._origin()],
            default_cache_behavior={
                "target_origin_id": "nginx",
                "viewer_protocol_policy": "redirect-to-https",
                "allowed_methods": ALL_METHODS,
                "cached_methods": READ,
                "cache_policy_id": NEVER_CACHED,
                "origin_request_policy_id": AS_ASKED,
                # nginx compresses what the CDN does not keep.
                "compress": False,
            },
            ordered_cache_behaviors=[static],
            custom_error_responses=[
                {"error_code": code, "error_caching_min_ttl": 0} for code in ERRORS
            ],
            restrictions={"geo_restriction": {"restriction_type": "none", "locations": []}},
            viewer_certificate={
                "acm_certificate_arn": args.certificate_arn,
                "ssl_support_method": "sni-only",
                "minimum_protocol_version": "TLSv1.2_2021",
            },
            staging=False,
            retain_on_delete=False,
            wait_for_deployment=True,
            tags=self._tags,
            # Here, because what a component depends on does not hold for its children.
            opts=pulumi.ResourceOptions.merge(
                self._child, pulumi.ResourceOptions(depends_on=[args.after])
            ),
        )

    def _origin(self) -> cloudfront.DistributionOriginArgsDict:
        args = self._args
        return {
            "origin_id": "nginx",
            "domain_name": args.origin,
            "connection_attempts": 3,
            "connection_timeout": 5,
            "custom_headers": [{"name": CDN_HEADER, "value": args.secret}],
            "custom_origin_config": {
                "http_port": 80,
                "https_port": 443,
                "origin_protocol_policy": "https-only",
                "origin_ssl_protocols": ["TLSv1.2"],
                "origin_read_timeout": args.answer_s,
                "origin_keepalive_timeout": args.idle_s,
                "ip_address_type": "ipv4",
            },
        }

    def _static_policy(self) -> pulumi.Output[str]:
        """As nginx keeps them: by path and build, whoever asks."""
        policy = cloudfront.CachePolicy(
            f"{self._name}-static",
            name=f"{self._args.prefix}-static",
            comment="files whose names change with their content",
            min_ttl=0,
            default_ttl=DAY_S,
            max_ttl=YEAR_S,
            parameters_in_cache_key_and_forwarded_to_origin={
                "cookies_config": {"cookie_behavior": "none"},
                "headers_config": {"header_behavior": "none"},
                "query_strings_config": {
                    "query_string_behavior": "whitelist",
                    "query_strings": {"items": ["dpl"]},
                },
                "enable_accept_encoding_brotli": True,
                "enable_accept_encoding_gzip": True,
            },
            opts=self._child,
        )
        return policy.id

    def _logged(self, distribution: cloudfront.Distribution, group: cloudwatch.LogGroup) -> None:
        """CloudFront's older way of logging needs a bucket with ACLs."""
        name, prefix = f"{self._name}-access", self._args.prefix
        source = cloudwatch.LogDeliverySource(
            name,
            name=prefix,
            log_type="ACCESS_LOGS",
            resource_arn=distribution.arn,
            tags=self._tags,
            opts=self._child,
        )
        destination = cloudwatch.LogDeliveryDestination(
            name,
            name=prefix,
            delivery_destination_type="CWL",
            output_format="json",
            delivery_destination_configuration={"destination_resource_arn": group.arn},
            tags=self._tags,
            opts=self._child,
        )
        cloudwatch.LogDelivery(
            name,
            delivery_source_name=source.name,
            delivery_destination_arn=destination.arn,
            record_fields=LOGGED,
            tags=self._tags,
            opts=self._child,
        )
