"""What holds for everything on AWS, in every committed stack that uses it."""

import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pulumi_aws
import pytest
from conftest import deploy_stack, knobs, own_cluster
from pulumi.runtime import rpc

from components.aws.config import AwsConfig, DailyWindow, WeeklyWindow, refused_windows
from components.schedule import Weekday
from components.stack_config import ConfigError
from offline.recorder import ROOT, Graph, Registered

ON_AWS = ("production", "staging")
IMAGE: dict[str, Any] = {"image": f"shop@sha256:{'0' * 64}", "deploymentVersion": "3f2a9c1"}


@pytest.fixture(scope="module", params=ON_AWS)
def graph(request: pytest.FixtureRequest) -> Graph:
    return deploy_stack(request.param, **IMAGE)


def on_aws(graph: Graph) -> list[Registered]:
    return [r for r in graph.resources if r.type.startswith("aws:")]


def arguments(resource: Registered) -> set[str]:
    """The names of all inputs that the type takes, as the wire spells them."""
    module, _, cls = resource.type.removeprefix("aws:").partition("/")
    args = getattr(getattr(pulumi_aws, module), f"{cls.split(':')[1]}Args")
    return {camel(name) for name in inspect.signature(args.__init__).parameters} - {"Self"}


def camel(name: str) -> str:
    head, *tail = name.strip("_").split("_")
    return head + "".join(word.title() for word in tail)


def statements(resource: Registered) -> Iterator[dict[str, Any]]:
    for name in ("policy", "assumeRolePolicy"):
        if name in resource.inputs:
            # A registry calls the life of its images a policy, too.
            yield from json.loads(resource.inputs[name]).get("Statement", [])


def test_dev_neither_uses_nor_imports_aws() -> None:
    """PL-3."""
    assert not [r for r in deploy_stack("dev", **IMAGE).resources if "aws" in r.type]
    code = (
        "import sys; from offline.recorder import *; "
        "record(program, Providers(), stack_settings('dev'), 'dev'); "
        "sys.exit('pulumi_aws' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_everything_is_in_the_named_account_and_region(graph: Graph) -> None:
    resources = on_aws(graph)
    assert len(resources) >= 15
    for r in resources:
        assert "::aws-home::" in r.provider or "::aws-recovery::" in r.provider, r.name
        assert "region" not in r.inputs, r.name  # the provider's
    for provider in graph.all("aws"):
        assert json.loads(provider.inputs["allowedAccountIds"]) == ["123456789012"]
        regions = {"aws-home": "us-east-1", "aws-recovery": "us-west-2"}
        assert provider.inputs["region"] == regions[provider.name]


def test_everything_says_whose_it_is(graph: Graph) -> None:
    """PL-9: the provider's tags, and the component's own."""
    components = {r.name for r in graph.resources if r.type.startswith("nextstack:")}
    for provider in graph.all("aws"):
        assert json.loads(provider.inputs["defaultTags"])["tags"].keys() == {
            "nextstack/project",
            "nextstack/stack",
            "nextstack/owner",
            "nextstack/cost-centre",
        }
    for r in on_aws(graph):
        if "tags" in arguments(r):
            assert r.inputs["tags"]["nextstack/component"] in components, r.name


def test_whatever_can_be_encrypted_has_a_key_of_the_stack(graph: Graph) -> None:
    """DB-5, CA-3, BK-22."""
    keys = {f"arn:aws:kms:zz-none-1:000000000000:{key.name}" for key in graph.all("Key")}
    checked = 0
    for r in on_aws(graph):
        for name in arguments(r) & {"kmsKeyId", "performanceInsightsKmsKeyId"}:
            assert r.inputs[name] in keys, (r.name, name)
            checked += 1
    assert checked >= 5


def test_keys_rotate_and_outlive_the_stack(graph: Graph) -> None:
    """The last snapshot is worth nothing without its key."""
    for key in graph.all("Key"):
        assert key.retain_on_delete
        assert key.inputs["enableKeyRotation"] is True
        assert key.inputs["deletionWindowInDays"] == 30


def test_rights_name_who_and_what(graph: Graph) -> None:
    # A boundary gives no rights: it says what the rights of others can be at most.
    found = [(r, s) for r in on_aws(graph) if r.name != "ci-boundary" for s in statements(r)]
    assert len(found) >= 4
    for r, statement in [(r, s) for r, s in found if s["Effect"] == "Allow"]:
        # A role's own policy names nobody: it is the role's.
        principal = statement.get("Principal")
        assert principal != "*", r.name
        # AWS's default of a key: IAM of the account decides, or nobody could ever manage it.
        root = principal == {"AWS": "arn:aws:iam::123456789012:root"}
        named = statement.get("Resource", "*") != "*" or "Condition" in statement
        # These name no account that they work for, and take roles of their own account only.
        named = named or principal in [{"Service": f"{s}.amazonaws.com"} for s in ("backup", "ec2")]
        assert root or (named and "kms:*" not in statement["Action"]), r.name


def test_servers_admit_the_cluster_alone_and_call_nobody(graph: Graph) -> None:
    """PL-10, DB-6."""
    servers = {f"{name}-firewall-id" for name in ("postgres", "redis")}
    assert servers <= {f"{group.name}-id" for group in graph.all("SecurityGroup")}
    for group in graph.all("SecurityGroup"):
        assert not group.inputs.keys() & {"ingress", "egress"}
    rules = [
        rule
        for rule in graph.all("SecurityGroupIngressRule")
        if rule.inputs["securityGroupId"] in servers
    ]
    assert {rule.inputs["fromPort"] for rule in rules} == {5432, 6379}
    for rule in rules:
        assert rule.name.endswith("-from-cluster")
        assert rule.inputs["fromPort"] == rule.inputs["toPort"]
        assert rule.inputs["ipProtocol"] == "tcp"
        assert rule.inputs["referencedSecurityGroupId"].startswith("sg-")
        assert not rule.inputs.keys() & {"cidrIpv4", "cidrIpv6", "prefixListId"}
    assert not graph.all("SecurityGroupEgressRule")


def test_pods_reach_the_servers_subnets_and_ports_alone(graph: Graph) -> None:
    """PO-10."""
    for name, label, port in (("postgres", "postgres", 5432), ("redis", "redis", 6379)):
        spec = graph.one("NetworkPolicy", f"{name}-to-server").inputs["spec"]
        assert spec["podSelector"] == {"matchLabels": {f"nextstack/reaches-{label}": "true"}}
        [rule] = spec["egress"]
        assert rule["ports"] == [{"port": port, "protocol": "TCP"}]
        ranges = [to["ipBlock"]["cidr"] for to in rule["to"]]
        assert len(ranges) >= 2
        assert all(r.startswith("10.") for r in ranges)


def test_passwords_are_secret_wherever_they_are_given(graph: Graph) -> None:
    """SC-3."""
    assert rpc.is_rpc_secret(graph.all("Instance")[0].secrets["password"])
    assert len(graph.all("User")) == 2
    for user in graph.all("User"):
        mode = user.secrets["authenticationMode"]
        assert rpc.is_rpc_secret(mode) or rpc.is_rpc_secret(mode["passwords"])


@pytest.mark.parametrize("stack_name", ON_AWS)
def test_a_stack_can_leave_aws_by_its_keys(stack_name: str) -> None:
    """PL-2, PL-3."""
    moved = deploy_stack(stack_name, **own_cluster(), **IMAGE)
    assert not on_aws(moved)
    assert len(moved.all("StatefulSet")) == 3


def aws(**changes: Any) -> AwsConfig:
    return knobs(AwsConfig, "aws", "production", **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"region": "europe"}, "awsRegion is no region: got 'europe'"),
        ({"recovery_region": "us-east-1"}, "awsRecoveryRegion is the home region"),
        ({"account_id": "12345"}, "awsAccountId is no account: got '12345', allowed 12 digits"),
    ],
)
def test_malformed_names_of_aws_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        aws(**changes)


def test_a_stack_on_aws_says_where() -> None:
    """PL-7: all at once."""
    assert [problem.split()[0] for problem in aws(region="", account_id="").missing] == [
        "aws_region",
        "aws_account_id",
    ]
    assert aws().missing == []


@pytest.mark.parametrize(
    ("time", "minutes", "text"),
    [("02:00", 30, "02:00-02:30"), ("23:45", 30, "23:45-00:15"), ("00:00", 60, "00:00-01:00")],
)
def test_daily_windows_are_written_as_aws_reads_them(time: str, minutes: int, text: str) -> None:
    assert DailyWindow(time, minutes).text == text


@pytest.mark.parametrize(
    ("day", "time", "minutes", "text"),
    [
        (Weekday.SUNDAY, "03:00", 60, "sun:03:00-sun:04:00"),
        (Weekday.SATURDAY, "23:30", 60, "sat:23:30-sun:00:30"),
        (Weekday.MONDAY, "00:00", 24 * 60, "mon:00:00-tue:00:00"),
    ],
)
def test_weekly_windows_are_written_as_aws_reads_them(
    day: Weekday, time: str, minutes: int, text: str
) -> None:
    assert WeeklyWindow(day, time, minutes).text == text


@pytest.mark.parametrize(
    ("daily", "week", "refused"),
    [
        (("02:00", 30), ("Sun", "03:00", 60), None),
        (("02:30", 30), ("Sun", "03:00", 60), None),  # ends when the other starts
        (("02:31", 30), ("Sun", "03:00", 60), "w_time meets the daily backup"),
        (("03:59", 30), ("Sun", "03:00", 60), "w_time meets the daily backup"),
        (("04:00", 30), ("Sun", "03:00", 60), None),
        (("23:45", 30), ("Wed", "00:14", 60), "w_time meets the daily backup"),
        (("23:45", 30), ("Wed", "00:15", 60), None),
        (("02:00", 29), ("Sun", "03:00", 60), "d_minutes is out of range: got 29, allowed 30"),
        (("02:00", 30), ("Sun", "03:00", 29), "w_minutes is out of range: got 29, allowed 30"),
        (("2:00", 30), ("Sun", "03:00", 60), "d_time is no time: got '2:00'"),
        (("02:00", 30), ("Sun", "24:00", 60), "w_time is no time: got '24:00'"),
    ],
)
def test_a_backup_never_meets_its_maintenance(
    daily: tuple[str, int], week: tuple[str, str, int], refused: str | None
) -> None:
    """BK-14."""
    window = WeeklyWindow(Weekday(week[0]), week[1], week[2])
    problems = refused_windows("d_time", DailyWindow(*daily), "w_time", window, 30)
    assert len(problems) == (1 if refused else 0)
    assert not refused or problems[0].startswith(refused)
