"""Judging, testing and taking back releases, without a cluster; that it works, e2e shows."""

import json
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from commands import notices, observe, release, smoke, traffic
from commands.observe import Site
from commands.release import PROVEN, REVISION, VERSION_LABEL, Releases, releases
from commands.smoke import HEADERS
from commands.triggers import EXIT_CODES, Judge, Rules, Trigger
from components.security_headers import CspMode, HeadersConfig, security_headers
from offline.direct.kubernetes_api import Body

RULES = Rules()
GOOD_HEADERS = {name: value or "x" for name, value in HEADERS.items()}


def judged(seen: list[tuple[float, int, float]], now: float) -> Trigger | None:
    judge = Judge(RULES)
    for at, status, seconds in seen:
        judge.request(at, status, seconds)
    verdict = judge.verdict(now)
    return verdict.trigger if verdict else None


def mixed(
    number: int, bad: int, *, status: int = 500, seconds: float = 0.1, at: float = 0.0
) -> Any:
    good = [(at, 200, 0.1)] * (number - bad)
    return good + [(at, status, seconds)] * bad


def test_the_rules_are_those_that_were_asked_for() -> None:
    """RB-1, RB-2, RB-3, MO-3."""
    assert (RULES.error_percent, RULES.error_window_s) == (5, 300)
    assert (RULES.slow_s, RULES.slow_percent, RULES.slow_window_s) == (5, 5, 600)
    assert RULES.health_failures == 3
    assert (RULES.health_failures * RULES.health_interval_s, RULES.least_requests) == (90, 100)


@pytest.mark.parametrize(
    ("seen", "now", "trigger"),
    [
        (mixed(100, 6), 1, Trigger.ERRORS),
        (mixed(100, 5), 1, None),  # more than 5 %, not 5 %
        (mixed(99, 99), 1, None),  # too few to say anything
        (mixed(100, 6, status=404), 1, None),
        (mixed(100, 6, status=0), 1, Trigger.ERRORS),
        (mixed(100, 6), 299, Trigger.ERRORS),
        (mixed(100, 6), 301, None),  # out of the window
        (mixed(100, 6, status=200, seconds=5.1), 301, Trigger.SLOW),
        (mixed(100, 6, status=200, seconds=5.1), 601, None),
        (mixed(100, 6, status=200, seconds=5.0), 1, None),
        (mixed(100, 50) + mixed(1000, 0, at=299), 299, None),  # good ones count against bad ones
    ],
)
def test_a_release_is_judged_by_what_its_visitors_got(
    seen: list[tuple[float, int, float]], now: float, trigger: Trigger | None
) -> None:
    """RB-1, RB-2."""
    assert judged(seen, now) == trigger


@pytest.mark.parametrize(
    ("answers", "trigger"),
    [
        ([503, 503, 503], Trigger.HEALTH),
        ([503, 0, 500], Trigger.HEALTH),
        ([503, 503, 200, 503], None),
        ([503, 429, 503], None),  # the rate limit says nothing about health
        ([503, 429, 503, 503], Trigger.HEALTH),
    ],
)
def test_three_failures_of_health_in_a_row_are_enough(
    answers: list[int], trigger: Trigger | None
) -> None:
    """RB-3."""
    judge = Judge(RULES)
    for status in answers:
        judge.health(status)
    verdict = judge.verdict(1)
    assert (verdict.trigger if verdict else None) == trigger


def test_a_drill_has_shorter_windows_and_the_same_limits() -> None:
    scaled = RULES.scaled(0.02)
    assert (scaled.error_window_s, scaled.slow_window_s, scaled.health_interval_s) == (6, 12, 0.6)
    assert (scaled.error_percent, scaled.slow_s, scaled.least_requests) == (5, 5, 100)
    assert scaled.error_window_s / scaled.probe_interval_s == 300


def test_each_trigger_has_an_exit_code_of_its_own() -> None:
    assert EXIT_CODES.keys() == set(Trigger)
    assert not set(EXIT_CODES.values()) & {0, 1, 2, 3, 130}


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        ('{"status":502,"duration_s":0.031,"path":"/"}', (502, 0.031)),
        ("nginx: [warn] something", None),
        ("[1]", None),
        ('{"status":null,"duration_s":1}', None),
        ('{"duration_s":1}', None),
    ],
)
def test_lines_of_the_access_log_are_read(line: str, request_: tuple[int, float] | None) -> None:
    """WB-14: what else is in a container's log does not count."""
    assert traffic.parsed(line) == request_


class Site_(BaseHTTPRequestHandler):
    """A site whose answers a test chooses, by path."""

    answers: Mapping[str, tuple[int, dict[str, str]]]
    bodies: list[dict[str, Any]]

    def do_GET(self) -> None:
        status, headers = self.answers.get(self.path, (404, GOOD_HEADERS))
        self.send_response_only(status)
        for name, value in headers.items():
            for part in value.split("\n"):
                self.send_header(name, part)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        self.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response_only(500 if self.path == "/broken" else 204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        return


Serve = Callable[..., Any]


@contextmanager
def served(
    answers: Mapping[str, tuple[int, dict[str, str]]],
) -> Generator[tuple[str, list[dict[str, Any]]]]:
    bodies: list[dict[str, Any]] = []
    handler = type("Handler", (Site_,), {"answers": answers, "bodies": bodies})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", bodies
        finally:
            server.shutdown()
            thread.join()


def problems(answers: Mapping[str, tuple[int, dict[str, str]]], *paths: str) -> list[str]:
    well = {"/": (200, GOOD_HEADERS), "/api/health": (200, GOOD_HEADERS)}
    with served(well | dict(answers)) as (url, _):
        return [f"{c.path}: {text}" for c in smoke.ask(url, paths) for text in c.problems]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke, "PAUSE_S", 0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("answers", "found"),
    [
        ({}, []),
        ({"/": (404, GOOD_HEADERS)}, ["/: got 404, allowed 200"]),
        ({"/api/health": (503, GOOD_HEADERS)}, ["/api/health: got 503, allowed 200"]),
        ({"/api/items": (500, GOOD_HEADERS)}, ["/api/items: got 500, allowed 200 to 499"]),
        ({"/api/items": (401, GOOD_HEADERS)}, []),
        ({"/": (307, {"Location": "/home", **GOOD_HEADERS}), "/home": (200, GOOD_HEADERS)}, []),
    ],
)
def test_the_smoke_test_asks_for_statuses(
    answers: dict[str, tuple[int, dict[str, str]]], found: list[str]
) -> None:
    """DE-7."""
    assert problems(answers, "/api/items") == found


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("value", ["", "x\nx"])
def test_each_security_header_is_there_exactly_once(name: str, value: str) -> None:
    """DE-7, requirements 7.1."""
    headers = {k: v for k, v in GOOD_HEADERS.items() if k != name}
    given = headers | ({name: value} if value else {})
    [problem] = problems({"/": (200, given)})
    assert problem.startswith(f"/: header {name}: got ")


@pytest.mark.usefixtures("impatient")
def test_the_framework_does_not_name_itself() -> None:
    """HD-9."""
    [problem] = problems({"/": (200, GOOD_HEADERS | {"X-Powered-By": "Next.js"})})
    assert "x-powered-by" in problem


def test_the_smoke_test_asks_for_what_nginx_sends() -> None:
    """HD-1 to HD-7: the same names and values, without the stack's configuration."""
    config = HeadersConfig(
        csp_mode=CspMode.COMPAT, csp_additions={}, permissions_policy="p", xss_protection=""
    )
    sent = {name.lower(): value for name, value in security_headers(config).items()}
    for name, value in sent.items():
        assert HEADERS[name] in ("", value)
    assert set(HEADERS) - set(sent) == {"content-security-policy"}


@pytest.mark.usefixtures("impatient")
def test_nobody_at_the_address_is_a_problem_and_no_error() -> None:
    [start, _] = smoke.ask("http://127.0.0.1:1", [])
    assert start.problems == ["got NewConnectionError, allowed 200"]


def test_a_site_without_its_cluster_is_judged_by_probes() -> None:
    rules = Rules().scaled(0.01)
    answers = {"/": (200, GOOD_HEADERS), "/api/health": (200, GOOD_HEADERS)}
    with served(answers | {"/": (502, GOOD_HEADERS)}) as (url, _):
        site = Site(url=url, paths=["/"], logged=False)
        found = observe.observe(site, Judge(rules), rules, 20)
        assert found and found.trigger is Trigger.ERRORS
    with served(answers | {"/api/health": (503, GOOD_HEADERS)}) as (url, _):
        site = Site(url=url, paths=["/"], logged=False)
        found = observe.observe(site, Judge(rules), rules, 20)
        assert found and found.trigger is Trigger.HEALTH


def test_with_the_log_a_probe_counts_once() -> None:
    rules = Rules().scaled(0.01)
    with served({"/": (502, GOOD_HEADERS), "/api/health": (200, GOOD_HEADERS)}) as (url, _):
        judge = Judge(rules)
        site = Site(url=url, paths=["/"], logged=True)
        assert observe.observe(site, judge, rules, 0.5) is None
        assert not judge.outcomes()


@pytest.mark.parametrize(("state", "ringing"), [("ALARM", "slow"), ("OK", "")])
def test_alarms_are_asked_for_by_the_aws_cli(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, state: str, ringing: str
) -> None:
    program = tmp_path / "aws"
    alarms = {
        "MetricAlarms": [{"AlarmName": "errors", "StateValue": "INSUFFICIENT_DATA"}],
        "CompositeAlarms": [{"AlarmName": "slow", "StateValue": state}],
    }
    program.write_text(f"#!/bin/sh\ncat <<'EOF'\n{json.dumps(alarms)}\nEOF\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert observe.ringing_alarm(["errors", "slow"]) == ringing
    with pytest.raises(ValueError, match="alarm is unknown: got gone"):
        observe.ringing_alarm(["gone", "slow"])


def replica_set(version: str, revision: int, *, proven: bool = False, name: str = "") -> Body:
    noted = {PROVEN: "2026-01-01"} if proven else {}
    return {
        "metadata": {
            "name": name or f"web-{revision}",
            "annotations": {REVISION: str(revision), **noted},
            "ownerReferences": [{"uid": "web"}],
        },
        "spec": _spec(version),
    }


def _spec(version: str) -> Body:
    container = {"image": f"registry/app@sha256:{version}"}
    labels = {VERSION_LABEL: version}
    return {"template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}}}


class Cluster:
    """The part of a cluster's API that remembers releases."""

    def __init__(self, running: str, *sets: Body, available: int = 3) -> None:
        self._running, self._sets, self._available = running, sets, available
        self.applied: list[Body] = []

    def apply(self, body: Body) -> None:
        self.applied.append(body)

    def get(self, *_: str) -> Body:
        return {
            "kind": "Deployment",
            "metadata": {"name": "web-server", "uid": "web", "generation": 1},
            "spec": {"replicas": 3, **_spec(self._running)},
            "status": {
                "observedGeneration": 1,
                "updatedReplicas": 3,
                "availableReplicas": self._available,
            },
        }

    def list(self, *_: str) -> list[Body]:
        foreign = replica_set("foreign", 99)
        foreign["metadata"]["ownerReferences"] = [{"uid": "other"}]
        return [*self._sets, foreign]


def remembered(running: str, *sets: Body) -> Releases:
    api: Any = Cluster(running, *sets)
    return releases(api, "namespace")


def test_the_release_before_is_the_one_to_go_back_to() -> None:
    """RB-9."""
    known = remembered("c", replica_set("a", 1), replica_set("c", 3), replica_set("b", 2))
    assert known.running.version == "c"
    assert known.target().version == "b"
    assert known.target("a").image == "registry/app@sha256:a"
    assert known.target("sha256:a").version == "a"


def test_a_release_that_was_never_proven_is_passed_over() -> None:
    """A failed roll-out leaves a ReplicaSet too."""
    known = remembered(
        "c", replica_set("a", 1, proven=True), replica_set("b", 2), replica_set("c", 3)
    )
    assert known.target().version == "a"
    assert known.target("b").version == "b"


def test_a_changed_environment_is_no_other_release() -> None:
    known = remembered(
        "b",
        replica_set("a", 1, proven=True),
        replica_set("a", 2),
        replica_set("b", 3, name="old"),
        replica_set("b", 4, name="new"),
    )
    assert known.running.replica_set == "new"
    assert [(r.version, r.revision, r.proven) for r in known.earlier] == [("a", 2, True)]


@pytest.mark.parametrize(("running", "noted"), [("b", ["web-2"]), ("c", [])])
def test_only_a_release_that_still_runs_is_proven(running: str, noted: list[str]) -> None:
    sets = replica_set("a", 1), replica_set("b", 2), replica_set("c", 3)
    watched = remembered("b", *sets).running
    api: Any = Cluster(running, *sets)
    release.note_proven(api, "namespace", watched)
    assert [body["metadata"]["name"] for body in api.applied] == noted


def test_what_is_not_remembered_is_refused_with_what_is() -> None:
    """RB-9: the target must exist."""
    known = remembered("b", replica_set("a", 1), replica_set("b", 2))
    with pytest.raises(ValueError, match="got nope, allowed a;"):
        known.target("nope")
    with pytest.raises(ValueError, match="got no earlier one, allowed none;"):
        remembered("b", replica_set("b", 2)).target()


def test_the_team_and_the_status_page_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """AL-37; an address that does not take the message is named, not shown."""
    with served({}) as (url, bodies):
        monkeypatch.setenv("SLACK_WEBHOOK", url)
        monkeypatch.setenv("STATUS_PAGE_WEBHOOK", f"{url}/broken")
        notices.tell("production", "rolled-back", "back to a")
    text, page = bodies[0], bodies[-1]
    assert text == {"text": "production: back to a"}
    assert (page["stack"], page["status"], page["message"]) == (
        "production",
        "rolled-back",
        "back to a",
    )
    said = capsys.readouterr().err
    assert "back to a" in said
    assert "STATUS_PAGE_WEBHOOK did not take the message: answered 500" in said
    assert url not in said


def test_a_deployment_that_does_not_stay_ready_is_no_recovery(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(release, "POLL_S", 0.01)
    monkeypatch.setattr(release, "SETTLED_LIMIT_S", 0.05)
    api: Any = Cluster("a", available=2)
    with pytest.raises(RuntimeError, match="does not stay ready: 2 of 3 available"):
        release.await_settled(api, "namespace", 0.1)
    api = Cluster("a")
    release.await_settled(api, "namespace", 0.02)
