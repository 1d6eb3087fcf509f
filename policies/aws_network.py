"""Networks on AWS, and the machines in them: what gets in, what is logged, what is encrypted.

Leaves out security groups (aws_platform.py) and policies between pods (network.py).
"""

from collections.abc import Iterator
from typing import Any

from policies.aws_platform import EVERYWHERE, belonging
from policies.rule import Context, Resource, Severity, rule

VPC = r"aws:ec2/vpc:Vpc"
SUBNET = r"aws:ec2/subnet:Subnet"
FILTER = r"aws:ec2/networkAcl:NetworkAcl"
TEMPLATE = r"aws:ec2/launchTemplate:LaunchTemplate"
FLOW_LOG = "aws:ec2/flowLog:FlowLog"
DEFAULT_GROUP = "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"
SHELL = 22
# AWS's numbers for TCP and for all protocols.
WITH_SHELL = ("6", "tcp", "-1")


@rule(
    Severity.HIGH,
    "FSBP EC2.2",
    "CIS AWS Foundations 5.5",
    types=VPC,
    across=True,
    fix="adopt the default group with a DefaultSecurityGroup that has no rules",
)
def default_group_is_empty(resource: Resource, context: Context) -> Iterator[str]:
    groups = belonging(resource, context, DEFAULT_GROUP)
    if not groups:
        yield "its default security group lets everything in from itself, and everything out"
    for group in groups:
        for direction in ("ingress", "egress"):
            if group.inputs.get(direction):
                yield f"{direction} of its default security group is not empty"


@rule(
    Severity.MEDIUM,
    "FSBP EC2.6",
    "CIS AWS Foundations 3.7",
    types=VPC,
    across=True,
    fix="add a FlowLog of traffic ALL or REJECT",
)
def network_flows_are_logged(resource: Resource, context: Context) -> Iterator[str]:
    kept = [log.inputs.get("trafficType") for log in belonging(resource, context, FLOW_LOG)]
    # Of an intruder the refused attempts are what is seen first.
    if not {"ALL", "REJECT"} & {*kept}:
        yield "no flow log tells who was refused"


@rule(Severity.MEDIUM, "FSBP EC2.15", types=SUBNET, fix="set mapPublicIpOnLaunch to false")
def subnet_gives_no_public_address(resource: Resource, context: Context) -> Iterator[str]:
    """PL-10."""
    if resource.inputs.get("mapPublicIpOnLaunch", False) is not False:
        yield "mapPublicIpOnLaunch shows every machine to the Internet"


def admits_a_shell(entry: dict[str, Any]) -> bool:
    """Whether an entry of a network ACL lets everybody connect by SSH."""
    everybody = {entry.get("cidrBlock"), entry.get("ipv6CidrBlock")} & {*EVERYWHERE}
    if entry.get("action") != "allow" or not everybody:
        return False
    if str(entry.get("protocol")) == "-1":
        return True
    ports = range(int(entry.get("fromPort", 0)), int(entry.get("toPort", 0)) + 1)
    return str(entry.get("protocol")) in WITH_SHELL and SHELL in ports


@rule(
    Severity.MEDIUM,
    types=FILTER,
    fix="admit replies on ports from 1024 on, and of the others those that are published",
)
def filter_admits_no_shell(resource: Resource, context: Context) -> Iterator[str]:
    for index, entry in enumerate(resource.inputs.get("ingress", [])):
        if admits_a_shell(entry):
            yield f"ingress[{index}] lets everybody in to port {SHELL}"


@rule(Severity.LOW, "FSBP EC2.16", types=FILTER, fix="name its subnetIds, or remove it")
def filter_is_used(resource: Resource, context: Context) -> Iterator[str]:
    if not resource.inputs.get("subnetIds"):
        yield "subnetIds is empty: it filters nothing, and looks as if it did"


@rule(
    Severity.HIGH,
    "FSBP EC2.8",
    "FSBP EC2.170",
    types=TEMPLATE,
    fix="set metadataOptions.httpTokens to required and httpPutResponseHopLimit to 1",
)
def machine_keeps_its_credentials(resource: Resource, context: Context) -> Iterator[str]:
    """AP-11."""
    options = resource.inputs.get("metadataOptions", {})
    if options.get("httpTokens") != "required":
        yield "metadataOptions.httpTokens: a forwarded request is enough to read its credentials"
    if options.get("httpPutResponseHopLimit") != 1:
        yield "metadataOptions.httpPutResponseHopLimit: pods can read its credentials"


@rule(
    Severity.HIGH,
    "FSBP EC2.9",
    "FSBP EC2.25",
    types=TEMPLATE,
    fix='set networkInterfaces[].associatePublicIpAddress to "false"',
)
def machine_has_no_public_address(resource: Resource, context: Context) -> Iterator[str]:
    for index, interface in enumerate(resource.inputs.get("networkInterfaces", [])):
        if str(interface.get("associatePublicIpAddress", "false")).lower() != "false":
            yield f"networkInterfaces[{index}].associatePublicIpAddress shows it to the Internet"


@rule(
    Severity.MEDIUM,
    "FSBP EC2.3",
    "FSBP EC2.181",
    types=TEMPLATE,
    fix='set ebs.encrypted to "true" and ebs.kmsKeyId to the stack\'s key',
)
def machine_disks_are_encrypted(resource: Resource, context: Context) -> Iterator[str]:
    disks = resource.inputs.get("blockDeviceMappings", [])
    if not disks:
        yield "blockDeviceMappings is missing: its disk is as the image has it"
    for index, disk in enumerate(disks):
        given = disk.get("ebs", {})
        if str(given.get("encrypted")).lower() != "true" or not given.get("kmsKeyId"):
            yield f"blockDeviceMappings[{index}].ebs is not encrypted with our key"
