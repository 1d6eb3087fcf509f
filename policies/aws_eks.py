"""Kubernetes clusters on EKS: who reaches and administers them, and what AWS does for them.

Leaves out their machines (aws_network.py) and what runs inside.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from policies.aws_platform import EVERYWHERE
from policies.rule import UNKNOWN, Context, Resource, Severity, rule

CLUSTER = r"aws:eks/cluster:Cluster"
ADDON = r"aws:eks/addon:Addon"
OLDEST = (1, 34)
"""Of the versions in AWS's standard support; 1.33 left it on 2026-07-29."""


@rule(
    Severity.HIGH,
    "FSBP EKS.1",
    types=CLUSTER,
    fix="set vpcConfig.endpointPublicAccess to false, or outside production publicAccessCidrs",
)
def cluster_endpoint_is_private(resource: Resource, context: Context) -> Iterator[str]:
    given = resource.inputs.get("vpcConfig", {})
    if given.get("endpointPrivateAccess") is not True:
        yield "vpcConfig.endpointPrivateAccess is off: nodes reach it over the Internet"
    # EKS opens it to everybody unless it is told otherwise.
    if given.get("endpointPublicAccess", True) is False:
        return
    if context.stage == "production":
        yield "vpcConfig.endpointPublicAccess is on in production"
    ranges = given.get("publicAccessCidrs") or [EVERYWHERE[0]]
    for found in {*ranges} & {*EVERYWHERE}:
        yield f"vpcConfig.publicAccessCidrs has {found}: the whole Internet"


@rule(
    Severity.HIGH,
    "FSBP EKS.2",
    types=CLUSTER,
    fix="raise eksVersion by one minor version at a time",
)
def cluster_version_is_supported(resource: Resource, context: Context) -> Iterator[str]:
    version = str(resource.inputs.get("version", ""))
    if not re.fullmatch(r"\d+\.\d+", version) or tuple(map(int, version.split("."))) < OLDEST:
        yield f"version is {version or 'not set'}, older than {OLDEST[0]}.{OLDEST[1]}"


@rule(
    Severity.LOW,
    types=CLUSTER,
    fix="set upgradePolicy.supportType to STANDARD",
)
def cluster_pays_no_extended_support(resource: Resource, context: Context) -> Iterator[str]:
    # As for the database (DB-17); the default is the paid one.
    if resource.inputs.get("upgradePolicy", {}).get("supportType") != "STANDARD":
        yield "upgradePolicy.supportType: an old version costs six times as much"


@rule(
    Severity.MEDIUM,
    "FSBP EKS.3",
    "CIS EKS 5.3.1",
    types=CLUSTER,
    fix="set encryptionConfig with the stack's key and resources [secrets]",
)
def cluster_secrets_are_encrypted(resource: Resource, context: Context) -> Iterator[str]:
    """SC-4."""
    given: dict[str, Any] = resource.inputs.get("encryptionConfig", {})
    if "secrets" not in given.get("resources", []) or not given.get("provider", {}).get("keyArn"):
        yield "encryptionConfig does not encrypt Secrets with a key of ours"


@rule(
    Severity.MEDIUM,
    "FSBP EKS.8",
    "CIS EKS 2.1.1",
    types=CLUSTER,
    fix="add audit and authenticator to enabledClusterLogTypes",
)
def cluster_is_audited(resource: Resource, context: Context) -> Iterator[str]:
    for kind in ("audit", "authenticator"):
        if kind not in resource.inputs.get("enabledClusterLogTypes", []):
            yield f"enabledClusterLogTypes has no {kind}: nobody can tell who did what"


@rule(Severity.HIGH, types=CLUSTER, fix="set deletionProtection to true")
def cluster_refuses_deletion(resource: Resource, context: Context) -> Iterator[str]:
    """PL-8."""
    if context.keeps_data and resource.inputs.get("deletionProtection") is not True:
        yield "deletionProtection is off: one call takes the cluster and all that it runs"


@rule(
    Severity.HIGH,
    types=CLUSTER,
    fix="set accessConfig.authenticationMode to API and leave rights to access entries",
)
def cluster_rights_are_entries(resource: Resource, context: Context) -> Iterator[str]:
    given = resource.inputs.get("accessConfig", {})
    if given.get("authenticationMode") != "API":
        yield "accessConfig.authenticationMode lets a ConfigMap inside give rights"
    if given.get("bootstrapClusterCreatorAdminPermissions", True) is not False:
        yield "accessConfig: who made the cluster stays its administrator, in no list"


@rule(
    Severity.HIGH,
    "CIS EKS 4.3.1",
    types=ADDON,
    fix='set enableNetworkPolicy to "true" in configurationValues',
)
def cluster_enforces_network_policies(resource: Resource, context: Context) -> Iterator[str]:
    """AP-11, PO-10."""
    if resource.inputs.get("addonName") != "vpc-cni":
        return
    given = resource.inputs.get("configurationValues", "{}")
    settings: dict[str, Any] = {} if UNKNOWN in given else json.loads(given)
    if str(settings.get("enableNetworkPolicy")).lower() != "true":
        yield "configurationValues: every NetworkPolicy is ignored"


@rule(Severity.LOW, types=ADDON, fix="set addonVersion (eksAddonVersions)")
def addon_is_pinned(resource: Resource, context: Context) -> Iterator[str]:
    if not resource.inputs.get("addonVersion"):
        yield "addonVersion is not set: the same program makes another cluster tomorrow"
