"""References of container images: which ones a stack may name. Leaves out where they come from."""

import re

DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")
LOCAL = re.compile(r"localhost/.+:(?!latest$)[\w.-]+")


def unfixed(field: str, image: str) -> list[str]:
    """The problem with `image` if it may mean another one tomorrow (PL-7, PL-11).

    A tag is enough only where no registry is asked: the dev stack loads its images into the node.
    """
    if DIGEST.fullmatch(image) or LOCAL.fullmatch(image):
        return []
    return [
        f"{field} is not fixed: got {image!r}, allowed <name>@sha256:<64 hex digits> or "
        "localhost/<name>:<tag other than latest>; append the digest of the image that you tested"
    ]
