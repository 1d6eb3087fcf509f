"""What a stack may say about the registry of its images. Creates nothing."""

import re
from dataclasses import dataclass

from components.stack_config import out_of_range, refuse

WORD = r"[a-z0-9]+([._-]+[a-z0-9]+)*"
NAME = re.compile(rf"{WORD}(/{WORD})*")
MOST_CHARACTERS = 256
LEAST_IMAGES = 10
"""As many releases as `rollback` knows."""


@dataclass(frozen=True, kw_only=True)
class RegistryConfig:
    name: str
    keep_images: int
    untagged_days: int

    def __post_init__(self) -> None:
        ranges = {
            "keep_images": (LEAST_IMAGES, 10_000, "a rollback needs those of the last releases"),
            "untagged_days": (1, 365, "days"),
        }
        problems = out_of_range(self, ranges)
        fits = 2 <= len(self.name) <= MOST_CHARACTERS and NAME.fullmatch(self.name)
        if self.name and not fits:
            problems.append(
                f"name is malformed: got {self.name!r}, allowed 2 to {MOST_CHARACTERS} of a-z, "
                "0-9, and inner . _ - and /, or nothing for no registry"
            )
        refuse(problems)
