"""The whole stack's configuration, and what must hold between its parts."""

from dataclasses import dataclass, field

from components.generated_secrets import SecretsConfig
from components.stack_config import UNPREFIXED


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    domain: str
    owner: str
    cost_centre: str
    protect_data: bool
    cluster_identifier: str
    kube_context: str
    namespace: str
    secrets: SecretsConfig = field(metadata=UNPREFIXED)
