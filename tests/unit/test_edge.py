"""The way to nginx on AWS: names, certificates, load balancer, CDN and firewall."""

import inspect
import json
from collections import Counter
from typing import Any

import pytest
from conftest import deploy_stack, knobs
from pulumi.runtime import rpc
from pulumi_aws import cloudfront

from components.aws.edge_config import BALANCER_ZONES, CdnConfig, EdgeConfig
from components.stack_config import ConfigError
from offline.recorder import Graph, Registered, invented, plain

IMAGE: dict[str, Any] = {"image": f"shop@sha256:{'0' * 64}", "deploymentVersion": "3f2a9c1"}
AWS = "service.beta.kubernetes.io/aws-load-balancer-"
DOMAINS = {"staging": "staging.example.com", "production": "www.example.com"}
ZONE = "Z0123456789ABCDEFGHIJ"
ARN = "arn:aws:acm:us-east-1:123456789012:certificate/1"
ELSEWHERE: dict[str, Any] = {
    "awsRegion": "eu-central-1",
    "awsRecoveryRegion": "eu-west-1",
    "awsZones": ["eu-central-1a", "eu-central-1b", "eu-central-1c"],
}
CDN: dict[str, Any] = {"cdnEnabled": True}
UNSET = {
    "anycastIpListId": "addresses of its own cost thousands a month",
    "cacheTagConfig": "files are never taken out of the cache: their names change",
    "connectionFunctionAssociation": "no code at the edge",
    "continuousDeploymentPolicyId": "changes are not tried on a part of the people",
    "defaultRootObject": "for buckets: the application answers /",
    "loggingConfig": "the older way of logging, which needs a bucket with ACLs",
    "originGroups": "there is one origin",
    "viewerMtlsConfig": "people have no certificates",
}


def stack(name: str = "production", **changes: Any) -> Graph:
    given = {k: json.dumps(v) if isinstance(v, list) else v for k, v in changes.items()}
    return deploy_stack(name, **IMAGE, **given)


def records(graph: Graph) -> dict[tuple[str, str], dict[str, Any]]:
    """By name and type, without those that prove a certificate."""
    found = [r.inputs for r in graph.all("Record")]
    return {(r["name"], r["type"]): r for r in found if not r["name"].startswith("_")}


def edge_of(graph: Graph) -> list[Registered]:
    return [r for r in graph.resources if r.parent.split("::")[-1] in ("cdn", "zone", "records")]


@pytest.mark.parametrize("name", ["staging", "production"])
def test_the_domain_leads_to_the_load_balancer(name: str) -> None:
    """DT-1."""
    record = records(stack(name))[DOMAINS[name], "A"]
    assert record["zoneId"] == ZONE
    assert record["aliases"] == [
        {
            "name": "nginx-service.invented.elb",
            "zoneId": BALANCER_ZONES["us-east-1"],
            "evaluateTargetHealth": False,
        }
    ]


@pytest.mark.parametrize("name", ["staging", "production"])
def test_the_load_balancer_ends_tls_with_a_certificate_of_its_own(name: str) -> None:
    """DT-2, WB-2: validated by DNS, so that AWS renews it."""
    graph = stack(name)
    certificate = graph.one("Certificate", "certificate").inputs
    assert certificate["domainName"] == DOMAINS[name]
    assert certificate["subjectAlternativeNames"] == []
    assert certificate["validationMethod"] == "DNS"
    assert certificate["keyAlgorithm"] == "EC_prime256v1"
    [proof] = [r.inputs for r in graph.all("Record") if r.inputs["name"].startswith("_")]
    assert (proof["type"], proof["zoneId"]) == ("CNAME", ZONE)
    assert proof["records"] == ["_proof.invented.acm-validations.aws."]
    validation = graph.one("CertificateValidation")
    assert validation.inputs["validationRecordFqdns"] == [f"_proof.{DOMAINS[name]}."]
    service = graph.one("Service", "nginx-service")
    assert validation.urn in service.depends_on
    annotations = service.inputs["metadata"]["annotations"]
    assert annotations[f"{AWS}ssl-cert"] == validation.inputs["certificateArn"]
    assert annotations[f"{AWS}ssl-ports"] == "https"
    ports = {port["port"]: port["targetPort"] for port in service.inputs["spec"]["ports"]}
    assert ports == {80: 8080, 443: 8443}


def test_development_has_none_of_it() -> None:
    """PL-3, WB-1."""
    graph = stack("dev")
    assert not [r for r in graph.resources if r.type.startswith("aws:")]
    assert graph.one("Service", "nginx-service").inputs["metadata"]["annotations"] == {}
    assert edge_of(graph) == []


def test_nothing_leads_to_a_site_that_has_no_image() -> None:
    """The certificate is there before, so that the first release has not to wait for it."""
    graph = deploy_stack("production", image="", **CDN)
    assert graph.all("Certificate") and not records(graph) and not graph.all("Distribution")


def test_only_our_authority_issues_certificates() -> None:
    record = records(stack())["www.example.com", "CAA"]
    assert record["records"] == ['0 issue "amazon.com"']


def test_a_given_certificate_needs_no_zone() -> None:
    """WB-2."""
    graph = stack(edgeZoneName="", edgeHostedZoneId="", edgeAuthorities=[], edgeCertificateArn=ARN)
    assert not graph.all("Certificate") and not graph.all("Record")
    annotations = graph.one("Service", "nginx-service").inputs["metadata"]["annotations"]
    assert annotations[f"{AWS}ssl-cert"] == ARN


def test_nginx_may_end_tls_behind_the_load_balancer() -> None:
    """WB-2."""
    graph = stack(nginxTlsSecret="site-tls")
    assert not graph.all("Certificate")
    annotations = graph.one("Service", "nginx-service").inputs["metadata"]["annotations"]
    assert annotations[f"{AWS}type"] == "nlb"
    assert f"{AWS}ssl-cert" not in annotations
    assert ("www.example.com", "A") in records(graph)


def test_a_zone_of_the_stacks_own_tells_who_asks() -> None:
    """DT-1, PL-8: its log is in us-east-1, where Route 53 writes it."""
    graph = stack(edgeHostedZoneId="")
    zone = graph.one("Zone")
    assert zone.inputs["name"] == "example.com"
    assert (zone.protect, zone.retain_on_delete, zone.inputs["forceDestroy"]) == (True, True, False)
    group = graph.one("LogGroup", "zone")
    assert group.inputs["name"] == "/aws/route53/example.com"
    assert group.inputs["retentionInDays"] == 30
    policy = json.loads(graph.one("LogResourcePolicy", "zone").inputs["policyDocument"])
    [statement] = policy["Statement"]
    assert statement["Principal"] == {"Service": "route53.amazonaws.com"}
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}
    assert statement["Resource"].endswith(":zone:*")
    assert graph.one("QueryLog").inputs["zoneId"] == "Zzone"
    assert records(graph)["www.example.com", "A"]["zoneId"] == "Zzone"
    servers = graph.outputs["nextstack-production"]["nameServers"]
    assert len(servers) == 4


def distribution(graph: Graph) -> dict[str, Any]:
    return graph.one("Distribution").inputs


def test_the_cdn_keeps_static_files_and_passes_on_the_rest() -> None:
    """DT-3."""
    graph = stack(**CDN)
    made = distribution(graph)
    assert made["aliases"] == ["www.example.com"]
    assert (made["httpVersion"], made["isIpv6Enabled"]) == ("http2and3", True)
    default = made["defaultCacheBehavior"]
    assert default["cachePolicyId"] == "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
    assert default["originRequestPolicyId"] == "216adef6-5c7f-47e4-b989-5492eafa07d3"
    assert "POST" in default["allowedMethods"]
    [static] = made["orderedCacheBehaviors"]
    assert (static["pathPattern"], static["compress"]) == ("/_next/static/*", True)
    assert static["cachePolicyId"] == "cdn-static-id"
    policy = graph.one("CachePolicy").inputs
    assert policy["maxTtl"] == 31_536_000
    key = policy["parametersInCacheKeyAndForwardedToOrigin"]
    assert key["enableAcceptEncodingBrotli"] is key["enableAcceptEncodingGzip"] is True
    assert key["queryStringsConfig"]["queryStrings"] == {"items": ["dpl"]}
    assert {b["viewerProtocolPolicy"] for b in (default, static)} == {"redirect-to-https"}
    kept = {e["errorCachingMinTtl"] for e in made["customErrorResponses"]}
    assert kept == {0}


def test_the_cdn_speaks_modern_tls_on_both_sides() -> None:
    """WB-2."""
    made = distribution(stack(**CDN))
    assert made["viewerCertificate"]["minimumProtocolVersion"] == "TLSv1.2_2021"
    assert made["viewerCertificate"]["sslSupportMethod"] == "sni-only"
    [origin] = made["origins"]
    way = origin["customOriginConfig"]
    assert way["originProtocolPolicy"] == "https-only"
    assert way["originSslProtocols"] == ["TLSv1.2"]
    assert origin["domainName"] == "origin.www.example.com"


def test_the_cdn_waits_as_long_as_nginx_and_hangs_up_before_it() -> None:
    """WB-3, WB-7: nginx 60 s for a page, 75 s for an idle connection."""
    way = distribution(stack(**CDN))["origins"][0]["customOriginConfig"]
    assert (way["originReadTimeout"], way["originKeepaliveTimeout"]) == (60, 60)


def test_names_lead_to_the_cdn_and_the_cdn_to_the_load_balancer() -> None:
    """DT-1, DT-3."""
    found = records(stack(**CDN))
    to_cdn = {"name": "cdn.invented.cloudfront.net", "zoneId": "Zcdn"}
    for kind in ("A", "AAAA"):
        assert found["www.example.com", kind]["aliases"] == [
            to_cdn | {"evaluateTargetHealth": False}
        ]
    [origin] = found["origin.www.example.com", "A"]["aliases"]
    assert origin["name"] == "nginx-service.invented.elb"
    assert ("origin.www.example.com", "AAAA") not in found


def test_only_the_cdn_knows_its_secret() -> None:
    """DT-3, SC-3: nginx knows the value before, too, and gets a new one first."""
    graph = stack(**CDN)
    made = graph.one("Distribution")
    assert rpc.is_rpc_secret(made.secrets["origins"])
    [sent] = plain(made.secrets["origins"])[0]["customHeaders"]
    assert sent["name"] == "X-Origin-Secret"
    secret = graph.one("Secret", "nginx-cdn")
    text = secret.inputs["stringData"]["secret.conf"]
    values = [invented("", f"cdn-secret-{slot}", {"length": 64}) for slot in "ab"]
    assert sent["value"] == values[0]
    assert all(f'"{value}" "1";' in text for value in values)
    file = graph.one("ConfigMap", "nginx-config").inputs["data"]["nginx.conf"]
    assert values[0] not in file
    assert graph.one("Deployment", "nginx-server").urn in made.depends_on


def test_a_new_secret_leaves_the_old_one_valid() -> None:
    """SC-6."""
    before, after = stack(**CDN), stack(**CDN, cdnSecretEpoch=2)

    def keepers(graph: Graph) -> dict[str, Any]:
        names = ("cdn-secret-a", "cdn-secret-b")
        return {n: graph.one("RandomPassword", n).inputs["keepers"] for n in names}

    def sent(graph: Graph) -> str:
        return distribution(graph)["origins"][0]["customHeaders"][0]["value"]

    assert keepers(before)["cdn-secret-a"] == keepers(after)["cdn-secret-a"]
    assert keepers(before)["cdn-secret-b"] != keepers(after)["cdn-secret-b"]
    assert sent(before) != sent(after) == invented("", "cdn-secret-b", {"length": 64})


def test_one_certificate_is_for_both_in_us_east_1() -> None:
    """DT-2."""
    graph = stack(**CDN)
    certificate = graph.one("Certificate", "certificate").inputs
    assert certificate["subjectAlternativeNames"] == ["origin.www.example.com"]
    validated = graph.one("CertificateValidation").inputs["certificateArn"]
    assert distribution(graph)["viewerCertificate"]["acmCertificateArn"] == validated


def test_elsewhere_the_cdn_has_a_certificate_in_us_east_1() -> None:
    """DT-2: proven by the record that proves the other one; two alike would be refused."""
    graph = stack(**CDN, **ELSEWHERE, rdsReplicateBackups=True)
    places = {r.name: r.provider.split("::")[-2] for r in graph.all("Certificate")}
    assert places == {"certificate": "aws-home", "cdn-certificate": "aws-edge"}
    proofs = [r.inputs["name"] for r in graph.all("Record") if r.inputs["name"].startswith("_")]
    assert sorted(proofs) == ["_proof.origin.www.example.com.", "_proof.www.example.com."]
    validation = graph.one("CertificateValidation", "cdn-certificate").inputs
    assert validation["validationRecordFqdns"] == ["_proof.www.example.com."]
    [alias] = records(graph)["origin.www.example.com", "A"]["aliases"]
    assert alias["zoneId"] == BALANCER_ZONES["eu-central-1"]


def test_everything_of_the_cdn_is_in_us_east_1() -> None:
    graph = stack(**CDN, **ELSEWHERE, rdsReplicateBackups=True)
    inside = [r for r in graph.resources if r.parent.endswith("::cdn")]
    assert {r.provider.split("::")[-2] for r in inside if r.type.startswith("aws:")} == {"aws-edge"}


def test_the_firewall_has_rules_of_aws_and_a_limit() -> None:
    """DT-3: refused as nginx refuses, 429 and when to come back."""
    graph = stack(**CDN)
    acl = graph.one("WebAcl").inputs
    assert acl["scope"] == "CLOUDFRONT"
    assert distribution(graph)["webAclId"].endswith(":cdn")
    by_name = {rule["name"]: rule for rule in acl["rules"]}
    assert list(by_name) == [
        "limit",
        "AWSManagedRulesAmazonIpReputationList",
        "AWSManagedRulesCommonRuleSet",
        "AWSManagedRulesKnownBadInputsRuleSet",
    ]
    limit = by_name["limit"]
    assert limit["statement"]["rateBasedStatement"]["limit"] == 10_000
    assert limit["action"]["block"]["customResponse"]["responseCode"] == 429
    common = by_name["AWSManagedRulesCommonRuleSet"]["statement"]["managedRuleGroupStatement"]
    counted = {rule["name"] for rule in common["ruleActionOverrides"]}
    # WB-5, WB-6: 12 kB of cookies, 50 MB of uploads, and code that people paste.
    assert {"SizeRestrictions_BODY", "SizeRestrictions_Cookie_HEADER"} < counted
    assert "CrossSiteScripting_BODY" in counted


def test_logs_are_kept_without_what_may_be_secret() -> None:
    """SC-3, MO-6."""
    graph = stack(**CDN)
    groups = {r.name: r.inputs for r in graph.all("LogGroup") if r.name.startswith("cdn-")}
    assert {g["name"] for g in groups.values()} == {
        "aws-waf-logs-nextstack-production",
        "/aws/cloudfront/nextstack-production",
    }
    assert {g["retentionInDays"] for g in groups.values()} == {30}
    assert all(g["kmsKeyId"].endswith(":cdn-key") for g in groups.values())
    source = graph.one("LogDeliverySource").inputs
    assert source["logType"] == "ACCESS_LOGS"
    assert source["resourceArn"].endswith(":cdn")
    fields = set(graph.one("LogDelivery").inputs["recordFields"])
    assert not fields & {"cs-uri-query", "cs(Cookie)", "cs(Referer)"}
    redacted = graph.one("WebAclLoggingConfiguration").inputs["redactedFields"]
    assert {"queryString": {}} in redacted
    assert {f["singleHeader"]["name"] for f in redacted if "singleHeader" in f} == {
        "authorization",
        "cookie",
    }


def test_nothing_of_the_cdn_is_left_to_the_providers_defaults() -> None:
    known = inspect.signature(cloudfront.DistributionArgs.__init__).parameters
    names = {_camel(name) for name in known if not name.startswith("__")}
    assert names - distribution(stack(**CDN)).keys() == UNSET.keys()


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.title() for word in tail)


def test_the_component_makes_no_more_than_this() -> None:
    made = [r for r in stack(**CDN).resources if r.parent.endswith("::cdn")]
    assert Counter(r.type.rsplit(":", 1)[1] for r in made) == {
        "CachePolicy": 1,
        "Distribution": 1,
        "Key": 1,
        "LogDelivery": 1,
        "LogDeliveryDestination": 1,
        "LogDeliverySource": 1,
        "LogGroup": 2,
        "WebAcl": 1,
        "WebAclLoggingConfiguration": 1,
    }


def test_preview_shows_all_of_it() -> None:
    """PL-6."""
    update, preview = (deploy_stack("production", p, **IMAGE, **CDN) for p in (False, True))
    assert {r.urn for r in edge_of(update)} == {r.urn for r in edge_of(preview)}


@pytest.mark.parametrize(
    ("cls", "changes", "message"),
    [
        (EdgeConfig, {"zone_name": "example"}, "edgeZoneName is malformed: got 'example'"),
        (EdgeConfig, {"zone_name": "Example.com"}, "edgeZoneName is malformed"),
        (EdgeConfig, {"zone_name": "example.com."}, "edgeZoneName is malformed"),
        (EdgeConfig, {"zone_name": f"{'a' * 64}.com"}, "edgeZoneName is malformed"),
        (EdgeConfig, {"hosted_zone_id": "/hostedzone/Z1"}, "edgeHostedZoneId is malformed"),
        (EdgeConfig, {"hosted_zone_id": "Z" * 33}, "edgeHostedZoneId is malformed"),
        (EdgeConfig, {"zone_name": ""}, "edgeHostedZoneId has no name: got 'Z0123"),
        (EdgeConfig, {"certificate_arn": "arn:aws:iam::1:server-certificate/a"}, "malformed"),
        (EdgeConfig, {"authorities": ["Amazon"]}, "edgeAuthorities has a malformed entry"),
        (EdgeConfig, {"query_log_days": 31}, "edgeQueryLogDays is not offered: got 31"),
        (CdnConfig, {"price_class": "PriceClass_300"}, "cdnPriceClass is not allowed"),
        (CdnConfig, {"requests_per_5_minutes": 9}, "cdnRequestsPer5Minutes is out of range: got 9"),
        (CdnConfig, {"counted_rules": ["All"]}, "cdnCountedRules has an unknown rule: got 'All'"),
        (CdnConfig, {"log_days": 0}, "cdnLogDays is not offered: got 0, allowed 1, 3, 5"),
        (CdnConfig, {"secret_epoch": 0}, "cdnSecretEpoch is out of range: got 0"),
    ],
)
def test_bad_settings_are_refused(cls: type, changes: dict[str, Any], message: str) -> None:
    """PL-7."""
    prefix = "edge" if cls is EdgeConfig else "cdn"
    with pytest.raises(ConfigError) as refused:
        knobs(cls, prefix, "production", **changes)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("cls", "changes"),
    [
        (EdgeConfig, {"zone_name": f"{'a' * 63}.co"}),
        (EdgeConfig, {"hosted_zone_id": "Z" * 32}),
        (EdgeConfig, {"zone_name": "", "hosted_zone_id": ""}),
        (EdgeConfig, {"authorities": []}),
        (EdgeConfig, {"query_log_days": 400}),
        (CdnConfig, {"requests_per_5_minutes": 10}),
        (CdnConfig, {"counted_rules": []}),
    ],
)
def test_settings_at_their_limits_are_accepted(cls: type, changes: dict[str, Any]) -> None:
    prefix = "edge" if cls is EdgeConfig else "cdn"
    assert knobs(cls, prefix, "production", **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"edgeZoneName": "", "edgeHostedZoneId": "", "edgeAuthorities": "[]"},
            "https has no certificate: got neither nginxTlsSecret, edgeCertificateArn nor edgeZone",
        ),
        (
            {"nginxTlsSecret": "site-tls", "edgeCertificateArn": ARN},
            "edgeCertificateArn is one too many: got it and nginxTlsSecret 'site-tls'",
        ),
        (
            {"edgeCertificateArn": ARN.replace("us-east-1", "eu-west-1")},
            "edgeCertificateArn is elsewhere: got region eu-west-1, allowed awsRegion us-east-1",
        ),
        ({"domain": "www.example.org"}, "edgeZoneName does not hold the domain: got 'example.com'"),
        ({"domain": "badexample.com"}, "edgeZoneName does not hold the domain: got 'example.com'"),
        ({"nginxServiceType": "ClusterIP"}, "edgeZoneName has no use: got 'example.com'"),
        (
            {"cdnEnabled": True, "edgeZoneName": "", "edgeHostedZoneId": "",
             "edgeCertificateArn": ARN},
            "cdnEnabled needs a zone: got true without edgeZoneName, allowed false",
        ),
        (
            {"cdnEnabled": True, "nginxTrustedRanges": '["10.0.0.0/8"]'},
            "nginxTrustedRanges has no effect with cdnEnabled: got 10.0.0.0/8, allowed none",
        ),
        (
            {"cdnEnabled": True, "nginxPageTimeoutS": 61},
            "nginxPageTimeoutS is too long for the CDN: got 61, allowed 1 to 60",
        ),
        (
            {"cdnEnabled": True, "nginxLoadBalancerIdleS": 61},
            "nginxLoadBalancerIdleS is too long for the CDN: got 61, allowed 1 to 60",
        ),
    ],
)  # fmt: skip
def test_what_must_hold_between_the_parts(changes: dict[str, Any], message: str) -> None:
    """WB-2, WB-3, DT-1, PL-7."""
    with pytest.raises(ConfigError) as refused:
        deploy_stack("production", **IMAGE, **changes)
    assert message in str(refused.value)


def test_the_top_of_a_zone_is_a_name_too() -> None:
    assert ("example.com", "A") in records(stack(domain="example.com"))
