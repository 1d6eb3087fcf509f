"""Choosing an engine and bringing a stack up with it, the sample application included."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from commands.cluster import Cluster, choose, is_running, load_image
from commands.direct_engine import DirectEngine
from commands.pulumi_engine import PulumiEngine, find_pulumi
from local import image_app, images
from local.progress import console
from offline.direct import stack as direct
from offline.direct import state
from offline.direct.apply import Change
from offline.direct.kubernetes_api import KubernetesApi
from offline.direct.stack import Result
from offline.recorder import PROJECT, ROOT, Graph, stack_settings

APP = ROOT / "app"


class Engine(Protocol):
    @property
    def title(self) -> str: ...

    def up(self, overrides: Mapping[str, str]) -> Result: ...

    def down(self) -> int: ...

    def last(self) -> Result | None: ...


def setting(stack_name: str, key: str) -> str:
    """One value of a committed stack's configuration, as the engine hands it over."""
    return stack_settings(stack_name)[f"{PROJECT['name']}:{key}"]


def site_url(stack_name: str) -> str:
    """Where a committed stack's visitors go."""
    scheme = "https" if setting(stack_name, "https") == "true" else "http"
    return f"{scheme}://{setting(stack_name, 'domain')}"


def connect(stack_name: str, cluster: Cluster) -> KubernetesApi:
    context = setting(stack_name, "kubeContext") if cluster.own is None else ""
    return KubernetesApi(cluster.kubeconfig, context)


def choose_engine(stack_name: str, cluster: Cluster) -> Engine:
    """The Pulumi CLI where it is, unless the stack was brought up without it."""
    api = connect(stack_name, cluster)
    cli = find_pulumi()
    if cli is None or state.read(api, setting(stack_name, "namespace"), stack_name) is not None:
        return DirectEngine(stack_name=stack_name, api=api, has_cli=cli is not None)
    return PulumiEngine(stack_name=stack_name, program=cli, kubeconfig=cluster.kubeconfig)


def pulumi_only(stack_name: str, kubeconfig: Path | None) -> PulumiEngine:
    """The engine of a stack with data to protect."""
    cli = find_pulumi()
    if cli is None:
        raise direct.needs_engine(stack_name, "up")
    return PulumiEngine(stack_name=stack_name, program=cli, kubeconfig=kubeconfig)


def change_release(stack_name: str, kubeconfig: Path | None, given: Mapping[str, str]) -> None:
    """Brings a stack up with other values of the release's keys, which stay until the next one."""
    if setting(stack_name, "protectData") != "false":
        engine = pulumi_only(stack_name, kubeconfig)
        engine.write(given)
        console.print(f"Pulumi.{stack_name}.yaml says so now, without migrations: commit it")
        engine.up({})
        return
    engine = choose_engine(stack_name, running_cluster(stack_name, kubeconfig))
    last = engine.last()
    engine.up({**(last.overrides if last else {}), **given})
    if setting(stack_name, "image"):
        console.print(f"Pulumi.{stack_name}.yaml still has the release that was replaced")


def forget(stack_name: str) -> None:
    """Drops what is kept outside of a cluster that goes as a whole: the Pulumi CLI's state."""
    if cli := find_pulumi():
        PulumiEngine(stack_name=stack_name, program=cli, kubeconfig=None).forget()


def outputs(stack_name: str, kubeconfig: Path | None) -> dict[str, Any]:
    """The outputs of a stack that is up."""
    if setting(stack_name, "protectData") != "false":
        last = pulumi_only(stack_name, kubeconfig).last()
    else:
        cluster = running_cluster(stack_name, kubeconfig)
        last = choose_engine(stack_name, cluster).last()
    if last is None:
        raise RuntimeError(
            f"stack {stack_name} is not up; run: ./nextstack up --stack {stack_name}"
        )
    return last.outputs


def running_cluster(stack_name: str, kubeconfig: Path | None) -> Cluster:
    """The cluster of a stack that is up."""
    cluster = choose(kubeconfig)
    if not is_running(cluster):
        raise RuntimeError(
            f"{cluster.title} does not run; start it with: ./nextstack up --stack {stack_name}"
        )
    return cluster


def image_refs(graph: Graph) -> set[str]:
    """The images of all containers."""
    return {ref for resource in graph.resources for ref in _images(resource.inputs)}


def _images(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in cast(dict[str, Any], value).items():
            if key == "image" and isinstance(item, str):
                yield item
            else:
                yield from _images(item)
    elif isinstance(value, list):
        for item in cast(list[Any], value):
            yield from _images(item)


def with_sample_app(engine: Engine, cluster: Cluster, source: Path = APP) -> Result:
    """Brings the stack up with the application built for it.

    The image needs values that only the stack knows, so the first run takes two passes. Later
    runs start from the values of the last, and take a second pass only if these have changed.
    """
    version = image_app.version(source)
    build_env = _expected_build_env(engine.last(), version)
    while True:
        overrides = {"deploymentVersion": version}
        if build_env is not None:
            overrides["image"] = _build(cluster, source, build_env)
        result = engine.up(overrides)
        if build_env == result.outputs["buildEnv"]:
            return result
        build_env = result.outputs["buildEnv"]


def _expected_build_env(last: Result | None, version: str) -> dict[str, str] | None:
    """The last run's values, under the version of the present sources."""
    if last is None:
        return None
    old = last.outputs["deploymentVersion"]
    known: dict[str, str] = last.outputs["buildEnv"]
    return {name: version if value == old else value for name, value in known.items()}


def _build(cluster: Cluster, source: Path, build_env: Mapping[str, str]) -> str:
    made = image_app.build_app(source, build_env)
    # The application's archive is thin: the cluster must have the layers below it.
    load_image(cluster, images.ref("node"), made.base)
    load_image(cluster, made.ref, made.archive)
    return made.ref


def summary(changes: Mapping[Change, int]) -> str:
    done = [f"{count} {change}" for change, count in changes.items() if count]
    return ", ".join(done) or "nothing to do"
