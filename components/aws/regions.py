"""The AWS providers of a stack: one for each region it uses, for one account, with its tags.

Leaves out credentials: they come from the environment, as for every AWS tool.
"""

from dataclasses import dataclass

import pulumi

from components.stack import StackConfig

EDGE_REGION = "us-east-1"


@dataclass(frozen=True, kw_only=True)
class Regions:
    home: pulumi.ProviderResource
    recovery: pulumi.ProviderResource | None
    """Where copies go; None where the stack makes none."""
    edge: pulumi.ProviderResource
    """us-east-1, where what is the same for the whole world is kept; `home` if that is there."""


def make_regions(config: StackConfig) -> Regions | None:
    """None where the stack keeps nothing on AWS, which then is not even imported (PL-3)."""
    if not config.backend.uses_aws:
        return None
    import pulumi_aws as aws

    def provider(name: str, region: str) -> aws.Provider:
        return aws.Provider(
            name,
            region=region,
            # Credentials of another account are refused before anything is read or changed.
            allowed_account_ids=[config.aws.account_id],
            default_tags={"tags": config.site.labels},
        )

    recovery = config.aws.recovery_region
    home = provider("aws-home", config.aws.region)
    at_edge = config.aws.region == EDGE_REGION
    return Regions(
        home=home,
        edge=home if at_edge else provider("aws-edge", EDGE_REGION),
        recovery=provider("aws-recovery", recovery) if recovery else None,
    )
