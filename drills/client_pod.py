"""A pod beside the stack that has PostgreSQL's programs and may log in, directly and by the pool.

It is made like those of the backup job: the same image, restrictions and login, by reference.
"""

import secrets
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from components.backups import DUMP
from drills.stack import Stack, wait
from offline.direct.kubernetes_api import Body
from offline.direct.readiness import Stage, readiness

START_S = 60
LIFE_S = 1800  # a drill that was stopped leaves no pod running for longer
MEMORY_MIB = 512
"""For a thousand clients of pgbench."""


@dataclass(frozen=True, kw_only=True)
class ClientPod:
    stack: Stack
    name: str

    def run(self, script: str) -> str:
        """Output of a shell script, errors included, and its exit code as the last line."""
        command = ["sh", "-c", f"( {script} ) 2>&1; echo $?"]
        return self.stack.api.execute(self.stack.namespace, self.name, command)

    def must(self, script: str) -> str:
        """The same for one that has to succeed, without its code."""
        output, _, code = self.run(script).rstrip().rpartition("\n")
        if code != "0":
            raise RuntimeError(f"{script.split()[0]} in {self.name} ended with {code}: {output}")
        return output

    def log(self) -> list[str]:
        return list(self.stack.api.logs(self.stack.namespace, self.name, "client"))


@contextmanager
def client_pod(stack: Stack, script: str = f"exec sleep {LIFE_S}") -> Generator[ClientPod]:
    """The pod while its shell script runs; it finds DATABASE_URL and libpq's direct login."""
    name = f"drill-{secrets.token_hex(4)}"
    live = stack.api.apply(_body(stack, name, script))
    try:
        wait(f"pod {name}", lambda: _is_ready(stack, name), START_S)
        yield ClientPod(stack=stack, name=name)
    finally:
        stack.api.delete(live, grace_s=0)


def _is_ready(stack: Stack, name: str) -> bool:
    live = stack.api.get("v1", "Pod", name, stack.namespace)
    return live is not None and readiness(live).stage is Stage.READY


def _body(stack: Stack, name: str, script: str) -> Body:
    job = stack.api.get("batch/v1", "CronJob", DUMP, stack.namespace)
    web = stack.api.list(
        "apps/v1", "Deployment", stack.namespace, "app.kubernetes.io/component=web"
    )
    if job is None or not web:
        raise RuntimeError(
            "the stack has no database in the cluster or no application; drills of the pool need "
            "both: ./nextstack up"
        )
    template = job["spec"]["jobTemplate"]["spec"]["template"]
    [container] = template["spec"]["containers"]
    [server] = web[0]["spec"]["template"]["spec"]["containers"]
    client = {
        **container,
        "name": "client",
        "command": ["sh", "-c", script],
        "envFrom": [*container["envFrom"], *(e for e in server["envFrom"] if "secretRef" in e)],
        "resources": {"limits": {"memory": f"{MEMORY_MIB}Mi"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": stack.namespace,
            "labels": {
                **template["metadata"]["labels"],
                "app.kubernetes.io/name": "drill",
                "nextstack/reaches-pgbouncer": "true",
            },
        },
        "spec": {
            **template["spec"],
            "containers": [client],
            "activeDeadlineSeconds": LIFE_S,
            "restartPolicy": "Never",
        },
    }
