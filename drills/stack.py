"""A running stack as the drills see it: its API, addresses, pods, and how to change it.

Leaves out stacks whose data is worth protecting: drills kill servers and write rows.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands import deploy, pods
from commands.deploy import Engine
from offline.direct.kubernetes_api import ApiError, Body, KubernetesApi
from offline.direct.readiness import Stage, readiness

# What `up` gives a stack beside its file.
BUILT = ("image", "deploymentVersion")
POLL_S = 0.2
READY_S = 240  # longer than a deployment may take without progress


@dataclass(frozen=True, kw_only=True)
class Stack:
    api: KubernetesApi
    engine: Engine
    namespace: str
    outputs: dict[str, Any]
    """The stack's outputs, secrets in clear."""
    overrides: dict[str, str]
    """What the stack was given beside its file."""

    def service(self, name: str) -> str:
        """Address of a Service; the machine of the local cluster has a route to it."""
        return self._get("v1", "Service", name)["spec"]["clusterIP"]

    def site(self) -> str:
        """URL of nginx without the proxy that leads to it from localhost."""
        port = self._get("v1", "Service", "nginx")["spec"]["ports"][0]["nodePort"]
        [node, *_] = self.api.list("v1", "Node")
        addresses = {a["type"]: a["address"] for a in node["status"]["addresses"]}
        return f"http://{addresses['InternalIP']}:{port}"

    def web(self) -> str:
        """URL of the application's pods without nginx."""
        port = self._get("v1", "Service", "web")["spec"]["ports"][0]["port"]
        return f"http://{self.service('web')}:{port}"

    def pods(self, component: str) -> list[Body]:
        """A component's pods that are not being deleted."""
        found = pods.find(self.api, self.namespace, f"{pods.NAME_LABEL}={component}")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def stopping(self) -> list[Body]:
        """Pods that were told to end and still run."""
        found = self.api.list("v1", "Pod", self.namespace)
        return [pod for pod in found if "deletionTimestamp" in pod["metadata"]]

    def exists(self, pod: Body) -> bool:
        live = self.api.get("v1", "Pod", pod["metadata"]["name"], self.namespace)
        return live is not None and live["metadata"]["uid"] == pod["metadata"]["uid"]

    def psql(self, sql: str, database: str = "app") -> str:
        """What a statement answers that the server's own administrator sends; no errors."""
        command = ["psql", "--username=postgres", f"--dbname={database}", "--no-psqlrc"]
        answer = self.api.execute(
            self.namespace, "postgres-0", [*command, "--tuples-only", "--no-align", "-c", sql]
        )
        return answer.strip()

    def is_ready(self) -> bool:
        """Whether every workload is as it should be."""
        workloads = [
            live
            for kind in ("Deployment", "StatefulSet")
            for live in self.api.list("apps/v1", kind, self.namespace)
        ]
        return all(readiness(live).stage is Stage.READY for live in workloads)

    def await_ready(self) -> None:
        wait("the stack is ready", self.is_ready, READY_S)

    def up(self, **changes: Any) -> None:
        """Brings the stack up with changed configuration; without any, back to what it was."""
        self.engine.up(self.overrides | changes)

    def _get(self, api_version: str, kind: str, name: str) -> Body:
        found = self.api.get(api_version, kind, name, self.namespace)
        if found is None:
            raise RuntimeError(
                f"the stack has no {kind} {name}: bring it up with its application, by: "
                "./nextstack up"
            )
        return found


def running(name: str, kubeconfig: Path | None) -> Stack:
    """The stack, which must be up."""
    if deploy.setting(name, "protectData") != "false":
        raise ValueError(
            f"stack {name} holds data: got protectData true, allowed false; drills kill servers "
            "and write rows, so use the stack dev"
        )
    cluster = deploy.running_cluster(name, kubeconfig)
    engine = deploy.choose_engine(name, cluster)
    last = engine.last()
    if last is None:
        raise RuntimeError(f"stack {name} is not up; run: ./nextstack up --stack {name}")
    return Stack(
        api=deploy.connect(name, cluster),
        engine=engine,
        namespace=deploy.setting(name, "namespace"),
        outputs=last.outputs,
        # Without what a drill that was stopped may have left.
        overrides={k: v for k, v in last.overrides.items() if k in BUILT},
    )


def wait(what: str, done: Callable[[], bool], limit_s: float, pause_s: float = POLL_S) -> float:
    """Seconds until `done`; an API server that answers wrongly is asked again."""
    began = time.monotonic()
    while True:
        try:
            if done():
                return time.monotonic() - began
        except ApiError as error:
            failure = str(error)
        else:
            failure = "not yet"
        if time.monotonic() - began > limit_s:
            raise TimeoutError(f"{what}: not within {limit_s:.0f} s ({failure})")
        time.sleep(pause_s)
