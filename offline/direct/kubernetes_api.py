"""A small typed door to a cluster's API: any kind of object, as plain data.

Leaves out the official client's models and its dynamic client: the first know only built-in
kinds, the second keeps a cache in /tmp that outlives the cluster. Its connection is used here.
"""

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from kubernetes import client, config, stream
from urllib3.exceptions import HTTPError

Body = dict[str, Any]

# Who the API server notes as the manager of the fields that are sent.
FIELD_MANAGER = "nextstack"
APPLY = "application/apply-patch+yaml"
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 5, 60
# An API server that is restarted or upgraded was seen to be away for about 6 s.
AWAY_S, RETRY_S = 30, 0.5


class ApiError(Exception):
    """What the API server refused, in its words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class KubernetesApi:
    """One cluster; its methods may be called from several threads."""

    def __init__(self, kubeconfig: Path, context: str = "") -> None:
        """Uses the kubeconfig's current context unless one is named."""
        if not kubeconfig.is_file():
            raise ValueError(
                f"kubeconfig is missing: got {kubeconfig}, allowed an existing file; "
                "name one with --kubeconfig, or leave it out to use the local cluster"
            )
        loaded = cast(Any, config).new_client_from_config(
            config_file=str(kubeconfig), context=context or None, persist_config=False
        )
        loaded.configuration.retries = False  # urllib3's own retries only delay the answer
        self._client = cast(Any, client).ApiClient(loaded.configuration)
        self._answered = False
        self._kinds: dict[str, dict[str, tuple[str, bool]]] = {}

    def get(self, api_version: str, kind: str, name: str, namespace: str = "") -> Body | None:
        """The object, or None if there is none."""
        return self._json("GET", self._path(api_version, kind, namespace, name), missing_ok=True)

    def list(
        self, api_version: str, kind: str, namespace: str = "", labels: str = "", fields: str = ""
    ) -> list[Body]:
        """All objects of a kind that match the selectors."""
        query = {"labelSelector": labels, "fieldSelector": fields}
        answer = self._json("GET", self._path(api_version, kind, namespace), query) or {}
        kind_of_each = {"apiVersion": api_version, "kind": kind}  # a list says it only once
        return [kind_of_each | item for item in answer["items"]]

    def apply(self, body: Body) -> Body:
        """Makes the object have these fields, whoever set them before; returns all of it."""
        metadata = body["metadata"]
        path = self._path(
            body["apiVersion"], body["kind"], metadata.get("namespace", ""), metadata["name"]
        )
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return self._json("PATCH", path, query, body, APPLY) or {}

    def delete(
        self, live: Body, propagation: str = "Background", grace_s: int | None = None
    ) -> None:
        """Deletes exactly this object, not one that has taken its name since.

        A pod gets its own grace to stop, unless `grace_s` says otherwise.
        """
        metadata = live["metadata"]
        path = self._path(
            live["apiVersion"], live["kind"], metadata.get("namespace", ""), metadata["name"]
        )
        options = {
            "propagationPolicy": propagation,
            "preconditions": {"uid": metadata["uid"]},
        } | ({} if grace_s is None else {"gracePeriodSeconds": grace_s})
        self._json("DELETE", path, body=options, missing_ok=True)

    def logs(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        follow: bool = False,
        previous: bool = False,
        tail_lines: int | None = None,
    ) -> Iterator[str]:
        """Lines of a container's log; `previous` asks for those before its last restart."""
        query = {
            "container": container,
            "follow": str(follow).lower(),
            "previous": str(previous).lower(),
            "tailLines": "" if tail_lines is None else str(tail_lines),
        }
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        response = self._send("GET", path, query, read_timeout_s=None if follow else READ_TIMEOUT_S)
        rest = b""
        for chunk in response.response.stream():
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line.decode(errors="replace") for line in lines)
        if rest:
            yield rest.decode(errors="replace")

    def execute(self, namespace: str, pod: str, command: Sequence[str]) -> str:
        """What a command writes when it is run in the pod's first container."""
        # A client of its own: `stream` changes it while it runs, under other threads' feet.
        own = cast(Any, client).ApiClient(self._client.configuration)
        core = cast(Any, client).CoreV1Api(own)
        try:
            return cast(Any, stream).stream(
                core.connect_get_namespaced_pod_exec,
                pod,
                namespace,
                command=[*command],
                stderr=False,
                stdout=True,
            )
        except client.ApiException as error:
            raise ApiError(0, f"can't run a command in pod {pod}: {error}") from error

    def _path(self, api_version: str, kind: str, namespace: str, name: str = "") -> str:
        plural, namespaced = self._kind(api_version, kind)
        parts = [_root(api_version)]
        if namespaced and namespace:
            parts += ["namespaces", namespace]
        return "/".join([*parts, plural, name]).rstrip("/")

    def _kind(self, api_version: str, kind: str) -> tuple[str, bool]:
        """The kind's name in paths, and whether it lives in namespaces; asked once per version."""
        if api_version not in self._kinds:
            answer = self._json("GET", _root(api_version), missing_ok=True) or {"resources": []}
            self._kinds[api_version] = {
                r["kind"]: (r["name"], r["namespaced"])
                for r in answer["resources"]
                if "/" not in r["name"]
            }
        if kind not in self._kinds[api_version]:
            raise ApiError(404, f"the cluster has no kind {kind} in {api_version}")
        return self._kinds[api_version][kind]

    def _json(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: Body | None = None,
        content_type: str = "application/json",
        missing_ok: bool = False,
    ) -> Body | None:
        try:
            response = self._send(method, path, query, body, content_type)
        except ApiError as error:
            if missing_ok and error.status == 404:
                return None
            raise
        return json.loads(response.response.data)

    def _send(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: Body | None = None,
        content_type: str = "application/json",
        read_timeout_s: int | None = READ_TIMEOUT_S,
    ) -> Any:
        request = self._client.param_serialize(
            method,
            path,
            query_params=[(key, value) for key, value in (query or {}).items() if value],
            header_params={"Accept": "application/json", "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        # Everything sent here may be sent twice; what was never reached is reported at once.
        deadline = time.monotonic() + (AWAY_S if self._answered else 0)
        while True:
            try:
                timeouts = (CONNECT_TIMEOUT_S, read_timeout_s)
                response = self._client.call_api(*request, _request_timeout=timeouts)
                break
            except (HTTPError, client.ApiException) as error:
                # ApiException here is TLS: another cluster's certificate, no use in waiting
                if time.monotonic() > deadline or isinstance(error, client.ApiException):
                    host = self._client.configuration.host
                    why = str(error).splitlines()[:2]
                    raise ApiError(0, f"no answer from {host}: {' '.join(why)}") from error
                time.sleep(RETRY_S)
        self._answered = True
        if response.status >= 400:
            raise ApiError(response.status, _message(response.response.data))
        return response


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _message(data: bytes) -> str:
    """The text of a Status object, or whatever a proxy in between answered."""
    try:
        return json.loads(data)["message"]
    except (ValueError, KeyError):
        return data.decode(errors="replace")[:500]
