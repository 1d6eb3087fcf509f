"""Runs a Pulumi program without an engine and keeps what it registers, as plain data.

Leaves out what the engine does with it: no state, no diff, no provider, no network.
"""

import asyncio
import gc
import hashlib
import json
import logging
import os
import runpy
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

import pulumi
import yaml
from pulumi.runtime import mocks, resource, rpc, stack
from pulumi.runtime.proto import resource_pb2, source_pb2
from pulumi.runtime.settings import SETTINGS

from components import stack_config
from offline import lazy_sdk


def read_yaml(file: Path) -> dict[str, Any]:
    """A file of the program; by libyaml, which takes a tenth of the time."""
    return yaml.load(file.read_bytes(), yaml.CSafeLoader)


# Where the program is: another checkout may come first on Python's path, see revision.py.
ROOT = Path(stack_config.__file__).parent.parent
PROJECT = read_yaml(ROOT / "Pulumi.yaml")

os.environ["PULUMI_ERROR_OUTPUT_STRING"] = "true"  # an Output in an f-string raises
logging.getLogger("nextstack.quiet").disabled = True
lazy_sdk.install()
# Only the engine shows where in the program a resource is; to find out takes a tenth of the time.
cast(Any, resource)._get_stack_trace = source_pb2.StackTrace

Generate = Callable[[str, str, dict[str, Any]], str]
"""Gives a random resource's value, from its type's last word, its name and its inputs."""


def invented(kind: str, name: str, inputs: dict[str, Any]) -> str:
    """A value of the right form that anybody can compute from the name: for tests and previews."""
    return (hashlib.sha256(name.encode()).hexdigest() * 4)[: inputs["length"]]


class Providers(mocks.Mocks):
    """Answers for the providers: generated secrets, names of Kubernetes objects, AWS addresses."""

    invents = True
    """Whether what only a cloud would know is made up: good for looking at a stack only."""

    def __init__(self, generate: Generate = invented, preview: bool = False) -> None:
        self._generate = generate
        self._preview = preview

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        wire: dict[str, Any] = cast(Any, args).inputs
        state, inputs = dict(wire), plain(wire)
        kind = args.typ.rsplit(":", 1)[1]
        if kind == "RandomPassword" and not self._preview:
            # Mocks ignore which outputs a schema calls secret.
            state["result"] = pulumi.Output.secret(self._generate(kind, args.name, inputs))
        if kind == "RandomId" and not self._preview:
            hexadecimal = hashlib.sha256(args.name.encode()).hexdigest()
            state["hex"] = hexadecimal[: 2 * inputs["byteLength"]]
        if self.invents and not self._preview:
            state = _made_up(args.typ, args.name, inputs) | state
            if "vpcConfig" in state:  # what EKS adds to what it is given
                group = {"clusterSecurityGroupId": "sg-00000000000000000"}
                state["vpcConfig"] = cast(dict[str, Any], state["vpcConfig"]) | group
        if args.typ.startswith("kubernetes:"):
            metadata: dict[str, Any] = plain(state.get("metadata", {}))
            state["metadata"] = {"name": self.object_name(kind, args.name, inputs)} | metadata
        return f"{args.name}-id", state

    def object_name(self, kind: str, name: str, inputs: dict[str, Any]) -> str:
        """The name of a Kubernetes object whose inputs name none."""
        return name

    def call(self, args: mocks.MockCallArgs) -> Any:
        raise NotImplementedError(f"the program may look nothing up: {args.token}")


def _made_up(type_: str, name: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """What only AWS would know, in its form."""
    if type_.endswith(":Service") and inputs["spec"].get("type") == "LoadBalancer":
        return {"status": {"loadBalancer": {"ingress": [{"hostname": f"{name}.invented.elb"}]}}}
    if not type_.startswith("aws:"):
        return {}
    service = type_.removeprefix("aws:").split("/")[0]
    return {
        "name": name,
        "arn": f"arn:aws:{service}:zz-none-1:000000000000:{name}",
        "address": f"{name}.invented.rds.amazonaws.com",
        "primaryEndpointAddress": f"master.{name}.invented.cache.amazonaws.com",
        "endpoint": f"https://{name}.invented.eks.amazonaws.com",
        "certificateAuthority": {"data": "aW52ZW50ZWQ="},
        "latestVersion": 1,
        "allocationId": f"eipalloc-{name}",
        "zoneId": f"Z{name}",
        "hostedZoneId": f"Z{name}",
        "nameServers": [f"{number}.{name}.invented.awsdns" for number in range(4)],
        "domainName": f"{name}.invented.cloudfront.net",
        "domainValidationOptions": [
            {
                "domainName": host,
                "resourceRecordName": f"_proof.{host}.",
                "resourceRecordType": "CNAME",
                "resourceRecordValue": "_proof.invented.acm-validations.aws.",
            }
            for host in (inputs.get("domainName"), *inputs.get("subjectAlternativeNames", []))
        ],
        "fqdn": inputs.get("name", ""),
        "repositoryUrl": f"000000000000.dkr.ecr.zz-none-1.amazonaws.com/{inputs.get('name')}",
        **{f"default{kind}Id": f"{name}-{kind}" for kind in ("RouteTable", "NetworkAcl")},
    }


@dataclass(frozen=True, kw_only=True)
class Registered:
    """One resource as the engine would have received it; wire form, so keys are camelCase."""

    type: str
    name: str
    parent: str
    """URN of the parent; empty for the stack."""
    provider: str
    protect: bool
    retain_on_delete: bool
    """Whether it stays when it leaves the program."""
    ignore_changes: tuple[str, ...]
    depends_on: tuple[str, ...]
    """URNs of all resources that come first, by reference or by option."""
    property_depends_on: dict[str, list[str]]
    """URNs of the resources that a property refers to."""
    aliases: tuple[str, ...]
    """URNs under which the engine may know it."""
    inputs: dict[str, Any]
    """Plain values; secrets are unwrapped, see `secrets`."""
    secrets: dict[str, Any]
    """The same with secrets still wrapped (`rpc.is_rpc_secret`)."""
    urn: str
    object_name: str
    """Name of the Kubernetes object; empty for everything else."""


@dataclass
class Graph:
    """Everything that one run of the program registered, in order."""

    resources: list[Registered] = field(default_factory=lambda: list[Registered]())
    outputs: dict[str, dict[str, Any]] = field(default_factory=lambda: dict[str, dict[str, Any]]())
    """Outputs by the name of the component or stack; secrets are still wrapped."""

    def all(self, kind: str) -> list[Registered]:
        """The resources whose type ends with `kind`."""
        return [r for r in self.resources if r.type.endswith(f":{kind}")]

    def one(self, kind: str, name: str = "") -> Registered:
        """The only resource whose type ends with `kind` and whose name contains `name`."""
        found = [r for r in self.all(kind) if name in r.name]
        if len(found) != 1:
            raise LookupError(f"{len(found)} resources are a {kind} {name}: {found}")
        return found[0]


class Recorder(mocks.MockMonitor):
    """A monitor that keeps what the SDK asks the engine to register."""

    def __init__(self, provider: mocks.Mocks) -> None:
        super().__init__(provider)
        self.graph = Graph()
        self._requests: dict[str, resource_pb2.RegisterResourceRequest] = {}

    def RegisterResource(self, request: resource_pb2.RegisterResourceRequest) -> Any:
        urn = self.make_urn(request.parent, request.type, request.name)
        # setdefault, because requests come from several threads
        if self._requests.setdefault(urn, request) is not request:
            raise ValueError(f"two resources have the same URN: {urn}; rename one of them")
        response = cast(Any, super()).RegisterResource(request)
        wire = rpc.deserialize_properties(request.object, keep_unknowns=True)
        object_name = ""
        if request.type.startswith("kubernetes:"):
            object_name = cast(Any, self.resources[urn]).state["metadata"]["name"]
        self.graph.resources.append(
            Registered(
                type=request.type,
                name=request.name,
                parent=request.parent,
                provider=request.provider,
                protect=request.protect,
                retain_on_delete=request.retainOnDelete,
                ignore_changes=tuple(request.ignoreChanges),
                depends_on=tuple(sorted(request.dependencies)),
                property_depends_on={
                    key: sorted(found.urns) for key, found in request.propertyDependencies.items()
                },
                aliases=tuple(self._alias(request, a) for a in cast(Any, request).aliases),
                inputs=cast(dict[str, Any], plain(wire)),
                secrets=wire,
                urn=urn,
                object_name=object_name,
            )
        )
        return response

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        """The engine's form: all types from the outermost component down to the resource."""
        outer = parent.split("::")[2] if parent else "pulumi:pulumi:Stack"
        types = type_ if outer == "pulumi:pulumi:Stack" else f"{outer}${type_}"
        return f"urn:pulumi:{pulumi.get_stack()}::{pulumi.get_project()}::{types}::{name}"

    def _alias(self, request: resource_pb2.RegisterResourceRequest, alias: Any) -> str:
        if alias.urn:
            return alias.urn
        spec = alias.spec
        parent = "" if spec.noParent else spec.parentUrn or request.parent
        return self.make_urn(parent, spec.type or request.type, spec.name or request.name)

    def RegisterResourceOutputs(self, request: resource_pb2.RegisterResourceOutputsRequest) -> Any:
        name = request.urn.rsplit("::", 1)[1]
        self.graph.outputs[name] = rpc.deserialize_properties(request.outputs, keep_unknowns=True)
        return cast(Any, super()).RegisterResourceOutputs(request)


def plain(value: Any) -> Any:
    """`value` without the wrapping of secrets, at any depth, and whole numbers as integers."""
    value = rpc.unwrap_rpc_secret(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)  # the wire knows only floats; Kubernetes refuses 3.0 for an integer
    if isinstance(value, dict):
        return {k: plain(v) for k, v in cast(dict[str, Any], value).items()}
    if isinstance(value, list):
        return [plain(v) for v in cast(list[Any], value)]
    return value


def record(
    program: Callable[[], object],
    provider: mocks.Mocks,
    config: Mapping[str, str] | None = None,
    stack_name: str = "test",
    preview: bool = False,
    secret_keys: list[str] | None = None,
    quiet: bool = False,
) -> Graph:
    """Registers `program` and its stack outputs, in an event loop and context of its own.

    `quiet` is for a second run, whose warnings are those of the first.
    """
    recorder = Recorder(provider)

    async def run() -> None:
        program()
        root = pulumi.runtime.get_root_resource()
        assert isinstance(root, stack.Stack)
        root.register_outputs(root.outputs)
        await _settled()

    async def main() -> None:
        logger = logging.getLogger("nextstack.quiet") if quiet else None
        mocks.set_mocks(
            provider, PROJECT["name"], stack_name, preview, logger=logger, monitor=recorder
        )
        await stack.run_pulumi_func(run)

    pulumi.runtime.set_all_config(dict(config or {}), secret_keys or [])
    with _without_collector():
        asyncio.run(main())
    return recorder.graph


async def _settled() -> None:
    """Waits for all registrations and outputs at once.

    The SDK goes on as soon as one output is known, and then looks at all others again.
    """
    settings = cast(Any, SETTINGS)  # its attributes are those of the running program
    while True:
        await stack.wait_for_rpcs(await_all_outstanding_tasks=False)
        with settings.lock:
            pending: list[asyncio.Task[Any]] = list(settings.outputs)
            settings.outputs.clear()
        if not pending:
            return
        await asyncio.gather(*pending)


@contextmanager
def _without_collector() -> Generator[None]:
    """No search for cycles: the SDKs' thousands of classes would be searched again and again."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        _keep_what_was_imported()
        if collects:
            gc.enable()


@cache
def _keep_what_was_imported() -> None:
    """Once, as the first recording imports the SDKs: no later search looks at their classes."""
    gc.freeze()


def program() -> None:
    """The committed program."""
    runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__")


def stack_values(stack_name: str) -> dict[str, Any]:
    """A committed stack's configuration, defaults included, ciphertext as it is in the file."""
    project = PROJECT["name"]
    declared: dict[str, Any] = PROJECT["config"]
    values = {f"{project}:{k}": v["default"] for k, v in declared.items() if "default" in v}
    return values | _stack_file(stack_name)["config"]


def stack_settings(stack_name: str, **overrides: Any) -> dict[str, str]:
    """A committed stack's configuration as the engine hands it over, defaults included.

    Only the engine can decrypt; an encrypted value is UNREADABLE here.
    """
    values = _decrypted(stack_values(stack_name))
    values |= {f"{PROJECT['name']}:{k}": v for k, v in overrides.items()}
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in values.items()}


def encrypted_keys(stack_name: str) -> list[str]:
    """The keys of a committed stack that are encrypted as a whole or in part."""
    config: dict[str, Any] = _stack_file(stack_name)["config"]
    return [key for key, value in config.items() if _decrypted(value) != value]


def chosen_keys(stack_name: str) -> list[str]:
    """The keys of a committed stack that do not have their default."""
    return list(_stack_file(stack_name)["config"])


def _stack_file(stack_name: str) -> dict[str, Any]:
    file = ROOT / f"Pulumi.{stack_name}.yaml"
    if not file.is_file():
        known = sorted(path.name.split(".")[1] for path in ROOT.glob("Pulumi.*.yaml"))
        raise ValueError(
            f"stack is unknown: got {stack_name!r}, allowed {', '.join(known)}; "
            f"choose one, or write {file.name}"
        )
    return read_yaml(file)


def _decrypted(value: Any) -> Any:
    if isinstance(value, list):
        return [_decrypted(item) for item in cast(list[Any], value)]
    if not isinstance(value, dict):
        return value
    given = cast(dict[str, Any], value)
    if given.keys() == {"secure"}:
        return stack_config.UNREADABLE
    return {key: _decrypted(item) for key, item in given.items()}
