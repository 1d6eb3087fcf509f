"""A stack as a picture: what runs, who talks to whom, and which walls are between them.

Everything is read from the recorded graph: cluster (pods.py) and AWS (cloud.py) make one model
(model.py), which draw.py writes as SVG or Mermaid.
"""

from collections import Counter

from offline.diagram import cloud, pods
from offline.diagram.model import Diagram, Node, Shape
from offline.preview import preview
from offline.recorder import PROJECT, Graph, stack_settings

PEOPLE = Node(id="people", title="people", shape=Shape.PERSON)
INTERNET = Node(
    id="internet", title="other services", detail="sign-in, AI, mail", shape=Shape.SERVICE
)
# A stack whose image is made later is drawn with its application all the same.
ANY_IMAGE = {"image": f"app@sha256:{'0' * 64}", "deploymentVersion": "next"}
COUNTED = {
    "NetworkPolicy": "network policies",
    "SecurityGroup": "security groups",
    "Key": "encryption keys",
    "Role": "roles",
    "LogGroup": "log groups",
    "RandomPassword": "generated secrets",
}


def of_stack(stack_name: str) -> Diagram:
    """The picture of a committed stack."""
    settings = stack_settings(stack_name)
    overrides = {} if settings[f"{PROJECT['name']}:image"] else ANY_IMAGE
    return diagram(preview(stack_name, **overrides), f"stack {stack_name}")


def diagram(graph: Graph, title: str) -> Diagram:
    """The picture of one recorded stack."""
    doors = pods.front_doors(graph)
    inside = pods.nodes(graph, cloud.cluster_walls(graph))
    nodes = {node.id: node for node in (PEOPLE, *inside, *cloud.nodes(graph), INTERNET)}
    flows = [
        flow
        for flow in dict.fromkeys([*cloud.flows(graph, doors), *pods.flows(graph)])
        if flow.source in nodes and flow.target in nodes and flow.source != flow.target
    ]
    used = {end for flow in flows for end in (flow.source, flow.target)}
    strangers = {PEOPLE.id, INTERNET.id}
    return Diagram(
        title=title,
        nodes=[node for node in nodes.values() if node.id in used or node.id not in strangers],
        flows=flows,
        supporting=Counter(
            COUNTED[kind]
            for resource in graph.resources
            if (kind := resource.type.rsplit(":", 1)[1]) in COUNTED
        ),
    )
