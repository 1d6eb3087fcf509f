"""What faces the Internet, and who may act from there: CDN, firewall, names, images, workflows.

Leaves out nginx itself (network.py), and what AWS keeps for the stack (aws_platform.py).
"""

from collections.abc import Iterator
from typing import Any, cast

from policies.aws_platform import as_list, belonging, statements
from policies.rule import Context, Resource, Severity, rule

DISTRIBUTION = r"aws:cloudfront/distribution:Distribution"
WEB_ACL = r"aws:wafv2/webAcl:WebAcl"
REPOSITORY = r"aws:ecr/repository:Repository"
ANNOTATION = "service.beta.kubernetes.io/aws-load-balancer-"
MODERN_TLS = ("TLSv1.2_2021", "TLSv1.2_2025", "TLSv1.3_2025")
BALANCER_TLS = (
    "ELBSecurityPolicy-TLS13-1-2-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-Res-2021-06",
    "ELBSecurityPolicy-TLS13-1-3-2021-06",
)


def behaviours(distribution: Resource) -> Iterator[tuple[str, dict[str, Any]]]:
    given = distribution.inputs
    yield "defaultCacheBehavior", given.get("defaultCacheBehavior", {})
    for index, behaviour in enumerate(given.get("orderedCacheBehaviors", [])):
        yield f"orderedCacheBehaviors[{index}]", behaviour


@rule(
    Severity.MEDIUM,
    "FSBP CloudFront.3",
    types=DISTRIBUTION,
    fix="set viewerProtocolPolicy to redirect-to-https or https-only",
)
def people_reach_the_cdn_by_tls(resource: Resource, context: Context) -> Iterator[str]:
    for place, behaviour in behaviours(resource):
        if behaviour.get("viewerProtocolPolicy") not in ("redirect-to-https", "https-only"):
            yield f"{place}.viewerProtocolPolicy lets people ask in clear"


@rule(
    Severity.MEDIUM,
    "FSBP CloudFront.7",
    "FSBP CloudFront.8",
    "FSBP CloudFront.15",
    types=DISTRIBUTION,
    fix="set acmCertificateArn, sslSupportMethod sni-only and minimumProtocolVersion TLSv1.2_2021",
)
def cdn_has_its_certificate(resource: Resource, context: Context) -> Iterator[str]:
    certificate = resource.inputs.get("viewerCertificate", {})
    if not certificate.get("acmCertificateArn"):
        yield "viewerCertificate.acmCertificateArn is missing"
    if certificate.get("sslSupportMethod") != "sni-only":
        yield "viewerCertificate.sslSupportMethod is not sni-only"
    if certificate.get("minimumProtocolVersion") not in MODERN_TLS:
        yield "viewerCertificate.minimumProtocolVersion allows old TLS"


@rule(
    Severity.MEDIUM,
    "FSBP CloudFront.9",
    "FSBP CloudFront.10",
    types=DISTRIBUTION,
    fix="set originProtocolPolicy https-only and originSslProtocols [TLSv1.2]",
)
def cdn_asks_by_tls(resource: Resource, context: Context) -> Iterator[str]:
    for index, origin in enumerate(resource.inputs.get("origins", [])):
        way = origin.get("customOriginConfig", {})
        if way.get("originProtocolPolicy") != "https-only":
            yield f"origins[{index}].customOriginConfig.originProtocolPolicy is not https-only"
        if set(way.get("originSslProtocols", [])) != {"TLSv1.2"}:
            yield f"origins[{index}].customOriginConfig.originSslProtocols allows old protocols"


@rule(
    Severity.MEDIUM,
    "FSBP CloudFront.6",
    types=DISTRIBUTION,
    fix="set webAclId",
)
def cdn_has_a_firewall(resource: Resource, context: Context) -> Iterator[str]:
    if not resource.inputs.get("webAclId"):
        yield "webAclId is missing"


@rule(
    Severity.MEDIUM,
    "FSBP CloudFront.5",
    types=DISTRIBUTION,
    across=True,
    fix="add a LogDeliverySource of the distribution; AWS's own check knows the older way only",
)
def cdn_is_logged(resource: Resource, context: Context) -> Iterator[str]:
    source = "aws:cloudwatch/logDeliverySource:LogDeliverySource"
    if not (resource.inputs.get("loggingConfig") or belonging(resource, context, source)):
        yield "nobody logs what it answers"


@rule(
    Severity.MEDIUM,
    "FSBP WAF.10",
    "FSBP WAF.12",
    types=WEB_ACL,
    fix="give it rules, and set cloudwatchMetricsEnabled of each",
)
def firewall_has_rules_that_count(resource: Resource, context: Context) -> Iterator[str]:
    rules = resource.inputs.get("rules", [])
    if not rules:
        yield "rules is empty"
    for index, entry in enumerate(rules):
        if entry.get("visibilityConfig", {}).get("cloudwatchMetricsEnabled") is not True:
            yield f"rules[{index}].visibilityConfig.cloudwatchMetricsEnabled is off"


@rule(
    Severity.LOW,
    "Security Hub WAF.11",
    types=WEB_ACL,
    across=True,
    fix="add a WebAclLoggingConfiguration",
)
def firewall_is_logged(resource: Resource, context: Context) -> Iterator[str]:
    logging = "aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration"
    if not belonging(resource, context, logging):
        yield "nobody logs what it refuses"


@rule(
    Severity.HIGH,
    "FSBP ELB.3",
    "FSBP ELB.9",
    "FSBP ELB.17",
    types=r"kubernetes:core/v1:Service",
    fix="leave the annotations to components/nginx.py",
)
def balancer_of_aws_ends_modern_tls(resource: Resource, context: Context) -> Iterator[str]:
    """WB-2."""
    given = resource.inputs.get("metadata", {}).get("annotations", {})
    if resource.inputs.get("spec", {}).get("type") != "LoadBalancer" or not given:
        return
    if given.get(f"{ANNOTATION}cross-zone-load-balancing-enabled") != "true":
        yield "metadata.annotations: a zone without a pod answers nobody (cross-zone)"
    policy = given.get(f"{ANNOTATION}ssl-negotiation-policy")
    if given.get(f"{ANNOTATION}ssl-cert") and policy not in BALANCER_TLS:
        yield f"metadata.annotations: {policy} allows old TLS"


@rule(
    Severity.MEDIUM,
    "FSBP ACM.1",
    "FSBP ACM.2",
    types=r"aws:acm/certificate:Certificate",
    fix="set validationMethod DNS, and a key of 2,048 bits of RSA or 256 of an elliptic curve",
)
def certificate_renews_itself(resource: Resource, context: Context) -> Iterator[str]:
    """DT-2."""
    if resource.inputs.get("validationMethod") != "DNS":
        yield "validationMethod is not DNS: somebody has to renew it"
    if resource.inputs.get("keyAlgorithm", "RSA_2048") == "RSA_1024":
        yield "keyAlgorithm is too weak"


@rule(
    Severity.MEDIUM,
    "FSBP Route53.2",
    types=r"aws:route53/zone:Zone",
    across=True,
    fix="add a QueryLog",
)
def zone_is_logged(resource: Resource, context: Context) -> Iterator[str]:
    if not belonging(resource, context, "aws:route53/queryLog:QueryLog"):
        yield "nobody logs who asks for its names"


@rule(
    Severity.HIGH,
    "FSBP ECR.1",
    "FSBP ECR.2",
    "Security Hub ECR.5",
    types=REPOSITORY,
    fix="set scanOnPush, imageTagMutability IMMUTABLE, and a KMS key",
)
def images_are_scanned_and_fixed(resource: Resource, context: Context) -> Iterator[str]:
    given = resource.inputs
    if given.get("imageScanningConfiguration", {}).get("scanOnPush") is not True:
        yield "imageScanningConfiguration.scanOnPush is off"
    if given.get("imageTagMutability") != "IMMUTABLE":
        yield "imageTagMutability lets a tag move to another image"
    if not any(entry.get("kmsKey") for entry in given.get("encryptionConfigurations", [])):
        yield "encryptionConfigurations has no key of the stack"


@rule(
    Severity.MEDIUM,
    "FSBP ECR.3",
    types=REPOSITORY,
    across=True,
    fix="add a LifecyclePolicy",
)
def images_go_one_day(resource: Resource, context: Context) -> Iterator[str]:
    if not belonging(resource, context, "aws:ecr/lifecyclePolicy:LifecyclePolicy"):
        yield "no lifecycle: images are kept, and paid for, for ever"


@rule(
    Severity.CRITICAL,
    types=r"aws:iam/role:Role",
    fix="name aud and the exact sub of the workflow with StringEquals",
)
def workflows_are_named(resource: Resource, context: Context) -> Iterator[str]:
    """DE-8: without them any repository of the world gets the role."""
    for index, statement in enumerate(statements(resource.inputs.get("assumeRolePolicy"))):
        if "Federated" not in as_dict(statement.get("Principal")):
            continue
        exact = as_dict(as_dict(statement.get("Condition")).get("StringEquals"))
        for claim in ("aud", "sub"):
            values = [v for key, v in exact.items() if key.endswith(f":{claim}")]
            named = [text for value in values for text in as_list(value)]
            if not named or any("*" in str(text) for text in named):
                yield f"assumeRolePolicy.Statement[{index}] does not say whose {claim} it believes"


def as_dict(value: Any) -> dict[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}
