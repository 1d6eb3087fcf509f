"""What a repository's workflows may do: whom AWS believes, and what it never lets them do."""

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import pytest
from conftest import deploy_stack, knobs

from components.aws.backup_vault import GUARDED
from components.aws.ci_access import LOSSES, RECEIVERS, SERVICES
from components.aws.ci_access_config import CiConfig
from components.stack_config import ConfigError
from offline.recorder import Graph, plain

ISSUER = "token.actions.githubusercontent.com"
STACKS_ON_AWS = ["staging", "production"]
# Where the service's name in IAM is another one than in Pulumi.
CALLED = {"costexplorer": "ce", "vpc": "ec2", "kinesis": "firehose", "sfn": "states"}


def stack(name: str = "production", **changes: Any) -> Graph:
    return deploy_stack(name, **changes)


def statements(graph: Graph, name: str) -> dict[str, dict[str, Any]]:
    policy = json.loads(plain(graph.one("RolePolicy", name).inputs["policy"]))
    return {s.get("Sid", str(i)): s for i, s in enumerate(policy["Statement"])}


def trust(graph: Graph, name: str) -> dict[str, Any]:
    [statement] = json.loads(graph.one("Role", name).inputs["assumeRolePolicy"])["Statement"]
    return statement


@pytest.mark.parametrize("name", STACKS_ON_AWS)
def test_only_the_repositorys_environments_get_a_role(name: str) -> None:
    """DE-8: exact, so that no other repository, branch or pull request is believed."""
    graph = stack(name)
    environments = {"ci-deploy": [name], "ci-read": [f"{name}-checks", f"{name}-preview"]}
    for role, allowed in environments.items():
        assert trust(graph, role) == {
            "Effect": "Allow",
            "Principal": {"Federated": f"arn:aws:iam::123456789012:oidc-provider/{ISSUER}"},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {
                "StringEquals": {
                    f"{ISSUER}:aud": "sts.amazonaws.com",
                    f"{ISSUER}:sub": [
                        f"repo:example/shop-platform:environment:{env}" for env in allowed
                    ],
                }
            },
        }
        assert graph.one("Role", role).inputs["maxSessionDuration"] == 3600


def test_one_stack_of_an_account_tells_it_of_github() -> None:
    """AWS refuses a second provider of the same address."""
    made = stack("staging").one("OpenIdConnectProvider").inputs
    assert made["url"] == f"https://{ISSUER}"
    assert made["clientIdLists"] == ["sts.amazonaws.com"]
    assert not stack("production").all("OpenIdConnectProvider")


def test_the_role_to_look_changes_nothing() -> None:
    """DE-8: configuration, and the state with its lock."""
    graph = stack()
    attached = [r.inputs for r in graph.all("RolePolicyAttachment") if r.name == "ci-read"]
    assert attached[0]["policyArn"] == "arn:aws:iam::aws:policy/SecurityAudit"
    for statement in statements(graph, "ci-read-rights").values():
        writes = {a for a in statement["Action"] if not a.startswith(("s3:Get", "s3:List"))}
        if writes:
            assert statement["Resource"] == "arn:aws:s3:::example-pulumi-state/.pulumi/locks/*"


def test_the_states_key_is_for_reading_only() -> None:
    key = "arn:aws:kms:us-east-1:123456789012:key/1"
    rights = statements(stack(ciStateKeyArn=key), "ci-read-rights").values()
    assert [s["Resource"] for s in rights if s["Action"] == ["kms:Decrypt"]] == [key]


def test_what_cannot_be_undone_is_a_persons_to_do() -> None:
    """BK-22, PL-8: no other right undoes a denial."""
    denied = statements(stack(), "ci-limits-rights")["Losses"]
    assert (denied["Effect"], denied["Resource"]) == ("Deny", "*")
    assert set(GUARDED) < set(denied["Action"]) == set(LOSSES)
    for action in ("backup:DeleteBackupVault", "rds:DeleteDBSnapshot", "kms:ScheduleKeyDeletion"):
        assert action in denied["Action"]


@pytest.mark.parametrize("name", STACKS_ON_AWS)
def test_every_service_of_the_stack_is_open_and_no_other(name: str) -> None:
    graph = stack(name, cdnEnabled=True, edgeHostedZoneId="", image=f"shop@sha256:{'0' * 64}",
                  deploymentVersion="1")  # fmt: skip
    used = {r.type.split(":")[1].split("/")[0] for r in graph.resources if r.type[:4] == "aws:"}
    assert {CALLED.get(service, service) for service in used} <= set(SERVICES)
    denied = statements(graph, "ci-limits-rights")["OtherServices"]
    assert denied["Effect"] == "Deny"
    assert denied["NotAction"] == [f"{service}:*" for service in SERVICES]
    assert "organizations" not in SERVICES and "account" not in SERVICES


def test_only_the_stacks_regions_are_open() -> None:
    denied = statements(stack(), "ci-limits-rights")["OtherRegions"]
    assert denied["Condition"] == {
        "StringNotEquals": {"aws:RequestedRegion": ["us-east-1", "us-west-2"]}
    }


def test_it_cannot_give_itself_more() -> None:
    """BK-22: neither its own roles, their boundary, GitHub's word, nor the break-glass role."""
    graph = stack()
    denied = statements(graph, "ci-limits-rights")["Itself"]
    account = "arn:aws:iam::123456789012"
    for resource in (
        f"{account}:role/nextstack-production-deploy",
        f"{account}:role/nextstack-production-read",
        f"{account}:oidc-provider/{ISSUER}",
    ):
        assert resource in denied["Resource"]
    assert any("boundary" in resource for resource in denied["Resource"])
    for action in ("iam:PutRolePolicy", "iam:CreatePolicyVersion", "iam:UpdateAssumeRolePolicy"):
        assert any(fnmatchcase(action, pattern) for pattern in denied["Action"])
    glass = statements(stack(vaultBreakGlassRole="last-resort"), "ci-limits-rights")["Itself"]
    assert f"{account}:role/last-resort" in glass["Resource"]
    assert "sts:AssumeRole" in glass["Action"]


def test_roles_that_it_makes_are_bound() -> None:
    """No way round its limits by a role without them."""
    graph = stack()
    rights = statements(graph, "ci-deploy-rights")
    boundary = rights["BoundRoles"]["Condition"]["StringEquals"]["iam:PermissionsBoundary"]
    granted = {a for s in rights.values() for a in s["Action"]}
    assert "iam:UpdateAssumeRolePolicy" not in granted
    assert "iam:DeleteRolePermissionsBoundary" not in granted
    assert not {a for a in granted if "*" in a or "User" in a or "AccessKey" in a}
    own = {"ci-deploy", "ci-read"}
    others = [r for r in graph.all("Role") if r.name not in own]
    assert len(others) > 3
    assert {r.inputs["permissionsBoundary"] for r in others} == {boundary}
    policy = json.loads(graph.one("Policy", "ci-boundary").inputs["policy"])["Statement"]
    assert "iam:*" in policy[0]["NotAction"]
    assert policy[-1]["Effect"] == "Deny" and set(policy[-1]["Action"]) == set(GUARDED)


def services_trusted(graph: Graph) -> Iterator[str]:
    for role in graph.all("Role"):
        for statement in json.loads(role.inputs["assumeRolePolicy"])["Statement"]:
            if service := statement["Principal"].get("Service"):
                yield service


@pytest.mark.parametrize("name", STACKS_ON_AWS)
def test_roles_are_passed_only_to_who_needs_them(name: str) -> None:
    graph = stack(name)
    passed = statements(graph, "ci-deploy-rights")["PassRoles"]
    allowed = passed["Condition"]["StringEquals"]["iam:PassedToService"]
    assert set(services_trusted(graph)) <= set(allowed)
    assert set(RECEIVERS) < set(allowed)


def test_without_a_repository_there_is_nothing_of_it() -> None:
    graph = stack(ciRepository="", ciStateBucket="")
    assert not [r for r in graph.resources if r.name.startswith("ci-") and "iam" in r.type]
    assert not [r for r in graph.all("Role") if "permissionsBoundary" in r.inputs]
    assert graph.outputs["nextstack-production"]["ciRoles"] == {}


def test_the_roles_are_an_output() -> None:
    assert stack().outputs["nextstack-production"]["ciRoles"] == {
        kind: f"arn:aws:iam::123456789012:role/nextstack-production-{kind}"
        for kind in ("deploy", "read")
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"repository": "shop"}, "ciRepository is malformed: got 'shop', allowed owner/name"),
        ({"repository": "example/*"}, "ciRepository is malformed"),
        ({"repository": "-a/b"}, "ciRepository is malformed"),
        ({"repository": "a/b/c"}, "ciRepository is malformed"),
        ({"repository": "a:b/c"}, "ciRepository is malformed"),
        ({"repository": "a@1/b"}, "ciRepository is malformed"),
        ({"repository": "a/b@1"}, "ciRepository is malformed"),
        ({"repository": f"{'a' * 40}/b"}, "ciRepository is malformed"),
        ({"state_bucket": ""}, "ciStateBucket is empty; name the bucket of PULUMI_BACKEND_URL"),
        ({"state_bucket": "My_Bucket"}, "ciStateBucket is no bucket name"),
        ({"state_key_arn": "alias/pulumi"}, "ciStateKeyArn is malformed: got 'alias/pulumi'"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    """PL-7."""
    with pytest.raises(ConfigError) as refused:
        knobs(CiConfig, "ci", "production", **changes)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"repository": ""},
        {"repository": f"{'a' * 39}/{'b' * 100}"},
        {"repository": "octo-org@123456/octo.repo_1@456789"},
        {"state_key_arn": "arn:aws:kms:us-east-1:123456789012:key/mrk-1"},
    ],
)
def test_settings_at_their_limits_are_accepted(changes: dict[str, Any]) -> None:
    assert knobs(CiConfig, "ci", "production", **changes)
