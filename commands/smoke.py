"""`nextstack smoke`: whether a site, wherever it runs, answers as it has to (DE-7)."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from commands.options import AsJson

if TYPE_CHECKING:
    from commands.probe import Answer, Visitor

HEALTH_PATH = "/api/health"
# What every answer has exactly once, whatever a stack configures (HD-1 to HD-7).
HEADERS = {
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "strict-origin-when-cross-origin",
    "content-security-policy": "",
    "permissions-policy": "",
}
TRIES, PAUSE_S = 3, 2.0

Paths = Annotated[
    list[str] | None, typer.Option("--path", help="A further path that must not fail; repeatable.")
]


@dataclass(frozen=True, kw_only=True)
class Check:
    path: str
    answer: str
    problems: list[str]


def smoke(
    url: Annotated[str, typer.Option(help="Site to ask; by default the stack's.")] = "",
    stack: Annotated[str, typer.Option(help="Which Pulumi.<stack>.yaml has the address.")] = "dev",
    path: Paths = None,
    as_json: AsJson = False,
) -> None:
    """Ask the start page, the health page and further paths; exit code 1 if one is not well."""
    from commands import deploy
    from local.progress import console

    checks = ask(url or deploy.site_url(stack), path or [])
    ok = not any(check.problems for check in checks)
    if as_json:
        print(json.dumps({"ok": ok, "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        for line in lines(checks):
            console.print(line, markup=False, soft_wrap=True)
    if not ok:
        raise typer.Exit(1)


def ask(url: str, paths: Sequence[str]) -> list[Check]:
    """The checks of all paths, each asked again a few times where it is not well."""
    from commands.probe import Visitor

    visitor = Visitor()
    wanted = {"/": (200,), HEALTH_PATH: (200,)} | {path: tuple(range(200, 500)) for path in paths}
    return [_check(visitor, url.rstrip("/"), path, allowed) for path, allowed in wanted.items()]


def lines(checks: Sequence[Check]) -> Iterator[str]:
    for check in checks:
        yield f"{check.path}  {check.answer}  {'; '.join(check.problems) or 'ok'}"


def _check(visitor: "Visitor", url: str, path: str, allowed: Sequence[int]) -> Check:
    """The last try's; a load balancer or a name may need a moment after a change."""
    tries = 0
    while True:
        answer = visitor.get(f"{url}{path}")
        problems = [*_status(answer, allowed), *_headers(answer.headers, url)]
        tries += 1
        if not problems or tries == TRIES:
            return Check(path=path, answer=answer.words, problems=problems)
        time.sleep(PAUSE_S)


def _status(answer: "Answer", allowed: Sequence[int]) -> list[str]:
    if answer.status in allowed:
        return []
    words = str(allowed[0]) if len(allowed) == 1 else f"{allowed[0]} to {allowed[-1]}"
    return [f"got {answer.status or answer.error}, allowed {words}"]


def _headers(headers: Mapping[str, list[str]], url: str) -> list[str]:
    """Problems of the security headers; without an answer there is nothing to say about them."""
    if not headers:
        return []
    over_tls = {"strict-transport-security": ""} if url.startswith("https:") else {}
    wanted = (HEADERS | over_tls).items()
    problems = [
        f"header {name}: got {sent}, allowed {value or 'one value'}"
        for name, value in wanted
        if len(sent := headers.get(name, [])) != 1 or (value and sent != [value])
    ]
    if "x-powered-by" in headers:
        problems.append(f"header x-powered-by: got {headers['x-powered-by']}, allowed none")
    return problems
