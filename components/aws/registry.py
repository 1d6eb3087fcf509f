"""Where the application's images are kept: a private repository whose tags never move.

Leaves out who pushes (ci_access.py) and the pull: nodes of the account may by their own role.
"""

import json
from dataclasses import dataclass

import pulumi
from pulumi_aws import ecr

from components.aws.kms import encryption_key
from components.aws.registry_config import RegistryConfig


@dataclass(frozen=True, kw_only=True)
class RegistryArgs:
    config: RegistryConfig
    account_id: str
    keep_data: bool = True
    """Whether the images outlive the stack; by default so, a rollback needs them."""


class Registry(pulumi.ComponentResource):
    url: pulumi.Output[str]
    """What an image's name starts with."""

    def __init__(
        self, name: str, args: RegistryArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:Registry", name, {}, opts)
        kept = pulumi.ResourceOptions(parent=self, protect=args.keep_data)
        tags = {"nextstack/component": name}
        key = encryption_key(name, "images of the application", args.account_id, tags, kept)
        repository = ecr.Repository(
            name,
            name=args.config.name,
            # A tag is a commit, for ever; else a rollback could bring back anything.
            image_tag_mutability="IMMUTABLE",
            image_scanning_configuration={"scan_on_push": True},
            encryption_configurations=[{"encryption_type": "KMS", "kms_key": key.arn}],
            force_delete=False,
            tags=tags,
            opts=pulumi.ResourceOptions.merge(
                kept, pulumi.ResourceOptions(retain_on_delete=args.keep_data)
            ),
        )
        ecr.LifecyclePolicy(
            name,
            repository=repository.name,
            policy=json.dumps(_lifecycle(args.config)),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.url = repository.repository_url
        self.register_outputs({"url": self.url})


def _lifecycle(config: RegistryConfig) -> dict[str, object]:
    """Layers that no tag names go soon; of the others the newest stay."""
    expire = {"type": "expire"}
    return {
        "rules": [
            {
                "rulePriority": 1,
                "description": "without a tag",
                "selection": {
                    "tagStatus": "untagged",
                    "countType": "sinceImagePushed",
                    "countUnit": "days",
                    "countNumber": config.untagged_days,
                },
                "action": expire,
            },
            {
                "rulePriority": 2,
                "description": "older than the newest",
                "selection": {
                    "tagStatus": "any",
                    "countType": "imageCountMoreThan",
                    "countNumber": config.keep_images,
                },
                "action": expire,
            },
        ]
    }
