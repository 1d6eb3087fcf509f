"""`./nextstack`: the table of commands, and how they end when something is wrong.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 130 interrupted. Commands import what
they need when they run, so that `--help` answers at once.
"""

import sys
from typing import Annotated

import typer

from commands.backup import backup, verify
from commands.bench import SETTINGS, bench
from commands.cost import cost
from commands.doctor import doctor
from commands.down import down
from commands.env import env
from commands.graph import graph
from commands.local_cluster import local_cluster
from commands.logs import logs
from commands.preview import preview
from commands.render import render
from commands.rollback import rollback
from commands.smoke import smoke
from commands.status import status
from commands.test import test
from commands.up import up
from commands.watch import watch

FAILED, WRONG, INTERRUPTED = 1, 2, 130

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Everything a Next.js application needs, on your own infrastructure.",
)
for command in (
    *(up, down, preview, render, graph, cost, status, logs, env, doctor),
    *(smoke, watch, rollback, backup, verify, test),
):
    app.command()(command)
app.command(context_settings=SETTINGS)(bench)
app.add_typer(local_cluster, name="cluster")


@app.callback()
def options(
    context: typer.Context,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show where in the code an error comes from.")
    ] = False,
) -> None:
    context.obj = verbose


def main() -> None:
    try:
        app(prog_name="nextstack")
    except KeyboardInterrupt:
        _end("interrupted; run it again to go on", INTERRUPTED)
    except ValueError as error:
        _end(str(error), WRONG)
    except Exception as error:
        # Our own errors say enough; the name of any other one is half of its message.
        known = isinstance(error, RuntimeError) or type(error).__module__.startswith("offline.")
        _end(str(error) if known else f"{type(error).__name__}: {error}", FAILED)


def _end(message: str, code: int) -> None:
    if "--verbose" in sys.argv:
        raise
    from local.progress import console

    console.print("error:", style="bold red", end=" ")
    console.print(message, markup=False, soft_wrap=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
