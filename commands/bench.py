"""`nextstack bench`: load and faults against a running stack; what measures is in drills/."""

from typing import Annotated

import typer

# Everything after `bench` is for the drills' own command line.
SETTINGS = {"ignore_unknown_options": True, "help_option_names": list[str]()}


def bench(
    arguments: Annotated[
        list[str] | None, typer.Argument(help="A drill and its options; none lists the drills.")
    ] = None,
) -> None:
    """Measure a running stack: how fast it is, and how fast it recovers from faults."""
    from drills.__main__ import app

    app(arguments or ["--help"], prog_name="nextstack bench")
