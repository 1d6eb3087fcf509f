"""What the drills conclude from what they saw; the drills themselves need a running stack."""

import asyncio
import json
from itertools import pairwise

import pytest
from aiohttp import web

from drills.figures import Figure, publish
from drills.sender import Sent, send
from drills.writer import Acknowledged, longest_gap
from drills.wrk import parsed

WRK = """\
Running 5s test @ http://10.213.0.2:30080/tasks
  1 threads and 16 connections
  Latency Distribution
     50%    8.90ms
     75%   10.10ms
     90%   20.00ms
     99%    1.05s 
  8345 requests in 5.00s, 12.00MB read
Requests/sec:   1669.00
Transfer/sec:      2.40MB
"""


@pytest.mark.parametrize(
    ("times", "gap"),
    [
        ([1, 2, 5, 6, 10], 4),
        ([1, 2, 3], 7),  # nothing came back: the tail counts
        ([8, 9, 10], 8),
        ([], 10),
    ],
)
def test_a_gap_without_writes_includes_both_ends(times: list[float], gap: float) -> None:
    acknowledged = [Acknowledged(number=n, at=at) for n, at in enumerate(times)]
    assert longest_gap(acknowledged, 0, 10) == gap


def test_a_goal_is_for_the_median_unless_the_worst_round_counts() -> None:
    values = [1.0, 2.0, 9.0]
    assert Figure(name="", unit="s", values=values, at_most=2).reached is True
    assert Figure(name="", unit="s", values=values, at_most=2, worst_counts=True).reached is False
    assert Figure(name="", unit="x", values=values, at_least=2).reached is True
    assert Figure(name="", unit="x", values=values, at_least=3).reached is False
    assert Figure(name="", unit="x", values=values).reached is None


def test_figures_come_as_json_with_each_round(capsys: pytest.CaptureFixture[str]) -> None:
    publish("pool", [Figure(name="lost", unit="", values=[0, 3, 1], at_most=0)], as_json=True)
    [figure] = json.loads(capsys.readouterr().out)["figures"]
    assert (figure["min"], figure["median"], figure["max"]) == (0, 1, 3)
    assert (figure["values"], figure["goal"], figure["reached"]) == (
        [0, 3, 1],
        "median <= 0",
        False,
    )


def test_latencies_of_wrk_are_read_in_their_units() -> None:
    """It pads the shortest unit with a space."""
    load = parsed("http://site", WRK, "")
    assert (load.per_s, load.p50_ms, load.p99_ms) == (1669, 8.9, 1050)


@pytest.mark.parametrize(
    "line", ["  Non-2xx or 3xx responses: 3", "  Socket errors: connect 0, read 2, timeout 0"]
)
def test_load_with_failed_requests_is_no_measurement(line: str) -> None:
    with pytest.raises(RuntimeError, match=line.strip()):
        parsed("http://site", f"{WRK}{line}\n", "")


def test_requests_are_sent_on_their_time_though_answers_are_late() -> None:
    sent = asyncio.run(_send_to_a_slow_site(per_s=100, requests=20))
    assert {s.outcome for s in sent} == {"201", "500"}
    gaps = [b - a for a, b in pairwise(sorted(s.due for s in sent))]
    assert gaps == pytest.approx([0.01] * len(gaps))
    # Each answer takes longer than the pause between two requests.
    assert min(s.latency_ms for s in sent) >= 50


async def _send_to_a_slow_site(per_s: float, requests: int) -> list[Sent]:
    """What became of the requests; the site refuses every other one."""
    stopped, seen = asyncio.Event(), list[str]()

    async def answer(request: web.Request) -> web.Response:
        seen.append(await request.text())
        status = 201 if len(seen) % 2 else 500
        if len(seen) >= requests:
            stopped.set()
        await asyncio.sleep(0.05)
        return web.Response(status=status)

    site = web.Application()
    site.router.add_post("/", answer)
    runner = web.AppRunner(site)
    await runner.setup()
    server = web.TCPSite(runner, "127.0.0.1", 0)
    await server.start()
    try:
        [address, *_] = runner.addresses
        return await send(f"http://127.0.0.1:{address[1]}/", "{}", per_s, stopped)
    finally:
        await runner.cleanup()


def test_a_request_that_meets_nobody_is_a_failure() -> None:
    async def one() -> list[Sent]:
        stopped = asyncio.Event()
        asyncio.get_running_loop().call_later(0.05, stopped.set)
        return await send("http://127.0.0.1:9/", "{}", 50, stopped)

    sent = asyncio.run(one())
    assert {s.outcome for s in sent} == {"ClientConnectorError"}
