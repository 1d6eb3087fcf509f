"""Why an object does not get ready: its pods, their events and last log lines, without secrets.

Leaves out judging readiness (readiness.py).
"""

import base64
import binascii
from collections.abc import Callable, Iterable
from typing import Any

from offline.direct.kubernetes_api import ApiError, Body, KubernetesApi
from offline.direct.readiness import pod_reason
from offline.render import Manifest

Mask = Callable[[str], str]

# Shorter values are words that stand in messages by chance.
SHORTEST_SECRET = 6
PODS, EVENTS, LOG_LINES = 3, 3, 12


def masking(values: Iterable[str], plan: Iterable[Manifest]) -> Mask:
    """A function that blanks out generated values and everything in the plan's Secrets."""
    secrets = {*values, *(v for m in plan if m.kind == "Secret" for v in _decoded(m.body))}
    longest_first = sorted((s for s in secrets if len(s) >= SHORTEST_SECRET), key=len, reverse=True)

    def mask(text: str) -> str:
        for secret in longest_first:
            text = text.replace(secret, "[secret]")
        return text

    return mask


def _decoded(secret: Body) -> Iterable[str]:
    for value in secret["data"].values():
        yield value
        try:
            yield base64.b64decode(value).decode()
        except (UnicodeDecodeError, binascii.Error):
            continue


def pods(api: KubernetesApi, live: Body) -> list[Body]:
    """The pods that a workload or Service selects, the ones in trouble first."""
    if live["kind"] == "Pod":
        return [live]
    selector: dict[str, Any] = live["spec"].get("selector") or {}
    labels: dict[str, str] = selector.get("matchLabels", selector)
    if not labels:
        return []
    found = api.list(
        "v1", "Pod", live["metadata"]["namespace"], ",".join(f"{k}={v}" for k, v in labels.items())
    )
    return sorted(found, key=lambda pod: not pod_reason(pod))


def reason(api: KubernetesApi, live: Body) -> str:
    """The trouble of one of its pods in one line, if there is any."""
    for pod in pods(api, live):
        if why := pod_reason(pod):
            return f"{pod['metadata']['name']} {why}"
    return ""


def explain(api: KubernetesApi, live: Body, mask: Mask) -> str:
    """What a person needs to see to repair it."""
    lines = _events(api, live)
    for pod in pods(api, live)[:PODS]:
        status = pod.get("status", {})
        why = pod_reason(pod) or "no trouble seen"
        lines.append(f"pod {pod['metadata']['name']}: {status.get('phase')}, {why}")
        lines += [f"  {line}" for line in [*_events(api, pod), *_logs(api, pod)]]
    return mask("\n".join(f"  {line}" for line in lines))


def _events(api: KubernetesApi, live: Body) -> list[str]:
    metadata = live["metadata"]
    fields = f"involvedObject.name={metadata['name']},type=Warning"
    found = api.list("v1", "Event", metadata["namespace"], fields=fields)
    found.sort(key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
    return [f"event {e['reason']}: {e['message'].strip()}" for e in found[-EVENTS:]]


def _logs(api: KubernetesApi, pod: Body) -> Iterable[str]:
    status = pod.get("status", {})
    started: list[Body] = status.get("initContainerStatuses", []) + status.get(
        "containerStatuses", []
    )
    for container in started:
        if container.get("ready") and "running" in container.get("state", {}):
            continue
        # A container that waits for its next try says why in the log of the last one.
        previous = "waiting" in container["state"] and "terminated" in container["lastState"]
        try:
            lines = api.logs(
                pod["metadata"]["namespace"],
                pod["metadata"]["name"],
                container["name"],
                tail_lines=LOG_LINES,
                previous=previous,
            )
            yield from (f"log {container['name']}: {line}" for line in lines)
        except ApiError as error:
            if error.status != 400:  # 400: the container has not started yet
                raise
