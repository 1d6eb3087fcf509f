"""Closed-loop load: as many requests as a number of connections can carry, by the program wrk.

Leaves out load of a constant rate (sender.py).
"""

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

TIMEOUT_S = 5  # of one request
UNIT_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True, kw_only=True)
class Load:
    per_s: float
    """Requests answered, all of them well."""
    p50_ms: float
    p99_ms: float


def wrk(url: str, *, connections: int, seconds: int, post: Mapping[str, str] | None = None) -> Load:
    """Sends GETs, or POSTs with the content types and bodies of `post`; each must succeed."""
    if shutil.which("wrk") is None:
        raise ValueError(
            "wrk is missing: got no such program on the path, allowed any version; install it, on "
            "Debian by: apt-get install wrk"
        )
    with TemporaryDirectory() as folder:
        script = Path(folder) / "post.lua"
        script.write_text(_lua(post) if post else "")
        command = [
            "wrk",
            "--threads=1",
            f"--connections={connections}",
            f"--duration={seconds}s",
            f"--timeout={TIMEOUT_S}s",
            f"--script={script}",
            "--latency",
            url,
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds + 60, check=False
        )
    return parsed(url, done.stdout, done.stderr)


def _lua(post: Mapping[str, str]) -> str:
    [(content_type, body)] = post.items()
    return (
        'wrk.method = "POST"\n'
        f"wrk.body = [==[{body}]==]\n"
        f'wrk.headers["Content-Type"] = "{content_type}"\n'
    )


def parsed(url: str, text: str, errors: str) -> Load:
    rate = re.search(r"^Requests/sec:\s+([\d.]+)$", text, re.MULTILINE)
    if rate is None:
        raise RuntimeError(f"wrk could not measure {url}: {errors or text}")
    if refused := re.search(r"^\s*(Non-2xx.*|Socket errors.*)$", text, re.MULTILINE):
        raise RuntimeError(f"{url} did not answer every request: {refused[1]}")
    return Load(
        per_s=float(rate[1]), p50_ms=_percentile_ms(text, 50), p99_ms=_percentile_ms(text, 99)
    )


def _percentile_ms(text: str, percent: int) -> float:
    found = re.search(rf"^\s*{percent}%\s+([\d.]+)(us|ms|s)\s*$", text, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"wrk tells no latency of {percent} %: {text}")
    return float(found[1]) * UNIT_MS[found[2]]
