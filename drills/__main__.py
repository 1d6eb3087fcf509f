"""What a running stack can do and what faults cost it: `./nextstack bench`.

Figures come as minimum, median and maximum of their rounds, beside their goals. A missed goal is
no failure, because figures depend on the machine: people judge them.
"""

import typer

from drills import memory, nginx, pool, postgres, redis, release, restore, site, start, up

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__
)
for part in (start, up, memory, nginx, pool, postgres, redis, restore, site, release):
    app.command(part.__name__.rpartition(".")[2])(part.main)

if __name__ == "__main__":
    app()
