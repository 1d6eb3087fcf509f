"""`nextstack up`: a cluster if none is named, the images, the platform, the application."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.options import AsJson, Kubeconfig, Stack

if TYPE_CHECKING:  # importing it takes half a second, which --help can do without
    from offline.direct.stack import Result

ANSWER_S = 15


def up(
    stack: Stack = "dev",
    kubeconfig: Kubeconfig = None,
    image: Annotated[
        str, typer.Option(help="Application image to run instead of building the sample.")
    ] = "",
    build: Annotated[
        bool, typer.Option(help="Build the sample application; otherwise the last image stays.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Bring a stack up; running it again repairs it, or changes nothing."""
    from commands import cluster as clusters
    from commands import deploy
    from local import images
    from local.progress import console
    from offline.preview import preview

    began = time.monotonic()
    configured = deploy.setting(stack, "image")
    given = {"image": image, "deploymentVersion": _version(image)} if image else {}
    # Everything that can be refused is refused here, before anything exists.
    any_image = (
        {}
        if image or configured
        else {"image": f"{images.REGISTRY}/app:any", "deploymentVersion": "any"}
    )
    graph = preview(stack, **(given | any_image))
    cluster = clusters.choose(kubeconfig)
    if deploy.setting(stack, "protectData") != "false":
        engine = deploy.pulumi_only(stack, kubeconfig)
    else:
        if cluster.own is not None:
            cluster.own.start()
            clusters.provide_images(cluster, deploy.image_refs(graph))
        engine = deploy.choose_engine(stack, cluster)
    console.print(f"stack {stack} on {cluster.title}, by {engine.title}", soft_wrap=True)
    sample = not (given or configured) and build and cluster.own is not None
    if given or configured:
        result = engine.up(given)
    elif sample:
        result = deploy.with_sample_app(engine, cluster)
    else:
        last = engine.last()
        result = engine.up(last.overrides if last else {})
    seconds = round(time.monotonic() - began, 1)
    console.print(f"{deploy.summary(result.changes)}, in {seconds} s")
    if as_json:
        _print_json(result, seconds)
    else:
        _farewell(result.outputs, bool(configured or "image" in result.overrides), sample)


def _print_json(result: "Result", seconds: float) -> None:
    outputs = {k: v for k, v in result.outputs.items() if k not in result.secret_outputs}
    changes = {change.value: count for change, count in result.changes.items() if count}
    print(json.dumps({"changes": changes, "seconds": seconds, "outputs": outputs}))


def _version(image: str) -> str:
    """The digest's or tag's own words."""
    return image.rsplit(":", 1)[-1][:12] if ":" in image.rsplit("/", 1)[-1] else ""


def _farewell(outputs: Mapping[str, Any], has_app: bool, sample: bool) -> None:
    from rich.console import Console

    def say(text: str) -> None:
        Console().print(text, soft_wrap=True)

    if not has_app:
        say("The platform is up, without an application: give it one with --image.")
        return
    url: str = outputs["appUrl"]
    say(f"\n[bold]{url}[/bold]  {_answer(url)}")
    say(f"{outputs['healthUrl']}  what it depends on")
    if sample:
        say("\nThe sample asks for a name and no password: open /session and choose one.")
    say("Next: ./nextstack status, logs web, env --format dotenv, backup, verify, test, down")


def _answer(url: str) -> str:
    """Whether a browser on this machine would see the site now."""
    deadline = time.monotonic() + ANSWER_S
    while True:
        began = time.monotonic()
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                taken = (time.monotonic() - began) * 1000
                return f"answers {response.status} in {taken:.0f} ms"
        except (OSError, urllib.error.URLError) as error:
            if time.monotonic() > deadline:
                return f"does not answer from this machine: {error}"
            time.sleep(0.5)
