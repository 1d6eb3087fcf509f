"""From a running database to a copy that is proven equal: the backup and the restore test.

Leaves out copies elsewhere; the rows are tasks of the sample application.
"""

import json
import time
from dataclasses import dataclass
from typing import Annotated

import typer

from commands import job_results
from commands.options import AsJson, Kubeconfig
from commands.options import Stack as StackName
from components.backups import DUMP, RESTORE_TEST
from drills.figures import Figure, await_quiet, publish
from drills.stack import Stack, running

AUTHOR = "restore drill"
# Every column of every row; the restore test compares it with the answer at the dump.
CONTENT = "SELECT count(*), md5(string_agg(tasks::text, '' ORDER BY id)) FROM tasks"


@dataclass(frozen=True, kw_only=True)
class Round:
    dump_s: float
    restore_s: float
    differences: int
    """Rows that the copy has more or less."""


def drill(stack: Stack) -> Round:
    await_quiet()
    began = time.monotonic()
    dump = _job(stack, DUMP)
    dumped = time.monotonic()
    restored = _job(stack, RESTORE_TEST)
    ended = time.monotonic()
    if restored.facts["dump"] != dump.facts["dump"] or restored.facts["statements"] != 1:
        raise RuntimeError(f"another dump was tested: {restored.words}")
    return Round(
        dump_s=dumped - began,
        restore_s=ended - dumped,
        differences=abs(restored.facts["rows"] - dump.facts["rows"]),
    )


def _job(stack: Stack, cron_job: str) -> job_results.JobResult:
    result = job_results.run_now(stack.api, stack.namespace, cron_job)
    if not result.ok:
        raise RuntimeError(f"{cron_job} {result.words}")
    return result


def main(
    rows: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="That the database gets.")
    ] = 20_000,
    rounds: Annotated[int, typer.Option("--rounds", "-n", min=1, max=20, help="How often.")] = 5,
    stack: StackName = "dev",
    kubeconfig: Kubeconfig = None,
    as_json: AsJson = False,
) -> None:
    """Dumps tasks, restores them into a scratch server, and compares every row."""
    found = running(stack, kubeconfig)
    found.up(backupVerifySql=json.dumps([CONTENT]))
    try:
        found.psql(
            "insert into tasks (title, created_by) select 'Task ' || n || repeat('.', 100), "
            f"'{AUTHOR}' from generate_series(1, {rows}) n"
        )
        done = [drill(found) for _ in range(rounds)]
    finally:
        found.psql(f"delete from tasks where created_by = '{AUTHOR}'")
        found.up()
        _job(found, DUMP)  # the newest dump is one of the stack's own configuration again
    figures = [
        Figure(name=f"dump of {rows} rows", unit="s", values=[r.dump_s for r in done]),
        Figure(name="restore and comparison", unit="s", values=[r.restore_s for r in done]),
        Figure(
            name="dump to verified copy",
            unit="s",
            values=[r.dump_s + r.restore_s for r in done],
            at_most=10,
        ),
        Figure(
            name="rows that differ",
            unit="",
            values=[r.differences for r in done],
            at_most=0,
            worst_counts=True,
        ),
    ]
    publish("restore", figures, as_json=as_json)
