"""The whole stack's configuration, and what must hold between its parts."""

import re
from dataclasses import dataclass, field

import pulumi

from components.app_config import AppConfig
from components.environment import EnvironmentConfig
from components.generated_secrets import SecretsConfig
from components.redis_settings import RedisConfig
from components.stack_config import UNPREFIXED, refuse

# RFC 1123: labels of letters, digits and inner hyphens; an optional port for development.
DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*(:\d{1,5})?")
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

# Kubernetes: a label's value, which also fits an AWS tag.
LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class SiteConfig:
    domain: str
    https: bool
    image: str
    deployment_version: str
    owner: str
    cost_centre: str
    protect_data: bool
    cluster_identifier: str
    kube_context: str
    namespace: str

    def __post_init__(self) -> None:
        problems: list[str] = []
        if not DOMAIN.fullmatch(self.domain):
            problems.append(
                f"domain is malformed: got {self.domain!r}, allowed a host such as "
                "shop.example.com or localhost:3000; leave out the scheme and the path"
            )
        if not NAME.fullmatch(self.namespace):
            problems.append(
                f"namespace is malformed: got {self.namespace!r}, allowed a-z, 0-9 and inner "
                "hyphens, at most 63 characters"
            )
        problems += [
            f"{name} is no label: got {value!r}, allowed letters, digits, - _ and . inside, at "
            "most 63 characters"
            for name, value in (("owner", self.owner), ("cost_centre", self.cost_centre))
            if not LABEL.fullmatch(value)
        ]
        if not self.cluster_identifier:
            problems.append("cluster_identifier is empty; name the cluster, whatever its address")
        if self.image and _is_floating(self.image):
            problems.append(
                f"image is not fixed: got {self.image!r}, allowed <name>@sha256:<digest> or a "
                "tag other than latest; name the image that you tested"
            )
        if self.image and self.deployment_version in ("", "latest"):
            problems.append(
                f"deployment_version is not a version: got {self.deployment_version!r}, allowed "
                "the commit that the image was built from"
            )
        refuse(problems)

    @property
    def labels(self) -> dict[str, str]:
        """What every object of the stack carries (PL-9)."""
        return {
            "nextstack/project": pulumi.get_project(),
            "nextstack/stack": pulumi.get_stack(),
            "nextstack/owner": self.owner,
            "nextstack/cost-centre": self.cost_centre,
        }

    @property
    def url(self) -> str:
        """Address of the site."""
        return f"{'https' if self.https else 'http'}://{self.domain}"


def _is_floating(image: str) -> bool:
    """Whether the reference may mean another image tomorrow."""
    tag = image.rsplit("/", 1)[-1].partition(":")[2]
    return "@sha256:" not in image and tag in ("", "latest")


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    site: SiteConfig = field(metadata=UNPREFIXED)
    secrets: SecretsConfig = field(metadata=UNPREFIXED)
    environment: EnvironmentConfig = field(metadata=UNPREFIXED)
    app: AppConfig
    redis: RedisConfig
