"""Asks the site from several parts of the world whether it is healthy (MO-7).

Leaves out what follows from the answer (alert_ladder.py) and DNS failover.
"""

import pulumi
from pulumi_aws import route53

INTERVAL_S = 30
FAILURES = 3


def make_health_check(
    name: str,
    domain: str,
    path: str,
    regions: tuple[str, ...],
    tags: dict[str, str],
    opts: pulumi.ResourceOptions,
) -> pulumi.Output[str]:
    """Its id. Checkers verify no certificate; that one expires, AL-29 tells."""
    host, _, port = domain.partition(":")
    check = route53.HealthCheck(
        name,
        type="HTTPS",
        fqdn=host,
        port=int(port or 443),
        resource_path=path,
        request_interval=INTERVAL_S,
        failure_threshold=FAILURES,
        regions=regions,
        measure_latency=True,
        enable_sni=True,
        invert_healthcheck=False,
        disabled=False,
        tags=tags,
        opts=opts,
    )
    return check.id
