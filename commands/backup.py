"""`nextstack backup` and `verify`: the scheduled jobs, run now and waited for."""

import typer

from commands.options import AsJson, Kubeconfig, Stack


def backup(stack: Stack = "dev", kubeconfig: Kubeconfig = None, as_json: AsJson = False) -> None:
    """Dump the database now, as the schedule does."""
    from components.backups import DUMP

    _run(stack, kubeconfig, DUMP, as_json)


def verify(stack: Stack = "dev", kubeconfig: Kubeconfig = None, as_json: AsJson = False) -> None:
    """Restore the newest dump into a scratch server and check it, as the schedule does."""
    from components.backups import RESTORE_TEST

    _run(stack, kubeconfig, RESTORE_TEST, as_json)


def _run(stack: str, kubeconfig: Kubeconfig, cron_job: str, as_json: bool) -> None:
    import json
    from dataclasses import asdict

    from commands import deploy, job_results
    from local.progress import console

    api = deploy.connect(stack, deploy.running_cluster(stack, kubeconfig))
    result = job_results.run_now(api, deploy.setting(stack, "namespace"), cron_job)
    if as_json:
        print(json.dumps(asdict(result)))
    else:
        console.print(f"{cron_job} {result.words}", markup=False)
    if not result.ok:
        raise typer.Exit(1)
