"""Faults against a running stack, with measured recovery: `python -m drills <part>`.

Leaves out load without faults, which is the benchmarks'.
"""

import typer

from drills import redis

app = typer.Typer(no_args_is_help=True, help=__doc__)
app.command("redis")(redis.main)


@app.callback()
def parts() -> None:
    """Typer would otherwise take a single command for the whole program."""


if __name__ == "__main__":
    app()
