"""One stack as the program of one revision describes it, and its form as JSON.

`python -m offline.review.snapshot STACK...` prints it for the program that comes first on
Python's path, so that this recorder works on the program of another revision. Leaves out where
that program comes from (revision.py). No secret is in it: nobody decrypts here, and generated
values are made up.
"""

import json
import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pulumi.output import UNKNOWN, Unknown
from pulumi.runtime import rpc

from offline.recorder import (
    ROOT,
    Graph,
    Providers,
    Registered,
    chosen_keys,
    encrypted_keys,
    invented,
    plain,
    program,
    record,
    stack_settings,
    stack_values,
)
from offline.render import InventedNames

FORMAT = 1
"""Add 1 when the JSON form changes its meaning."""
# Providers take defaults from these, which are not the program's.
AMBIENT = ("AWS_", "KUBE", "PULUMI_K8S_")


@dataclass(frozen=True, kw_only=True)
class Variable:
    """What the contract of the environment says of a variable, whatever a stack sets."""

    required: bool
    build: bool


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    stack: str
    values: dict[str, Any]
    """The configuration by full key, defaults included, ciphertext as it is in the file."""
    chosen: list[str]
    """Those keys of it that are in the stack's own file."""
    settings: dict[str, str]
    """The same as the program gets it."""
    planned: Graph
    """What the engine previews: generated values are unknown."""
    resolved: Graph
    """The same with made-up values for all that is unknown, so that a change of them shows."""
    contract: dict[str, Variable]
    waivers: str
    """Text of the file with the exceptions from the policies."""

    @property
    def outputs(self) -> dict[str, Any]:
        """Plain values of the stack's outputs."""
        root = next(r for r in self.resolved.resources if not r.parent)
        return plain(self.resolved.outputs[root.name])


def take(stack_name: str) -> Snapshot:
    """Records a committed stack twice, for what is planned and for what can be compared."""
    settings, keys = stack_settings(stack_name), encrypted_keys(stack_name)

    def recorded(provider: Providers, *, preview: bool) -> Graph:
        quiet = not preview  # the second time
        return record(program, provider, settings, stack_name, preview, keys, quiet)

    with _own_environment():
        return Snapshot(
            stack=stack_name,
            values=stack_values(stack_name),
            chosen=chosen_keys(stack_name),
            settings=settings,
            planned=recorded(Providers(preview=True), preview=True),
            resolved=recorded(InventedNames(_made_up), preview=False),
            contract=_contract(),
            waivers=_text("policies/waivers.toml"),
        )


def as_json(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "stack": snapshot.stack,
        "values": snapshot.values,
        "chosen": snapshot.chosen,
        "settings": snapshot.settings,
        "planned": _graph_as_json(snapshot.planned),
        "resolved": _graph_as_json(snapshot.resolved),
        "contract": {name: vars(variable) for name, variable in snapshot.contract.items()},
        "waivers": snapshot.waivers,
    }


def from_json(document: Mapping[str, Any]) -> Snapshot:
    contract: dict[str, Any] = document["contract"]
    return Snapshot(
        stack=document["stack"],
        values=document["values"],
        chosen=document["chosen"],
        settings=document["settings"],
        planned=_graph_from_json(document["planned"]),
        resolved=_graph_from_json(document["resolved"]),
        contract={name: Variable(**variable) for name, variable in contract.items()},
        waivers=document["waivers"],
    )


def _made_up(kind: str, name: str, inputs: dict[str, Any]) -> str:
    """Another value after each rotation, as the provider would make it."""
    return invented(kind, f"{name} {json.dumps(inputs.get('keepers'))}", inputs)


def _contract() -> dict[str, Variable]:
    from components.contract import TABLE

    return {v.name: Variable(required=v.required, build=v.build) for v in TABLE}


def _text(path: str) -> str:
    """Text of a file of the program, empty where it has none."""
    file = ROOT / path
    return file.read_text() if file.is_file() else ""


def _graph_as_json(graph: Graph) -> dict[str, Any]:
    resources = [{k: v for k, v in vars(r).items() if k != "inputs"} for r in graph.resources]
    return cast(dict[str, Any], _encoded({"resources": resources, "outputs": graph.outputs}))


def _graph_from_json(document: Mapping[str, Any]) -> Graph:
    found: dict[str, Any] = _decoded(document)
    return Graph(
        resources=[
            Registered(**resource, inputs=plain(resource["secrets"]))
            for resource in found["resources"]
        ],
        outputs=found["outputs"],
    )


def _encoded(value: Any) -> Any:
    """`value` with the wire's own word for what is unknown."""
    if isinstance(value, Unknown):
        return rpc.UNKNOWN
    if isinstance(value, dict):
        return {k: _encoded(v) for k, v in cast(dict[str, Any], value).items()}
    if isinstance(value, list | tuple):
        return [_encoded(v) for v in cast(list[Any], value)]
    return value


def _decoded(value: Any) -> Any:
    if value == rpc.UNKNOWN:
        return UNKNOWN
    if isinstance(value, dict):
        return {k: _decoded(v) for k, v in cast(dict[str, Any], value).items()}
    if isinstance(value, list):
        return [_decoded(v) for v in cast(list[Any], value)]
    return value


@contextmanager
def _own_environment() -> Generator[None]:
    """Without what only this machine knows, else two of them would find differences."""
    kept = {k: v for k, v in os.environ.items() if k.startswith(AMBIENT)}
    for key in kept:
        del os.environ[key]
    try:
        yield
    finally:
        os.environ.update(kept)


def _main(stack_names: list[str]) -> None:
    """A stack that the revision does not have is null.

    Run in the folder of the program, which tells whether that is the one that was found.
    """
    if ROOT.resolve() != Path.cwd().resolve():
        raise RuntimeError("it has no package components with the modules that are read here")
    known = [name for name in stack_names if (ROOT / f"Pulumi.{name}.yaml").is_file()]
    found = {name: as_json(take(name)) if name in known else None for name in stack_names}
    print(json.dumps(found))


if __name__ == "__main__":
    _main(sys.argv[1:])
