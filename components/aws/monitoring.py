"""Everything that watches a stack on AWS, put together: metrics, alarms, topics, dashboard, budget.

Leaves out who collects in the cluster: CloudWatch's add-on, with enhanced Container Insights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.aws.alarms import Alarms, AlarmsArgs, Place, Topics
from components.aws.alert_ladder import Channel
from components.aws.announcements import Announcements, AnnouncementsArgs
from components.aws.budget import CostWatch, CostWatchArgs
from components.aws.dashboard import make_dashboard
from components.aws.health_check import make_health_check
from components.aws.log_archive import LogArchive, LogArchiveArgs
from components.aws.log_metrics import database_metrics, make_log_metrics, pod_metrics
from components.aws.measurements import Targets
from components.aws.monitoring_config import HEALTH_PATH
from components.aws.rds_memory import memory_gib
from components.aws.regions import EDGE_REGION
from components.aws.topics import AlertTopics, AlertTopicsArgs, make_slack_channel
from components.backend_config import CacheBackend, DatabaseBackend
from components.stack import StackConfig

WEB = "web-server"
"""Name of the application's Deployment."""


@dataclass(frozen=True, kw_only=True)
class MonitoringArgs:
    config: StackConfig
    edge: pulumi.ProviderResource
    """Provider of us-east-1."""
    ready: Sequence[pulumi.Resource]
    """What has to exist before it is watched."""
    certificates: tuple[pulumi.Input[str], ...] = ()
    """ARNs of the certificates of the load balancer; by default nobody tells of their end."""
    cdn_certificates: tuple[pulumi.Input[str], ...] = ()
    """ARNs of those of the CDN."""


class Monitoring(pulumi.ComponentResource):
    topics: Mapping[str, pulumi.Output[str]]
    """ARNs by channel."""
    dashboard_url: str

    def __init__(
        self, name: str, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:Monitoring", name, {}, opts)
        self._name, self._args = name, args
        config = args.config
        self._prefix = config.prefix
        self._child = pulumi.ResourceOptions(parent=self)
        # After what is watched: AWS refuses to watch what it does not know.
        self._later = pulumi.ResourceOptions(parent=self, depends_on=args.ready)
        home, edge = self._places()
        targets = self._targets()
        self._logs(targets)
        alarms = Alarms(
            "alarms",
            AlarmsArgs(prefix=self._prefix, targets=targets, home=home, edge=edge),
            self._child,
        )
        self._tell(home.topics, targets)
        self.topics = {channel.value: home.topics[channel] for channel in Channel}
        self.dashboard_url = make_dashboard(
            self._prefix,
            targets,
            (config.aws.region, EDGE_REGION),
            config.log_group,
            alarms.arns,
            self._child,
        )
        self.register_outputs({"topics": self.topics, "dashboardUrl": self.dashboard_url})

    def _tell(self, topics: Topics, targets: Targets) -> None:
        """What AWS tells by itself, and what it bills."""
        args = self._args
        Announcements(
            "announcements",
            AnnouncementsArgs(
                topics=topics,
                instances=targets.instances,
                vaults=targets.vaults,
                ready=args.ready,
            ),
            self._child,
        )
        CostWatch(
            "costs",
            CostWatchArgs(
                config=args.config.budget,
                stack=pulumi.get_stack(),
                prefix=self._prefix,
                topics=topics,
            ),
            self._child,
        )

    def _places(self) -> tuple[Place, Place]:
        """The stack's region, and that of the health check; the same place where it is the same."""
        config = self._args.config
        home = Place(topics=self._topics("alerts", config.aws.region, self._child))
        if config.aws.region == EDGE_REGION:
            edge, topics = home, [*home.topics.values()]
        else:
            away = pulumi.ResourceOptions(parent=self, providers=[self._args.edge])
            edge = Place(
                topics=self._topics("alerts-edge", EDGE_REGION, away), provider=self._args.edge
            )
            topics = [*home.topics.values(), *edge.topics.values()]
        if config.monitoring.slack_channel_id:
            make_slack_channel(
                "alerts",
                config.monitoring,
                config.aws.account_id,
                self._prefix,
                topics,
                self._child,
            )
        return home, edge

    def _topics(self, name: str, region: str, opts: pulumi.ResourceOptions) -> Topics:
        config = self._args.config
        return AlertTopics(
            name,
            AlertTopicsArgs(
                config=config.monitoring,
                account_id=config.aws.account_id,
                region=region,
                prefix=self._prefix,
                protect_key=config.site.protect_data,
            ),
            opts,
        ).arns

    def _targets(self) -> Targets:
        config = self._args.config
        on_rds = config.backend.database is DatabaseBackend.RDS
        on_elasticache = config.backend.cache is CacheBackend.ELASTICACHE
        vaults = (config.vault.name,) if on_rds and config.vault.used else ()
        deployed = bool(config.site.image)
        database, group = config.rds.instance_name, config.elasticache.group_name
        groups = (group, f"{group}-queue") if config.redis.queue else (group,)
        return Targets(
            own=f"{pulumi.get_project()}/{pulumi.get_stack()}",
            cluster=config.site.cluster_identifier,
            namespace=config.site.namespace,
            deployments=(*((WEB, "nginx-server") if deployed else ()), "pgbouncer-server"),
            scaling=WEB if deployed and config.app.scales else "",
            most_pods=config.app.max_replicas,
            database=database if on_rds else "",
            replicas=tuple(
                f"{database}-replica-{number}"
                for number in range(1, config.rds.read_replicas + 1)
                if on_rds
            ),
            database_memory_gib=memory_gib(config.rds.instance_class) or 0,
            database_storage_gib=config.rds.storage_gib,
            most_connections=config.postgres.max_connections,
            cache_nodes=tuple(
                f"{group}-{number:03}"
                for group in groups
                for number in range(1, config.elasticache.nodes + 1)
                if on_elasticache
            ),
            vaults=vaults,
            daily_vaults=vaults if config.vault.hours else (),
            tested_vaults=vaults if config.vault.test else (),
            certificates=self._args.certificates,
            edge_certificates=self._args.cdn_certificates,
            health_check=self._health_check() if deployed else None,
            checkers=config.monitoring.health_regions,
        )

    def _health_check(self) -> pulumi.Output[str]:
        config = self._args.config
        return make_health_check(
            "health",
            config.site.domain,
            HEALTH_PATH,
            config.monitoring.health_regions,
            {"nextstack/component": self._name},
            self._child,
        )

    def _logs(self, targets: Targets) -> None:
        """Makes metrics of the log lines, and keeps the lines."""
        config = self._args.config
        pods, database = config.log_group, f"/aws/rds/instance/{targets.database}/postgresql"
        make_log_metrics("pods", pod_metrics(targets.namespace), pods, targets.own, self._later)
        ours = f'{{ $.kubernetes.namespace_name = "{targets.namespace}" }}'
        groups = {"pods": (pods, ours)}
        if targets.database:
            make_log_metrics("database", database_metrics(), database, targets.own, self._later)
            groups["database"] = (database, "")
        if config.monitoring.archive_days:
            LogArchive(
                "log-archive",
                LogArchiveArgs(
                    bucket_name=f"{self._prefix.lower()[:45]}-logs-{config.aws.account_id}",
                    account_id=config.aws.account_id,
                    region=config.aws.region,
                    days=config.monitoring.archive_days,
                    groups=groups,
                    ready=self._args.ready,
                    keep_data=config.site.protect_data,
                ),
                self._child,
            )
