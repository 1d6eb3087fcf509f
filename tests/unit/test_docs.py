"""What the documents name exists: links, files, commands with their options, keys, variables.

Leaves out commands of other programs, and whether what is said is true.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import deploy_stack
from typer.core import TyperGroup
from typer.main import get_command

from commands.__main__ import app
from commands.cost import cost
from components.contract import CONTRACT
from drills.__main__ import app as drills
from offline.recorder import PROJECT, ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "app/README.md", *(ROOT / "docs").glob("*.md")])
KEYS = set(PROJECT["config"])
FIRST_WORDS = {found[1] for key in KEYS if (found := re.match("([a-z]+)[A-Z]", key))}
"""A name in a document that begins with one of these is held to be a key."""
# What is no key and looks like one: properties of Kubernetes, AWS and Pulumi, settings of Next.js.
OTHERS = {
    "automountServiceAccountToken",
}
FOLDERS = "app|certificates|commands|components|docs|drills|local|offline|policies|tests|\\.github"
FLAGS_WITH_VALUE = ("--stack", "-s")


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(params=PAGES, ids=named)
def page(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", _without_code(page.read_text()))
    assert [t for t in targets if not t.startswith("https://") and not _exists(page, t)] == []


def test_files_exist(page: Path) -> None:
    """Names of files in a folder of the repository; one with a placeholder is not looked at."""
    found = re.findall(rf"`((?:{FOLDERS})/[\w./-]*\w)`", page.read_text())
    near = (page.parent, ROOT)
    assert [name for name in found if not any((base / name).exists() for base in near)] == []


def test_commands_and_their_options_exist(page: Path) -> None:
    for line in re.findall(r"\./nextstack +([^`\n&|;#<>)]+)", page.read_text()):
        assert _unknown(line.split()) == [], line


def test_keys_exist(page: Path) -> None:
    known = KEYS | OTHERS | set(deploy_stack("production").outputs["nextstack-production"])
    named_keys = {key for key in _keys(page.read_text()) if not key.isupper()}
    assert named_keys - known == set()


def test_variables_exist(page: Path) -> None:
    found = set(re.findall(r"\b(?:env|secretEnv)\.([A-Z][A-Z_]+)", page.read_text()))
    assert found - {"NAME"} <= CONTRACT.keys()


@pytest.mark.parametrize("stack", ["staging", "production"])
def test_costs_are_what_the_command_says(stack: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Copy the output of `./nextstack cost --stack STACK --markdown` into docs/production.md."""
    cost(stack, as_json=False, as_markdown=True, details=False)
    assert capsys.readouterr().out.strip() in (ROOT / "docs/production.md").read_text()


def _exists(page: Path, target: str) -> bool:
    name, _, anchor = target.partition("#")
    file = page if not name else page.parent / name
    if not file.exists():
        return False
    return not anchor or anchor in _anchors(file.read_text())


def _anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    titles = re.findall(r"^#+ +(.+)$", _without_code(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def _without_code(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)


def _unknown(words: list[str]) -> list[str]:
    """What of a command line there is not."""
    command = get_command(app)
    while isinstance(command, TyperGroup) and words and re.fullmatch("[a-z][a-z-]*", words[0]):
        name, *words = words
        if name not in command.commands:
            return [name]
        command = get_command(drills) if name == "bench" else command.commands[name]
    known = {"--help", "--verbose"}
    known |= {text for p in command.params for text in (*p.opts, *p.secondary_opts)}
    return [word for word in words if word.startswith("-") and word.split("=")[0] not in known]


def _keys(text: str) -> Iterator[str]:
    for command in re.findall(r"pulumi config (?:set|rm) +([^`\n&|;]+)", text):
        yield _key_of(command.partition("#")[0])
    for span in re.findall(r"`([^`\n]+)`", _without_code(text)):
        found = re.match(r"([a-z]+)[A-Z][A-Za-z0-9]*(?=$|[:.=\[])", span)
        if found and found[1] in FIRST_WORDS:
            yield found[0]


def _key_of(arguments: str) -> str:
    words = iter(arguments.split())
    for word in words:
        if word in FLAGS_WITH_VALUE:
            next(words)
        elif not word.startswith("-"):
            return re.split(r"[.\[]", word.strip("'"))[0]
    raise AssertionError(f"no key in: {arguments}")


def test_what_does_not_exist_is_noticed() -> None:
    assert _unknown(["preview", "--stack", "S", "--agianst", "main"]) == ["--agianst"]
    assert _unknown(["recover"]) == ["recover"]
    assert _unknown(["bench", "quickly"]) == ["quickly"]
    assert list(_keys("`rdsMultiAZ: true` and `pulumi config set --stack S drmode none`")) == [
        "drmode",
        "rdsMultiAZ",
    ]
    assert _anchors("# A: `b`, c's") == {"a-b-cs"}
