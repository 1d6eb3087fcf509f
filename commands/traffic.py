"""What a stack's visitors get, from the access logs of its nginx pods.

Leaves out sites whose cluster nobody can reach: those are only probed (watch.py).
"""

import json
import threading
import time
from collections.abc import Callable, Collection

from urllib3.exceptions import HTTPError

from commands import pods
from offline.direct.kubernetes_api import ApiError, KubernetesApi

NGINX = f"{pods.NAME_LABEL}=nginx"
LOOK_AGAIN_S = 2.0

Seen = Callable[[int, float], None]
"""Takes the status and the seconds of one request; called from several threads."""


def follow(api: KubernetesApi, namespace: str, seen: Seen) -> None:
    """Goes on for as long as the program: reads what nginx logs from now on, new pods included."""
    old = {pod["metadata"]["uid"] for pod in pods.find(api, namespace, NGINX)}
    watching = threading.Thread(target=_watch, args=(api, namespace, seen, old), daemon=True)
    watching.start()


def parsed(line: str) -> tuple[int, float] | None:
    """Status and seconds of a request; None for what is no line of the access log."""
    try:
        entry = json.loads(line)
        return int(entry["status"]), float(entry["duration_s"])
    except (ValueError, KeyError, TypeError):
        return None


def _watch(api: KubernetesApi, namespace: str, seen: Seen, old: Collection[str]) -> None:
    readers: dict[str, threading.Thread] = {}
    while True:
        try:
            found = pods.find(api, namespace, NGINX)
        except ApiError:
            found = []  # an API server that is restarted comes back
        for pod in found:
            name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
            if pod["status"]["phase"] != "Running" or _is_read(readers.get(uid)):
                continue
            # A pod that started since has logged nothing that we know; a broken line has a gap.
            known = uid in old or uid in readers
            arguments = (api, namespace, name, seen, 0 if known else None)
            readers[uid] = threading.Thread(target=_read, args=arguments, daemon=True)
            readers[uid].start()
        time.sleep(LOOK_AGAIN_S)


def _is_read(reader: threading.Thread | None) -> bool:
    return reader is not None and reader.is_alive()


def _read(api: KubernetesApi, namespace: str, pod: str, seen: Seen, tail: int | None) -> None:
    try:
        for line in api.logs(namespace, pod, "nginx", follow=True, tail_lines=tail):
            if (request := parsed(line)) is not None:
                seen(*request)
    except (ApiError, HTTPError):
        return  # the pod is gone, or the connection: the next look starts another reader
