"""Who hears of what goes wrong, and what a month may cost.

Creates no resources, and leaves out pulumi_aws: stacks without AWS read this file too.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from components.stack_config import SECRET, UNREADABLE, out_of_range, refuse

HEALTH_PATH = "/api/health"
"""What the application answers with its health, to whoever asks from outside (S-19)."""
EMAIL = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+", re.ASCII)
E164 = re.compile(r"\+[1-9]\d{6,14}")
HTTPS = re.compile(r"https://[\w.-]+(:\d+)?/\S*", re.ASCII)
SLACK_WORKSPACE = re.compile(r"T[A-Z0-9]{8,}")
SLACK_CHANNEL = re.compile(r"[CG][A-Z0-9]{8,}")
LOG_GROUP = re.compile(r"[\w./#-]{1,512}", re.ASCII)
# Route 53 checks from nowhere else, and from no fewer than three of them.
CHECKERS = (
    "us-east-1",
    "us-west-1",
    "us-west-2",
    "eu-west-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-northeast-1",
    "sa-east-1",
)
LEAST_CHECKERS = 3


class Level(StrEnum):
    OFF = "off"
    LIMITED = "limited"
    FULL = "full"


@dataclass(frozen=True, kw_only=True)
class MonitoringConfig:
    level: Level
    critical_emails: tuple[str, ...]
    high_emails: tuple[str, ...]
    business_emails: tuple[str, ...]
    sms_numbers: tuple[str, ...]
    webhooks: dict[str, str] = field(metadata=SECRET)
    slack_workspace_id: str
    slack_channel_id: str
    log_group: str
    archive_days: int
    health_regions: tuple[str, ...]

    def __post_init__(self) -> None:
        refuse([*_addresses(self), *_slack(self), *_sources(self), *_level(self)])

    @property
    def on(self) -> bool:
        return self.level is not Level.OFF


@dataclass(frozen=True, kw_only=True)
class BudgetConfig:
    monthly_usd: int
    database_usd: int

    def __post_init__(self) -> None:
        limits = (0, 1_000_000, "US dollars a month; 0 sets no budget")
        problems = out_of_range(self, {"monthly_usd": limits, "database_usd": limits})
        if 0 < self.monthly_usd < self.database_usd:
            problems.append(
                f"database_usd is above the whole: got {self.database_usd}, allowed at most "
                f"budgetMonthlyUsd {self.monthly_usd}, which it is a part of"
            )
        refuse(problems)


def _addresses(config: MonitoringConfig) -> list[str]:
    malformed = [
        *_unlike(EMAIL, "critical_emails", config.critical_emails, "name@example.com"),
        *_unlike(EMAIL, "high_emails", config.high_emails, "name@example.com"),
        *_unlike(EMAIL, "business_emails", config.business_emails, "name@example.com"),
        *_unlike(E164, "sms_numbers", config.sms_numbers, "+12025550143 (E.164)"),
    ]
    # The URL is a credential: it is not repeated.
    hidden = [
        f"webhooks.{name} is no address: got {len(url)} characters, allowed an https URL that "
        "confirms the subscription by itself, such as PagerDuty's for Amazon CloudWatch"
        for name, url in config.webhooks.items()
        if url != UNREADABLE and not HTTPS.fullmatch(url)
    ]
    return malformed + hidden


def _unlike(shape: re.Pattern[str], key: str, given: Iterable[str], example: str) -> list[str]:
    return [
        f"{key} has a malformed entry: got {entry!r}, allowed such as {example}"
        for entry in given
        if not shape.fullmatch(entry)
    ]


def _slack(config: MonitoringConfig) -> list[str]:
    workspace, channel = config.slack_workspace_id, config.slack_channel_id
    problems: list[str] = []
    if bool(workspace) != bool(channel):
        problems.append(
            f"slack_channel_id and monitoringSlackWorkspaceId go together: got {channel!r} and "
            f"{workspace!r}, allowed both or none; authorise the workspace once in the console "
            "of Amazon Q Developer in chat applications"
        )
    if workspace and not SLACK_WORKSPACE.fullmatch(workspace):
        problems.append(
            f"slack_workspace_id is malformed: got {workspace!r}, allowed such as T07EA123LEP"
        )
    if channel and not SLACK_CHANNEL.fullmatch(channel):
        problems.append(
            f"slack_channel_id is malformed: got {channel!r}, allowed such as C07EZ1ABC23; a "
            "webhook's address is none, and SNS cannot post to one (S-41)"
        )
    return problems


def _sources(config: MonitoringConfig) -> list[str]:
    problems = out_of_range(
        config, {"archive_days": (0, 3650, "0 keeps no archive beside the log groups")}
    )
    if config.log_group and not LOG_GROUP.fullmatch(config.log_group):
        problems.append(
            f"log_group is malformed: got {config.log_group!r}, allowed at most 512 letters, "
            "digits and . _ / # -"
        )
    unknown = sorted({*config.health_regions} - {*CHECKERS})
    if unknown or len({*config.health_regions}) < LEAST_CHECKERS:
        problems.append(
            f"health_regions cannot check: got {', '.join(config.health_regions) or 'none'}, "
            f"allowed {LEAST_CHECKERS} or more of {', '.join(CHECKERS)}"
        )
    return problems


def _level(config: MonitoringConfig) -> list[str]:
    """Somebody hears of the worst; and nobody believes to get what the level withholds (MO-1)."""
    problems: list[str] = []
    emails = {"critical": config.critical_emails, "high": config.high_emails}
    if config.on and not config.slack_channel_id:
        problems += [
            f"{severity}_emails is empty, and there is no Slack channel: nobody would hear of "
            f"{severity} alarms; set it, or monitoringSlackChannelId, or monitoringLevel: off"
            for severity, addresses in emails.items()
            if not addresses
        ]
    if config.level is not Level.FULL and (config.sms_numbers or config.webhooks):
        problems.append(
            f"level is {config.level}, which sends no SMS and calls no webhook; remove "
            "monitoringSmsNumbers and monitoringWebhooks, or choose full"
        )
    return problems
