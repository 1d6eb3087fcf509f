"""docs/requirements.md against the code: each row names components, resources and tests that exist.

Leaves out whether a test proves what its row says, which people judge.
"""

import ast
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from conftest import deploy_stack, parsed

from components.aws.alert_ladder import LADDER
from offline.recorder import ROOT, Graph, Registered

# How many of each are to be built; numbers that only documents, workflows or the application have
# are left out.
LAST: dict[str, tuple[int, set[int]]] = {
    "PL": (11, set()),
    "DB": (17, {15}),
    "PO": (10, set()),
    "BK": (22, {12, 20}),
    "CA": (6, set()),
    "WB": (14, set()),
    "HD": (9, set()),
    "RL": (5, {4}),
    "AP": (13, set()),
    "SC": (7, set()),
    "EN": (3, {2}),
    "MO": (8, set()),
    "AL": (37, set()),
    "RB": (7, {1, 2, 3, 5, 6}),
    "DT": (5, set()),
    "OP": (4, {2}),
}
WANTED = [
    f"{prefix}-{number}"
    for prefix, (last, others) in LAST.items()
    for number in range(1, last + 1)
    if number not in others
]
SHIPPED = {
    *(f"DE-{number}" for number in range(1, 10)),
    *(f"DO-{number}" for number in range(1, 7)),
    *(f"RB-{number}" for number in (1, 2, 3, 5, 6, 8, 9)),
    *(f"OP-{number}" for number in (1, 2, 4, 5, 6)),
    *("DB-15", "BK-12", "BK-20", "CA-7", "AP-14", "SC-6", "EN-2"),
}
"""What a document, a workflow or a command answers."""
IMAGE: dict[str, Any] = {"image": f"shop@sha256:{'0' * 64}", "deploymentVersion": "3f2a9c1"}
ID = re.compile(r"\b[A-Z]{2}-\d+\b")
RANGE = re.compile(r"\b([A-Z]{2})-(\d+) (?:to|…) \1-(\d+)\b")


@dataclass(frozen=True, kw_only=True)
class Row:
    id: str
    components: tuple[str, ...]
    resources: tuple[str, ...]
    switch: tuple[tuple[str, str], ...]
    """Key and value without which no committed stack has these resources."""
    tests: tuple[str, ...]


def table(number: int) -> list[list[str]]:
    """The cells of a table of the page whose lines begin with an ID."""
    part = (ROOT / "docs/requirements.md").read_text().split("\n## ")[number]
    return [line.strip("| ").split(" | ") for line in part.splitlines() if ID.match(line[2:])]


def _row(id_: str, _title: str, components: str, resources: str, tests: str) -> Row:
    named, _, switch = resources.partition(" (")
    return Row(
        id=id_,
        components=_quoted(components),
        resources=_quoted(named),
        switch=tuple((key, value) for key, value in (s.split(": ") for s in _quoted(switch))),
        tests=_quoted(tests),
    )


def _quoted(cell: str) -> tuple[str, ...]:
    return tuple(re.findall(r"`([^`]+)`", cell))


ROWS = [_row(*cells) for cells in table(1)]


def test_each_requirement_has_one_row() -> None:
    assert Counter(row.id for row in ROWS) == Counter(WANTED)
    assert len(WANTED) == 167


def test_each_document_workflow_and_command_has_a_row() -> None:
    found = {id_ for first, *_ in table(2) for id_ in _ids(first)}
    assert found >= SHIPPED


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_components_exist(row: Row) -> None:
    assert row.components
    assert [name for name in row.components if not (ROOT / "components" / name).is_file()] == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_resources_are_made_by_a_component_of_the_row(row: Row) -> None:
    for type_ in row.resources:
        assert _made(row.switch) & {(type_, name) for name in row.components}, type_


@pytest.mark.parametrize("row", [row for row in ROWS if row.switch], ids=lambda row: row.id)
def test_what_needs_a_switch_is_in_no_committed_stack(row: Row) -> None:
    made = {type_ for type_, _ in _made(())}
    assert set(row.resources) - made


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_tests_exist_and_name_the_requirement(row: Row) -> None:
    assert row.tests
    for name in row.tests:
        assert row.id in _cited(name), f"{name} does not cite {row.id}"


def test_a_range_cites_what_is_in_it() -> None:
    assert _ids("DB-1 to DB-3, WB-4") == {"DB-1", "DB-2", "DB-3", "WB-4"}


@cache
def _made(switch: tuple[tuple[str, str], ...]) -> set[tuple[str, str]]:
    """Types of resources, each with the files of the components that it is in."""
    stacks = ("production",) if switch else ("dev", "staging", "production")
    graphs = [deploy_stack(stack, **IMAGE, **dict(switch)) for stack in stacks]
    return {pair for graph in graphs for pair in _types(graph)}


def _types(graph: Graph) -> set[tuple[str, str]]:
    by_urn = {resource.urn: resource for resource in graph.resources}
    return {
        (resource.type.partition(":")[2], _source().get(owner.type, ""))
        for resource in graph.resources
        for owner in _owners(resource, by_urn)
    }


def _owners(resource: Registered, by_urn: dict[str, Registered]) -> list[Registered]:
    parent = by_urn.get(resource.parent)
    return [parent, *_owners(parent, by_urn)] if parent else []


@cache
def _source() -> dict[str, str]:
    """The file of each component, below components/, by its type."""
    folder = ROOT / "components"
    return {
        type_: str(path.relative_to(folder))
        for path in folder.rglob("*.py")
        for type_ in re.findall(r'super\(\).__init__\("([^"]+)"', path.read_text())
    }


def _cited(test: str) -> set[str]:
    """The IDs in a test, in its decorators, and in the module's data that these name."""
    file, _, name = test.partition("::")
    path = ROOT / "tests" / (file if "/" in file else f"unit/{file}")
    text, functions, data = _parsed(str(path))
    assert name in functions, f"there is no {test}"
    found, function = _ids(_segment(text, functions[name])), functions[name]
    for decorator in function.decorator_list:
        found |= _ids(_segment(text, decorator))
        names = {node.id for node in ast.walk(decorator) if isinstance(node, ast.Name)}
        for used in names & data.keys():
            found |= _ids(_segment(text, data[used]))
        if "LADDER" in names:
            found |= {rung.id for rung in LADDER}
    return found


@cache
def _parsed(path: str) -> tuple[str, dict[str, ast.FunctionDef], dict[str, ast.stmt]]:
    with open(path) as file:
        text = file.read()
    body = parsed(text).body
    functions = {node.name: node for node in body if isinstance(node, ast.FunctionDef)}
    data: dict[str, ast.stmt] = {}
    for node in body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        data |= {target.id: node for target in targets if isinstance(target, ast.Name)}
    return text, functions, data


def _segment(text: str, node: ast.AST) -> str:
    return ast.get_source_segment(text, node) or ""


def _ids(text: str) -> set[str]:
    between = {
        f"{prefix}-{number}"
        for prefix, first, last in RANGE.findall(text)
        for number in range(int(first), int(last) + 1)
    }
    return between | set(ID.findall(text))
