"""The topics that alerts go to, by severity, and who hears of them: email, SMS, webhooks, Slack.

Leaves out what is said (alarms.py, announcements.py, budget.py).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import chatbot, iam, sns

from components.aws.alert_ladder import Channel
from components.aws.kms import Statement, encryption_key
from components.aws.monitoring_config import Level, MonitoringConfig
from components.aws.service_role import service_role

PUBLISHERS = (
    "cloudwatch.amazonaws.com",
    "events.rds.amazonaws.com",
    "budgets.amazonaws.com",
    "costalerts.amazonaws.com",
    "backup.amazonaws.com",
)
# EventBridge sends no account along, neither to a topic's policy nor to a key's, and would be
# refused by a condition that asks for it.
EVENT_BRIDGE = "events.amazonaws.com"
READ_ONLY = "arn:aws:iam::aws:policy/CloudWatchReadOnlyAccess"


@dataclass(frozen=True, kw_only=True)
class AlertTopicsArgs:
    config: MonitoringConfig
    account_id: str
    region: str
    prefix: str
    """Of the topics' names."""
    protect_key: bool = True
    """Whether the engine refuses to delete the key; by default so."""


class AlertTopics(pulumi.ComponentResource):
    arns: Mapping[Channel, pulumi.Output[str]]

    def __init__(
        self, name: str, args: AlertTopicsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:AlertTopics", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._tags = {"nextstack/component": name}
        key = encryption_key(
            name,
            f"alerts {args.prefix}: messages on their way",
            args.account_id,
            self._tags,
            pulumi.ResourceOptions(parent=self, protect=args.protect_key),
            statements=[self._key_statement()],
        )
        self.arns = {channel: self._topic(channel, key.arn) for channel in Channel}
        self.register_outputs({"arns": dict(self.arns)})

    def _arn(self, channel: str) -> str:
        args = self._args
        return f"arn:aws:sns:{args.region}:{args.account_id}:{args.prefix}-{channel}"

    def _key_statement(self) -> Statement:
        """SNS names the topic as context of each encryption."""
        return {
            "Sid": "Publishers",
            "Effect": "Allow",
            "Principal": {"Service": [*PUBLISHERS, EVENT_BRIDGE]},
            "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
            "Resource": "*",
            "Condition": {"StringLike": {"kms:EncryptionContext:aws:sns:topicArn": self._arn("*")}},
        }

    def _topic(self, channel: Channel, key: pulumi.Output[str]) -> pulumi.Output[str]:
        topic = sns.Topic(
            f"{self._name}-{channel}",
            name=f"{self._args.prefix}-{channel}",
            # What an SMS starts with.
            display_name=f"{self._args.prefix} {channel}"[:100],
            fifo_topic=False,
            kms_master_key_id=key,
            signature_version=2,
            tracing_config="PassThrough",
            tags=self._tags,
            opts=self._child,
        )
        sns.TopicPolicy(
            f"{self._name}-{channel}",
            arn=topic.arn,
            policy=json.dumps(self._policy(channel)),
            opts=self._child,
        )
        for protocol, endpoint, label in self._subscribers(channel):
            sns.TopicSubscription(
                f"{self._name}-{channel}-{label}",
                topic=topic.arn,
                protocol=protocol,
                endpoint=endpoint,
                endpoint_auto_confirms=protocol == "https",
                confirmation_timeout_in_minutes=5,
                raw_message_delivery=False,
                opts=self._child,
            )
        return topic.arn

    def _policy(self, channel: Channel) -> dict[str, object]:
        account, resource = self._args.account_id, self._arn(channel)
        publish = {"Effect": "Allow", "Action": "sns:Publish", "Resource": resource}
        return {
            "Version": "2012-10-17",
            "Statement": [
                publish
                | {
                    "Sid": "Services",
                    "Principal": {"Service": PUBLISHERS},
                    "Condition": {"StringEquals": {"aws:SourceAccount": account}},
                },
                publish | {"Sid": "Events", "Principal": {"Service": EVENT_BRIDGE}},
                # The deployment workflow, as far as its role lets it.
                publish | {"Sid": "Account", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}},
                {
                    "Sid": "TlsOnly",
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "sns:Publish",
                    "Resource": resource,
                    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                },
            ],
        }

    def _subscribers(self, channel: Channel) -> list[tuple[str, pulumi.Input[str], str]]:
        """Protocol, address and label of each (MO-2).

        Medium alerts go to Slack alone; without Slack, to whoever gets those of high severity.
        """
        config = self._args.config
        otherwise = () if config.slack_channel_id else config.high_emails
        emails = {
            Channel.CRITICAL: config.critical_emails,
            Channel.HIGH: config.high_emails,
            Channel.MEDIUM: otherwise,
            Channel.BUSINESS: config.business_emails or otherwise,
        }
        found: list[tuple[str, pulumi.Input[str], str]] = [
            ("email", address, address) for address in emails[channel]
        ]
        if channel is Channel.CRITICAL and config.level is Level.FULL:
            found += [("sms", number, number) for number in config.sms_numbers]
            found += [
                ("https", pulumi.Output.secret(url), label)
                for label, url in config.webhooks.items()
            ]
        return found


def make_slack_channel(
    name: str,
    config: MonitoringConfig,
    account_id: str,
    prefix: str,
    topics: list[pulumi.Output[str]],
    opts: pulumi.ResourceOptions,
) -> None:
    """Posts all topics' messages, of whatever region, into one Slack channel (S-41)."""
    tags = {"nextstack/component": name}
    role = service_role(
        f"{name}-slack",
        "chatbot.amazonaws.com",
        f"what the Slack channel of {prefix} may read: graphs of alarms",
        tags,
        opts,
        account_id=account_id,
    )
    iam.RolePolicyAttachment(f"{name}-slack", role=role.name, policy_arn=READ_ONLY, opts=opts)
    chatbot.SlackChannelConfiguration(
        f"{name}-slack",
        configuration_name=prefix,
        iam_role_arn=role.arn,
        slack_team_id=config.slack_workspace_id,
        slack_channel_id=config.slack_channel_id,
        sns_topic_arns=topics,
        # Without one, people in the channel could do whatever the role may.
        guardrail_policy_arns=[READ_ONLY],
        logging_level="ERROR",
        user_authorization_required=True,
        tags=tags,
        opts=opts,
    )
