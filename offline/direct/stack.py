"""A dev stack in a cluster without the engine: brought up, and taken away again.

It does what the engine does for Kubernetes objects and generated secrets: order, waiting, pruning,
a second run without changes. Leaves out clouds, and stacks whose data is worth protecting: those
need the engine's state, locks and history.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pulumi.runtime import rpc

from local.progress import Step, console, step
from offline.direct import failure, state
from offline.direct.apply import POLL_S, ApplyError, Applying, Change, get, owner
from offline.direct.generated import GeneratedValues
from offline.direct.kubernetes_api import KubernetesApi
from offline.direct.state import Reference, State, reference
from offline.recorder import PROJECT, Graph, plain, program, record
from offline.render import TIMEOUT_S, KubernetesNames, manifests, order

WITHOUT_ENGINE = ("kubernetes:", "nextstack:", "pulumi:", "random:")


@dataclass(frozen=True, kw_only=True)
class Result:
    changes: Counter[Change]
    outputs: dict[str, Any]
    """The stack's outputs, secrets in clear."""
    secret_outputs: list[str]
    """Which of them are secret."""
    overrides: dict[str, str]
    """What the run was given beside the stack file."""


def up(
    api: KubernetesApi,
    stack_name: str,
    settings: Mapping[str, str],
    overrides: Mapping[str, str] | None = None,
    run: Callable[[], object] = program,
) -> Result:
    """Makes the cluster have what the program describes, and no more what it had before.

    `overrides` are the part of `settings` that is not in the stack file; they are remembered.
    """
    refuse_protected(stack_name, settings)
    namespace = settings[f"{PROJECT['name']}:namespace"]
    kept = state.read(api, namespace, stack_name)
    kept = kept or State(namespace=namespace, stack_name=stack_name)
    values = GeneratedValues(kept.generated)
    graph = record(run, KubernetesNames(values), settings, stack_name, preview=True)
    _refuse_clouds(graph)
    plan = manifests(graph, stack_name)
    mask = failure.masking((value.value for value in values.used.values()), plan)
    applying = Applying(api, stack_name, {m.urn: m for m in plan}, mask)
    applying.first(f"Namespace/{namespace}")
    wanted = [reference(manifest) for manifest in plan]
    gone = [known for known in kept.objects if known not in wanted]
    # Before anything else exists, so that an interrupted run loses neither a secret nor an object.
    kept.keep(values)
    kept.objects = [*wanted, *gone]
    kept.save(api)
    applying.all(order(graph))
    left = _prune(api, stack_name, gone)
    applying.changes[Change.DELETED] = len(gone) - len(left)
    kept.objects = [*wanted, *left]
    outputs = graph.outputs[f"{PROJECT['name']}-{stack_name}"]
    kept.outputs = plain(outputs)
    kept.secret_outputs = sorted(k for k, v in outputs.items() if rpc.is_rpc_secret(v))
    kept.overrides = dict(overrides or {})
    kept.save(api)
    return result(kept, applying.changes)


def result(kept: State, changes: Counter[Change] | None = None) -> Result:
    """What a complete run left, and what it changed."""
    return Result(
        changes=changes or Counter(),
        outputs=kept.outputs,
        secret_outputs=kept.secret_outputs,
        overrides=kept.overrides,
    )


def down(api: KubernetesApi, stack_name: str, settings: Mapping[str, str]) -> int:
    """Deletes everything that `up` made, volumes included; returns how many objects there were."""
    refuse_protected(stack_name, settings, "destroy")
    kept = state.read(api, settings[f"{PROJECT['name']}:namespace"], stack_name)
    if kept is None:
        return 0
    inside = [known for known in kept.objects if known.kind != "Namespace"]
    around = [known for known in kept.objects if known.kind == "Namespace"]
    with step("delete the stack") as shown:
        _delete(api, stack_name, inside, shown)
        _delete(api, stack_name, around, shown)
    return len(kept.objects)


def refuse_protected(stack_name: str, settings: Mapping[str, str], command: str = "up") -> None:
    """Direct mode has neither the engine's locks nor its history, so it takes no risk."""
    if settings[f"{PROJECT['name']}:protectData"] != "false":
        raise needs_engine(stack_name, command)


def needs_engine(stack_name: str, command: str) -> ValueError:
    return ValueError(
        f"stack {stack_name} needs the Pulumi engine: protectData is true, allowed false; install "
        "Pulumi (https://www.pulumi.com/docs/install/), then run: "
        f"pulumi {command} --stack {stack_name}"
    )


def _refuse_clouds(graph: Graph) -> None:
    foreign = sorted({r.type for r in graph.resources if not r.type.startswith(WITHOUT_ENGINE)})
    if foreign:
        raise ValueError(
            f"{', '.join(foreign)} can't be made without the Pulumi engine; install Pulumi "
            "(https://www.pulumi.com/docs/install/), or choose backends inside the cluster"
        )


def _prune(api: KubernetesApi, stack_name: str, gone: list[Reference]) -> list[Reference]:
    """Deletes what the program no longer has; returns what stays because it holds data."""
    claims = [known for known in gone if known.kind == "PersistentVolumeClaim"]
    others = [known for known in gone if known.kind != "PersistentVolumeClaim"]
    for claim in claims:
        console.print(
            f"volume claim {claim.name} is kept though nothing uses it; delete it with: "
            f"kubectl --namespace {claim.namespace} delete pvc {claim.name}"
        )
    if others:
        with step(f"delete {len(others)} objects that are gone from the program") as shown:
            _delete(api, stack_name, others, shown)
    return claims


def _delete(api: KubernetesApi, stack_name: str, known: list[Reference], shown: Step) -> None:
    """Deletes the last made first, and waits until all are gone; foreign objects are let be."""
    leaving: list[Reference] = []
    for wanted in reversed(known):
        live = get(api, wanted)
        if live is not None and owner(live) == stack_name:
            api.delete(live, "Foreground")
            leaving.append(wanted)
    deadline = time.monotonic() + TIMEOUT_S
    while leaving := [wanted for wanted in leaving if get(api, wanted) is not None]:
        names = ", ".join(f"{wanted.kind} {wanted.name}" for wanted in leaving[:3])
        shown.update(detail=f"{len(leaving)} left: {names}")
        if time.monotonic() > deadline:
            raise ApplyError(f"{names} are not gone after {TIMEOUT_S} s; run it again")
        time.sleep(POLL_S)
