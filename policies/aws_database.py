"""Databases and caches that AWS runs: its Foundational Security Best Practices, and our windows.

Leaves out keys, networks, logs and backups around them (aws_platform.py).
"""

import re
from collections.abc import Iterator
from typing import Any

from policies.rule import Context, Resource, Severity, rule

INSTANCE = r"aws:rds/instance:Instance"
PARAMETERS = r"aws:rds/parameterGroup:ParameterGroup"
SUBSCRIPTION = "aws:rds/eventSubscription:EventSubscription"
CACHE = r"aws:elasticache/replicationGroup:ReplicationGroup"
CACHE_USER = r"aws:elasticache/user:User"
DATABASE_LOGS = {"postgresql", "upgrade"}
GUESSED_ADMINS = {"admin", "administrator", "master", "postgres", "root"}
MINIMUM_BACKUP_DAYS = 7  # what RDS.11 asks for
DAY_MINUTES = 24 * 60
WINDOW = re.compile(r"(?:[a-z]{3}:)?(\d\d):(\d\d)-(?:[a-z]{3}:)?(\d\d):(\d\d)$")


def at_least(value: Any, least: int) -> bool:
    return isinstance(value, int) and value >= least


def is_replica(resource: Resource) -> bool:
    """A read replica takes these settings from its source."""
    return bool(resource.inputs.get("replicateSourceDb"))


def minutes(window: Any) -> set[int]:
    """The minutes of a day that a window covers; none if it is not a window."""
    found = WINDOW.match(window) if isinstance(window, str) else None
    if not found:
        return set()
    numbers = [int(group) for group in found.groups()]
    start, end = numbers[0] * 60 + numbers[1], numbers[2] * 60 + numbers[3]
    return {minute % DAY_MINUTES for minute in range(start, end + DAY_MINUTES * (end <= start))}


def window_problems(resource: Resource, backup: str) -> Iterator[str]:
    """What is wrong with the windows of a resource; overlaps are refused only by AWS itself."""
    windows = {key: minutes(resource.inputs.get(key)) for key in (backup, "maintenanceWindow")}
    for key, covered in windows.items():
        if not covered:
            yield f"{key} is missing: AWS picks a time, perhaps the busiest"
    if windows[backup] & windows["maintenanceWindow"]:
        yield f"{backup} and maintenanceWindow overlap"


@rule(
    Severity.CRITICAL,
    "FSBP RDS.2",
    types=INSTANCE,
    fix="set publiclyAccessible to false",
)
def database_is_private(resource: Resource, context: Context) -> Iterator[str]:
    """DB-6."""
    if resource.inputs.get("publiclyAccessible", False) is not False:
        yield "publiclyAccessible opens the database to the world"


@rule(Severity.CRITICAL, "FSBP RDS.3", types=INSTANCE, fix="set storageEncrypted to true")
def database_is_encrypted(resource: Resource, context: Context) -> Iterator[str]:
    if not is_replica(resource) and resource.inputs.get("storageEncrypted") is not True:
        yield "storageEncrypted is off, and can't be switched on later"


@rule(
    Severity.HIGH,
    "FSBP RDS.38",
    types=PARAMETERS,
    fix="set rds.force_ssl to 1 and ssl_min_protocol_version to TLSv1.3",
)
def database_refuses_plain_text(resource: Resource, context: Context) -> Iterator[str]:
    """DB-6."""
    given = {p.get("name"): p.get("value") for p in resource.inputs.get("parameters", [])}
    for name, value in (("rds.force_ssl", "1"), ("ssl_min_protocol_version", "TLSv1.3")):
        if str(given.get(name)) != value:
            yield f"parameters: {name} is {given.get(name, 'not set')}, not {value}"


@rule(Severity.MEDIUM, "FSBP RDS.5", types=INSTANCE, fix="set multiAz to true")
def database_has_a_standby(resource: Resource, context: Context) -> Iterator[str]:
    """DB-3: in production."""
    wanted = context.stage == "production" and not is_replica(resource)
    if wanted and resource.inputs.get("multiAz") is not True:
        yield "multiAz is off: a lost zone is a lost database"


@rule(
    Severity.LOW,
    "FSBP RDS.6",
    types=INSTANCE,
    fix="set monitoringInterval to 60 seconds or less and monitoringRoleArn to its role",
)
def database_is_monitored(resource: Resource, context: Context) -> Iterator[str]:
    if not at_least(resource.inputs.get("monitoringInterval"), 1):
        yield "monitoringInterval is 0: no figures of the machine below the database"


@rule(
    Severity.HIGH,
    "FSBP RDS.8",
    types=INSTANCE,
    fix="set deletionProtection to true and skipFinalSnapshot to false",
)
def database_refuses_deletion(resource: Resource, context: Context) -> Iterator[str]:
    """PL-8."""
    if not context.keeps_data or is_replica(resource):
        return
    if resource.inputs.get("deletionProtection") is not True:
        yield "deletionProtection is off"
    if resource.inputs.get("skipFinalSnapshot", False) is not False:
        yield "skipFinalSnapshot: a deleted database leaves nothing behind"


@rule(
    Severity.MEDIUM,
    "FSBP RDS.9",
    "FSBP RDS.36",
    types=INSTANCE,
    fix='set enabledCloudwatchLogsExports to ["postgresql", "upgrade"]',
)
def database_keeps_logs(resource: Resource, context: Context) -> Iterator[str]:
    given = resource.inputs.get("enabledCloudwatchLogsExports", [])
    for name in sorted(DATABASE_LOGS - {*given}):
        yield f"enabledCloudwatchLogsExports has no {name}"


@rule(
    Severity.HIGH,
    "FSBP RDS.11",
    types=INSTANCE,
    fix=f"set backupRetentionPeriod to {MINIMUM_BACKUP_DAYS} days or more",
)
def database_is_backed_up(resource: Resource, context: Context) -> Iterator[str]:
    days = resource.inputs.get("backupRetentionPeriod", 0)
    wanted = MINIMUM_BACKUP_DAYS if context.keeps_data else 1
    if not is_replica(resource) and not at_least(days, wanted):
        yield f"backupRetentionPeriod is {days} days, less than {wanted}"


@rule(Severity.HIGH, "FSBP RDS.13", types=INSTANCE, fix="set autoMinorVersionUpgrade to true")
def database_takes_fixes(resource: Resource, context: Context) -> Iterator[str]:
    if resource.inputs.get("autoMinorVersionUpgrade", True) is not True:
        yield "autoMinorVersionUpgrade is off: security fixes wait for a person"


@rule(Severity.LOW, "FSBP RDS.17", types=INSTANCE, fix="set copyTagsToSnapshot to true")
def database_snapshots_have_tags(resource: Resource, context: Context) -> Iterator[str]:
    """PL-9."""
    if resource.inputs.get("copyTagsToSnapshot") is not True:
        yield "copyTagsToSnapshot is off: nobody knows whose snapshot it is"


@rule(
    Severity.HIGH,
    "FSBP RDS.18",
    types=INSTANCE,
    fix="set dbSubnetGroupName and vpcSecurityGroupIds",
)
def database_is_in_our_network(resource: Resource, context: Context) -> Iterator[str]:
    for key in ("dbSubnetGroupName", "vpcSecurityGroupIds"):
        if not is_replica(resource) and not resource.inputs.get(key):
            yield f"{key} is missing: the account's default network is used"


@rule(
    Severity.MEDIUM, "FSBP RDS.25", types=INSTANCE, fix="choose a username nobody would guess first"
)
def database_admin_is_not_guessed(resource: Resource, context: Context) -> Iterator[str]:
    name = resource.inputs.get("username", "")
    if name in GUESSED_ADMINS:
        yield f"username is {name}"


@rule(
    Severity.LOW,
    "FSBP RDS.20",
    "FSBP RDS.21",
    types=INSTANCE,
    across=True,
    fix="add an EventSubscription for db-instance and one for db-parameter-group",
)
def database_events_are_announced(resource: Resource, context: Context) -> Iterator[str]:
    wanted = {
        "db-instance": {"maintenance", "configuration change", "failure"},
        "db-parameter-group": {"configuration change"},
    }
    for subscription in context.of_type(SUBSCRIPTION):
        given = subscription.inputs
        source, categories = given.get("sourceType"), {*given.get("eventCategories", [])}
        if source in wanted and given.get("enabled", True) is True:
            # Without categories a subscription is for all of them.
            wanted[source] -= categories or wanted[source]
    for source, missing in wanted.items():
        if missing:
            yield f"nobody hears of {', '.join(sorted(missing))} of a {source}"


@rule(
    Severity.MEDIUM,
    types=INSTANCE,
    fix="set backupWindow and maintenanceWindow, apart from each other",
)
def database_windows(resource: Resource, context: Context) -> Iterator[str]:
    """S-1."""
    yield from window_problems(resource, "backupWindow")


@rule(
    Severity.HIGH,
    "FSBP ElastiCache.1",
    types=CACHE,
    fix="set snapshotRetentionLimit to 1 day or more",
)
def cache_is_backed_up(resource: Resource, context: Context) -> Iterator[str]:
    days = resource.inputs.get("snapshotRetentionLimit", 0)
    if context.keeps_data and not at_least(days, 1):
        yield f"snapshotRetentionLimit is {days} days"


@rule(Severity.HIGH, "FSBP ElastiCache.2", types=CACHE, fix="set autoMinorVersionUpgrade to true")
def cache_takes_fixes(resource: Resource, context: Context) -> Iterator[str]:
    # AWS hands the property over as a text.
    if str(resource.inputs.get("autoMinorVersionUpgrade", True)).lower() != "true":
        yield "autoMinorVersionUpgrade is off: security fixes wait for a person"


@rule(
    Severity.MEDIUM,
    "FSBP ElastiCache.3",
    types=CACHE,
    fix="set automaticFailoverEnabled and multiAzEnabled to true",
)
def cache_fails_over(resource: Resource, context: Context) -> Iterator[str]:
    """CA-1."""
    for key in ("automaticFailoverEnabled", "multiAzEnabled"):
        if resource.inputs.get(key) is not True:
            yield f"{key} is off: a lost node stops the cache"


@rule(Severity.HIGH, "FSBP ElastiCache.4", types=CACHE, fix="set atRestEncryptionEnabled to true")
def cache_is_encrypted(resource: Resource, context: Context) -> Iterator[str]:
    # AWS hands the property over as a text.
    if str(resource.inputs.get("atRestEncryptionEnabled")).lower() != "true":
        yield "atRestEncryptionEnabled is off, and can't be switched on later"


@rule(
    Severity.HIGH,
    "FSBP ElastiCache.5",
    types=CACHE,
    fix='set transitEncryptionEnabled to true and transitEncryptionMode to "required"',
)
def cache_refuses_plain_text(resource: Resource, context: Context) -> Iterator[str]:
    if resource.inputs.get("transitEncryptionEnabled") is not True:
        yield "transitEncryptionEnabled is off"
    if resource.inputs.get("transitEncryptionMode", "required") != "required":
        yield "transitEncryptionMode lets clients in without TLS"


@rule(
    Severity.HIGH,
    "FSBP ElastiCache.6",
    types=rf"{CACHE}|{CACHE_USER}",
    fix="set userGroupIds or authToken, and give each user a password",
)
def cache_asks_for_a_password(resource: Resource, context: Context) -> Iterator[str]:
    given = resource.inputs
    if resource.kind == "ReplicationGroup" and not (
        given.get("userGroupIds") or given.get("authToken")
    ):
        yield "neither userGroupIds nor authToken is set: whoever connects is let in"
    # The user `default` is how a group refuses those who name no user: it must be off.
    off = str(given.get("accessString", "")).startswith("off")
    if resource.kind == "User" and given.get("noPasswordRequired", False) is not False and not off:
        yield "noPasswordRequired lets in whoever knows the name"


@rule(Severity.HIGH, "FSBP ElastiCache.7", types=CACHE, fix="set subnetGroupName to our own")
def cache_is_in_our_network(resource: Resource, context: Context) -> Iterator[str]:
    if resource.inputs.get("subnetGroupName", "default") == "default":
        yield "subnetGroupName is the account's default"


@rule(
    Severity.MEDIUM,
    types=CACHE,
    fix="set snapshotWindow and maintenanceWindow, apart from each other",
)
def cache_windows(resource: Resource, context: Context) -> Iterator[str]:
    """S-1."""
    yield from window_problems(resource, "snapshotWindow")
