"""Which repository's workflows may act on a stack. Creates nothing."""

import re
from dataclasses import dataclass

from components.aws.bucket_name import malformed_bucket
from components.stack_config import refuse

# GitHub's names; since July 2026 new repositories come with the numbers of owner and repository,
# which stay theirs when a name is given up and taken by somebody else.
REPOSITORY = re.compile(
    r"[A-Za-z0-9](-?[A-Za-z0-9]){0,38}(?P<owner>@\d+)?/[A-Za-z0-9._-]{1,100}(?P<own>@\d+)?"
)
ROLES = ("deploy", "read")
KEY = re.compile(r"arn:aws:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+")


@dataclass(frozen=True, kw_only=True)
class CiConfig:
    repository: str
    makes_provider: bool
    state_bucket: str
    state_key_arn: str

    def __post_init__(self) -> None:
        problems: list[str] = []
        found = REPOSITORY.fullmatch(self.repository)
        if self.repository and not (found and bool(found["owner"]) == bool(found["own"])):
            problems.append(
                f"repository is malformed: got {self.repository!r}, allowed owner/name, or "
                "owner@123/name@456 where GitHub's tokens name the numbers, or nothing"
            )
        if self.state_bucket:
            problems += malformed_bucket("state_bucket", self.state_bucket)
        if self.state_key_arn and not KEY.fullmatch(self.state_key_arn):
            problems.append(
                f"state_key_arn is malformed: got {self.state_key_arn!r}, allowed such as "
                "arn:aws:kms:us-east-1:123456789012:key/..., or nothing"
            )
        if self.repository and not self.state_bucket:
            problems.append(
                "state_bucket is empty; name the bucket of PULUMI_BACKEND_URL, which the "
                "workflows read"
            )
        refuse(problems)

    def role_names(self, prefix: str) -> dict[str, str]:
        """What the workflows' roles are called; none without a repository."""
        return {kind: f"{prefix}-{kind}" for kind in ROLES} if self.repository else {}
