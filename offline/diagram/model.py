"""What a picture of a stack is made of. Leaves out where it comes from, and how it is drawn."""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum


class Shape(StrEnum):
    PERSON = "person"
    SERVER = "server"
    STORE = "store"
    JOB = "job"
    SERVICE = "service"
    """Something that somebody else runs."""


@dataclass(frozen=True, kw_only=True)
class Node:
    id: str
    title: str
    detail: str = ""
    shape: Shape = Shape.SERVER
    walls: tuple[str, ...] = ()
    """What it is inside of, the outermost first."""


@dataclass(frozen=True, kw_only=True)
class Flow:
    source: str
    target: str
    label: str = ""
    copies: bool = False
    """Whether it carries copies of data, not requests."""


@dataclass(frozen=True, kw_only=True)
class Diagram:
    title: str
    nodes: list[Node]
    flows: list[Flow]
    supporting: Counter[str]
    """How many there are of what is not drawn, by kind."""
