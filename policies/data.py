"""What keeps data and secrets: protection against deletion, kept volumes, secrets out of sight.

Leaves out the databases that AWS runs (aws_database.py).
"""

import json
import re
from collections.abc import Iterator
from typing import Any, cast

from policies.pods import PODS, containers
from policies.rule import Context, Resource, Severity, rule

STATEFUL = (
    r"kubernetes:core/v1:(Namespace|PersistentVolumeClaim)"
    r"|kubernetes:apps/v1:StatefulSet"
    r"|aws:rds/(instance:Instance|cluster:Cluster)"
    r"|aws:elasticache/replicationGroup:ReplicationGroup"
    r"|aws:kms/key:Key"
    r"|aws:ec2/(vpc:Vpc|subnet:Subnet)"
    r"|aws:eks/cluster:Cluster"
    r"|aws:s3/(bucket:Bucket|bucketV2:BucketV2)"
    r"|aws:backup/vault:Vault"
    r"|aws:secretsmanager/secret:Secret"
)
"""Types whose deletion or replacement loses data, or the key to it."""
HOLDERS = r"kubernetes:(?!core/v1:Secret$).*|aws:ssm/.*|aws:ec2/.*|aws:sns/.*|aws:cloudwatch/.*"
"""Types that show their properties to whoever may list them."""
CREDENTIAL_NAME = re.compile(
    r"(PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIALS?|(API|ACCESS|PRIVATE|ENCRYPTION)_?KEY)(_[AB])?$"
)
CREDENTIAL_TEXT = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----|[a-z]+://[^\s/:@{$]*:[^\s/@{$]+@")
"""A private key, or an address with a password in it."""
LABELS = ("project", "stack", "owner", "cost-centre")


@rule(
    Severity.CRITICAL,
    "FSBP KMS.3",
    types=STATEFUL,
    fix="pass the options named `stateful` in __main__.py (protect=True) to its component",
)
def data_is_protected(resource: Resource, context: Context) -> Iterator[str]:
    """PL-8."""
    if context.keeps_data and not resource.protect:
        yield "protect is off: one deployment can delete or replace what holds the data"


@rule(
    Severity.CRITICAL,
    types=r"kubernetes:core/v1:Namespace",
    fix="set protectData to true in Pulumi.production.yaml",
)
def production_keeps_data(resource: Resource, context: Context) -> Iterator[str]:
    if context.stage == "production" and not context.protect_data:
        yield "protectData is false in production"


@rule(
    Severity.CRITICAL,
    types=r"kubernetes:apps/v1:StatefulSet",
    fix="set persistentVolumeClaimRetentionPolicy to Retain in both cases",
)
def volumes_are_kept(resource: Resource, context: Context) -> Iterator[str]:
    spec = resource.inputs.get("spec", {})
    if not context.keeps_data or not spec.get("volumeClaimTemplates"):
        return
    # Kubernetes keeps volumes unless it is told otherwise.
    policy = spec.get("persistentVolumeClaimRetentionPolicy", {})
    for key in ("whenDeleted", "whenScaled"):
        if policy.get(key, "Retain") != "Retain":
            yield f"spec.persistentVolumeClaimRetentionPolicy.{key} deletes volumes"


def texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text in `value`, with its path."""
    if isinstance(value, dict):
        for key, item in cast(dict[str, Any], value).items():
            yield from texts(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, item in enumerate(cast(list[Any], value)):
            yield from texts(item, f"{path}[{index}]")
    elif isinstance(value, str):
        yield path, value


@rule(
    Severity.CRITICAL,
    types=HOLDERS,
    across=True,
    fix="put the value into a Secret and refer to it (secretKeyRef, secretRef or a volume)",
)
def secrets_are_not_shown(resource: Resource, context: Context) -> Iterator[str]:
    """SC-3: what the program marks as secret, and what it generates."""
    for path in resource.secret_paths:
        yield f"{path} holds a secret"
    marked = set(resource.secret_paths)
    for path, text in texts(resource.inputs):
        if path not in marked and any(value in text for value in context.generated):
            yield f"{path} holds a generated secret"


@rule(
    Severity.CRITICAL,
    types=PODS,
    fix="put the value into a Secret and refer to it with secretKeyRef",
)
def no_credential_in_a_variable(resource: Resource, context: Context) -> Iterator[str]:
    for path, container in containers(resource):
        for index, variable in enumerate(container.get("env", [])):
            value, name = variable.get("value", ""), variable.get("name", "")
            file = value.startswith("/")
            named = CREDENTIAL_NAME.search(name) and value and not file
            if named or CREDENTIAL_TEXT.search(value):
                yield f"{path}.env[{index}] shows the value of {name}"


@rule(
    Severity.CRITICAL,
    types=r"kubernetes:core/v1:ConfigMap",
    fix="move the entry to a Secret",
)
def no_credential_in_a_config_map(resource: Resource, context: Context) -> Iterator[str]:
    for key, value in resource.inputs.get("data", {}).items():
        if CREDENTIAL_TEXT.search(value) or (CREDENTIAL_NAME.search(key) and value):
            yield f"data[{key}] holds a credential"


@rule(
    Severity.LOW,
    types=r"kubernetes:.*",
    fix="leave labels to components/ownership.py",
)
def says_whose_it_is(resource: Resource, context: Context) -> Iterator[str]:
    """PL-9."""
    labels = resource.inputs.get("metadata", {}).get("labels", {})
    for name in (*(f"nextstack/{key}" for key in LABELS), "app.kubernetes.io/component"):
        if not labels.get(name):
            yield f"metadata.labels[{name}] is missing"


@rule(
    Severity.LOW,
    types=r"pulumi:providers:aws",
    fix="set the provider's defaultTags in __main__.py",
)
def account_resources_say_whose_they_are(resource: Resource, context: Context) -> Iterator[str]:
    """PL-9, for everything that a provider makes."""
    given: Any = resource.inputs.get("defaultTags", {})
    # The inputs of a provider are JSON in a text.
    tags = (json.loads(given) if isinstance(given, str) else given).get("tags", {})
    names = {name.rsplit("/", 1)[-1].rsplit(":", 1)[-1] for name in tags}
    for name in sorted({*LABELS} - names):
        yield f"defaultTags.tags has no {name}"
