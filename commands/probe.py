"""One request as a visitor sends it: what came back, and how long it took.

Leaves out judging the answer.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import urllib3
from urllib3.exceptions import HTTPError

TIMEOUT_S = 10.0  # twice what counts as too slow (RB-2)
REDIRECTS = 3


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    """0 where nobody answered."""
    seconds: float
    headers: Mapping[str, list[str]]
    """By name in lower case; every value that was sent under it."""
    error: str = ""
    """Why nobody answered."""

    @property
    def words(self) -> str:
        return f"{self.status or self.error} in {self.seconds * 1000:.0f} ms"


class Visitor:
    """Keeps its connections open; may be used by several threads."""

    def __init__(self) -> None:
        self._pool = urllib3.PoolManager(
            maxsize=32,
            timeout=TIMEOUT_S,
            # A second try would hide what a visitor sees.
            retries=urllib3.Retry(total=REDIRECTS, connect=0, read=0, other=0),
            headers={"User-Agent": "nextstack"},
        )

    def get(self, url: str) -> Answer:
        """The answer at the end of redirects."""
        began = time.monotonic()
        try:
            response = self._pool.request("GET", url)
        except HTTPError as error:
            reason = getattr(error, "reason", None) or error
            return Answer(
                status=0,
                seconds=time.monotonic() - began,
                headers={},
                error=type(reason).__name__,
            )
        return Answer(
            status=response.status,
            seconds=time.monotonic() - began,
            headers={name.lower(): response.headers.getlist(name) for name in response.headers},
        )
