"""Knobs of PostgreSQL that hold wherever it runs, and of the server inside the cluster.

Creates no resources.
"""

import re
from dataclasses import dataclass

from components.image import unfixed
from components.stack_config import out_of_range, refuse

IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,62}")
# Taken by PostgreSQL, or by the roles that scripts/roles.sql makes.
RESERVED = ("postgres", "template0", "template1", "pgbouncer")


@dataclass(frozen=True, kw_only=True)
class PostgresConfig:
    image: str
    database: str
    test_database: str
    extensions: tuple[str, ...]
    storage_gib: int
    memory_mib: int
    cpu_millicores: int
    max_connections: int
    log_min_duration_ms: int
    statement_timeout_ms: int
    readonly_statement_timeout_ms: int
    idle_in_transaction_timeout_ms: int

    def __post_init__(self) -> None:
        names = [("database", self.database)]
        if self.test_database:
            names.append(("test_database", self.test_database))
        problems = unfixed("image", self.image)
        problems += [
            f"{field} is not a usable name: got {value!r}, allowed a-z, 0-9 and _, at most 63 "
            f"characters, not starting with a digit and none of {', '.join(RESERVED)}"
            for field, value in names
            if not IDENTIFIER.fullmatch(value) or value in RESERVED
        ]
        if self.database == self.test_database:
            problems.append(
                f"test_database is the database itself: got {self.test_database!r}, allowed "
                "another name, or empty for none; tests delete what they find"
            )
        problems += [
            f"extensions names {extension!r}, allowed a-z, 0-9, _ and -, as PostgreSQL spells it"
            for extension in self.extensions
            if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", extension)
        ]
        refuse(problems + self._out_of_range())

    def _out_of_range(self) -> list[str]:
        ranges = {
            "storage_gib": (1, 1024, "choose within it, or a managed database for more"),
            "memory_mib": (256, 65_536, "a quarter is its own cache"),
            "cpu_millicores": (10, 64_000, "1000 is one processor"),
            "max_connections": (20, 1000, "the pool multiplies them; more only costs memory"),
            "log_min_duration_ms": (0, 3_600_000, "0 logs every statement"),
            "statement_timeout_ms": (1, 3_600_000, "no limit would let one query hold the pool"),
            "readonly_statement_timeout_ms": (1, 86_400_000, "analytics need a limit, too"),
            "idle_in_transaction_timeout_ms": (1, 3_600_000, "idle transactions block vacuum"),
        }
        return out_of_range(self, ranges)

    @property
    def databases(self) -> list[str]:
        """The application's database, and the one for tests where the stack has one."""
        return [self.database, *filter(None, [self.test_database])]
