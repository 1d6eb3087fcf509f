"""Doors that a change opens: who may reach what, before and after.

Leaves out who passes them: passwords and roles are no doors.
"""

import ipaddress
import json
from collections.abc import Iterator
from typing import Any, cast

from offline.recorder import Graph, Registered
from offline.review.compare import Change, Op
from offline.review.dangers import Danger, Kind

WORLD = "the whole world"
# Inputs that open a resource when they are true, or close it (False here) when they are false.
SWITCHES: dict[str, tuple[str, bool]] = {
    "aws:rds/instance:Instance": ("publiclyAccessible", True),
    "aws:eks/cluster:Cluster": ("vpcConfig.endpointPublicAccess", True),
    "aws:lb/loadBalancer:LoadBalancer": ("internal", False),
    "aws:ec2/subnet:Subnet": ("mapPublicIpOnLaunch", True),
    "aws:ec2/instance:Instance": ("associatePublicIpAddress", True),
}
BLOCKS = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
RULES = ("aws:vpc/securityGroupIngressRule:", "aws:ec2/securityGroupRule:")
PEERS = (
    "cidrIpv4",
    "cidrIpv6",
    "prefixListId",
    "referencedSecurityGroupId",
    "cidrBlocks",
    "ipv6CidrBlocks",
    "prefixListIds",
    "sourceSecurityGroupId",
)


def dangers(changes: list[Change], before: Graph) -> Iterator[Danger]:
    """The doors that changes of `before` open.

    A door to something that is new as well counts only if the world comes in.
    """
    created = {c.resource.urn for c in changes if c.op is Op.CREATE}
    selected = {_selector(policy) for policy in before.all("NetworkPolicy")}
    for change in changes:
        after = change.after
        if after is None:
            yield from _isolation(change.resource)
            continue
        fresh = change.op is Op.CREATE and _is_for_new(after, created, selected)
        known = _openings(change.before) if change.before else set[tuple[str, str]]()
        for peer, door in sorted(_openings(after) - known):
            if not fresh or peer == WORLD:
                yield _opened(after, peer, door)


def _opened(resource: Registered, peer: str, door: str) -> Danger:
    path, opens = SWITCHES.get(resource.type, ("", True))
    return Danger(
        kind=Kind.EXPOSURE,
        subject=resource.name,
        what=f"{peer} {door}",
        told=f"{door} opens to {peer}",
        fix=f"set {path} to {str(not opens).lower()}"
        if door == path
        else "take it back, or name as few peers and ports as will do",
    )


def _is_for_new(after: Registered, created: set[str], selected: set[str]) -> bool:
    """Whether what a new door leads to is new, too."""
    if after.type.startswith(RULES):
        return any(urn in created for urn in after.property_depends_on.get("securityGroupId", ()))
    if after.type.endswith(":NetworkPolicy"):
        return _selector(after) not in selected
    return not after.type.endswith(":Service")


def _openings(resource: Registered) -> set[tuple[str, str]]:
    """Who may reach what of a resource."""
    inputs, type_ = resource.inputs, resource.type
    found: set[tuple[str, str]] = set()
    if type_ in SWITCHES:
        path, opens = SWITCHES[type_]
        if _at(inputs, path) is opens:
            found.add((WORLD, path))
    if type_ == "aws:eks/cluster:Cluster":
        ranges = _list(_at(inputs, "vpcConfig.publicAccessCidrs"))
        found |= {(_range(str(cidr)), "the API server") for cidr in ranges}
    if type_.startswith(RULES) and inputs.get("type", "ingress") == "ingress":
        found |= {(peer, _ports(inputs)) for peer in _peers(inputs)}
    if type_ == "aws:ec2/securityGroup:SecurityGroup":
        rules = _list(inputs.get("ingress"))
        found |= {(peer, _ports(rule)) for rule in rules for peer in _peers(rule)}
    if type_.endswith(":BucketPublicAccessBlock"):
        found |= {(WORLD, f"what {name} kept out") for name in BLOCKS if not inputs.get(name)}
    if type_.endswith(":Service"):
        found |= _service(inputs.get("spec", {}))
    if type_.endswith(":NetworkPolicy"):
        found |= _policy(inputs.get("spec", {}))
    return found


def _list(value: Any) -> list[Any]:
    return cast(list[Any], value) if isinstance(value, list) else []


def _at(inputs: dict[str, Any], path: str) -> Any:
    value: Any = inputs
    for key in path.split("."):
        value = cast(dict[str, Any], value).get(key) if isinstance(value, dict) else None
    return value


def _peers(rule: dict[str, Any]) -> set[str]:
    given = [rule[key] for key in PEERS if rule.get(key)]
    return {_range(str(peer)) for value in given for peer in (_list(value) or [value])}


def _range(peer: str) -> str:
    """A CIDR range in words where it is everybody."""
    try:
        return WORLD if ipaddress.ip_network(peer).prefixlen == 0 else peer
    except ValueError:
        return peer


def _ports(rule: dict[str, Any]) -> str:
    first, last = rule.get("fromPort"), rule.get("toPort")
    if first is None or str(rule.get("ipProtocol", rule.get("protocol"))) == "-1":
        return "every port"
    return f"port {first}" if first == last else f"ports {first} to {last}"


def _service(spec: dict[str, Any]) -> set[tuple[str, str]]:
    """A load balancer is for the world unless it names ranges."""
    peers: set[str] = set()
    if spec.get("type") == "NodePort":
        peers = {"whoever reaches a node"}
    if spec.get("type") == "LoadBalancer":
        ranges = _list(spec.get("loadBalancerSourceRanges"))
        peers = {_range(str(cidr)) for cidr in ranges} or {WORLD}
    return {(peer, f"port {port['port']}") for peer in peers for port in _list(spec.get("ports"))}


def _policy(spec: dict[str, Any]) -> set[tuple[str, str]]:
    """Whom a policy lets in; on the way out only a rule without any limit counts."""
    found = {opening for rule in _list(spec.get("ingress")) for opening in _allowed(rule)}
    if {} in _list(spec.get("egress")):
        found.add((WORLD, "the way out"))
    return found


def _allowed(rule: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for peer in _list(rule.get("from")) or [{}]:
        for port in _list(rule.get("ports")) or [{}]:
            number = port.get("port")
            yield _peer(peer), "every port" if number is None else f"port {number}"


def _peer(peer: dict[str, Any]) -> str:
    if not peer:
        return WORLD
    if "ipBlock" in peer:
        return _range(peer["ipBlock"].get("cidr", ""))
    return " in ".join(
        f"{name} {json.dumps(peer[key], sort_keys=True)}" if peer[key] else f"all {name}"
        for key, name in (("podSelector", "pods"), ("namespaceSelector", "namespaces"))
        if key in peer
    )


def _selector(policy: Registered) -> str:
    return json.dumps(policy.inputs.get("spec", {}).get("podSelector", {}), sort_keys=True)


def _isolation(policy: Registered) -> Iterator[Danger]:
    """A policy that only closes goes, and all that it closed is open."""
    spec = policy.inputs.get("spec", {})
    is_policy = policy.type.endswith(":NetworkPolicy")
    if is_policy and not spec.get("ingress") and not spec.get("egress"):
        yield Danger(
            kind=Kind.EXPOSURE,
            subject=policy.name,
            what="delete",
            told="the policy that denies by default goes: every pod is open to all others",
            fix="put it back into the program",
        )
