"""What direct mode remembers of a stack, in one Secret of the stack's namespace.

Leaves out how objects get there (apply.py). Losing it loses the generated secrets, as losing the
engine's state would.
"""

import base64
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from offline.direct.generated import GeneratedValues
from offline.direct.kubernetes_api import Body, KubernetesApi
from offline.render import MANAGED_BY, STACK_LABEL, Manifest

NAME = "nextstack-state"


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Which object is meant, without its content."""

    apiVersion: str
    kind: str
    name: str
    namespace: str


def reference(manifest: Manifest) -> Reference:
    return Reference(
        apiVersion=manifest.body["apiVersion"],
        kind=manifest.kind,
        name=manifest.name,
        namespace=manifest.namespace,
    )


@dataclass(kw_only=True)
class State:
    namespace: str
    stack_name: str
    generated: dict[str, Any] = field(default_factory=lambda: dict[str, Any]())
    """Values of the random resources, see generated.py."""
    objects: list[Reference] = field(default_factory=lambda: list[Reference]())
    """Every object that may exist, in the order in which they were made."""
    outputs: dict[str, Any] = field(default_factory=lambda: dict[str, Any]())
    """The stack's outputs after the last complete run."""
    secret_outputs: list[str] = field(default_factory=lambda: list[str]())
    overrides: dict[str, str] = field(default_factory=lambda: dict[str, str]())
    """The configuration keys that the last run was given beside the stack file's."""

    def keep(self, values: GeneratedValues) -> None:
        self.generated = {key: asdict(value) for key, value in values.used.items()}

    def save(self, api: KubernetesApi) -> None:
        content = json.dumps(
            {
                "generated": self.generated,
                "objects": [asdict(o) for o in self.objects],
                "outputs": self.outputs,
                "secret_outputs": self.secret_outputs,
                "overrides": self.overrides,
            },
            sort_keys=True,
            default=lambda unknown: "",
        )
        api.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {
                    "name": NAME,
                    "namespace": self.namespace,
                    "labels": MANAGED_BY | {STACK_LABEL: self.stack_name},
                },
                "data": {"state": base64.b64encode(content.encode()).decode()},
            }
        )


def read(api: KubernetesApi, namespace: str, stack_name: str) -> State | None:
    """The stack's state, or None before the first run and after `down`."""
    secret = api.get("v1", "Secret", NAME, namespace)
    if secret is None:
        return None
    owner = secret["metadata"].get("labels", {}).get(STACK_LABEL)
    if owner != stack_name:
        raise ValueError(
            f"namespace {namespace} belongs to another stack: got {owner}, allowed {stack_name}; "
            "give this stack another namespace in its stack file"
        )
    return _parsed(secret, namespace, stack_name)


def _parsed(secret: Body, namespace: str, stack_name: str) -> State:
    content = json.loads(base64.b64decode(secret["data"]["state"]))
    objects = [Reference(**o) for o in content.pop("objects")]
    return State(namespace=namespace, stack_name=stack_name, objects=objects, **content)
