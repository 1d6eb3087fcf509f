"""Changes that a person has to agree to: they lose data, open doors, or take away what protects.

Each has an id that stays the same as long as the change does. Leaves out doors (exposure.py), and
how somebody agrees (revision.py, commands/preview.py).
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from offline.recorder import Registered
from offline.review.compare import Change, Op, Property
from offline.review.replacement import held
from offline.review.schedules import runs_in_four_weeks


class Kind(StrEnum):
    DATA = "data"
    EXPOSURE = "exposure"
    BACKUP = "backup"
    ENCRYPTION = "encryption"
    PROTECTION = "protection"
    ENVIRONMENT = "environment"


@dataclass(frozen=True, kw_only=True)
class Danger:
    kind: Kind
    subject: str
    """The resource, variable or promise that it is about."""
    told: str
    """What happens."""
    fix: str
    """How to avoid it."""
    what: str
    """Distinguishes this change from another one of the same subject."""

    def id(self, stack_name: str) -> str:
        """The same as long as the change is; another one in another stack."""
        parts = (stack_name, self.kind, self.subject, self.what)
        return f"{self.kind}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:8]}"


Worse = Callable[[Any, Any], bool]
"""Says of a value before and after whether it got worse."""


def _lower(before: Any, after: Any) -> bool:
    """Nothing counts as none: that is what the providers make of it."""
    return _number(after) < _number(before)


def _higher(before: Any, after: Any) -> bool:
    return _number(after) > _number(before)


def _number(value: Any) -> float:
    try:
        return float(value or 0)
    except (TypeError, ValueError):
        return 0


def _off(before: Any, after: Any) -> bool:
    return before is True and after is not True


def _on(before: Any, after: Any) -> bool:
    return after is True


def _gone(before: Any, after: Any) -> bool:
    return before is not None and after is None


def _rarer(before: Any, after: Any) -> bool:
    if before is None:
        return False
    return after is None or runs_in_four_weeks(after) < runs_in_four_weeks(before)


def _leaves(value: str) -> Worse:
    return lambda before, after: before == value and after != value


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A property that protects something, and when a new value of it does so less."""

    kind: Kind
    types: str
    """Pattern of the type."""
    path: str
    """Pattern of the path."""
    worse: Worse
    told: str


AWS, ANY = "aws:.*", ".*"
JOBS = "kubernetes:batch/v1:CronJob"
WATCHED = (
    Watched(
        kind=Kind.BACKUP,
        types="aws:rds/instance:Instance",
        path="backupRetentionPeriod",
        worse=_lower,
        told="automatic backups go back fewer days; older ones are deleted at once",
    ),
    Watched(
        kind=Kind.BACKUP,
        types="aws:rds/instance:Instance",
        path="deleteAutomatedBackups",
        worse=_on,
        told="the automatic backups go with the instance",
    ),
    Watched(
        kind=Kind.BACKUP,
        types="aws:rds/instanceAutomatedBackupsReplication:.*",
        path="retentionPeriod",
        worse=_lower,
        told="the copies in the other region go back fewer days",
    ),
    Watched(
        kind=Kind.BACKUP,
        types="aws:elasticache/.*",
        path="snapshotRetentionLimit",
        worse=_lower,
        told="snapshots of the cache are kept for fewer days",
    ),
    Watched(
        kind=Kind.BACKUP,
        types="aws:backup/.*",
        path=r".*(deleteAfter|[rR]etentionDays|completionWindow|changeableForDays)",
        worse=_lower,
        told="recovery points are kept or guarded for less time",
    ),
    Watched(
        kind=Kind.BACKUP,
        types="aws:backup/.*",
        path=r".*(copyActions?|rules|resources|selectionTags)(\[[^]]*\])?",
        worse=_gone,
        told="a rule, copy or selection of backups goes",
    ),
    Watched(
        kind=Kind.BACKUP,
        types="aws:(backup|scheduler|cloudwatch)/.*",
        path=r".*[sS]chedule(Expression)?",
        worse=_rarer,
        told="it runs more rarely",
    ),
    Watched(
        kind=Kind.BACKUP,
        types=JOBS,
        path="spec.schedule",
        worse=_rarer,
        told="it runs more rarely",
    ),
    Watched(
        kind=Kind.BACKUP,
        types=JOBS,
        path="spec.suspend",
        worse=_on,
        told="it no longer runs",
    ),
    Watched(
        kind=Kind.BACKUP,
        types="aws:s3/.*",
        path=r".*(expiration\.days|noncurrentDays|retention\.(days|years)|\.days)",
        worse=_lower,
        told="objects are deleted earlier",
    ),
    Watched(
        kind=Kind.BACKUP,
        types="aws:s3/.*",
        path="versioningConfiguration.status",
        worse=_leaves("Enabled"),
        told="overwritten and deleted objects are no longer kept",
    ),
    Watched(
        kind=Kind.BACKUP,
        types="aws:cloudwatch/logGroup:LogGroup",
        path="retentionInDays",
        worse=_lower,
        told="log lines are deleted earlier",
    ),
    Watched(
        kind=Kind.ENCRYPTION,
        types=AWS,
        path=r".*([eE]ncrypted|[eE]ncryptionEnabled|enableKeyRotation|encryptInTransit)",
        worse=_off,
        told="what was encrypted, or whose key rotated, no longer is",
    ),
    Watched(
        kind=Kind.ENCRYPTION,
        types="aws:elasticache/.*",
        path="transitEncryptionMode",
        worse=_leaves("required"),
        told="connections without TLS are accepted",
    ),
    Watched(
        kind=Kind.ENCRYPTION,
        types="aws:rds/parameterGroup:ParameterGroup",
        path=r"parameters\[rds\.force_ssl\](\.value)?",
        worse=_lower,
        told="connections without TLS are accepted",
    ),
    Watched(
        kind=Kind.ENCRYPTION,
        types="aws:cloudfront/.*",
        path=r".*viewerProtocolPolicy",
        worse=lambda before, after: after == "allow-all",
        told="visitors are served without TLS",
    ),
    Watched(
        kind=Kind.ENCRYPTION,
        types="aws:lb/listener:Listener",
        path="protocol",
        worse=lambda before, after: before in ("HTTPS", "TLS") and after not in ("HTTPS", "TLS"),
        told="visitors are served without TLS",
    ),
    Watched(
        kind=Kind.PROTECTION,
        types=ANY,
        path=r"\(protect\)",
        worse=_off,
        told="the engine no longer refuses to delete or replace it",
    ),
    Watched(
        kind=Kind.PROTECTION,
        types=ANY,
        path=r"\(retainOnDelete\)",
        worse=_off,
        told="it is deleted when it leaves the program; until now it would stay",
    ),
    Watched(
        kind=Kind.PROTECTION,
        types=AWS,
        path=r".*([dD]eletionProtection(Enabled)?|enableDeletionProtection)",
        worse=_off,
        told="AWS no longer refuses to delete it",
    ),
    Watched(
        kind=Kind.PROTECTION,
        types=AWS,
        path="skipFinalSnapshot|forceDestroy|forceDelete|bypassPolicyLockoutSafetyCheck",
        worse=_on,
        told="it can be deleted together with what it holds",
    ),
    Watched(
        kind=Kind.PROTECTION,
        types=AWS,
        path="finalSnapshotIdentifier",
        worse=_gone,
        told="no snapshot is taken before it is deleted",
    ),
    Watched(
        kind=Kind.PROTECTION,
        types=AWS,
        path="deletionWindowInDays|recoveryWindowInDays",
        worse=_lower,
        told="there is less time to take a deletion back",
    ),
    Watched(
        kind=Kind.PROTECTION,
        types=".*:PodDisruptionBudget",
        path="spec.minAvailable",
        worse=_lower,
        told="a drained node may take more pods away at once",
    ),
    Watched(
        kind=Kind.PROTECTION,
        types=".*:PodDisruptionBudget",
        path="spec.maxUnavailable",
        worse=_higher,
        told="a drained node may take more pods away at once",
    ),
    Watched(
        kind=Kind.PROTECTION,
        types="kubernetes:core/v1:Namespace",
        path=r"metadata\.labels\.pod-security\.kubernetes\.io/enforce",
        worse=_leaves("restricted"),
        told="pods with more rights are let in",
    ),
)

PROMISES = {"rpoMinutes": _higher, "rtoMinutes": _higher, "retentionDays": _lower}

# Outputs with a URL, and what is behind it.
ADDRESSES = {"directUrl": "every row", "redisUrl": "every session"}

# What protects by being there.
GUARDS: dict[str, tuple[Kind, str]] = {
    r"aws:rds/instanceAutomatedBackupsReplication:.*": (Kind.BACKUP, "no more copies elsewhere"),
    r"aws:backup/(plan|selection|restoreTesting.*):.*": (Kind.BACKUP, "it is no longer done"),
    r"aws:s3/bucketReplication.*": (Kind.BACKUP, "no more copies elsewhere"),
    r"aws:s3/bucketVersioning.*": (Kind.BACKUP, "overwritten objects are no longer kept"),
    r"aws:s3/bucketServerSideEncryption.*": (Kind.ENCRYPTION, "objects lose their own key"),
    r"aws:s3/bucketPolicy:.*": (Kind.PROTECTION, "what it forbids is allowed"),
    r"aws:s3/bucketPublicAccessBlock.*": (Kind.EXPOSURE, "objects can be made public"),
    r"aws:backup/vault(LockConfiguration|Policy):.*": (
        Kind.PROTECTION,
        "recovery points can be deleted",
    ),
    r"aws:wafv2/webAcl(Association)?:.*": (Kind.PROTECTION, "requests are no longer filtered"),
    r".*:PodDisruptionBudget": (Kind.PROTECTION, "a drained node may take all pods away at once"),
}

# PostgreSQL's words, the weakest first (libpq, "SSL Mode Descriptions").
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
SSL_MODE = re.compile(rf"ssl_?mode\"?[ =:]+\"?({'|'.join(SSL_MODES)})\b")
TLS_VERSION = re.compile(r"TLSv?1[._](\d)")
PLAIN_URL = re.compile(r"\bredis://")


def dangers(changes: list[Change]) -> Iterator[Danger]:
    """The dangerous ones among changed resources."""
    for change in changes:
        yield from _data(change)
        yield from _guards(change)
        if change.before and change.after:
            for found in change.properties:
                yield from _watched(change.after, found)
                yield from _words(change.after, found)
    yield from _rotated_twice(changes)


def variables(required: frozenset[str], after: frozenset[str]) -> Iterator[Danger]:
    """Variables that every application could count on, and that are no more."""
    for name in sorted(required - after):
        yield Danger(
            kind=Kind.ENVIRONMENT,
            subject=name,
            what="dropped",
            told="the application no longer gets this variable, which was required until now",
            fix=f"give the application {name} back, or first release one that does without",
        )


def addresses(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Danger]:
    """Outputs that lead the application to other data than before."""
    for output, data in ADDRESSES.items():
        old, new = (urlsplit(str(outputs.get(output, ""))) for outputs in (before, after))
        places = [f"{url.hostname}:{url.port}{url.path}" for url in (old, new)]
        if old.hostname and places[0] != places[1]:
            yield Danger(
                kind=Kind.DATA,
                subject=output,
                what=" ".join(places),
                told=f"the application is led from {places[0]} to {places[1]}; {data} in the first "
                "stays behind",
                fix="lead it back, or copy the data first and acknowledge this",
            )


def promises(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Danger]:
    """A recovery contract that promises less."""
    for name, worse in PROMISES.items():
        if name in before and worse(before[name], after.get(name)):
            yield Danger(
                kind=Kind.BACKUP,
                subject="recovery contract",
                what=f"{name} {before[name]} {after.get(name)}",
                told=f"{name} {before[name]} -> {after.get(name)}: less is promised",
                fix=f"leave recovery{name[0].upper()}{name[1:]} at {before[name]}, or ask those "
                "who rely on the promise",
            )


def waived(names: frozenset[tuple[str, str]]) -> Iterator[Danger]:
    """Policies (with the resource) that are broken under a waiver and were not before."""
    for rule, resource in sorted(names):
        yield Danger(
            kind=Kind.PROTECTION,
            subject=resource,
            what=f"waived {rule}",
            told=f"policy {rule} is waived",
            fix="keep to the policy, or have somebody else agree with the waiver's reason",
        )


def shown(value: Any) -> str:
    """A value in few words."""
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _data(change: Change) -> Iterator[Danger]:
    before = change.before
    if before is None or not (lost := held(before)):
        return
    causes = [p for p in change.properties if p.forces]
    if change.op is Op.DELETE:
        yield Danger(
            kind=Kind.DATA,
            subject=before.name,
            what="delete",
            told=f"it leaves the program but is not deleted; {lost} stays there without its care"
            if change.kept
            else f"it is deleted, and with it {lost}",
            fix=_back(before, "put it back into the program")
            + ("; to forget it on purpose, acknowledge this" if change.kept else ""),
        )
    elif change.op is Op.REPLACE and not _is_rotation(change):
        paths = ", ".join(p.path for p in causes)
        yield Danger(
            kind=Kind.DATA,
            subject=before.name,
            what=f"replace {' '.join(f'{p.path} {_value(p)}' for p in causes)}",
            told=f"it is replaced, and {lost} is lost: {paths} can't be changed in place",
            fix=_back(before, f"take the change of {paths} back")
            + "; to move on purpose, make a second one, restore into it, and switch over",
        )


def _back(resource: Registered, what: str) -> str:
    guard = "the engine refuses as long as it is" if resource.protect else "it is not"
    return f"{what} ({guard} protected)"


def _is_rotation(change: Change) -> bool:
    """A generated secret that is made anew on purpose."""
    return change.resource.type.startswith("random:") and all(
        p.path == "keepers.generation" for p in change.properties if p.forces
    )


def _rotated_twice(changes: list[Change]) -> Iterator[Danger]:
    """Both values of a pair that takes turns: nothing that is in use stays valid."""
    made = {c.resource.name for c in changes if c.op is Op.REPLACE and _is_rotation(c)}
    for name in sorted(made):
        other = f"{name[:-1]}B"
        if name.endswith("A") and other in made:
            yield Danger(
                kind=Kind.DATA,
                subject=name[:-1],
                what="both",
                told="the current and the previous value are both made anew; what was encrypted or "
                "logged in with either is locked out",
                fix="raise the generation by 1 at a time, and deploy in between",
            )


def _guards(change: Change) -> Iterator[Danger]:
    before = change.before
    if change.op is not Op.DELETE or before is None or change.kept:
        return
    found = next((v for types, v in GUARDS.items() if re.fullmatch(types, before.type)), None)
    if before.type == JOBS and "Backups$" in before.urn:
        found = Kind.BACKUP, "it is no longer done"
    if found:
        kind, lost = found
        yield Danger(
            kind=kind,
            subject=before.name,
            what="delete",
            told=f"{before.type.rsplit(':', 1)[1]} goes: {lost}",
            fix="put it back into the program",
        )


def _watched(resource: Registered, found: Property) -> Iterator[Danger]:
    for watched in WATCHED:
        if (
            re.fullmatch(watched.types, resource.type)
            and re.fullmatch(watched.path, found.path)
            and watched.worse(found.before, found.after)
        ):
            yield _got_worse(watched.kind, resource, found, watched.told)


def _got_worse(kind: Kind, resource: Registered, found: Property, told: str) -> Danger:
    values = _value(found)
    return Danger(
        kind=kind,
        subject=resource.name,
        what=f"{found.path} {values}",
        told=f"{found.path} {values}: {told}",
        fix=f"leave it at {'its value' if found.secret else shown(found.before)}",
    )


def _value(found: Property) -> str:
    if found.secret:
        return "[secret]"
    return f"{shown(found.before)} -> {shown(found.after)}"


def _words(resource: Registered, found: Property) -> Iterator[Danger]:
    """Settings inside texts: files, URLs, options. Values of secrets are looked at, not shown."""
    before, after = _text(found.before), _text(found.after)
    if not before or not after:
        return
    levels = [[SSL_MODES.index(m) for m in SSL_MODE.findall(t)] for t in (before, after)]
    if levels[0] and min(levels[1], default=0) < min(levels[0]):
        weakest = SSL_MODES[min(levels[1])] if levels[1] else "nothing"
        yield _word(resource, found, f"sslmode {SSL_MODES[min(levels[0])]} -> {weakest}")
    versions = [[int(v) for v in TLS_VERSION.findall(t)] for t in (before, after)]
    if versions[0] and min(versions[1], default=0) < min(versions[0]):
        least = f"1.{min(versions[1])}" if versions[1] else "any"
        yield _word(resource, found, f"least TLS version 1.{min(versions[0])} -> {least}")
    if PLAIN_URL.search(after) and not PLAIN_URL.search(before):
        yield _word(resource, found, "rediss:// -> redis://")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _word(resource: Registered, found: Property, told: str) -> Danger:
    return Danger(
        kind=Kind.ENCRYPTION,
        subject=resource.name,
        what=f"{found.path} {told}",
        told=f"{found.path}: {told}; others can read along or pretend to be the server",
        fix="leave it as it was",
    )
