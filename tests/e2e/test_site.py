"""What a visitor gets, through nginx, from three replicas with one database and one cache."""

import json
import time
from collections import Counter

import httpx
import pytest
from conftest import (
    ARTIFACTS,
    NAMESPACE,
    RATE_LIMIT_PAUSE_S,
    SITE,
    Stack,
    eventually,
    nextstack,
    visitor,
)
from playwright.sync_api import Browser, ConsoleMessage, Page, expect


@pytest.fixture
def page(browser: Browser) -> Page:
    context = browser.new_context(base_url=SITE, viewport={"width": 1280, "height": 860})
    context.set_default_timeout(15_000)
    return context.new_page()


def whoami(client: httpx.Client) -> dict[str, str]:
    return client.get("/api/whoami").json()


def answering_pods(requests: int = 24) -> Counter[str]:
    """Who answers when each request is a visitor's first."""
    pods: Counter[str] = Counter()
    for _ in range(requests):
        with visitor() as client:
            pods[whoami(client)["pod"]] += 1
    return pods


def sign_in(page: Page, name: str) -> None:
    page.goto("/session")
    page.get_by_label("Your name").fill(name)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text(name).first).to_be_visible()


def test_health_tells_of_every_dependency(site: httpx.Client) -> None:
    """AP-15, DE-7."""
    answer = site.get("/api/health")
    body = answer.json()
    assert answer.status_code == 200, body
    assert {
        "status",
        "timestamp",
        "version",
        "uptime",
        "database",
        "redis",
        "openai",
        "github",
        "disk",
        "memory",
    } <= body.keys()
    assert answer.elapsed.total_seconds() < 2


def test_what_is_written_through_the_pool_is_read_back(site: httpx.Client) -> None:
    title = f"Written at {time.time_ns()}"
    created = site.post("/api/tasks", json={"title": title})
    assert created.status_code == 201
    assert title in [task["title"] for task in site.get("/api/tasks").json()["tasks"]]


def test_three_replicas_answer(stack: Stack) -> None:
    """AP-1."""
    assert set(answering_pods()) == set(stack.pods("web"))
    assert len(stack.pods("web")) == 3


def test_streams_arrive_piece_by_piece(site: httpx.Client) -> None:
    """WB-5: no hop buffers."""
    times: list[float] = []
    with site.stream("GET", "/api/stream") as answer:
        for _ in answer.iter_lines():
            times.append(time.monotonic())
    assert times[-1] - times[0] >= 1


def test_a_person_clicks_through_the_application(stack: Stack, page: Page) -> None:
    """The main job, seen in a real browser; the picture is kept as `build/site.png`."""
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))

    def listen(message: ConsoleMessage) -> None:
        if message.type == "error":
            problems.append(message.text)

    page.on("console", listen)
    sign_in(page, "Ada")
    page.goto("/tasks")
    title = f"Try nextstack {time.time_ns()}"
    page.get_by_label("New task").fill(title)
    page.get_by_role("button", name="Add task").click()
    row = page.get_by_role("listitem").filter(has_text=title)
    expect(row).to_contain_text("Ada")
    row.get_by_role("checkbox").click()
    expect(row.get_by_role("checkbox")).to_be_checked()
    page.reload()
    expect(row.get_by_role("checkbox")).to_be_checked()
    row.get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)
    ARTIFACTS.mkdir(exist_ok=True)
    time.sleep(RATE_LIMIT_PAUSE_S)  # The page does not ask again, as `visitor` does.
    page.goto("/")
    page.get_by_role("button", name="Ask 12 times").click()
    for pod in stack.pods("web"):
        expect(page.get_by_text(pod).first).to_be_visible()
    page.wait_for_load_state("networkidle")
    page.screenshot(path=ARTIFACTS / "site.png", full_page=True)
    assert not problems


def test_a_session_survives_the_replica_that_made_it(stack: Stack, page: Page) -> None:
    """AP-16: the session is in the cache, not in a pod."""
    sign_in(page, "Grace")
    cookies = {
        c["name"]: c["value"] for c in page.context.cookies() if "name" in c and "value" in c
    }
    with visitor(cookies) as client:
        first = client.get("/api/whoami").json()
    stack.kubectl("delete", "pod", first["session"]["signedInOn"], "--wait=false")
    remaining = set(stack.pods("web")) - {first["session"]["signedInOn"]}
    seen: set[str] = set()
    for _ in range(12):
        with visitor(cookies) as client:
            answer = client.get("/api/whoami").json()
        assert answer["session"]["name"] == "Grace"
        seen.add(answer["pod"])
    assert seen & remaining
    stack.kubectl("rollout", "status", "deployment", "--selector=app.kubernetes.io/component=web")


def test_a_revalidation_is_seen_by_every_replica(stack: Stack, page: Page) -> None:
    """S-30, defaults a1: one copy of a cached page for all of them."""
    page.goto("/report/week")
    computed = page.locator("dt:has-text('Computed') + dd time").first
    before = computed.get_attribute("datetime")
    page.get_by_role("button", name="Compute again").click()
    eventually("the page is computed again", lambda: computed.get_attribute("datetime") != before)
    after = computed.get_attribute("datetime")
    assert after
    for pod in stack.pods("web"):
        # Asked without nginx, so that each replica shows what it has.
        script = (
            "fetch('http://127.0.0.1:3000/report/week').then((r) => r.text())"
            ".then((t) => console.log(t.includes(process.argv[1])))"
        )
        assert stack.execute(pod, "node", "-e", script, after).strip() == "true", pod


def test_a_second_up_changes_nothing(stack: Stack) -> None:
    """PL-6."""
    assert stack.namespace == NAMESPACE
    report = nextstack("up", "--json")
    assert json.loads(report)["changes"].keys() == {"unchanged"}
