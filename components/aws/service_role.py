"""A role that a service of AWS acts with. Leaves out what the role may do, which is its maker's."""

import json
from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi_aws import iam


def service_role(
    name: str,
    service: str,
    description: str,
    tags: Mapping[str, str],
    opts: pulumi.ResourceOptions,
    *,
    account_id: str = "",
    source_arn: str = "",
) -> iam.Role:
    """`service` is a host name; it takes the role on for this account and source, where given.

    Without them another account's use of the service could borrow the role ("confused deputy"), so
    they are left out only where the service is not documented to send them.
    """
    condition: dict[str, Any] = {}
    if account_id:
        condition["StringEquals"] = {"aws:SourceAccount": account_id}
    if source_arn:
        condition["ArnLike"] = {"aws:SourceArn": source_arn}
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
    }
    if condition:
        statement["Condition"] = condition
    return iam.Role(
        name,
        description=description,
        assume_role_policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        force_detach_policies=True,
        max_session_duration=3600,
        path="/",
        tags=tags,
        opts=opts,
    )
