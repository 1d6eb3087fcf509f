"""The AWS graph as a Terraform plan: names, blocks, and who needs whom."""

import json
from typing import Any

import pytest
from conftest import deploy, deploy_stack
from pulumi_aws import amplify, cloudwatch, ec2, kms, rds

from offline.recorder import Graph
from offline.terraform import plan

IMAGE: dict[str, Any] = {"image": f"shop@sha256:{'0' * 64}", "deploymentVersion": "3f2a9c1"}
ON_AWS = ("production", "staging")


def planned(graph: Graph) -> dict[str, dict[str, Any]]:
    """The values of each resource by its address."""
    found = plan(graph)["planned_values"]["root_module"]["resources"]
    return {resource["address"]: resource["values"] for resource in found}


def sources(graph: Graph) -> dict[str, dict[str, list[str]]]:
    """Where each resource's values come from, by its address."""
    found = plan(graph)["configuration"]["root_module"]["resources"]
    return {
        resource["address"]: {k: v["references"] for k, v in resource["expressions"].items()}
        for resource in found
    }


def alarmed() -> None:
    """A database with a key, and an alarm on it."""
    key = kms.Key("db-key", policy=json.dumps({"Statement": []}), tags={"some/component": "db"})
    rds.Instance("db", instance_class="db.t4g.small", kms_key_id=key.arn, multi_az=True)
    rds.ParameterGroup("settings", family="postgres17", parameters=[{"name": "a", "value": "1"}])
    cloudwatch.MetricAlarm(
        "full",
        name="database-full",
        comparison_operator="LessThanThreshold",
        evaluation_periods=3,
        dimensions={"DBInstanceIdentifier": "db"},
        metric_queries=[{"id": "free", "metric": {"metric_name": "x", "period": 60, "stat": "p"}}],
    )


@pytest.mark.parametrize("stack", ON_AWS)
def test_everything_on_aws_is_in_the_plan(stack: str) -> None:
    graph = deploy_stack(stack, **IMAGE)
    assert len(planned(graph)) == len([r for r in graph.resources if r.type.startswith("aws:")])
    assert len(planned(graph)) >= 15


def test_names_and_blocks_are_terraforms() -> None:
    values = planned(deploy(alarmed))
    assert values["aws_db_instance.db"] == {"instance_class": "db.t4g.small", "multi_az": True}
    assert values["aws_db_parameter_group.settings"]["parameter"] == [{"name": "a", "value": "1"}]
    assert values["aws_kms_key.db-key"]["tags"] == {"some/component": "db"}
    alarm = values["aws_cloudwatch_metric_alarm.full"]
    assert alarm["alarm_name"] == "database-full"
    assert alarm["dimensions"] == {"DBInstanceIdentifier": "db"}
    [query] = alarm["metric_query"]
    assert query["metric"] == [{"metric_name": "x", "period": 60, "stat": "p"}]


def test_what_another_resource_knows_is_left_to_the_configuration() -> None:
    assert sources(deploy(alarmed))["aws_db_instance.db"] == {"kms_key_id": ["aws_kms_key.db-key"]}
    policy = planned(deploy(alarmed))["aws_kms_key.db-key"]["policy"]
    assert json.loads(policy) == {"Statement": []}


def test_a_policy_keeps_its_text_though_it_names_another_resource() -> None:
    def program() -> None:
        key = kms.Key("key")
        text = key.arn.apply(lambda arn: json.dumps({"Statement": [{"Resource": arn}]}))
        kms.Key("other", policy=text)

    graph = deploy(program)
    assert '"Resource"' in planned(graph)["aws_kms_key.other"]["policy"]
    assert sources(graph)["aws_kms_key.other"] == {"policy": ["aws_kms_key.key"]}


def test_types_without_a_name_and_equal_addresses_are_refused() -> None:
    with pytest.raises(ValueError, match="app has no Terraform type: got aws:amplify/app:App"):
        plan(deploy(lambda: amplify.App("app")))

    def twice() -> None:
        ec2.SecurityGroup("a/b")
        ec2.SecurityGroup("a.b")

    with pytest.raises(ValueError, match=r"two resources have the same address.*group\.a_b"):
        plan(deploy(twice))
