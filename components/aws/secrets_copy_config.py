"""Knobs of the copy of the environment in Secrets Manager. Leaves out pulumi_aws."""

import re
from dataclasses import dataclass

from components.stack_config import out_of_range, refuse


@dataclass(frozen=True, kw_only=True)
class SecretsCopyConfig:
    enabled: bool
    name: str
    replicate: bool
    recovery_window_days: int

    def __post_init__(self) -> None:
        window = {"recovery_window_days": (7, 30, "in which a deleted copy can be had back")}
        problems = out_of_range(self, window)
        # AWS appends a hyphen and six characters to the ARN, which such an ending would look like.
        if self.name and (
            not re.fullmatch(r"[A-Za-z0-9/_+=.@-]{1,512}", self.name)
            or re.search(r"-[A-Za-z0-9]{6}$", self.name)
        ):
            problems.append(
                f"name is no name of a secret: got {self.name!r}, allowed letters, digits and "
                "/_+=.@- , at most 512, without a hyphen and six letters or digits at the end"
            )
        if self.enabled and not self.name:
            problems.append("name is empty; name the copy, such as shop-production/runtime-env")
        refuse(problems)
