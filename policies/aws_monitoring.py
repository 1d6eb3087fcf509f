"""What watches a stack on AWS: alarms that say something, and topics that somebody hears.

Leaves out which values are watched (components/aws/alert_ladder.py) and log groups
(aws_platform.py).
"""

from collections.abc import Iterator

from policies.rule import Context, Resource, Severity, rule

ALARM = r"aws:cloudwatch/(metricAlarm:MetricAlarm|compositeAlarm:CompositeAlarm)"
TOPIC = "aws:sns/topic:Topic"
SUBSCRIPTION = "aws:sns/topicSubscription:TopicSubscription"
SLACK = "aws:chatbot/slackChannelConfiguration:SlackChannelConfiguration"
EVENT_TARGET = "aws:cloudwatch/eventTarget:EventTarget"
ADMINISTRATOR = "AdministratorAccess"
# MO-7.
LONGEST_INTERVAL_S, MOST_FAILURES, LEAST_CHECKERS = 30, 3, 3


@rule(
    Severity.MEDIUM,
    "Security Hub CloudWatch.15",
    "Security Hub CloudWatch.17",
    types=ALARM,
    fix="set alarmActions to the alert topic and leave actionsEnabled on",
)
def alarms_reach_somebody(resource: Resource, context: Context) -> Iterator[str]:
    if not resource.inputs.get("alarmActions"):
        yield "alarmActions is empty"
    if resource.inputs.get("actionsEnabled", True) is not True:
        yield "actionsEnabled is off"


@rule(
    Severity.HIGH,
    types=ALARM,
    across=True,
    fix="subscribe an address or a Slack channel to the topic (monitoring... in Pulumi.yaml)",
)
def alarms_are_heard(resource: Resource, context: Context) -> Iterator[str]:
    """MO-2: a topic without subscribers swallows what it gets."""
    listeners = context.of_type(SUBSCRIPTION, SLACK)
    for topic in context.of_type(TOPIC):
        called = topic.urn in resource.depends_on
        if called and not any(topic.urn in listener.depends_on for listener in listeners):
            yield f"nobody is subscribed to {topic.name}"


@rule(
    Severity.MEDIUM,
    types="aws:cloudwatch/metricAlarm:MetricAlarm",
    fix="set treatMissingData: breaching for health and backups, else notBreaching",
)
def alarms_say_what_silence_means(resource: Resource, context: Context) -> Iterator[str]:
    """MO-3."""
    if resource.inputs.get("treatMissingData") not in ("breaching", "notBreaching"):
        yield "treatMissingData is not set: without data the alarm keeps silent and green"


@rule(Severity.MEDIUM, "Security Hub SNS.1", types=TOPIC, fix="set kmsMasterKeyId")
def topic_is_encrypted(resource: Resource, context: Context) -> Iterator[str]:
    if not resource.inputs.get("kmsMasterKeyId"):
        yield "kmsMasterKeyId is missing"


@rule(
    Severity.HIGH,
    types=SUBSCRIPTION,
    fix="subscribe an https address",
)
def messages_travel_encrypted(resource: Resource, context: Context) -> Iterator[str]:
    if resource.inputs.get("protocol") == "http":
        yield "protocol is http: everybody on the way reads what is wrong"


@rule(
    Severity.HIGH,
    types=SLACK,
    fix="set guardrailPolicyArns to read-only policies, and userAuthorizationRequired to true",
)
def chat_may_only_read(resource: Resource, context: Context) -> Iterator[str]:
    policies = resource.inputs.get("guardrailPolicyArns", [])
    if not policies or any(ADMINISTRATOR in str(policy) for policy in policies):
        yield "guardrailPolicyArns lets whoever is in the channel administer the account"
    if resource.inputs.get("userAuthorizationRequired") is not True:
        yield "userAuthorizationRequired is off: everybody in the channel has the channel's rights"


@rule(
    Severity.MEDIUM,
    types="aws:cloudwatch/eventRule:EventRule",
    across=True,
    fix="add an EventTarget with the alert topic",
)
def events_reach_somebody(resource: Resource, context: Context) -> Iterator[str]:
    """BK-17."""
    if not any(resource.urn in target.depends_on for target in context.of_type(EVENT_TARGET)):
        yield "the rule has no target"
    if resource.inputs.get("state", "ENABLED") != "ENABLED":
        yield "state is not ENABLED"


@rule(
    Severity.MEDIUM,
    types="aws:budgets/budget:Budget",
    fix="give each entry of notifications the alert topic as subscriberSnsTopicArns",
)
def budgets_reach_somebody(resource: Resource, context: Context) -> Iterator[str]:
    """MO-8."""
    told = resource.inputs.get("notifications", [])
    if not told:
        yield "notifications is empty"
    for index, entry in enumerate(told):
        if not (entry.get("subscriberSnsTopicArns") or entry.get("subscriberEmailAddresses")):
            yield f"notifications[{index}] has no subscriber"


@rule(
    Severity.MEDIUM,
    types="aws:route53/healthCheck:HealthCheck",
    fix=f"check from {LEAST_CHECKERS} regions, each {LONGEST_INTERVAL_S} s, until the "
    f"{MOST_FAILURES}rd failure",
)
def site_is_asked_often(resource: Resource, context: Context) -> Iterator[str]:
    """MO-7."""
    given = resource.inputs
    for key, most in (("requestInterval", LONGEST_INTERVAL_S), ("failureThreshold", MOST_FAILURES)):
        if not (isinstance(given.get(key), int) and given[key] <= most):
            yield f"{key} is {given.get(key, 'not set')}, not {most} or less"
    if len(given.get("regions", [])) < LEAST_CHECKERS:
        yield f"regions has fewer than {LEAST_CHECKERS}: one that is cut off raises an alarm"
    if given.get("disabled", False) is not False:
        yield "disabled: it counts as healthy whatever happens"


@rule(
    Severity.MEDIUM,
    "FSBP DataFirehose.1",
    types="aws:kinesis/firehoseDeliveryStream:FirehoseDeliveryStream",
    fix="set serverSideEncryption.enabled to true with the stack's key",
)
def streams_are_encrypted(resource: Resource, context: Context) -> Iterator[str]:
    if resource.inputs.get("serverSideEncryption", {}).get("enabled") is not True:
        yield "serverSideEncryption is off"
