"""`nextstack rollback`: the release before this one, or a named one, runs again (RB-9).

The program is run again with the earlier image, so the stack's state and configuration say what
runs. Leaves out the schema: migrations are additive, and taking one back is a person's work (RB-8).
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from commands.options import AsJson, Kubeconfig, Stack
from commands.smoke import Paths

LIMIT_S = 300.0
"""Of the whole run (RO-1)."""
SETTLE_S = 30.0
# The earlier release's migrations ran when it was new; a newer schema must not see them again.
NO_MIGRATION = {"appMigrationCommand": "[]"}

Settle = Annotated[
    float, typer.Option("--settle", min=0, help="Seconds that the pods have to stay ready.")
]


@dataclass(frozen=True, kw_only=True)
class Done:
    taken_back: str
    """Version that ran before."""
    running: str
    """Version that runs now."""
    image: str
    recovered_s: float
    """Until all pods of the earlier release were ready and no other was left."""
    seconds: float
    """Of the whole run."""
    problems: list[str]
    """What the smoke test found."""


def rollback(
    to: Annotated[
        str, typer.Option(help="Version, image or digest; by default the release before.")
    ] = "",
    from_: Annotated[
        str, typer.Option("--from", help="Version that has to run now; otherwise nothing is done.")
    ] = "",
    reason: Annotated[str, typer.Option(help="Why, for the team and the status page.")] = "by hand",
    stack: Stack = "dev",
    kubeconfig: Kubeconfig = None,
    path: Paths = None,
    settle: Settle = SETTLE_S,
    as_json: AsJson = False,
) -> None:
    """Run the earlier release again, test it and tell the team; exit code 1 if it is not well."""
    from dataclasses import asdict

    done = roll_back(
        stack,
        kubeconfig,
        to=to,
        from_=from_,
        reason=reason,
        paths=path or [],
        settle_s=settle,
    )
    if as_json:
        print(json.dumps(asdict(done), indent=2))
    if done.problems:
        raise typer.Exit(1)


def roll_back(
    stack: str,
    kubeconfig: Path | None,
    *,
    to: str,
    from_: str,
    reason: str,
    paths: list[str],
    settle_s: float,
) -> Done:
    """Target, earlier digest, readiness, smoke test, status page and team, in this order."""
    from commands import deploy, release, smoke
    from commands.notices import tell
    from local.progress import console

    began = time.monotonic()
    api = deploy.connect(stack, deploy.running_cluster(stack, kubeconfig))
    namespace = deploy.setting(stack, "namespace")
    known = release.releases(api, namespace)
    if from_ not in ("", known.running.version):
        raise RuntimeError(f"there is nothing to take back: {known.running.version} runs")
    target = known.target(to)
    console.print(f"back from {known.running.words} to {target.words}: {reason}", markup=False)
    given = {"image": target.image, "deploymentVersion": target.version} | NO_MIGRATION
    try:
        deploy.change_release(stack, kubeconfig, given)
        recovered_s = time.monotonic() - began
        release.await_settled(api, namespace, settle_s)
    except Exception as error:  # whatever it is, somebody has to be told
        first_line = str(error).partition("\n")[0]
        tell(stack, "failing", f"{known.running.version} could not be taken back: {first_line}")
        raise
    checks = smoke.ask(deploy.site_url(stack), paths)
    problems = [f"{check.path}: {text}" for check in checks for text in check.problems]
    done = Done(
        taken_back=known.running.version,
        running=target.version,
        image=target.image,
        recovered_s=round(recovered_s, 1),
        seconds=round(time.monotonic() - began, 1),
        problems=problems,
    )
    tell(stack, "rolled-back" if not problems else "failing", _message(done, reason))
    return done


def _message(done: Done, reason: str) -> str:
    late = f", over the {LIMIT_S:.0f} s it may take" if done.seconds > LIMIT_S else ""
    return (
        f"rolled back from {done.taken_back} to {done.running} ({reason}): recovered in "
        f"{done.recovered_s} s, {done.seconds} s in all{late}; smoke test "
        + ("; ".join(done.problems) if done.problems else "passed")
    )
