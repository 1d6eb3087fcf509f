"""Generated secrets without the engine: made once, kept until their inputs change.

Leaves out where they are kept; render puts them into a file, apply into a Secret of the namespace.
"""

import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

# What the provider draws from when `special` is on and `overrideSpecial` is not given.
SPECIAL = "!@#$%&*()-_=+[]{}<>:?"


@dataclass(frozen=True, kw_only=True)
class Generated:
    inputs: dict[str, Any]
    """What the value was made from; any change, of the keepers too, makes a new one."""
    value: str


class GeneratedValues:
    """Answers the recorder; afterwards `used` is what to keep for the next run."""

    def __init__(self, kept: Mapping[str, Any]) -> None:
        self._kept = {key: Generated(**value) for key, value in kept.items()}
        self.used: dict[str, Generated] = {}

    def __call__(self, kind: str, name: str, inputs: dict[str, Any]) -> str:
        key = f"{kind}:{name}"
        known = self._kept.get(key)
        if known is None or known.inputs != inputs:
            known = Generated(inputs=inputs, value=generate(kind, inputs))
        self.used[key] = known
        return known.value

    @property
    def changed(self) -> bool:
        """Whether anything has to be kept that was not kept before."""
        return self.used != self._kept


def generate(kind: str, inputs: dict[str, Any]) -> str:
    """A new value as the random provider makes it."""
    if kind != "RandomPassword":
        raise ValueError(
            f"{kind} can't be generated here, allowed RandomPassword; "
            "use it, or run the stack with the Pulumi engine"
        )
    special = cast(str, inputs.get("overrideSpecial") or SPECIAL)
    classes = {
        "Lower": string.ascii_lowercase,
        "Upper": string.ascii_uppercase,
        "Numeric": string.digits,
        "Special": special,
    }
    allowed = {name: chars for name, chars in classes.items() if inputs.get(name.lower(), True)}
    drawn = [
        secrets.choice(chars)
        for name, chars in classes.items()
        for _ in range(inputs.get(f"min{name}", 0))
    ]
    alphabet = "".join(allowed.values())
    drawn += [secrets.choice(alphabet) for _ in range(inputs["length"] - len(drawn))]
    secrets.SystemRandom().shuffle(drawn)
    return "".join(drawn)
