"""`nextstack env`: the application's configuration as the stack computed it."""

import json
import os
import secrets
import shlex
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.options import Kubeconfig, Stack

if TYPE_CHECKING:
    from components.contract import Variable


class Format(StrEnum):
    DOTENV = "dotenv"
    JSON = "json"
    SHELL = "shell"
    GITHUB = "github"


def env(
    stack: Stack = "dev",
    kubeconfig: Kubeconfig = None,
    format: Annotated[Format, typer.Option(help="How to write it.")] = Format.DOTENV,
    build: Annotated[
        bool,
        typer.Option("--build/--run", help="What the image is built with, or its pods run with."),
    ] = False,
    example: Annotated[
        bool,
        typer.Option("--example", help="Print .env.example: every variable's meaning, no values."),
    ] = False,
) -> None:
    """Print the application's environment variables, secrets in clear.

    In a GitHub workflow the format github adds them to the job's environment and masks secrets.
    """
    from commands import deploy
    from components.contract import TABLE

    if example:
        print(example_file(TABLE), end="")
        return
    outputs = deploy.outputs(stack, kubeconfig)
    variables: dict[str, str] = outputs["buildEnv" if build else "runtimeEnv"]
    file = os.environ.get("GITHUB_ENV")
    if format is Format.GITHUB and file:
        plain = {variable.name for variable in TABLE if not variable.secret}
        print(masks(value for name, value in variables.items() if name not in plain), end="")
        with Path(file).open("a") as job:
            job.write(written(variables, format))
    else:
        print(written(variables, format), end="")


def example_file(table: Iterable["Variable"]) -> str:
    """The contract as a dotenv file without values (EN-2)."""
    head = "# What the platform gives to the application. Made by: ./nextstack env --example\n"
    return head + "".join(_described(variable) for variable in table)


def _described(variable: "Variable") -> str:
    words = [variable.source.value, *(["secret"] if variable.credential else [])]
    words += ["also for the image build"] if variable.build else []
    words += [] if variable.required else ["optional"]
    return (
        f"\n# {variable.about} ({', '.join(words)})\n"
        f"# allowed: {variable.rule.allowed}\n"
        f"{variable.name}=\n"
    )


def written(variables: Mapping[str, str], format: Format) -> str:
    """The variables as text that the format's reader turns into the same values."""
    if format is Format.JSON:
        return json.dumps(dict(variables), indent=2, sort_keys=True) + "\n"
    write = {Format.DOTENV: _dotenv, Format.SHELL: _shell, Format.GITHUB: _github}[format]
    return "".join(write(name, variables[name]) for name in sorted(variables))


def masks(secret_values: Iterable[str]) -> str:
    """What hides values in a workflow's log; each line of a value is masked by itself."""
    lines = {line for value in secret_values for line in value.splitlines() if line.strip()}
    return "".join(f"::add-mask::{line}\n" for line in sorted(lines))


def _dotenv(name: str, value: str) -> str:
    """In quotes that the value does not have: dotenv knows no way to escape them."""
    quote = next((q for q in "'`\"" if q not in value), "")
    if not quote:
        raise ValueError(f"{name} has all three kinds of quotes, which dotenv can't express")
    return f"{name}={quote}{value}{quote}\n"


def _shell(name: str, value: str) -> str:
    return f"export {name}={shlex.quote(value)}\n"


def _github(name: str, value: str) -> str:
    """With an end mark that nobody can put into a value."""
    end = f"end-{secrets.token_hex(8)}"
    return f"{name}<<{end}\n{value}\n{end}\n"
