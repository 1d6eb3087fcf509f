"""How much memory an RDS instance has, by the name of its class.

RDS tells only how much is free, and a preview may ask nobody. Leaves out classes with extra memory.
"""

import re

# GiB of a size with two processors, by family; each size up doubles both.
GIB_OF_LARGE = {"m": 8, "r": 16, "t": 8, "x": 32}
SMALLER = {"micro": 1, "small": 2, "medium": 4}
CLASS = re.compile(r"db\.(?P<family>[mrtx])\d[a-z]*\.(?P<times>\d*)(?P<size>[a-z]+)")


def memory_gib(instance_class: str) -> int | None:
    """None for a class that is not known."""
    found = CLASS.fullmatch(instance_class)
    if not found:
        return None
    large, size = GIB_OF_LARGE[found["family"]], found["size"]
    if size == "xlarge":
        return large * 2 * int(found["times"] or 1)
    if found["times"]:
        return None
    return large if size == "large" else SMALLER.get(size)
