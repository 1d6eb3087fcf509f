"""The picture of a stack shows what its graph has: nodes, permitted flows, walls, no more."""

import re
import shutil
from collections import Counter
from typing import Any

import pytest
from conftest import STACKS, deploy_stack
from test_external import stack as external_stack

from offline.diagram import diagram, draw, of_stack
from offline.diagram.model import Diagram, Flow, Node, Shape
from offline.diagram.pods import in_words
from offline.recorder import ROOT

IMAGE = {"image": f"app@sha256:{'0' * 64}", "deploymentVersion": "1"}


def picture(stack: str, **changes: Any) -> Diagram:
    return diagram(deploy_stack(stack, **(IMAGE | changes)), stack)


def flows(drawn: Diagram) -> set[tuple[str, str]]:
    titles = {node.id: node.title for node in drawn.nodes}
    return {(titles[flow.source], titles[flow.target]) for flow in drawn.flows}


def test_requests_flow_as_the_network_policies_let_them() -> None:
    """AP-11, PO-10: the application reaches the pool and never the database."""
    found = flows(picture("dev"))
    assert {
        ("people", "nginx"),
        ("nginx", "Next.js application"),
        ("Next.js application", "PgBouncer, the pool"),
        ("PgBouncer, the pool", "PostgreSQL"),
        ("Next.js application", "HAProxy"),
        ("HAProxy", "Valkey"),
        ("schema migration", "PostgreSQL"),
        ("dump", "PostgreSQL"),
    } <= found
    assert ("Next.js application", "PostgreSQL") not in found
    assert ("people", "Next.js application") not in found


def test_stores_on_aws_are_behind_their_own_wall_and_copied_away() -> None:
    """PL-10, BK-4, BK-5."""
    drawn = picture("production")
    assert {
        ("PgBouncer, the pool", "PostgreSQL on RDS"),
        ("Next.js application", "Valkey on ElastiCache"),
        ("PostgreSQL on RDS", "PostgreSQL on RDS, read replica"),
        ("PostgreSQL on RDS", "replicated backups"),
        ("PostgreSQL on RDS", "backup vault"),
        ("backup vault", "backup vault"),
        ("CloudWatch", "people on call"),
    } <= flows(drawn)
    walls = {node.title: node.walls for node in drawn.nodes}
    assert walls["PostgreSQL on RDS"][0] == "AWS us-east-1"
    assert walls["PostgreSQL on RDS"][-1].startswith("isolated subnets")
    assert walls["replicated backups"] == ("AWS us-west-2",)
    assert walls["nginx"][-1].startswith("namespace nextstack-production: restricted")
    assert walls["people"] == ()


def test_a_service_of_somebody_else_is_drawn_outside() -> None:
    drawn = diagram(external_stack(), "staging")
    assert ("PgBouncer, the pool", "PostgreSQL") in flows(drawn)
    [database] = [node for node in drawn.nodes if node.title == "PostgreSQL"]
    assert (database.shape, database.walls) == (Shape.SERVICE, ())


def test_scaling_schedules_and_what_is_not_drawn_are_told() -> None:
    drawn = picture("production")
    details = {node.title: node.detail for node in drawn.nodes}
    assert details["Next.js application"] == "3 to 10 pods"
    assert details["nginx"] == "2 pods"
    assert details["restore test"] == "Mon 06:00 UTC"
    assert drawn.supporting["encryption keys"] > 5


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("0 2 * * *", "daily 02:00 UTC"),
        ("10 4 * * 0", "Sun 04:10 UTC"),
        ("0 */6 * * *", "0 */6 * * * UTC"),
    ],
)
def test_schedules_are_put_in_words_where_there_are_some(schedule: str, words: str) -> None:
    assert in_words(schedule) == words


EXAMPLE = Diagram(
    title="small",
    nodes=[
        Node(id="a", title="<a> & b", walls=("outer", "inner")),
        Node(id="b/c", title="store", detail="1 GiB", shape=Shape.STORE, walls=("outer",)),
    ],
    flows=[
        Flow(source="a", target="b/c", label="HTTP(S)"),
        Flow(source="b/c", target="a", copies=True),
    ],
    supporting=Counter({"roles": 2}),
)


def test_mermaid_nests_walls_and_quotes_labels() -> None:
    assert draw.mermaid(EXAMPLE) == (
        "flowchart LR\n"
        '  subgraph outer["outer"]\n'
        '    b_c[("store<br/>1 GiB")]\n'
        '    subgraph outer_inner["inner"]\n'
        '      a["<a> & b"]\n'
        "    end\n"
        "  end\n"
        '  a -->|"HTTP(S)"| b_c\n'
        "  b_c -.-> a\n"
    )


@pytest.mark.skipif(shutil.which("dot") is None, reason="no Graphviz: got no `dot` on the path")
def test_a_picture_holds_every_node_flow_and_wall() -> None:
    svg = draw.svg(EXAMPLE)
    assert set(re.findall("<title>(.*?)</title>", svg)) >= {"a", "b_c", "a&#45;&gt;b_c"}
    assert "&lt;a&gt; &amp; b" in svg and "not drawn: 2 roles" in svg
    assert ">outer<" in svg and ">inner<" in svg


def test_without_graphviz_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match="apt-get install graphviz"):
        draw.svg(EXAMPLE)


@pytest.mark.parametrize("stack", [stack for stack in STACKS if stack != "staging"])
def test_the_committed_picture_is_of_the_stack_as_it_is_now(stack: str) -> None:
    """Made anew with `./nextstack graph --stack STACK --output docs/STACK.svg`."""
    titles = set(re.findall("<title>(.*?)</title>", (ROOT / f"docs/{stack}.svg").read_text()))
    wanted = of_stack(stack)
    nodes = {re.sub(r"\W", "_", node.id) for node in wanted.nodes}
    assert nodes <= titles
    edges = {title for title in titles if "&#45;&gt;" in title}
    assert len(edges) == len({(flow.source, flow.target) for flow in wanted.flows})
