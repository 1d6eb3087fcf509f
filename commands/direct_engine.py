"""The way to deploy where there is no Pulumi CLI: dev stacks only, state in the cluster."""

from collections.abc import Mapping
from dataclasses import dataclass

from offline.direct import stack as direct
from offline.direct import state
from offline.direct.kubernetes_api import KubernetesApi
from offline.direct.stack import Result
from offline.recorder import PROJECT, stack_settings
from offline.render import refuse_encrypted


@dataclass(frozen=True, kw_only=True)
class DirectEngine:
    stack_name: str
    api: KubernetesApi
    has_cli: bool
    """Whether the Pulumi CLI is here too, and only the stack's state is not."""

    @property
    def title(self) -> str:
        why = "its state is in the cluster" if self.has_cli else "the Pulumi CLI is not here"
        return f"server-side apply, because {why}"

    def up(self, overrides: Mapping[str, str]) -> Result:
        refuse_encrypted(self.stack_name)
        settings = stack_settings(self.stack_name, **overrides)
        return direct.up(self.api, self.stack_name, settings, overrides)

    def down(self) -> int:
        return direct.down(self.api, self.stack_name, stack_settings(self.stack_name))

    def last(self) -> Result | None:
        """What the last complete run left."""
        namespace = stack_settings(self.stack_name)[f"{PROJECT['name']}:namespace"]
        kept = state.read(self.api, namespace, self.stack_name)
        return direct.result(kept) if kept and kept.outputs else None
