"""Applies manifests in dependency order and waits until what others depend on is ready.

Leaves out where the manifests come from and what was there before (direct.py).
"""

import re
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from enum import StrEnum
from graphlib import TopologicalSorter

from local.progress import console, step
from offline.direct import failure
from offline.direct.kubernetes_api import ApiError, Body, KubernetesApi
from offline.direct.readiness import Readiness, Stage, pod_reason, readiness
from offline.direct.state import Reference, reference
from offline.render import MANAGED_BY, STACK_LABEL, Manifest

POLL_S = 0.3
# Until then a pod that is not ready is just starting, and asking for reasons is only load.
QUIET_S = 2.0
# The API server's words for a field that can't be changed in a living object.
IMMUTABLE = re.compile(r"immutable|may not change once set|fields other than|cannot change roleRef")
HOLDS_DATA = ("PersistentVolumeClaim", "StatefulSet")


class ApplyError(Exception):
    """What could not be brought up, why, and what to do."""


class Change(StrEnum):
    CREATED = "created"
    CHANGED = "changed"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"
    DELETED = "deleted"


class Applying:
    """One run over a plan; independent branches go on side by side, each in a thread."""

    def __init__(
        self, api: KubernetesApi, stack_name: str, plan: dict[str, Manifest], mask: failure.Mask
    ) -> None:
        self._api, self._stack_name, self._plan, self._mask = api, stack_name, plan, mask
        self._stop = threading.Event()
        self.changes: Counter[Change] = Counter()
        self._done: set[str] = set()

    def first(self, wanted: str) -> None:
        """Applies one object ahead of the others, if the plan has it."""
        for urn, manifest in self._plan.items():
            if f"{manifest.kind}/{manifest.name}" == wanted:
                self._finish(urn, self._bring(manifest))

    def all(self, before: Mapping[str, set[str]]) -> None:
        """Applies the rest, each object once everything before it is ready."""
        sorter = TopologicalSorter(before)
        sorter.prepare()
        running: dict[Future[Change], str] = {}
        with (
            step("Kubernetes objects", total=len(self._plan)) as shown,
            ThreadPoolExecutor(max_workers=len(self._plan) or 1) as pool,
        ):
            shown.advance(len(self._done))
            try:
                while sorter.is_active():
                    for urn in sorter.get_ready():
                        if urn in self._plan and urn not in self._done:
                            running[pool.submit(self._bring, self._plan[urn])] = urn
                        else:
                            sorter.done(urn)
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        self._finish(running[future], future.result())
                        sorter.done(running.pop(future))
                        shown.advance()
            except BaseException:
                self._stop.set()  # the pool waits for its threads, so they must end
                raise

    def _finish(self, urn: str, change: Change) -> None:
        self._done.add(urn)
        self.changes[change] += 1

    def _bring(self, manifest: Manifest) -> Change:
        change, live = self._apply(manifest)
        if manifest.waits:
            self._wait(manifest, live)
        return change

    def _apply(self, manifest: Manifest) -> tuple[Change, Body]:
        before = self._live(manifest)
        if before is not None and owner(before) != self._stack_name:
            raise ApplyError(
                f"{title(manifest)} exists and belongs to something else; "
                "delete it, or give the stack another namespace"
            )
        if before is not None and _is_failed_job(before):
            self._api.delete(before, "Foreground")  # what made it fail may be repaired by now
            before = self._live(manifest)
        if before is not None and "deletionTimestamp" in before["metadata"]:
            self._until_gone(manifest)
            before = None
        kept = {part: before[part] for part in manifest.ignored} if before else {}
        try:
            after = self._api.apply(manifest.body | kept)
        except ApiError as error:
            if before is None or not IMMUTABLE.search(str(error)):
                raise ApplyError(self._mask(f"{title(manifest)} is refused: {error}")) from error
            return Change.REPLACED, self._replace(manifest, before, error)
        if before is None:
            return Change.CREATED, after
        same = _content(before) == _content(after)
        return Change.UNCHANGED if same else Change.CHANGED, after

    def _replace(self, manifest: Manifest, before: Body, error: ApiError) -> Body:
        if manifest.kind in HOLDS_DATA:
            raise ApplyError(
                self._mask(f"{title(manifest)} can't be changed in place: {error}\n")
                + "take the change back, or replace it; its volumes stay as they are:\n"
                f"  kubectl --namespace {manifest.namespace} delete {manifest.kind.lower()} "
                f"{manifest.name} --cascade=orphan\nand run up again"
            )
        console.print(f"{title(manifest)} is replaced, because it can't be changed in place")
        self._api.delete(before, "Foreground")
        self._until_gone(manifest)
        return self._api.apply(manifest.body)

    def _live(self, manifest: Manifest) -> Body | None:
        return get(self._api, reference(manifest))

    def _until_gone(self, manifest: Manifest) -> None:
        deadline = time.monotonic() + manifest.timeout_s
        with step(f"{title(manifest)}: delete the old one"):
            while self._live(manifest) is not None:
                self._pause(manifest, deadline, "the old one is not gone")

    def _wait(self, manifest: Manifest, live: Body) -> None:
        found = self._readiness(live)
        if found.stage is Stage.READY:
            return
        began = time.monotonic()
        with step(title(manifest)) as shown:
            while found.stage is not Stage.READY:
                if found.stage is Stage.FAILED:
                    raise ApplyError(self._failed(manifest, live, found.reason))
                waited = time.monotonic() - began
                trouble = failure.reason(self._api, live) if waited > QUIET_S else ""
                if trouble and live["kind"] == "StatefulSet":
                    self._unblock(live)
                shown.update(detail=self._mask(trouble or found.reason))
                try:
                    self._pause(manifest, began + manifest.timeout_s, found.reason)
                except TimeoutError as error:
                    raise ApplyError(self._failed(manifest, live, str(error))) from error
                again = self._live(manifest)
                if again is None:
                    raise ApplyError(f"{title(manifest)} was deleted by someone else; run up again")
                live, found = again, self._readiness(again)

    def _unblock(self, live: Body) -> None:
        """Deletes pods of a former version that can't get ready.

        The controller replaces one pod after the other and waits for the broken one for ever
        (Kubernetes, StatefulSets, "Forced rollback").
        """
        for pod in failure.pods(self._api, live):
            version = pod["metadata"]["labels"].get("controller-revision-hash")
            if pod_reason(pod) and version != live["status"].get("updateRevision"):
                self._api.delete(pod)

    def _pause(self, manifest: Manifest, deadline: float, reason: str) -> None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{reason} after {manifest.timeout_s} s")
        if self._stop.wait(POLL_S):
            raise ApplyError(f"{title(manifest)}: stopped, because something else failed")

    def _readiness(self, live: Body) -> Readiness:
        if live["kind"] != "Service":
            return readiness(live)
        metadata = live["metadata"]
        labels = f"kubernetes.io/service-name={metadata['name']}"
        slices = self._api.list(
            "discovery.k8s.io/v1", "EndpointSlice", metadata["namespace"], labels
        )
        return readiness(live, slices)

    def _failed(self, manifest: Manifest, live: Body, why: str) -> str:
        told = failure.explain(self._api, live, self._mask)
        return self._mask(f"{title(manifest)} did not get ready: {why}\n{told}")


def title(manifest: Manifest) -> str:
    return f"{manifest.kind} {manifest.name}"


def owner(live: Body) -> str:
    """The stack whose object it is; none where the engine or a person made it."""
    labels = live["metadata"].get("labels", {})
    return labels.get(STACK_LABEL, "") if labels.items() >= MANAGED_BY.items() else ""


def _is_failed_job(live: Body) -> bool:
    return live["kind"] == "Job" and readiness(live).stage is Stage.FAILED


def _content(live: Body) -> Body:
    """The object without what the API server and controllers keep about it."""
    kept = {k: v for k, v in live.items() if k not in ("metadata", "status")}
    books = ("generation", "managedFields", "resourceVersion")
    return kept | {"metadata": {k: v for k, v in live["metadata"].items() if k not in books}}


def get(api: KubernetesApi, wanted: Reference) -> Body | None:
    return api.get(wanted.apiVersion, wanted.kind, wanted.name, wanted.namespace)
