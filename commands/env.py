"""`nextstack env`: the application's configuration as the stack computed it."""

import json
import os
import secrets
import shlex
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from commands.options import Kubeconfig, Stack

SECRET_NAME = "app-environment"
"""Name of the Secret that the format secret writes."""


class Format(StrEnum):
    DOTENV = "dotenv"
    JSON = "json"
    SHELL = "shell"
    GITHUB = "github"
    SECRET = "secret"
    """A Kubernetes Secret."""
    SCHEMA = "schema"
    """JSON Schema of all variables; no values."""
    TYPESCRIPT = "typescript"
    """A module with zod schemas and types; no values."""


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
    offline: Annotated[
        bool,
        typer.Option(
            "--offline", help="From the committed files alone, with placeholders for secrets."
        ),
    ] = False,
) -> None:
    """Print the application's environment variables, secrets in clear.

    In a GitHub workflow the format github adds them to the job's environment and masks secrets.
    The formats schema and typescript describe the variables and need no running stack.
    """
    from commands import env_files
    from components.contract import TABLE

    if example:
        print(env_files.example(TABLE), end="")
        return
    if format in (Format.SCHEMA, Format.TYPESCRIPT):
        write = env_files.json_schema if format is Format.SCHEMA else env_files.typescript
        print(write(env_files.contract_of(stack)), end="")
        return
    variables = _variables(stack, kubeconfig, "buildEnv" if build else "runtimeEnv", offline)
    file = os.environ.get("GITHUB_ENV")
    if format is Format.GITHUB and file:
        plain = {variable.name for variable in TABLE if not variable.secret}
        print(masks(value for name, value in variables.items() if name not in plain), end="")
        with Path(file).open("a") as job:
            job.write(written(variables, format))
    else:
        print(written(variables, format), end="")


def _variables(stack: str, kubeconfig: Path | None, output: str, offline: bool) -> dict[str, str]:
    if offline:
        return _placeholders(stack, output)
    from commands import deploy

    return deploy.outputs(stack, kubeconfig)[output]


def _placeholders(stack: str, output: str) -> dict[str, str]:
    """What the program computes without any server; secrets are `<NAME>`."""
    from offline import recorder

    graph = recorder.record(
        recorder.program,
        recorder.Providers(),
        recorder.stack_settings(stack),
        stack,
        secret_keys=recorder.encrypted_keys(stack),
    )
    values = recorder.plain(graph.outputs[f"{recorder.PROJECT['name']}-{stack}"][output])
    hidden = graph.one("Secret", "environment-secret").inputs["stringData"]
    return {name: f"<{name}>" if name in hidden else value for name, value in values.items()}


def written(variables: Mapping[str, str], format: Format) -> str:
    """The variables as text that the format's reader turns into the same values."""
    if format is Format.JSON:
        return json.dumps(dict(variables), indent=2, sort_keys=True) + "\n"
    if format is Format.SECRET:
        return _secret(variables)
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


def _secret(variables: Mapping[str, str]) -> str:
    import yaml

    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET_NAME},
        "type": "Opaque",
        "stringData": dict(variables),
    }
    return yaml.safe_dump(body, sort_keys=True)
