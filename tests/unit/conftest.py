"""What the unit tests share: the graph of a component or of a committed stack."""

import ast
import gc
import json
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import pytest
import yaml

from components.stack_config import camel_case, keys, load
from offline.recorder import (
    PROJECT,
    ROOT,
    Graph,
    Providers,
    program,
    record,
    stack_settings,
)

T = TypeVar("T")

PREFIX = f"{PROJECT['name']}:"
STACKS = sorted(path.name.split(".")[1] for path in ROOT.glob("Pulumi.*.yaml"))


def deploy(function: Callable[[], object], preview: bool = False) -> Graph:
    """The graph of a part of the program."""
    return record(function, Providers(preview=preview), preview=preview)


@cache
def deploy_stack(stack_name: str, preview: bool = False, **overrides: Any) -> Graph:
    """The graph of the whole program under a committed stack file, with keys changed.

    Made once for the same arguments: tests only read it.
    """
    settings = stack_settings(stack_name, **overrides)
    return record(program, Providers(preview=preview), settings, stack_name, preview)


def knobs(cls: type[T], prefix: str, stack_name: str = "dev", **changes: Any) -> T:
    """A component's configuration as a committed stack has it, with fields changed."""
    wanted = keys(cls, prefix)
    given = {k.removeprefix(PREFIX): v for k, v in stack_settings(stack_name).items()}
    given |= {camel_case(prefix, name): _text(value) for name, value in changes.items()}
    return load(cls, {k: v for k, v in given.items() if k in wanted}, prefix=prefix)


def own_cluster() -> dict[str, Any]:
    """What docs/own-cluster.md says that a stack without AWS has to change."""
    block = (ROOT / "docs/own-cluster.md").read_text().split("```")[1].removeprefix("yaml")
    return {k.removeprefix(PREFIX): v for k, v in yaml.safe_load(block)["config"].items()}


def parsed(source: str) -> ast.Module:
    """`ast.parse` undisturbed by the collector.

    Python 3.11 cannot parse while it parses (python/cpython#106905), and a forgotten future of
    another test does that when the collector finds it: its traceback is parsed for the carets.
    """
    gc.disable()
    try:
        return ast.parse(source)
    finally:
        gc.enable()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@pytest.fixture(params=STACKS)
def stack_name(request: pytest.FixtureRequest) -> str:
    return request.param
