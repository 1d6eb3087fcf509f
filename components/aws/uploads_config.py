"""Knobs of the bucket for users' files. Creates no resources, and leaves out pulumi_aws."""

from dataclasses import dataclass

from components.aws.bucket_name import malformed_bucket
from components.stack_config import out_of_range, refuse


@dataclass(frozen=True, kw_only=True)
class UploadsConfig:
    enabled: bool
    bucket: str
    replica_bucket: str
    old_version_days: int

    def __post_init__(self) -> None:
        # Less than 90 days in this class are paid for all the same.
        days = {"old_version_days": (90, 3650, "replaced and deleted files in GLACIER_IR")}
        problems = out_of_range(self, days)
        for field in ("bucket", "replica_bucket"):
            if name := str(getattr(self, field)):
                problems += malformed_bucket(field, name)
        if self.enabled and not self.bucket:
            problems.append("bucket is empty; name the bucket that gets users' files")
        if self.bucket and self.bucket == self.replica_bucket:
            problems.append(
                f"replica_bucket is the bucket itself: got {self.replica_bucket!r}, allowed "
                "another name; no two buckets of the world have the same"
            )
        refuse(problems)
