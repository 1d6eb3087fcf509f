"""`nextstack watch`: looks at a release for a while, and takes it back if it must (RB-1 to 3).

What visitors get comes from nginx's access logs; a site whose cluster is out of reach is only
probed. Leaves out everything after the watch: then there is nothing to undo, and alarms page.
"""

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.options import AsJson, Kubeconfig
from commands.rollback import SETTLE_S, Done, Settle, roll_back
from commands.smoke import Paths
from commands.triggers import EXIT_CODES, Judge, Rules, Trigger

if TYPE_CHECKING:
    from commands.release import Release
    from offline.direct.kubernetes_api import KubernetesApi

MINUTES = 30.0  # DE-2


@dataclass(frozen=True, kw_only=True)
class Place:
    """A stack whose cluster answers, and the release that it runs at the beginning."""

    stack: str
    kubeconfig: Path | None
    api: "KubernetesApi"
    namespace: str
    release: "Release"


@dataclass(frozen=True, kw_only=True)
class Report:
    subject: str
    """Version that was watched; the address where only that is known."""
    seconds: float
    """Until the trigger, else of the whole watch."""
    outcomes: dict[int, int]
    """How many requests were answered with each status; 0 is no answer."""
    trigger: Trigger | None
    why: str
    rolled_back: Done | None

    @property
    def words(self) -> str:
        found = f"{self.trigger} after {self.seconds} s, {self.why}" if self.trigger else "well"
        counts = ", ".join(f"{n} x {status}" for status, n in sorted(self.outcomes.items()))
        return f"{self.subject} was watched: {found}; {counts or 'no request'}"


def watch(
    url: Annotated[
        str, typer.Option(help="Site to probe without its cluster; by default the stack's.")
    ] = "",
    stack: Annotated[str, typer.Option(help="Which Pulumi.<stack>.yaml to watch.")] = "dev",
    kubeconfig: Kubeconfig = None,
    minutes: Annotated[float, typer.Option(min=0, help="How long.")] = MINUTES,
    scale: Annotated[
        float, typer.Option(min=0.001, max=1, help="Shortens all times, for drills.")
    ] = 1,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Run the earlier release again if need be.")
    ] = False,
    alarm: Annotated[
        list[str] | None,
        typer.Option(help="CloudWatch alarm that counts too, by the AWS CLI; repeatable."),
    ] = None,
    path: Paths = None,
    settle: Settle = SETTLE_S,
    as_json: AsJson = False,
) -> None:
    """Watch a release after its roll-out: errors, slowness, health.

    Exit code 0 if nothing was found, 11 for errors (RB-1), 12 for slowness (RB-2), 13 for health
    (RB-3), 14 for an alarm, and 1 if the release could not be taken back.
    """
    from commands import deploy
    from commands.notices import tell
    from commands.observe import Site, observe
    from commands.release import note_proven
    from commands.traffic import follow
    from local.progress import console

    if url and rollback:
        raise ValueError("got --url with --rollback, allowed one of them; name the --stack instead")
    judge, place = Judge(rules := Rules().scaled(scale)), None if url else _place(stack, kubeconfig)
    if place:
        follow(place.api, place.namespace, judge.request_now)
    site = Site(
        url=(url or deploy.site_url(stack)).rstrip("/"),
        paths=["/", *(path or [])],
        logged=place is not None,
        alarms=alarm or [],
    )
    subject, began = place.release.version if place else url, time.monotonic()
    console.print(f"watch {subject} for {minutes * scale:g} minutes", markup=False)
    verdict = observe(site, judge, rules, minutes * 60 * scale)
    report = Report(
        subject=subject,
        seconds=round(time.monotonic() - began, 1),
        outcomes=judge.outcomes(),
        trigger=verdict.trigger if verdict else None,
        why=verdict.why if verdict else "",
        rolled_back=None,
    )
    tell(stack if place else url, "failing" if verdict else "released", report.words)
    if place and not verdict:
        note_proven(place.api, place.namespace, place.release)
    elif place and verdict and rollback:
        done = _take_back(place, f"{verdict.trigger}: {verdict.why}", path or [], settle)
        report = replace(report, rolled_back=done)
    if as_json:
        print(json.dumps(asdict(report), indent=2))
    if verdict:
        failed = report.rolled_back is not None and report.rolled_back.problems
        raise typer.Exit(1 if failed else EXIT_CODES[verdict.trigger])


def _place(stack: str, kubeconfig: Path | None) -> Place:
    from commands import deploy
    from commands.release import releases

    api = deploy.connect(stack, deploy.running_cluster(stack, kubeconfig))
    namespace = deploy.setting(stack, "namespace")
    return Place(
        stack=stack,
        kubeconfig=kubeconfig,
        api=api,
        namespace=namespace,
        release=releases(api, namespace).running,
    )


def _take_back(place: Place, reason: str, paths: list[str], settle_s: float) -> Done:
    """Unless another release has come in between."""
    try:
        return roll_back(
            place.stack,
            place.kubeconfig,
            to="",
            from_=place.release.version,
            reason=reason,
            paths=paths,
            settle_s=settle_s,
        )
    except ValueError as error:  # nothing to go back to: no wrong usage, but the end of the plan
        raise RuntimeError(str(error)) from error
