"""What a month may cost, as AWS Budgets watch it, and a look-out for unusual cost (MO-8, AL-36).

Leaves out an estimate before anything runs, which `./nextstack cost` gives. Both need the tag
nextstack/stack activated as cost allocation tag, once for the account that pays.
"""

import json
from dataclasses import dataclass

import pulumi
from pulumi_aws import budgets, costexplorer

from components.aws.alarms import Topics
from components.aws.alert_ladder import LADDER, Channel, Notice
from components.aws.monitoring_config import BudgetConfig

STACK_TAG = "nextstack/stack"
DATABASE = "Amazon Relational Database Service"
# What is unusual is worth a look from a tenth of the month's budget on.
UNUSUAL_SHARE = 10
[EXCESS] = [rung for rung in LADDER if Notice.BUDGET in rung.notices]
"""AL-36."""


@dataclass(frozen=True, kw_only=True)
class CostWatchArgs:
    config: BudgetConfig
    stack: str
    prefix: str
    """Of the budgets' names."""
    topics: Topics


class CostWatch(pulumi.ComponentResource):
    def __init__(
        self, name: str, args: CostWatchArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:CostWatch", name, {}, opts)
        self._args = args
        self._child = pulumi.ResourceOptions(parent=self)
        self._tags = {"nextstack/component": name}
        config, business = args.config, Channel.BUSINESS
        if config.monthly_usd:
            self._budget("stack", config.monthly_usd, {80: business, 100: business})
            self._look_out(name)
        if config.database_usd:
            excess = {100: business, int(EXCESS.threshold): EXCESS.channel}
            self._budget("database", config.database_usd, excess, Service=DATABASE)
        self.register_outputs({})

    def _budget(self, of: str, usd: int, told: dict[int, Channel], **filters: str) -> None:
        """`told` says who hears of which percentage of what was really spent."""
        name = f"{self._args.prefix}-{of}"
        chosen = {"TagKeyValue": f"user:{STACK_TAG}${self._args.stack}", **filters}
        budgets.Budget(
            name,
            name=name,
            budget_type="COST",
            time_unit="MONTHLY",
            limit_amount=str(usd),
            limit_unit="USD",
            cost_filters=[{"name": key, "values": [value]} for key, value in chosen.items()],
            # Credits would hide what is used.
            cost_types={"include_credit": False, "include_refund": False},
            notifications=[
                {
                    "comparison_operator": "GREATER_THAN",
                    "threshold": percent,
                    "threshold_type": "PERCENTAGE",
                    "notification_type": "ACTUAL",
                    "subscriber_sns_topic_arns": [self._args.topics[channel]],
                }
                for percent, channel in told.items()
            ],
            tags=self._tags,
            opts=self._child,
        )

    def _look_out(self, name: str) -> None:
        """By tag: of the kind that watches services, an account may have only one."""
        others = ("And", "CostCategories", "Dimensions", "Not", "Or")
        tag = {"Key": STACK_TAG, "MatchOptions": None, "Values": [self._args.stack]}
        monitor = costexplorer.AnomalyMonitor(
            name,
            name=f"{self._args.prefix}-cost",
            monitor_type="CUSTOM",
            # AWS returns the empty parts too, and each would else be a change.
            monitor_specification=json.dumps(dict.fromkeys(others) | {"Tags": tag}),
            tags=self._tags,
            opts=self._child,
        )
        least = max(1, self._args.config.monthly_usd * UNUSUAL_SHARE // 100)
        costexplorer.AnomalySubscription(
            name,
            name=f"{self._args.prefix}-cost",
            # The only frequency that topics get.
            frequency="IMMEDIATE",
            monitor_arn_lists=[monitor.arn],
            subscribers=[{"type": "SNS", "address": self._args.topics[Channel.BUSINESS]}],
            threshold_expression={
                "dimension": {
                    "key": "ANOMALY_TOTAL_IMPACT_ABSOLUTE",
                    "match_options": ["GREATER_THAN_OR_EQUAL"],
                    "values": [str(least)],
                }
            },
            tags=self._tags,
            opts=self._child,
        )
