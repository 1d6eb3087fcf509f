"""Who hears of what, and from whom (MO-1, MO-2, MO-5, MO-6, MO-8, S-32, S-41, BK-17, DB-11)."""

import dataclasses
import inspect
import json
import re
from collections import Counter
from typing import Any

import pytest
from conftest import deploy, deploy_stack, knobs
from pulumi.runtime import rpc
from pulumi_aws import kinesis, sns
from test_monitoring import AWAY, IMAGE, ON_AWS

from components.aws.alert_ladder import LADDER, Notice
from components.aws.dashboard import renamed
from components.aws.monitoring_config import BudgetConfig, Level, MonitoringConfig
from components.aws.topics import AlertTopics, AlertTopicsArgs
from components.stack_config import ConfigError
from offline.recorder import Graph, plain

ACCOUNT = "123456789012"
CHANNELS = ("critical", "high", "medium", "business")


@pytest.fixture(scope="module", params=ON_AWS)
def graph(request: pytest.FixtureRequest) -> Graph:
    return deploy_stack(request.param, **IMAGE)


def subscribers(graph: Graph, channel: str) -> set[tuple[str, str]]:
    return {
        (r.inputs["protocol"], plain(r.inputs["endpoint"]))
        for r in graph.all("TopicSubscription")
        if r.inputs["topic"].endswith(f"-{channel}")
    }


def test_production_reaches_people_by_every_way() -> None:
    """MO-1, MO-2."""
    graph = deploy_stack("production", **IMAGE)
    ops = ("email", "ops@example.com")
    assert subscribers(graph, "critical") == {ops, ("sms", "+12025550143")}
    assert subscribers(graph, "high") == {ops}
    assert subscribers(graph, "medium") == set()
    assert subscribers(graph, "business") == {("email", "finance@example.com")}
    chat = graph.one("SlackChannelConfiguration").inputs
    assert {arn.rsplit("-", 1)[1] for arn in chat["snsTopicArns"]} == {*CHANNELS}


def test_staging_has_the_same_rules_by_slack_and_email() -> None:
    """MO-1, S-32."""
    names = {
        stack: {
            alarm.name.replace(f"nextstack-{stack}", "")
            for alarm in deploy_stack(stack, **IMAGE).all("MetricAlarm")
        }
        for stack in ON_AWS
    }
    assert not names["staging"] - names["production"]
    # What staging does not have: a read replica, and AWS Backup.
    more = names["production"] - names["staging"]
    assert all("replica" in name or "vault" in name for name in more)
    staging = deploy_stack("staging", **IMAGE)
    assert {r.inputs["protocol"] for r in staging.all("TopicSubscription")} == {"email"}
    assert staging.one("SlackChannelConfiguration")


def test_without_slack_medium_alerts_go_where_high_ones_go() -> None:
    graph = deploy_stack(
        "staging", **IMAGE, monitoringSlackWorkspaceId="", monitoringSlackChannelId=""
    )
    assert not graph.all("SlackChannelConfiguration")
    assert subscribers(graph, "medium") == subscribers(graph, "high") != set()


def test_a_webhook_is_secret_and_confirms_by_itself() -> None:
    """SC-3."""
    url = "https://events.example.com/integration/k/enqueue"
    args = AlertTopicsArgs(
        config=dataclasses.replace(config(), webhooks={"pagerduty": url}),
        account_id=ACCOUNT,
        region="us-east-1",
        prefix="shop",
    )
    graph = deploy(lambda: AlertTopics("alerts", args))
    [hook] = [r for r in graph.all("TopicSubscription") if r.inputs["protocol"] == "https"]
    assert hook.name == "alerts-critical-pagerduty"
    assert rpc.is_rpc_secret(hook.secrets["endpoint"])
    assert hook.inputs["endpoint"] == url
    assert hook.inputs["endpointAutoConfirms"] is True


def test_slack_may_only_read(graph: Graph) -> None:
    """S-41: SNS cannot post to a webhook of Slack."""
    chat = graph.one("SlackChannelConfiguration").inputs
    assert chat["guardrailPolicyArns"] == ["arn:aws:iam::aws:policy/CloudWatchReadOnlyAccess"]
    assert chat["userAuthorizationRequired"] is True
    role = json.loads(graph.one("Role", "alerts-slack").inputs["assumeRolePolicy"])
    assert role["Statement"][0]["Principal"] == {"Service": "chatbot.amazonaws.com"}


def test_topics_admit_who_has_something_to_tell(graph: Graph) -> None:
    """And EventBridge without a condition, which it would fail."""
    assert len(graph.all("TopicPolicy")) == len(graph.all("Topic")) == len(CHANNELS)
    for policy in graph.all("TopicPolicy"):
        statements = {s["Sid"]: s for s in json.loads(policy.inputs["policy"])["Statement"]}
        services = statements["Services"]
        assert {*services["Principal"]["Service"]} == {
            "cloudwatch.amazonaws.com",
            "events.rds.amazonaws.com",
            "budgets.amazonaws.com",
            "costalerts.amazonaws.com",
            "backup.amazonaws.com",
        }
        assert services["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
        assert statements["Events"]["Principal"] == {"Service": "events.amazonaws.com"}
        assert "Condition" not in statements["Events"]
        assert statements["TlsOnly"]["Effect"] == "Deny"
        [resource] = {s["Resource"] for s in statements.values()}
        assert resource.startswith(f"arn:aws:sns:us-east-1:{ACCOUNT}:nextstack-")


def test_the_key_of_the_topics_admits_their_publishers(graph: Graph) -> None:
    """Else a message is lost without a trace."""
    key = graph.one("Key", "alerts")
    publishers = json.loads(key.inputs["policy"])["Statement"][1]
    services = {*publishers["Principal"]["Service"]}
    assert {"events.amazonaws.com", "cloudwatch.amazonaws.com"} <= services
    assert publishers["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]
    [(operator, condition)] = publishers["Condition"].items()
    assert operator == "StringLike"
    [pattern] = condition.values()
    names = {r.inputs["name"] for r in graph.all("Topic")}
    assert all(pattern.endswith(f"{name.rsplit('-', 1)[0]}-*") for name in names)
    assert {r.inputs["kmsMasterKeyId"] for r in graph.all("Topic")} == {
        f"arn:aws:kms:zz-none-1:000000000000:{key.name}"
    }


def test_names_of_topics_fit(graph: Graph) -> None:
    for topic in graph.all("Topic"):
        assert len(topic.inputs["name"]) <= 256
        assert len(topic.inputs["displayName"]) <= 100
        unset = {"deliveryPolicy", "policy", "namePrefix", "archivePolicy", "region"}
        unset |= {"contentBasedDeduplication", "fifoThroughputScope", "maximumMessageSize"}
        given = {_camel(name) for name in inspect.signature(sns.TopicArgs.__init__).parameters}
        left = {n for n in given - topic.inputs.keys() - unset if "Feedback" not in n}
        assert left == {"Self"}


def _camel(name: str) -> str:
    head, *tail = name.strip("_").split("_")
    return (head + "".join(word.title() for word in tail)).replace("self", "Self")


def test_a_stack_elsewhere_has_topics_in_both_regions() -> None:
    """MO-7."""
    graph = deploy_stack("production", **IMAGE, **AWAY)
    regions = Counter(
        json.loads(r.inputs["policy"])["Statement"][0]["Resource"].split(":")[3]
        for r in graph.all("TopicPolicy")
    )
    assert regions == {"eu-central-1": 4, "us-east-1": 4}
    assert len(graph.one("SlackChannelConfiguration").inputs["snsTopicArns"]) == 8
    [stack] = [name for name in graph.outputs if name.startswith("nextstack-")]
    assert "region=eu-central-1#" in graph.outputs[stack]["dashboardUrl"]


def test_rds_tells_of_failovers_and_failures(graph: Graph) -> None:
    """AL-22, FSBP RDS.20 and RDS.21."""
    told = {r.inputs["sourceType"]: r.inputs for r in graph.all("EventSubscription")}
    assert told.keys() == {"db-instance", "db-parameter-group"}
    categories = {*told["db-instance"]["eventCategories"]}
    assert categories >= {"failover", "failure", "low storage", "maintenance"}
    assert {*told["db-instance"]["sourceIds"]} == {
        r.inputs["identifier"] for r in graph.all("Instance")
    }
    assert all(r["snsTopic"].endswith("-high") for r in told.values())
    # After the instances: RDS refuses sources that do not exist.
    job = graph.one("Job", "postgres-roles").urn
    later = ("EventSubscription", "LogSubscriptionFilter", "LogMetricFilter")
    assert all(job in r.depends_on for kind in later for r in graph.all(kind))


def test_aws_backup_tells_how_each_job_ended() -> None:
    """BK-17, AL-25, AL-27: failures to who acts, successes to who wonders."""
    graph = deploy_stack("production", **IMAGE)
    found: dict[tuple[str, str], str] = {}
    for rule in [r for r in graph.all("EventRule") if r.name.startswith("announcements-")]:
        pattern = json.loads(rule.inputs["eventPattern"])
        assert pattern["source"] == ["aws.backup"]
        [target] = [r for r in graph.all("EventTarget") if rule.urn in r.depends_on]
        assert "roleArn" not in target.inputs
        [states] = pattern["detail"].values()
        for state in states:
            found[pattern["detail-type"][0], state] = target.inputs["arn"].rsplit("-", 1)[1]
    assert found == {
        ("Backup Job State Change", "ABORTED"): "high",
        ("Backup Job State Change", "EXPIRED"): "high",
        ("Backup Job State Change", "FAILED"): "high",
        ("Backup Job State Change", "COMPLETED"): "medium",
        ("Copy Job State Change", "FAILED"): "high",
        ("Copy Job State Change", "COMPLETED"): "medium",
        ("Restore Job State Change", "ABORTED"): "high",
        ("Restore Job State Change", "FAILED"): "high",
        ("Restore Job State Change", "COMPLETED"): "medium",
    }


@pytest.mark.parametrize("stack", ON_AWS)
def test_budgets_tell_when_a_month_gets_expensive(stack: str) -> None:
    """MO-8, AL-36."""
    budgets = knobs(BudgetConfig, "budget", stack)
    usd = {"stack": budgets.monthly_usd, "database": budgets.database_usd}
    assert 0 < usd["database"] < usd["stack"]
    graph = deploy_stack(stack, **IMAGE)
    told: dict[str, dict[int, str]] = {}
    for budget in graph.all("Budget"):
        of = budget.name.rsplit("-", 1)[1]
        assert budget.inputs["limitAmount"] == str(usd[of])
        filters = {f["name"]: f["values"] for f in budget.inputs["costFilters"]}
        assert filters["TagKeyValue"] == [f"user:nextstack/stack${stack}"]
        assert ("Service" in filters) is (of == "database")
        told[of] = {
            n["threshold"]: n["subscriberSnsTopicArns"][0].rsplit("-", 1)[1]
            for n in budget.inputs["notifications"]
        }
    assert told == {
        "stack": {80: "business", 100: "business"},
        "database": {100: "business", 150: "high"},
    }
    unusual = graph.one("AnomalySubscription").inputs
    assert unusual["frequency"] == "IMMEDIATE"
    assert unusual["thresholdExpression"]["dimension"]["values"] == [str(usd["stack"] // 10)]
    specification = json.loads(graph.one("AnomalyMonitor").inputs["monitorSpecification"])
    assert specification["Tags"]["Values"] == [stack]


def test_no_budget_is_made_of_nothing() -> None:
    graph = deploy_stack("staging", **IMAGE, budgetMonthlyUsd=0, budgetDatabaseUsd=0)
    assert not graph.all("Budget") + graph.all("AnomalyMonitor")


def test_the_dashboard_draws_the_ladder_in(graph: Graph) -> None:
    """MO-5: every threshold of an alarm is a line in the graph of its signal."""
    widgets = json.loads(graph.one("Dashboard").inputs["dashboardBody"])["widgets"]
    lines = {
        (line["label"], line["value"])
        for widget in widgets
        for line in widget["properties"].get("annotations", {}).get("horizontal", [])
    }
    signals = {a.name.split("-", 2)[2] for a in graph.all("MetricAlarm")}
    for rung in LADDER:
        alarmed = any(s.startswith(f"{rung.id}-{rung.severity}-{rung.signal}") for s in signals)
        if Notice.ALARM in rung.notices and alarmed and rung.id != "AL-30":
            assert (f"{rung.id} {rung.severity}", rung.limit) in lines
    titles = {widget["properties"]["title"] for widget in widgets}
    assert {"alarms", "backup status", "dump size", "routes", "latency"} <= titles
    assert len(widgets[0]["properties"]["alarms"]) == len(graph.all("MetricAlarm"))


def test_the_dashboard_is_one_that_cloudwatch_takes(graph: Graph) -> None:
    """No overlap, 24 columns, ids unique within a graph, at most 100 alarms."""
    widgets = json.loads(graph.one("Dashboard").inputs["dashboardBody"])["widgets"]
    assert len(widgets) <= 500
    cells: Counter[tuple[int, int]] = Counter()
    for widget in widgets:
        x, y, width, height = (widget[key] for key in ("x", "y", "width", "height"))
        assert x + width <= 24
        cells.update(
            (column, row) for column in range(x, x + width) for row in range(y, y + height)
        )
        assert len(widget["properties"].get("alarms", [])) <= 100
        ids = [
            line[-1]["id"] for line in widget["properties"].get("metrics", []) if "id" in line[-1]
        ]
        assert len({*ids}) == len(ids)
    assert set(cells.values()) == {1}


def test_metrics_of_a_sum_are_renamed_as_whole_words() -> None:
    expression = "IF(hits + misses >= 100, 100 * hits / (hits + misses), 100)"
    assert renamed(expression, {"hits": "hits_1", "misses": "misses_1"}) == (
        "IF ( hits_1 + misses_1 >= 100 , 100 * hits_1 / ( hits_1 + misses_1 ) , 100 )"
    )


def test_logs_are_archived_for_a_year(graph: Graph) -> None:
    """MO-6: beside the 30 days that CloudWatch keeps them."""
    stream = graph.one("FirehoseDeliveryStream").inputs
    assert stream["serverSideEncryption"]["enabled"] is True
    rules = graph.one("BucketLifecycleConfiguration", "log-archive").inputs["rules"]
    rule = next(rule for rule in rules if rule["id"] == "archive")
    assert rule["expiration"] == {"days": 365}
    assert rule["transitions"] == [{"days": 0, "storageClass": "GLACIER_IR"}]
    bucket = graph.one("Bucket", "log-archive")
    assert re.fullmatch(r"nextstack-(staging|production)-logs-\d{12}", bucket.inputs["bucket"])
    assert bucket.protect
    assert bucket.retain_on_delete
    groups = {r.inputs["logGroup"]: r.inputs for r in graph.all("LogSubscriptionFilter")}
    database = [name for name in groups if name.startswith("/aws/rds/instance/")]
    assert len(groups) == 2
    assert len(database) == 1
    pods = next(g for name, g in groups.items() if name.startswith("/aws/containerinsights/"))
    assert "namespace_name" in pods["filterPattern"]
    known = inspect.signature(kinesis.FirehoseDeliveryStreamExtendedS3ConfigurationArgs.__init__)
    assert "buffering_interval" in known.parameters
    assert 60 <= stream["extendedS3Configuration"]["bufferingInterval"] <= 900
    assert 1 <= stream["extendedS3Configuration"]["bufferingSize"] <= 128


def test_the_archive_may_be_left_out() -> None:
    graph = deploy_stack("staging", **IMAGE, monitoringArchiveDays=0)
    assert not graph.all("FirehoseDeliveryStream") + graph.all("LogSubscriptionFilter")


def test_those_who_write_the_archive_may_do_nothing_else(graph: Graph) -> None:
    rights = {
        r.name: json.loads(r.inputs["policy"])["Statement"]
        for r in graph.all("RolePolicy")
        if r.name.startswith("log-archive")
    }
    assert rights.keys() == {"log-archive-sender", "log-archive-writer"}
    for statement in [s for found in rights.values() for s in found]:
        given = statement["Resource"]
        assert "*" not in (given if isinstance(given, list) else [given])
        assert all(not action.endswith(":*") for action in statement["Action"])


def config(**changes: Any) -> MonitoringConfig:
    return knobs(MonitoringConfig, "monitoring", "production", **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"critical_emails": ["ops"]}, "monitoringCriticalEmails has a malformed entry: got 'ops'"),
        ({"high_emails": ["a@b"]}, "monitoringHighEmails has a malformed entry: got 'a@b'"),
        ({"business_emails": ["a b@c.de"]}, "monitoringBusinessEmails has a malformed entry"),
        ({"sms_numbers": ["02025550143"]}, "monitoringSmsNumbers has a malformed entry"),
        ({"sms_numbers": ["+02025550143"]}, "monitoringSmsNumbers has a malformed entry"),
        ({"sms_numbers": ["+123456"]}, "monitoringSmsNumbers has a malformed entry"),
        ({"sms_numbers": ["+1234567890123456"]}, "monitoringSmsNumbers has a malformed entry"),
        ({"webhooks": {"p": "http://a.de/x"}}, "monitoringWebhooks.p is no address: got 13 char"),
        ({"webhooks": {"p": "https://a.de"}}, "monitoringWebhooks.p is no address"),
        ({"slack_channel_id": ""}, "monitoringSlackChannelId and monitoringSlackWorkspaceId go"),
        ({"slack_workspace_id": ""}, "monitoringSlackChannelId and monitoringSlackWorkspaceId go"),
        ({"slack_workspace_id": "W0123456789"}, "monitoringSlackWorkspaceId is malformed"),
        ({"slack_channel_id": "#alerts"}, "monitoringSlackChannelId is malformed: got '#alerts'"),
        ({"log_group": "a b"}, "monitoringLogGroup is malformed: got 'a b'"),
        ({"archive_days": -1}, "monitoringArchiveDays is out of range: got -1, allowed 0 to 3650"),
        ({"archive_days": 3651}, "monitoringArchiveDays is out of range"),
        ({"health_regions": ["us-east-1", "us-west-2"]}, "monitoringHealthRegions cannot check"),
        (
            {"health_regions": ["us-east-1", "us-west-2", "eu-central-1"]},
            "monitoringHealthRegions cannot check: got us-east-1, us-west-2, eu-central-1",
        ),
        ({"health_regions": ["us-east-1"] * 3}, "monitoringHealthRegions cannot check"),
        ({"level": "loud"}, "monitoringLevel is not allowed: got 'loud'"),
        (
            {"level": "limited"},
            "monitoringLevel is limited, which sends no SMS and calls no webhook",
        ),
        (
            {"critical_emails": [], "slack_channel_id": "", "slack_workspace_id": ""},
            "monitoringCriticalEmails is empty, and there is no Slack channel",
        ),
        (
            {"high_emails": [], "slack_channel_id": "", "slack_workspace_id": ""},
            "monitoringHighEmails is empty, and there is no Slack channel",
        ),
    ],
)
def test_wrong_addresses_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        config(**changes)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"sms_numbers": ("+1234567", "+123456789012345")},
        {"webhooks": {"p": "https://events.example.com/integration/0123/enqueue"}},
        {"webhooks": {"p": "encrypted"}},  # what a preview without the engine sees
        {"critical_emails": ("a.b+c@d-e.co.uk",)},
        {"archive_days": 0},
        {"level": Level.OFF, "sms_numbers": ()},
    ],
)
def test_right_addresses_are_taken(changes: dict[str, Any]) -> None:
    assert dataclasses.replace(config(), **changes)


def test_a_webhook_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as refused:
        config(webhooks={"p": "ftp://key@example.com"})
    assert "key@example" not in str(refused.value)


@pytest.mark.parametrize(
    ("monthly", "database", "message"),
    [
        (0, 0, None),
        (100, 100, None),
        (0, 50, None),
        (100, 101, "budgetDatabaseUsd is above the whole: got 101"),
        (-1, 0, "budgetMonthlyUsd is out of range: got -1"),
        (1_000_001, 0, "budgetMonthlyUsd is out of range"),
    ],
)
def test_budgets_fit_into_each_other(monthly: int, database: int, message: str | None) -> None:
    """MO-8."""

    def made() -> BudgetConfig:
        return knobs(BudgetConfig, "budget", monthly_usd=monthly, database_usd=database)

    if not message:
        assert made()
        return
    with pytest.raises(ConfigError) as refused:
        made()
    assert message in str(refused.value)


def test_what_alarms_need_of_the_stack() -> None:
    """All of it, and only where there are alarms."""
    for changes, message in (
        ({"https": False}, "monitoringLevel is full and https false"),
        ({"rdsInstanceClass": "db.z1d.large"}, "rdsInstanceClass has an unknown memory"),
    ):
        with pytest.raises(ConfigError) as refused:
            deploy_stack("production", **IMAGE, **changes)
        assert message in str(refused.value)
        assert deploy_stack(
            "staging", **IMAGE, monitoringLevel="off", rdsInstanceClass="db.z1d.large"
        )
