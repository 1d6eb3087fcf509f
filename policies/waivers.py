"""Exceptions from the rules: waivers.toml, each with a reason and an end.

Leaves out what they are applied to (verdicts.py).
"""

import tomllib
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from policies.catalogue import RULES

FILE = Path(__file__).parent / "waivers.toml"
KEYS = {"rule", "stacks", "resource", "reason", "expires"}


@dataclass(frozen=True, kw_only=True)
class Waiver:
    rule: str
    stacks: tuple[str, ...]
    """Names of the stacks that it is for."""
    resource: str
    """Pattern of the names of resources (`web-*`)."""
    reason: str
    expires: date
    """Last day on which it counts."""

    def covers(self, rule: str, stack: str, resource: str) -> bool:
        return self.rule == rule and stack in self.stacks and fnmatchcase(resource, self.resource)

    def expired(self, today: date) -> bool:
        return today > self.expires


def read(text: str) -> tuple[Waiver, ...]:
    """The waivers of a file's text."""
    entries: list[dict[str, Any]] = tomllib.loads(text).get("waiver", [])
    problems = [p for number, entry in enumerate(entries, 1) for p in _problems(number, entry)]
    if problems:
        raise ValueError(f"{FILE.name} is wrong:\n" + "\n".join(problems))
    return tuple(
        Waiver(
            rule=entry["rule"],
            stacks=tuple(entry["stacks"]),
            resource=entry["resource"],
            reason=entry["reason"],
            expires=entry["expires"],
        )
        for entry in entries
    )


def waivers() -> tuple[Waiver, ...]:
    return read(FILE.read_text())


def _problems(number: int, entry: dict[str, Any]) -> list[str]:
    if entry.keys() != KEYS:
        return [
            f"waiver {number} has the wrong keys: got {', '.join(sorted(entry))}, "
            f"allowed {', '.join(sorted(KEYS))}; set all of them and no others"
        ]
    found: list[str] = []
    if entry["rule"] not in {rule.id for rule in RULES}:
        found.append(
            f"waiver {number}: rule is unknown: got {entry['rule']!r}, "
            "allowed those of docs/policies.md; correct it or remove the waiver"
        )
    # A datetime is a date too, but does not compare with one.
    if type(entry["expires"]) is not date:
        found.append(
            f"waiver {number}: expires is no date: got {entry['expires']!r}, "
            "allowed a day like 2027-01-31 without quotes; write one"
        )
    if not str(entry["reason"]).strip():
        found.append(f"waiver {number}: reason is empty: got '', allowed any text; say why")
    return found
