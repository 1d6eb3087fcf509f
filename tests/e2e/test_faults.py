"""Faults that must cost no data: servers killed, rows deleted, dumps damaged, pods replaced."""

import json
import subprocess
import sys
import time

import httpx
from conftest import SITE, Stack, drill, eventually, nextstack

from components.backups import BACKUPS
from components.sql_job import GID, UID
from offline.recorder import ROOT


def create(title: str) -> bool:
    try:
        return httpx.post(f"{SITE}/api/tasks", json={"title": title}).status_code == 201
    except httpx.HTTPError:
        return False


def titles() -> list[str]:
    try:
        tasks = httpx.get(f"{SITE}/api/tasks").json().get("tasks", [])
    except (httpx.HTTPError, json.JSONDecodeError):
        return []
    return [task["title"] for task in tasks]


def run_in_backups(stack: Stack, script: str) -> None:
    """Runs a shell script in a pod that has the volume of dumps."""
    [claim] = [
        volume["persistentVolumeClaim"]["claimName"]
        for job in stack.objects("cronjobs")
        if job["metadata"]["name"] == "backup"
        for volume in job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    ]
    image = stack.objects("statefulsets", "--field-selector=metadata.name=postgres")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "dump-hand"},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": UID,
                "runAsGroup": GID,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "hand",
                    "image": image[0]["spec"]["template"]["spec"]["containers"][0]["image"],
                    "command": ["sh", "-euc", script],
                    "volumeMounts": [{"name": "dumps", "mountPath": BACKUPS}],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                        "readOnlyRootFilesystem": True,
                    },
                }
            ],
            "volumes": [{"name": "dumps", "persistentVolumeClaim": {"claimName": claim}}],
        },
    }
    stack.kubectl("apply", "--filename=-", stdin=json.dumps(pod))
    stack.wait("pod/dump-hand", "--for=jsonpath={.status.phase}=Succeeded")
    stack.kubectl("delete", "pod", "dump-hand")


def test_no_acknowledged_write_is_lost_when_the_caches_primary_is_killed(stack: Stack) -> None:
    """CA-5, RO-4: a new primary in less than 15 s."""
    figures = drill("redis", "--fault", "kill", "-n", "1", "--namespace", stack.namespace)
    assert figures["lost"] == 0
    assert figures["gap_s"]["max"] < 15


def test_the_site_goes_on_and_keeps_its_rows_when_the_database_restarts(stack: Stack) -> None:
    """PO-8, RO-13: clients work again in less than 30 s, without new settings."""
    title = f"Before the restart {time.time_ns()}"
    assert create(title)
    # Waits until the old server has gone: it would still take the row while it stops.
    stack.kubectl("delete", "pod", "postgres-0")
    eventually("a row is written", lambda: create(f"After {title}"), timeout_s=30)
    assert title in titles()


def test_a_dump_is_proven_and_a_damaged_one_is_found_out(stack: Stack) -> None:
    """BK-2, BK-16: the newest dump restores to what was recorded; a flipped byte fails the test."""
    title = f"To be dumped {time.time_ns()}"
    assert create(title)
    made = json.loads(nextstack("backup", "--json"))["facts"]
    assert made["ok"] is True
    assert made["rows"] >= 1
    # What is deleted afterwards is still in the dump, and does not make it wrong.
    psql = ["psql", "--username=postgres", "--dbname=app", "--no-psqlrc"]
    delete = f"delete from tasks where title = '{title}'"
    stack.execute("postgres-0", *psql, f"--command={delete}")
    assert title not in titles()
    proven = json.loads(nextstack("verify", "--json"))["facts"]
    assert proven["ok"] is True
    assert (proven["dump"], proven["rows"]) == (made["dump"], made["rows"])
    assert made["dump"] in nextstack("status")
    dump = f"{BACKUPS}/{made['dump']}/dump"
    run_in_backups(stack, f"printf X | dd of={dump} bs=1 seek=200 conv=notrunc")
    failed = subprocess.run(
        [sys.executable, "-m", "commands", "verify", "--json"], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert failed.returncode == 1
    assert json.loads(failed.stdout)["facts"]["ok"] is False
    run_in_backups(stack, f"rm -r {BACKUPS}/{made['dump']}")
    assert json.loads(nextstack("verify", "--json"))["ok"] is True
