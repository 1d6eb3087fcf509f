"""The firewall before the CDN: AWS's own rules, and a limit on the requests of one address.

Leaves out the limits of nginx, which know paths and are far lower.
"""

from collections.abc import Sequence

import pulumi
from pulumi_aws import wafv2

from components.aws.edge_config import CdnConfig

# What AWS keeps up to date, in the order of judging; all but the common rules are about the sender
# and about attacks that no honest request looks like.
REPUTATION = "AWSManagedRulesAmazonIpReputationList"
COMMON = "AWSManagedRulesCommonRuleSet"
BAD_INPUTS = "AWSManagedRulesKnownBadInputsRuleSet"
WINDOW_S = 300
# Of a request that is logged: what a query, a cookie or a token says is nobody's business (SC-3).
REDACTED_HEADERS = ("authorization", "cookie")


def make_web_acl(
    name: str,
    config: CdnConfig,
    log_group_arn: pulumi.Input[str],
    tags: dict[str, str],
    opts: pulumi.ResourceOptions,
) -> pulumi.Output[str]:
    """Its ARN. For a CDN it has to be in us-east-1; `log_group_arn` is of aws-waf-logs-..."""
    acl = wafv2.WebAcl(
        name,
        description="before the CDN",
        scope="CLOUDFRONT",
        default_action={"allow": {}},
        rules=[
            _limit(name, config.requests_per_5_minutes),
            _managed(name, 1, REPUTATION),
            _managed(name, 2, COMMON, config.counted_rules),
            _managed(name, 3, BAD_INPUTS),
        ],
        visibility_config=_measured(name),
        tags=tags,
        opts=opts,
    )
    wafv2.WebAclLoggingConfiguration(
        name,
        resource_arn=acl.arn,
        log_destination_configs=[log_group_arn],
        # nginx logs what is let through.
        logging_filter={
            "default_behavior": "DROP",
            "filters": [
                {
                    "behavior": "KEEP",
                    "requirement": "MEETS_ANY",
                    "conditions": [
                        {"action_condition": {"action": action}} for action in ("BLOCK", "COUNT")
                    ],
                }
            ],
        },
        redacted_fields=[
            {"query_string": {}},
            *({"single_header": {"name": header}} for header in REDACTED_HEADERS),
        ],
        opts=opts,
    )
    return acl.arn


def _measured(metric: str) -> wafv2.WebAclVisibilityConfigArgsDict:
    return {
        "cloudwatch_metrics_enabled": True,
        "metric_name": metric,
        "sampled_requests_enabled": True,
    }


def _limit(name: str, requests: int) -> wafv2.WebAclRuleArgsDict:
    """Refuses as nginx does: 429, and when to come back."""
    return {
        "name": "limit",
        "priority": 0,
        "action": {
            "block": {
                "custom_response": {
                    "response_code": 429,
                    "response_headers": [{"name": "Retry-After", "value": "60"}],
                }
            }
        },
        "statement": {
            "rate_based_statement": {
                "aggregate_key_type": "IP",
                "limit": requests,
                "evaluation_window_sec": WINDOW_S,
            }
        },
        "visibility_config": _measured(f"{name}-limit"),
    }


def _managed(
    name: str, priority: int, group: str, counted: Sequence[str] = ()
) -> wafv2.WebAclRuleArgsDict:
    """A group of AWS's rules; those that are `counted` only tell."""
    return {
        "name": group,
        "priority": priority,
        "override_action": {"none": {}},
        "statement": {
            "managed_rule_group_statement": {
                "vendor_name": "AWS",
                "name": group,
                "rule_action_overrides": [
                    {"name": rule, "action_to_use": {"count": {}}} for rule in counted
                ],
            }
        },
        "visibility_config": _measured(f"{name}-{group}"),
    }
