"""Previews against a git revision: of this repository's stacks, in repositories of the tests."""

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
from pulumi.output import Unknown
from rich.console import Console

import commands.preview
from components.contract import CONTRACT
from offline.cost import Estimate, Item
from offline.recorder import ROOT
from offline.review import comment, revision, snapshot, view
from offline.review.compare import Property
from offline.review.dangers import Danger, Kind
from offline.review.report import Finding, Report, report
from offline.review.revision import Revision
from offline.review.snapshot import Snapshot, Variable
from policies.catalogue import RULES
from policies.rule import Resource
from policies.verdicts import Verdict, Violation

BASE = Revision(name="main", commit="1234567890abcdef")
STACK = "production"
LEFT_OUT = ("app", "build", "docs", "node_modules", "tests", "__pycache__", "drills")

VIOLATION = Violation(
    rule=RULES[0],
    problem="a",
    resource=Resource(
        type="a",
        name="b",
        urn="c",
        parent="",
        protect=False,
        depends_on=(),
        inputs={},
        object_name="",
    ),
)


@cache
def taken(stack_name: str = "dev") -> Snapshot:
    return snapshot.take(stack_name)


def compared(after: Snapshot, before: Snapshot | None = None, **agreed: str) -> Report:
    return report(after, before or taken(), agreed)


def printed(found: Report, width: int = 100) -> str:
    written = io.StringIO()
    Console(width=width, file=written).print(view.show(found, BASE))
    return written.getvalue()


def with_outputs(before: Snapshot, **changed: Any) -> Snapshot:
    """A snapshot some of whose outputs are different."""
    [root] = [r for r in before.resolved.resources if not r.parent]
    outputs = {**before.resolved.outputs, root.name: before.outputs | changed}
    return replace(before, resolved=replace(before.resolved, outputs=outputs))


# A repository of its own, with the program as it is in the working tree.


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository") / "program"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".*", *LEFT_OUT))
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, "base")
    return folder


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.com")
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def commit(folder: Path, message: str) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", f"--message={message}")
    return git(folder, "rev-parse", "HEAD")


def preview(folder: Path, *arguments: str, stack: str = "dev") -> subprocess.CompletedProcess[str]:
    """The command as a shell runs it, in the program of `folder`."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "commands", "preview", "--stack", stack, *arguments],
        env={
            **os.environ,
            "PYTHONPATH": str(folder),
            "XDG_CACHE_HOME": str(folder.parent / "cache"),
            "COLUMNS": "100",
        },
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def edit(folder: Path, file: str, *changes: tuple[str, str]) -> None:
    text = (folder / file).read_text()
    for old, new in changes:
        assert old in text, f"{file} has no {old}"
        text = text.replace(old, new)
    (folder / file).write_text(text)


def administrator(folder: Path) -> None:
    edit(folder, "components/aws/rds.py", ('ADMINISTRATOR = "breakglass"', 'ADMINISTRATOR = "dba"'))


def public(folder: Path) -> None:
    edit(
        folder,
        "components/aws/rds.py",
        ("publicly_accessible=False", "publicly_accessible=True"),
    )


def half(folder: Path) -> None:
    edit(
        folder,
        f"Pulumi.{STACK}.yaml",
        ("rdsBackupRetentionDays: 30", "rdsBackupRetentionDays: 15"),
        ("recoveryRetentionDays: 30", "recoveryRetentionDays: 15"),
    )


def dropped(folder: Path) -> None:
    lines = (folder / "components/contract.py").read_text().splitlines(keepends=True)
    kept = [line for line in lines if '_plain("REDIS_TTL"' not in line]
    assert len(kept) == len(lines) - 1
    (folder / "components/contract.py").write_text("".join(kept))


@pytest.mark.parametrize(
    ("change", "kind", "subject", "problem", "fix"),
    [
        (
            administrator,
            Kind.DATA,
            "nextstack-production-1",
            "it is replaced, and the database is lost: username can't be changed in place",
            "take the change of username back (the engine refuses as long as it is protected)",
        ),
        (
            public,
            Kind.EXPOSURE,
            "nextstack-production-1",
            "publiclyAccessible opens to the whole world",
            "set publiclyAccessible to false",
        ),
        (
            half,
            Kind.BACKUP,
            "nextstack-production-1",
            "backupRetentionPeriod 30 -> 15: automatic backups go back fewer days",
            "leave it at 30",
        ),
        (
            dropped,
            Kind.ENVIRONMENT,
            "REDIS_TTL",
            "the application no longer gets this variable, which was required until now",
            "give the application REDIS_TTL back",
        ),
    ],
)
def test_a_dangerous_change_of_production_is_shown_with_its_fix(
    repository: Path,
    change: Callable[[Path], None],
    kind: Kind,
    subject: str,
    problem: str,
    fix: str,
) -> None:
    """PL-6: without network, credentials or cluster."""
    git(repository, "checkout", "--quiet", "-B", "change", "main")
    change(repository)
    try:
        done = preview(repository, "--against", "main", "--json", stack=STACK)
        assert done.returncode == 3, done.stderr
        found = [d for d in json.loads(done.stdout)["dangers"] if d["subject"] == subject]
        [danger] = [d for d in found if d["kind"] == kind]
        assert danger["problem"].startswith(problem)
        assert danger["fix"].startswith(fix)
        assert not danger["acknowledged"]
        assert git(repository, "worktree", "list").count("\n") == 0, "a worktree is left"
    finally:
        git(repository, "checkout", "--quiet", "--force", "main")


def test_a_danger_is_acknowledged_by_option_or_trailer(repository: Path) -> None:
    git(repository, "checkout", "--quiet", "-B", "change", "main")
    dropped(repository)
    try:
        done = preview(repository, "--against", "main", "--json")
        [danger] = json.loads(done.stdout)["dangers"]
        done = preview(repository, "--against", "main", f"--acknowledge={danger['id']}")
        assert done.returncode == 0, done.stdout
        assert "acknowledged on the command line" in done.stdout
        said = commit(repository, f"Drop it\n\nAcknowledge-Danger: {danger['id']}")
        done = preview(repository, "--against", "main", "--markdown")
        assert done.returncode == 0, done.stdout
        assert f"acknowledged in {said[:7]}" in done.stdout
    finally:
        git(repository, "checkout", "--quiet", "--force", "main")


def test_what_is_not_to_be_had_is_refused(repository: Path, tmp_path: Path) -> None:
    done = preview(repository, "--against", "nowhere")
    assert done.returncode == 2
    assert "against is no revision: got 'nowhere', allowed a commit, branch or tag" in done.stderr
    old = tmp_path / "old"
    shutil.copytree(repository, old)
    shutil.rmtree(old / "components")
    commit(old, "a program that nobody here can record")
    shutil.copytree(repository / "components", old / "components")
    done = preview(old, "--against", "HEAD")
    assert done.returncode == 1
    assert "recording dev of revision HEAD failed" in done.stderr
    assert "compare with a newer revision" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_revision_without_the_stack_makes_it_new(repository: Path) -> None:
    git(repository, "checkout", "--quiet", "-B", "change", "main")
    try:
        git(repository, "rm", "--quiet", "--cached", "Pulumi.dev.yaml")
        git(repository, "commit", "--quiet", "--message=without")
        done = preview(repository, "--against", "HEAD", "--json")
        found = json.loads(done.stdout)
        assert not found["against"]["hasStack"]
        assert found["dangers"] == []
        assert found["changeSummary"]["create"] == len(found["changes"]) > 50
    finally:
        git(repository, "checkout", "--quiet", "--force", "main")


# In this process, which is faster.


def test_a_snapshot_is_the_same_after_a_file() -> None:
    """Unknown values and secrets survive; so does what holds them together."""
    written = json.loads(json.dumps(snapshot.as_json(taken())))
    again = snapshot.from_json(written)
    assert compared(again).changes == ()
    assert snapshot.as_json(again) == written
    secrets = [r for r in again.planned.resources if r.type.endswith(":Secret")]
    assert any(isinstance(v, Unknown) for r in secrets for v in leaves(r.inputs))


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for item in cast(dict[str, Any], value).values() for leaf in leaves(item)]
    return [value]


def test_nothing_changed_is_said_in_few_words() -> None:
    found = compared(taken())
    assert found.counts["same"] == len(taken().resolved.resources) - 1
    assert len(printed(found).splitlines()) < 15
    assert not found.findings


def test_variables_are_compared_by_name() -> None:
    before = taken()
    env, build = before.outputs["runtimeEnv"], before.outputs["buildEnv"]
    gone = {name: value for name, value in env.items() if name not in ("REDIS_URL", "LOG_LEVEL")}
    after = with_outputs(before, runtimeEnv=gone | {"OWN": "secret-value"}, buildEnv=build | gone)
    optional = before.contract | {
        "LOG_LEVEL": Variable(required=False, build=False),
        "NODE_ENV": Variable(required=False, build=True),
    }
    found = compared(after, replace(before, contract=optional))
    assert found.variables.added == ("OWN",)
    assert found.variables.removed == ("LOG_LEVEL", "REDIS_URL")
    assert found.variables.now_required == ("NODE_ENV",)
    assert "PORT" in found.variables.now_built_in
    assert [f.danger.subject for f in found.findings] == ["REDIS_URL"]
    assert "secret-value" not in printed(found)
    assert not [v for v in CONTRACT if v not in optional]


def test_a_renamed_variable_is_missed_under_its_old_name() -> None:
    before = taken()
    env = dict(before.outputs["runtimeEnv"])
    env["SESSION_KEY"] = env.pop("NEXTAUTH_SECRET")
    settings = before.settings | {"nextstack:envNames": '{"NEXTAUTH_SECRET": "SESSION_KEY"}'}
    found = compared(replace(with_outputs(before, runtimeEnv=env), settings=settings))
    assert [f.danger.subject for f in found.findings] == ["NEXTAUTH_SECRET"]


def test_ciphertext_is_compared_and_never_shown() -> None:
    before = taken()
    values = [
        before.values | {"nextstack:secretEnv": {"OPENAI_API_KEY": {"secure": text}}}
        for text in ("v1:aaaa", "v1:bbbb")
    ]
    found = compared(replace(before, values=values[1]), replace(before, values=values[0]))
    assert [p.path for p in found.configuration] == ["secretEnv.OPENAI_API_KEY"]
    text = printed(found) + comment.comment([found], BASE) + json.dumps(view.as_json(found, BASE))
    assert "OPENAI_API_KEY: [secret] changed" in text
    assert "v1:" not in text


def test_a_new_waiver_is_a_danger() -> None:
    """Whoever waives a policy has to say so twice, and so is seen."""
    before = taken()
    bare = replace(before, waivers="")
    resources = [deepcopy(r) for r in before.planned.resources]
    server = next(r for r in resources if r.type.endswith(":Deployment"))
    server.inputs["spec"]["template"]["spec"]["hostNetwork"] = True
    broken = replace(before, planned=replace(before.planned, resources=resources), waivers="")
    found = compared(broken, bare)
    assert {v.resource.name for v in found.new} == {server.name}
    rules = {v.rule.id for v in found.new}
    waivers = "".join(
        f'[[waiver]]\nrule = "{rule}"\nstacks = ["dev"]\nresource = "*"\nreason = "test"\n'
        "expires = 2999-01-01\n"
        for rule in rules
    )
    waived = compared(replace(broken, waivers=waivers), bare)
    assert not waived.new
    assert {f.danger.told for f in waived.findings} == {
        f"policy {rule} is waived" for rule in rules
    }
    assert {v.rule.id for v in compared(bare, broken).fixed} == rules


def many(number: int) -> Report:
    """A report of as many changes, findings and settings, with names that are Markdown."""
    found = compared(taken())
    finding = Finding(
        id="data-12345678",
        agreed="",
        danger=Danger(
            kind=Kind.DATA,
            subject="<img src=x> @everybody [a](b)",
            what="",
            told="a | b ``` `c` <!-- -->",
            fix="",
        ),
    )
    setting = Property(path="key", before="a\n```\nb", after="a\n```\nc", secret=False)
    return replace(found, findings=(finding,) * number, configuration=(setting,) * number)


@pytest.mark.parametrize("number", [0, 1, 500, 20_000])
def test_a_comment_stays_below_the_limit_and_says_what_it_leaves_out(number: int) -> None:
    text = comment.comment([many(number)] * 3, BASE)
    assert text.startswith(comment.MARKER + "\n")
    assert len(text) < 65_536
    assert text.count("<details>") == text.count("</details>")
    assert ("left out**, because a comment has a limit" in text) is (number >= 500)


def test_values_in_a_comment_are_nothing_but_text() -> None:
    """Previews run on what strangers propose."""
    text = comment.comment([many(1)], BASE)
    assert text.count("<!--") == 1
    for active in ("<img", "@everybody", "[a]", "a | b"):
        assert active not in text
    assert "\n````diff\n" in text, "a fence as short as the value's would end too early"


def test_a_comment_says_what_matters_first() -> None:
    lines = comment.comment([many(2)], BASE).splitlines()
    assert lines[1] == "### Infrastructure against `1234567`"
    assert "**2 dangerous changes not acknowledged.**" in lines[4]
    [row] = [line for line in lines if line.startswith("| **dev**")]
    assert "**2 open**" in row


@pytest.mark.parametrize("width", [60, 100, 200])
def test_the_text_fits_its_width(width: int) -> None:
    text = printed(many(3), width)
    assert max(len(line) for line in text.splitlines()) <= width


def bill(usd: float) -> Estimate:
    item = Item(component="a", resource="b", what="c", quantity=1, unit="d", price=usd)
    return Estimate(items=[item] if usd else [], unpriced=[])


@pytest.mark.parametrize(
    ("before", "after", "budget", "expected"),
    [
        (0, 0, 9, ""),
        (5, 5, 0, "5.00 USD a month"),
        (4, 1500, 0, "4.00 -> 1,500.00 USD a month"),
        (5, 0, 9, "5.00 -> 0.00 USD a month, budget 9"),
        (5, 10, 9, "5.00 -> 10.00 USD a month, budget 9 exceeded"),
    ],
)
def test_the_bill_is_told_where_there_is_one(
    before: float, after: float, budget: float, expected: str
) -> None:
    found = replace(compared(taken()), cost_before=bill(before), cost=bill(after), budget=budget)
    assert view.price(found.cost, budget, found.cost_before) == expected
    assert expected in printed(found)
    assert f"| {expected or 'none'} |" in comment.comment([found], BASE)
    parts = [text for _, text in view.prices(found)]
    assert parts == (
        [] if before == after else [f"a: {before:,.2f} -> {after:,.2f} ({after - before:+,.2f})"]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"markdown": True}, "need --against"),
        ({"acknowledge": ["data-1"]}, "need --against"),
        ({"as_json": True, "stack": ["dev", "production"]}, "--json takes one --stack"),
        ({"as_json": True, "markdown": True}, "--json takes one --stack"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        commands.preview.preview(**arguments)


def test_trailers_are_read_from_the_commits_between(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(repository, "checkout", "--quiet", "-B", "trailers", "main")
    commit(repository, "Before\n\nAcknowledge-Danger: data-0")
    base = git(repository, "rev-parse", "HEAD")
    commit(repository, "One\n\nAcknowledge-Danger: data-1\nAcknowledge-Danger: data-2")
    commit(repository, "No trailer: Acknowledge-Danger: data-3\n\nbut text")
    monkeypatch.setattr(revision, "ROOT", repository)
    found = revision.acknowledgements(revision.find(base))
    assert sorted(f.finding for f in found) == ["data-1", "data-2"]
    git(repository, "checkout", "--quiet", "--force", "main")


def test_each_outcome_has_its_exit_code() -> None:
    found = compared(taken())
    broken = Verdict(violations=(VIOLATION,), waived=(), expired=())
    assert commands.preview.exit_code(found) == 0
    assert commands.preview.exit_code(replace(found, verdict=broken)) == 1
    assert commands.preview.exit_code(replace(many(1), verdict=broken)) == 3
