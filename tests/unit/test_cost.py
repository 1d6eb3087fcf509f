"""What stacks cost: quantities of the graph, prices of a dated table, nothing silently left out."""

import json
from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest
import typer
from conftest import STACKS, deploy, deploy_stack
from typer.testing import CliRunner

from commands.__main__ import app
from commands.cost import cost, markdown
from offline.cost import HOURS, PRICES, estimate, savings

ON_AWS = [stack for stack in STACKS if estimate(deploy_stack(stack)).items]


def bill(program: Callable[[], object]) -> dict[str, float]:
    """Quantities by "resource: what"; the traffic of every stack is left out."""
    items = estimate(deploy(program)).items
    return {f"{i.resource}: {i.what}": i.quantity for i in items if i.resource != "traffic"}


def database(**inputs: Any) -> Callable[[], object]:
    given: dict[str, Any] = {"instance_class": "db.m7g.large", "allocated_storage": 100}
    return lambda: aws.rds.Instance("db", **(given | inputs))


def test_a_standby_doubles_machine_and_storage() -> None:
    """DB-3, MO-8."""
    assert bill(database()) == {"db: db.m7g.large": HOURS, "db: gp3 storage": 100}
    assert bill(database(multi_az=True)) == {
        "db: db.m7g.large": 2 * HOURS,
        "db: gp3 storage": 200,
    }


def test_only_what_gp3_does_not_include_is_paid_for() -> None:
    """DB-4."""
    assert "db: IOPS" not in bill(database(iops=3000, storage_throughput=125))
    found = bill(database(iops=12000, storage_throughput=500))
    assert (found["db: IOPS"], found["db: throughput"]) == (9000, 375)


def test_an_alarm_costs_by_the_metrics_that_it_looks_at() -> None:
    def program() -> None:
        metric: aws.cloudwatch.MetricAlarmMetricQueryMetricArgsDict = {
            "metric_name": "m",
            "namespace": "n",
            "period": 60,
            "stat": "Sum",
        }
        aws.cloudwatch.MetricAlarm(
            "ratio",
            comparison_operator="GreaterThanThreshold",
            evaluation_periods=1,
            metric_queries=[
                {"id": "a", "metric": metric},
                {"id": "b", "metric": metric},
                {"id": "e", "expression": "a / b"},
            ],
        )

    assert bill(program) == {"ratio: alarm": 2}


def test_what_has_no_price_is_named() -> None:
    def program() -> None:
        aws.ec2.Instance("box", instance_type="t3.small", ami="ami-1")
        aws.rds.Instance("db", instance_class="db.x9.huge", allocated_storage=20)

    found = estimate(deploy(program))
    assert found.unpriced == ["ec2/instance:Instance", "rds/instance:Instance db.x9.huge"]
    assert not [item for item in found.items if item.component == "db"]


def test_development_costs_nothing_on_aws() -> None:
    """PL-3."""
    assert estimate(deploy_stack("dev")).total == 0


@pytest.mark.parametrize("stack", ON_AWS)
def test_a_committed_stack_is_priced_in_full_and_within_its_budget(stack: str) -> None:
    """MO-8, AL-36."""
    found = estimate(deploy_stack(stack))
    assert found.unpriced == []
    result = CliRunner().invoke(app, ["cost", "--stack", stack, "--json"])
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert 0 < told["total"] <= told["budget"]
    assert told["total"] == pytest.approx(sum(item["usd"] for item in told["items"]), abs=1)
    assert told["total"] == pytest.approx(sum(told["components"].values()), abs=1)
    assert told["total"] == pytest.approx(told["fixed"] + told["used"], abs=0.02)


def test_cheaper_choices_name_their_key_and_what_they_save() -> None:
    """MO-8: saving hints; each one is what the bill of that stack would be less by."""
    hints = dict(savings(deploy_stack("production")))
    now = estimate(deploy_stack("production")).fixed
    changes: list[tuple[str, dict[str, Any]]] = [
        ("awsNatGateways: one", {"awsNatGateways": "one"}),
        ("rdsReadReplicas: 0", {"rdsReadReplicas": 0}),
        ("rdsMultiAz: false", {"rdsMultiAz": False}),
    ]
    for start, change in changes:
        [saved] = [usd for what, usd in hints.items() if what.startswith(start)]
        then = estimate(deploy_stack("production", **change)).fixed
        # The lost machine's alarms and flows are a few dollars more.
        assert now - then == pytest.approx(saved, rel=0.25)


def test_over_budget_ends_with_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def setting(stack_name: str, key: str) -> str:
        assert (stack_name, key) == ("staging", "budgetMonthlyUsd")
        return "1"

    monkeypatch.setattr("commands.deploy.setting", setting)
    with pytest.raises(typer.Exit) as end:
        cost("staging")
    assert end.value.exit_code == 1


def test_a_page_gets_a_table_a_chart_and_the_assumptions() -> None:
    found = estimate(deploy_stack("production"))
    page = markdown("production", found, [("smaller", 10.0)], 1500)
    assert f"| **total** | **{found.total:.2f}** |" in page
    assert "pie title production: USD a month" in page
    assert "cheaper by 10: smaller" in page
    assert str(PRICES["date"]) in page


def test_every_price_has_a_source() -> None:
    services = PRICES.keys() - {"region", "date", "hours", "assumed", "source", "transfer"}
    assert services == PRICES["source"].keys()
    assert all(url.startswith("https://aws.amazon.com/") for url in PRICES["source"].values())


def test_a_component_is_the_outermost_one() -> None:
    class Part(pulumi.ComponentResource):
        def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
            super().__init__("nextstack:index:Part", name, {}, opts)

    def program() -> None:
        inner = Part("inner", pulumi.ResourceOptions(parent=Part("outer")))
        aws.kms.Key("key", opts=pulumi.ResourceOptions(parent=inner))

    [item] = [i for i in estimate(deploy(program)).items if i.resource == "key"]
    assert item.component == "outer"
