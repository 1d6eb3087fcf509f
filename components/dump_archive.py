"""Copies of the dumps in object storage: a step after each scheduled dump (BK-6, BK-7, S-7).

Leaves out the bucket: it is somebody else's, known by its endpoint, or aws/archive_bucket.py makes
it.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

import pulumi
import pulumi_kubernetes as k8s

from components.aws.bucket_name import malformed_bucket
from components.aws.config import malformed_ranges
from components.image import unfixed
from components.network_policy import allow_addresses, reaches
from components.pod_identity import SERVER, PodIdentity, allow_agent
from components.schedule import DAYS, Weekday
from components.sql_job import FILES, JobStep, job_files, sql_step
from components.stack_config import SECRET, UNREADABLE, out_of_range, refuse

ROOT = Path(__file__).parent.parent
KEYS = ("accessKeyId", "secretAccessKey")
# A failed upload is made good by the next ones of a week, so that no Sunday goes missing.
CATCH_UP_DAYS = 7


class ColdClass(StrEnum):
    GLACIER_IR = "GLACIER_IR"
    GLACIER = "GLACIER"
    DEEP_ARCHIVE = "DEEP_ARCHIVE"


LEAST_COLD_DAYS = {ColdClass.GLACIER_IR: 90, ColdClass.GLACIER: 90, ColdClass.DEEP_ARCHIVE: 180}
"""What AWS charges for at least, even if the object goes earlier."""


@dataclass(frozen=True, kw_only=True)
class ArchiveConfig:
    enabled: bool
    image: str
    endpoint: str
    region: str
    bucket: str
    keys: dict[str, str] = field(metadata=SECRET, repr=False)
    ca_file: str
    ranges: tuple[str, ...]
    daily: bool
    weekly_day: Weekday
    daily_keep_days: int
    weekly_keep_days: int
    cold_class: ColdClass
    cold_after_days: int
    prune: bool

    def __post_init__(self) -> None:
        ranges = {
            "daily_keep_days": (1, 3650, "copies of the week's other days"),
            "weekly_keep_days": (1, 3650, "copies of archiveWeeklyDay"),
            "cold_after_days": (1, 3650, "the newest copies stay quick to fetch"),
        }
        problems = out_of_range(self, ranges) + malformed_ranges("ranges", self.ranges)
        if self.bucket:
            problems += malformed_bucket("bucket", self.bucket)
        cold = self.weekly_keep_days - self.cold_after_days
        least = LEAST_COLD_DAYS[self.cold_class]
        if cold < least:
            problems.append(
                f"cold_after_days leaves too few: got {self.cold_after_days} of "
                f"archiveWeeklyKeepDays {self.weekly_keep_days}, allowed {least} days or more in "
                f"{self.cold_class}, which AWS charges for anyway"
            )
        problems += [
            f"keys.{name} is not a key, allowed {' and '.join(KEYS)}"
            for name in self.keys
            if name not in KEYS
        ]
        problems += [
            f"keys.{name} is malformed: got {len(value)} characters, allowed one line"
            for name, value in self.keys.items()
            if value != UNREADABLE and not re.fullmatch(r"\S+", value)
        ]
        refuse(problems + self._endpoint() + (self._incomplete() if self.enabled else []))

    def _endpoint(self) -> list[str]:
        if not self.endpoint:
            return []
        try:
            parts = urlsplit(self.endpoint)
            sound = parts.scheme == "https" and parts.hostname and parts.port != 0
            alone = not (parts.path.strip("/") or parts.query or parts.username)
        except ValueError:
            sound = alone = False
        if sound and alone:
            return []
        return [
            f"endpoint is no address: got {self.endpoint!r}, allowed https:// with host and port, "
            "without bucket; dumps never travel in clear"
        ]

    def _incomplete(self) -> list[str]:
        problems = unfixed("image", self.image)
        if not self.bucket:
            problems.append("bucket is empty; name the bucket that gets the dumps")
        if self.endpoint:
            problems += [
                f"keys.{name} is missing; set it with: pulumi config set --secret --path "
                f"archiveKeys.{name} value"
                for name in KEYS
                if name not in self.keys
            ]
        elif self.keys or self.ca_file or self.prune:
            problems.append(
                "endpoint is empty, but archiveKeys, archiveCaFile or archivePrune is set; name "
                "the endpoint, or unset them: the stack's own bucket needs none of them"
            )
        if self.ca_file and not (ROOT / self.ca_file).is_file():
            problems.append(
                f"ca_file is no file: got {self.ca_file!r}, allowed the path of a PEM file, "
                "relative to the program"
            )
        return problems

    @property
    def makes_bucket(self) -> bool:
        return self.enabled and not self.endpoint


@dataclass(frozen=True, kw_only=True)
class OwnBucket:
    """A bucket that the stack made, which pods reach with a role instead of keys."""

    region: str
    key_arn: pulumi.Input[str]
    pods: PodIdentity


@dataclass(frozen=True, kw_only=True)
class DumpArchiveArgs:
    config: ArchiveConfig
    namespace: pulumi.Input[str]
    own: OwnBucket | None = None
    """By default the bucket is that of `config.endpoint`."""


class DumpArchive(pulumi.ComponentResource):
    ready: list[pulumi.Resource]
    """What must exist before a dump is copied."""

    def __init__(
        self, name: str, args: DumpArchiveArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:DumpArchive", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        config, own = args.config, args.own
        self._args = args
        ca = (ROOT / config.ca_file).read_text() if config.ca_file else ""
        self._files = job_files(name, ["archive.sh"], ca, args.namespace, child)
        self._login = k8s.core.v1.Secret(
            f"{name}-login",
            metadata={"namespace": args.namespace},
            string_data=_credentials(config) | _remote(config, own),
            opts=child,
        ).metadata.name
        port = urlsplit(config.endpoint).port or 443
        allow_addresses(name, "archive", config.ranges, port, args.namespace, child)
        if own:
            allow_agent(name, args.namespace, child)
        self.ready = own.pods.ready if own else []
        self.register_outputs({"files": self._files, "login": self._login})

    def step(self, folder: str, dumps: k8s.core.v1.VolumeArgsDict, result: str) -> JobStep:
        """Copies what is in `folder`, and leaves a line about it in the file `result`."""
        config, own = self._args.config, self._args.own
        return sql_step(
            "archive",
            "archive.sh",
            image=config.image,
            files=self._files,
            login=self._login,
            env={
                "BACKUPS": folder,
                "TARGET": f"archive:{config.bucket}",
                "DAYS": str(CATCH_UP_DAYS),
                "DAILY": str(config.daily).lower(),
                "WEEKLY_DAY": str(DAYS.index(config.weekly_day)),
                "DAILY_KEEP_DAYS": str(config.daily_keep_days),
                "WEEKLY_KEEP_DAYS": str(config.weekly_keep_days),
                "PRUNE": str(config.prune).lower(),
                "RESULT": result,
            },
            mounts={folder: dumps},
            read_only=(folder,),
            labels=reaches("archive", SERVER) if own else reaches("archive"),
            service_account=own.pods.service_account if own else None,
        )


def _credentials(config: ArchiveConfig) -> dict[str, pulumi.Input[str]]:
    names = {"accessKeyId": "AWS_ACCESS_KEY_ID", "secretAccessKey": "AWS_SECRET_ACCESS_KEY"}
    return {names[key]: pulumi.Output.secret(value) for key, value in config.keys.items()}


def _remote(config: ArchiveConfig, own: OwnBucket | None) -> dict[str, pulumi.Input[str]]:
    """What rclone knows as `archive:`; it has no file for it."""
    settings: dict[str, pulumi.Input[str]] = {
        "TYPE": "s3",
        "PROVIDER": "AWS" if own else "Other",
        "ENV_AUTH": "true",
        "REGION": own.region if own else config.region,
        # The bucket exists, and the role may not make one.
        "NO_CHECK_BUCKET": "true",
        # Four parts at once fit into the container's memory; larger files get larger parts.
        "CHUNK_SIZE": "16Mi",
        "UPLOAD_CONCURRENCY": "4",
    }
    if own:
        # Said with each object: the service's own key would be taken for kms without a name.
        settings |= {"SERVER_SIDE_ENCRYPTION": "aws:kms", "SSE_KMS_KEY_ID": own.key_arn}
        # The only ACL that a bucket without ACLs takes; rclone would send "private".
        settings["ACL"] = "bucket-owner-full-control"
    else:
        settings["ENDPOINT"] = config.endpoint
    # In memory: the root is read-only.
    remote: dict[str, pulumi.Input[str]] = {"RCLONE_CONFIG": "/notfound", "RCLONE_TRANSFERS": "1"}
    if config.ca_file:
        remote["RCLONE_CA_CERT"] = f"{FILES}/ca.pem"
    return remote | {f"RCLONE_CONFIG_ARCHIVE_{name}": v for name, v in settings.items()}
