"""Results of the stack's scheduled jobs: each run's pod ends with a line of JSON."""

import json
import secrets
import time
from dataclasses import dataclass
from typing import Any

from commands import pods
from local.progress import step
from offline.direct.kubernetes_api import Body, KubernetesApi
from offline.direct.readiness import pod_reason

POLL_S = 0.5
OWNER = "batch.kubernetes.io/job-name"


@dataclass(frozen=True, kw_only=True)
class JobResult:
    job: str
    started: str
    """Time of the run, RFC 3339."""
    ok: bool
    facts: dict[str, Any]
    """What the run found out, or `error`."""

    @property
    def words(self) -> str:
        facts = ", ".join(f"{k} {v}" for k, v in self.facts.items() if k != "ok")
        return f"{'passed' if self.ok else 'FAILED'} at {self.started}: {facts}"


def results(api: KubernetesApi, namespace: str, cron_job: str) -> list[JobResult]:
    """The finished runs of a CronJob that the cluster still knows, the newest last."""
    jobs = {
        job["metadata"]["name"]: job
        for job in api.list("batch/v1", "Job", namespace)
        if is_of(job, cron_job) and _finished(job)
    }
    last_words = {
        pod["metadata"]["labels"].get(OWNER): pods.final_message(pod)
        for pod in sorted(
            pods.find(api, namespace), key=lambda pod: pod["metadata"]["creationTimestamp"]
        )
    }
    found = [_result(job, last_words.get(name, "")) for name, job in jobs.items()]
    return sorted(found, key=lambda result: result.started)


def run_now(api: KubernetesApi, namespace: str, cron_job: str) -> JobResult:
    """Runs a CronJob once and waits for the end; its own deadline bounds the wait."""
    scheduled = api.get("batch/v1", "CronJob", cron_job, namespace)
    if scheduled is None:
        raise RuntimeError(
            f"the cluster has no CronJob {cron_job}: this stack's database is backed up elsewhere, "
            "or the stack is not up"
        )
    job = api.apply(_one_run(scheduled, f"{cron_job}-{secrets.token_hex(4)}"))["metadata"]["name"]
    with step(cron_job) as shown:
        while True:
            time.sleep(POLL_S)
            for result in results(api, namespace, cron_job):
                if result.job == job:
                    return result
            started = pods.find(api, namespace, f"{OWNER}={job}")
            shown.update(detail=pod_reason(started[-1]) or "running" if started else "starting")


def _one_run(scheduled: Body, name: str) -> Body:
    """The Job that the CronJob's controller would make."""
    template = scheduled["spec"]["jobTemplate"]
    owner = {
        "apiVersion": scheduled["apiVersion"],
        "kind": scheduled["kind"],
        "name": scheduled["metadata"]["name"],
        "uid": scheduled["metadata"]["uid"],
        "controller": True,
    }
    metadata = {
        "name": name,
        "namespace": scheduled["metadata"]["namespace"],
        "labels": template["metadata"].get("labels", {}),
        "ownerReferences": [owner],
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"]}


def is_of(job: Body, cron_job: str) -> bool:
    """Whether a run belongs to a CronJob, by its schedule or started by hand."""
    owners = job["metadata"].get("ownerReferences", [])
    return any(o["kind"] == "CronJob" and o["name"] == cron_job for o in owners)


def _finished(job: Body) -> bool:
    conditions = job.get("status", {}).get("conditions", [])
    return any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in conditions)


def _result(job: Body, last_word: str) -> JobResult:
    facts = _facts(last_word)
    failed = job.get("status", {}).get("succeeded", 0) == 0
    return JobResult(
        job=job["metadata"]["name"],
        started=job["metadata"]["creationTimestamp"],
        ok=not failed and facts.get("ok", True),
        facts=facts,
    )


def _facts(last_word: str) -> dict[str, Any]:
    try:
        return json.loads(last_word)
    except ValueError:
        return {"error": last_word or "the run left no result"}
