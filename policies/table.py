"""Writes docs/policies.md: `python -m policies.table > docs/policies.md`.

Leaves out what a rule found; `./nextstack preview` shows that.
"""

import re
from collections.abc import Iterator

from policies.catalogue import NOT_IMPLEMENTED, RULES, implemented
from policies.rule import Rule

INTRODUCTION = """\
# Policies

What no stack may do. The rules are functions in `policies/`; this page is written by
`python -m policies.table > docs/policies.md`, and a test fails when it is stale.

The same rules run in three places:

- `./nextstack preview --stack S` shows what they find, with the fix, and ends with exit code 1 if
  there is anything. It needs no engine, no credentials and no cluster.
- The unit tests hold every committed stack against them, and break each property on purpose to see
  that exactly its rule notices.
- `pulumi preview --policy-pack policies` runs them inside the engine, in an environment of their
  own: run `pulumi install` in `policies/` once. The engine does not tell a pack which values are
  secret, so `secrets-are-not-shown` compares with the generated values there, which exist after
  the first `up`.

A rule that asks for a value is not content with one that only `up` finds out. An access policy
that is not known yet is not judged.

An exception is an entry of `policies/waivers.toml`: rule, stacks, resource, reason and last day.
It counts until that day is over; then every preview fails until it is renewed or removed.

RDS, ElastiCache and the rest of AWS are judged wherever a stack makes them. A standby in another
zone is asked of production only; protection against deletion, kept volumes and a week of backups
are asked of every stack that protects its data, and of production in any case.
"""


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def rows(rules: list[Rule]) -> Iterator[str]:
    yield "| Rule | Severity | Control | Fix |"
    yield "|---|---|---|---|"
    for rule in rules:
        controls = ", ".join(rule.controls) or "own"
        yield f"| `{rule.id}` | {rule.severity} | {cell(controls)} | {cell(rule.fix)} |"


def table() -> str:
    lines = [INTRODUCTION, f"## Rules ({len(RULES)})\n", *rows(list(RULES))]
    lines += ["", f"## Controls that a rule implements ({len(implemented())})\n"]
    lines += ["| Control | Rules |", "|---|---|"]
    for control, rules in sorted(implemented().items(), key=lambda item: natural(item[0])):
        lines.append(f"| {cell(control)} | {', '.join(f'`{rule.id}`' for rule in rules)} |")
    lines += ["", f"## Controls that no rule implements ({len(NOT_IMPLEMENTED)})\n"]
    lines += ["| Control | Why |", "|---|---|"]
    for control, reason in sorted(NOT_IMPLEMENTED.items(), key=lambda item: natural(item[0])):
        lines.append(f"| {cell(control)} | {cell(reason)} |")
    return "\n".join(lines) + "\n"


def natural(control: str) -> list[tuple[str, int]]:
    """Sorts RDS.9 before RDS.10."""
    found = re.findall(r"(\D*)(\d*)", control)
    return [(text, int(number or 0)) for text, number in found]


if __name__ == "__main__":
    print(table(), end="")
