"""PostgreSQL on RDS: the instance with its key, settings, logs and copies, and its roles.

Leaves out pooling (pgbouncer.py) and dumps (backups.py), which work with any database, and the
network (network.py).
"""

from dataclasses import dataclass

import pulumi
import pulumi_random as random
from pulumi_aws import cloudwatch, iam, rds

from components.aws.config import AwsConfig
from components.aws.kms import encryption_key
from components.aws.network import Network
from components.aws.rds_config import (
    INSIGHTS_DAYS,
    RdsConfig,
    apply_method,
    authorities,
    is_sample,
    parameters,
)
from components.aws.security_group import server_group
from components.aws.service_role import service_role
from components.database import Login, TlsMode
from components.generated_secrets import GeneratedSecrets
from components.network_policy import allow_addresses
from components.postgres_config import PostgresConfig
from components.postgres_roles import login, role_logins, roles_job

PORT = 5432
# Not one that attackers try first (Security Hub, RDS.25); for the roles' Job and emergencies.
ADMINISTRATOR = "breakglass"
LOGS = ("postgresql", "upgrade")
# Stays valid until 2061, and RDS renews the instance's own certificate under it (e12).
LIFECYCLE = "open-source-rds-extended-support-disabled"
"""End of standard support brings a forced upgrade, and no bill for longer support (DB-17)."""
AUTHORITY = "rds-ca-rsa2048-g1"
MONITORING_POLICY = "arn:aws:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
# A new Multi-AZ instance, or one restored from a large snapshot, takes longer than the
# provider's 40 minutes (e15).
TIMEOUTS = pulumi.CustomTimeouts(create="60m", update="120m", delete="90m")


@dataclass(frozen=True, kw_only=True)
class RdsPostgresArgs:
    config: RdsConfig
    postgres: PostgresConfig
    """What concerns PostgreSQL itself, wherever it runs."""
    aws: AwsConfig
    network: Network
    recovery: pulumi.ProviderResource | None
    """Provider of the region that gets copies of the backups; None where none are made."""
    namespace: pulumi.Input[str]
    secrets: GeneratedSecrets
    """Where the passwords come from."""
    keep_data: bool = True
    """Whether the instance refuses to be deleted and outlives this component; by default so."""


class RdsPostgres(pulumi.ComponentResource):
    """Satisfies `Database`."""

    host: pulumi.Output[str]
    port: pulumi.Output[int]
    name: pulumi.Output[str]
    owner: Login
    app: Login
    app_previous: Login
    readonly: Login
    """Reads every table, for analytics."""
    replica_hosts: list[pulumi.Output[str]]
    """DNS names of the read replicas."""
    ca_bundle: pulumi.Output[str]
    tls_mode: TlsMode = TlsMode.VERIFY_FULL
    ready: list[pulumi.Resource]
    identifier: pulumi.Output[str]
    """Name of the primary, once it is there."""
    arn: pulumi.Output[str]
    subnet_group: pulumi.Output[str]
    security_group_id: pulumi.Output[str]

    def __init__(
        self, name: str, args: RdsPostgresArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:RdsPostgres", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        # Holds no data, and changes or is replaced with its content.
        self._replaceable = pulumi.ResourceOptions(parent=self, protect=False)
        self._tags = {"nextstack/component": name}
        self._id = args.config.instance_name
        bundle, _ = authorities(args.config.ca_file)
        if is_sample(bundle):
            pulumi.log.warn(
                f"{args.config.ca_file} is a sample that no server's certificate comes from: "
                "before the first update, replace it by Amazon's own "
                "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem",
                self,
            )
        self._key = encryption_key(
            name,
            f"database {self._id}: storage, insights, logs",
            args.aws.account_id,
            self._tags,
            self._child,
            logs_in=args.aws.region,
        )
        self._network = self._make_network()
        self._parameters = self._parameter_group()
        self._monitoring, self._permission = self._monitoring_role()
        instance = self._instance(self._id)
        replicas = [
            self._instance(f"{self._id}-replica-{number}", instance)
            for number in range(1, args.config.read_replicas + 1)
        ]
        if args.config.replicate_backups:
            self._replicate_backups(instance)

        self.identifier, self.arn = instance.identifier, instance.arn
        self.subnet_group, self.security_group_id = self._network
        self.host = instance.address
        self.port = pulumi.Output.from_input(PORT)
        self.name = pulumi.Output.from_input(args.postgres.database)
        self.replica_hosts = [replica.address for replica in replicas]
        self.ca_bundle = pulumi.Output.from_input(bundle)
        logins = role_logins(args.secrets)
        self.owner, self.app, self.app_previous = logins.owner, logins.app, logins.app_previous
        self.readonly = logins.readonly
        ranges = args.network.data_ranges
        allow_addresses(name, "postgres", ranges, PORT, args.namespace, self._replaceable)
        self.ready = [
            roles_job(
                name,
                self,
                logins,
                args.postgres,
                login(ADMINISTRATOR, args.secrets.database_admin),
                args.namespace,
                self._replaceable,
                ("rds-roles.sh", "rds-owner.sql", "roles.sql", "database.sql"),
            )
        ]
        self.register_outputs({"host": self.host, "port": self.port, "name": self.name})

    def _make_network(self) -> tuple[pulumi.Output[str], pulumi.Output[str]]:
        """The names of the subnet group and of the security group."""
        subnets = rds.SubnetGroup(
            f"{self._name}-subnets",
            description=f"private subnets of {self._id}",
            subnet_ids=self._args.network.data_subnet_ids,
            tags=self._tags,
            opts=self._child,
        )
        group = server_group(self._name, self._args.network, PORT, self._tags, self._child)
        return subnets.name, group.id

    def _parameter_group(self) -> rds.ParameterGroup:
        config = self._args.config
        return rds.ParameterGroup(
            # Named by Pulumi, and by its family: a major upgrade takes a new one beside this.
            f"{self._name}-{config.family}",
            # Without the name of the instance: it fixes the group, which the instance of before a
            # restore still uses when a new one comes (BK-18).
            description="settings of PostgreSQL; static ones wait for a reboot",
            family=config.family,
            parameters=[
                {"name": name, "value": value, "apply_method": apply_method(name)}
                for name, value in parameters(self._args.postgres).items()
            ],
            skip_destroy=False,
            tags=self._tags,
            opts=self._replaceable,
        )

    def _monitoring_role(self) -> tuple[iam.Role, pulumi.Resource]:
        """What enhanced monitoring runs as, and what has to exist before it is used."""
        role = service_role(
            f"{self._name}-monitoring",
            "monitoring.rds.amazonaws.com",
            f"lets RDS write the operating system's figures of {self._id}",
            self._tags,
            self._replaceable,
            account_id=self._args.aws.account_id,
        )
        permission = iam.RolePolicyAttachment(
            f"{self._name}-monitoring",
            role=role.name,
            policy_arn=MONITORING_POLICY,
            opts=self._replaceable,
        )
        return role, permission

    def _log_groups(self, instance_name: str) -> list[pulumi.Resource]:
        """Made before the instance: RDS would make them itself, without an end (DB-11)."""
        return [
            cloudwatch.LogGroup(
                f"{instance_name}-{log}",
                name=f"/aws/rds/instance/{instance_name}/{log}",
                log_group_class="STANDARD",
                retention_in_days=self._args.config.log_retention_days,
                kms_key_id=self._key.arn,
                skip_destroy=self._args.keep_data,
                tags=self._tags,
                opts=self._child,
            )
            for log in LOGS
        ]

    def _instance(self, name: str, source: rds.Instance | None = None) -> rds.Instance:
        """The primary, or a read replica of `source`; every value, because defaults are unsafe."""
        config, keep, primary = self._args.config, self._args.keep_data, source is None
        subnets, group = self._network
        days = INSIGHTS_DAYS[config.insights_mode]
        return rds.Instance(
            # By its own name: another one is another instance, and this one stays (BK-18).
            name,
            identifier=name,
            replicate_source_db=source.identifier if source else None,
            engine="postgres" if primary else None,
            engine_version=config.engine_version if primary else None,
            engine_lifecycle_support=LIFECYCLE if primary else None,
            license_model="postgresql-license" if primary else None,
            instance_class=config.instance_class,
            username=ADMINISTRATOR if primary else None,
            # Not managed by RDS, which would change it each week, and with it the Job below.
            password=self._args.secrets.database_admin if primary else None,
            iam_database_authentication_enabled=False,
            multi_az=config.multi_az and primary,
            storage_type="gp3",
            allocated_storage=config.storage_gib if primary else None,
            max_allocated_storage=config.max_storage_gib,
            iops=config.iops or None,
            storage_throughput=config.throughput_mibps or None,
            dedicated_log_volume=False,
            storage_encrypted=True,
            kms_key_id=self._key.arn,
            # A replica takes the subnet group of its source.
            db_subnet_group_name=subnets if primary else None,
            vpc_security_group_ids=[group],
            network_type="IPV4",
            publicly_accessible=False,
            port=PORT,
            ca_cert_identifier=AUTHORITY,
            parameter_group_name=self._parameters.name,
            enabled_cloudwatch_logs_exports=LOGS,
            monitoring_interval=config.monitoring_interval_s,
            monitoring_role_arn=self._monitoring.arn,
            database_insights_mode=config.insights_mode,
            performance_insights_enabled=True,
            performance_insights_retention_period=days,
            performance_insights_kms_key_id=self._key.arn,
            # A replica has no backups of its own.
            backup_retention_period=config.backup_retention_days if primary else 0,
            backup_window=config.backup_window.text,
            copy_tags_to_snapshot=True,
            delete_automated_backups=not keep,
            deletion_protection=keep,
            skip_final_snapshot=not primary,
            final_snapshot_identifier=self._final_snapshot() if primary else None,
            maintenance_window=config.maintenance_window.text,
            auto_minor_version_upgrade=True,
            allow_major_version_upgrade=False,
            blue_green_update={"enabled": False},
            apply_immediately=False,
            snapshot_identifier=config.restore_snapshot or None if primary else None,
            restore_to_point_in_time=self._point_in_time() if primary else None,
            tags=self._tags,
            opts=pulumi.ResourceOptions.merge(
                self._child,
                pulumi.ResourceOptions(
                    retain_on_delete=keep,
                    depends_on=[*self._log_groups(name), self._permission],
                    custom_timeouts=TIMEOUTS,
                    # The first two are read only while the instance is made, so that the keys may
                    # go afterwards. A restored one keeps the key of what it was restored from,
                    # and no instance ever changes its key: another one would replace it.
                    ignore_changes=["snapshotIdentifier", "restoreToPointInTime", "kmsKeyId"],
                ),
            ),
        )

    def _final_snapshot(self) -> pulumi.Output[str]:
        """A name that no earlier instance's last snapshot has."""
        suffix = random.RandomId(
            f"{self._id}-final", byte_length=4, keepers={"of": self._id}, opts=self._replaceable
        )
        return pulumi.Output.format("{0}-final-{1}", self._id, suffix.hex)

    def _point_in_time(self) -> rds.InstanceRestoreToPointInTimeArgsDict | None:
        config = self._args.config
        if not config.restore_source:
            return None
        origin: rds.InstanceRestoreToPointInTimeArgsDict = (
            {"source_db_instance_automated_backups_arn": config.restore_source}
            if config.restores_a_copy
            else {"source_db_instance_identifier": config.restore_source}
        )
        if config.restore_time == "latest":
            origin["use_latest_restorable_time"] = True
        else:
            origin["restore_time"] = config.restore_time
        return origin

    def _replicate_backups(self, instance: rds.Instance) -> None:
        """Point-in-time recovery in the second region, under a key of its own there (BK-4)."""
        recovery = pulumi.ResourceOptions.merge(
            self._child, pulumi.ResourceOptions(provider=self._args.recovery)
        )
        key = encryption_key(
            f"{self._name}-recovery",
            f"database {self._id}: copies of its backups",
            self._args.aws.account_id,
            self._tags,
            recovery,
        )
        rds.InstanceAutomatedBackupsReplication(
            f"{self._id}-backups",
            source_db_instance_arn=instance.arn,
            kms_key_id=key.arn,
            retention_period=self._args.config.backup_retention_days,
            opts=pulumi.ResourceOptions.merge(
                recovery, pulumi.ResourceOptions(retain_on_delete=self._args.keep_data)
            ),
        )
