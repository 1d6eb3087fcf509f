"""The recovery contract: what a stack promises about lost data and time (BK-19).

Leaves out how a promise is kept; what keeps it is checked in stack.py.
"""

from dataclasses import dataclass

from components.stack_config import out_of_range, refuse


@dataclass(frozen=True, kw_only=True)
class RecoveryConfig:
    rpo_minutes: int
    rto_minutes: int
    retention_days: int

    def __post_init__(self) -> None:
        ranges = {
            "rpo_minutes": (1, 10_080, "minutes of data that a disaster may cost"),
            "rto_minutes": (1, 10_080, "minutes that a restore may take"),
            "retention_days": (1, 3650, "days that a backup can be gone back to"),
        }
        refuse(out_of_range(self, ranges))
