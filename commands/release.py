"""Which releases of the application a stack has had, as its cluster remembers them.

The ReplicaSets of the application's Deployment hold them, the newest ten by Kubernetes' default:
they are there whichever engine made the change, and a watch that ended well is noted on them.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from offline.direct.kubernetes_api import Body, KubernetesApi
from offline.direct.readiness import Stage, readiness

DEPLOYMENT = "web-server"
VERSION_LABEL = "app.kubernetes.io/version"
REVISION = "deployment.kubernetes.io/revision"
PROVEN = "nextstack/proven"
POLL_S = 0.5
SETTLED_LIMIT_S = 60.0
"""Beyond the seconds asked for; a rollback has five minutes in all (RO-1)."""


@dataclass(frozen=True, kw_only=True)
class Release:
    image: str
    version: str
    """Commit that the image was built from."""
    revision: int
    """The higher, the later it was rolled out."""
    proven: bool
    """Whether it was watched after its roll-out, and nothing was found."""
    replica_set: str
    """Name of its newest one: a changed environment makes another of the same release."""

    @property
    def words(self) -> str:
        return f"{self.version} ({self.image})"

    def is_same(self, other: "Release") -> bool:
        return (self.image, self.version) == (other.image, other.version)


@dataclass(frozen=True, kw_only=True)
class Releases:
    running: Release
    """What the Deployment asks for, whether its pods are ready or not."""
    earlier: Sequence[Release]
    """All others that are remembered."""

    def target(self, wanted: str = "") -> Release:
        """What to go back to: `wanted` by version or end of its digest, else what ran before.

        A proven release comes before one that nobody watched, which may have been worse still.
        """
        fitting = [r for r in self.earlier if not wanted or _is_named(r, wanted)]
        if not fitting:
            known = ", ".join(release.version for release in self.earlier) or "none"
            raise ValueError(
                "there is no such release to go back to: got "
                f"{wanted or 'no earlier one'}, allowed {known}; the cluster remembers ten"
            )
        return max(fitting, key=lambda release: (release.proven, release.revision))


def releases(api: KubernetesApi, namespace: str) -> Releases:
    deployment = api.get("apps/v1", "Deployment", DEPLOYMENT, namespace)
    if deployment is None:
        raise RuntimeError("the stack runs no application; bring it up with one")
    sets = [
        live
        for live in api.list("apps/v1", "ReplicaSet", namespace)
        if any(o["uid"] == deployment["metadata"]["uid"] for o in _owners(live))
    ]
    asked = _release(deployment, proven=False)
    newest = sorted(sets, key=_revision, reverse=True)
    proven = [r for r in (_release(live, proven=_is_noted(live)) for live in newest) if r.proven]
    known: list[Release] = []
    for live in newest:
        release = _release(live, proven=False)
        if not any(release.is_same(other) for other in known):
            known.append(_release(live, proven=any(release.is_same(p) for p in proven)))
    return Releases(
        running=next((release for release in known if release.is_same(asked)), asked),
        earlier=[release for release in known if not release.is_same(asked)],
    )


def await_settled(api: KubernetesApi, namespace: str, seconds: float) -> None:
    """Until the application's pods were ready for so long without a break."""
    limit = time.monotonic() + SETTLED_LIMIT_S + seconds
    since: float | None = None
    while since is None or time.monotonic() - since < seconds:
        deployment = api.get("apps/v1", "Deployment", DEPLOYMENT, namespace)
        found = readiness(deployment) if deployment else None
        if found is None or found.stage is not Stage.READY:
            since = None
        elif since is None:
            since = time.monotonic()
        if time.monotonic() > limit:
            reason = found.reason if found else "there is no Deployment"
            raise RuntimeError(f"the application does not stay ready: {reason}")
        time.sleep(POLL_S)


def note_proven(api: KubernetesApi, namespace: str, release: Release) -> None:
    """Remembers that the release was watched to the end, unless it was replaced meanwhile."""
    if not releases(api, namespace).running.is_same(release):
        return
    metadata = {
        "name": release.replica_set,
        "namespace": namespace,
        "annotations": {PROVEN: datetime.now(UTC).isoformat(timespec="seconds")},
    }
    api.apply({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata})


def _is_named(release: Release, wanted: str) -> bool:
    return wanted in (release.version, release.image, release.image.rpartition("@")[2])


def _owners(live: Body) -> list[Body]:
    return live["metadata"].get("ownerReferences", [])


def _is_noted(live: Body) -> bool:
    return PROVEN in live["metadata"].get("annotations", {})


def _revision(live: Body) -> int:
    return int(live["metadata"].get("annotations", {}).get(REVISION, 0))


def _release(live: Body, *, proven: bool) -> Release:
    template = live["spec"]["template"]
    return Release(
        image=template["spec"]["containers"][0]["image"],
        version=template["metadata"].get("labels", {}).get(VERSION_LABEL, ""),
        revision=_revision(live),
        proven=proven,
        replica_set=live["metadata"]["name"],
    )
