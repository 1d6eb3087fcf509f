"""What the running pods may do, seen from inside, and what the cluster refuses."""

import base64
import http.client
import json
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import SITE, Stack, nextstack

BAD_POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "bad"},
    "spec": {
        "containers": [
            {
                "name": "bad",
                "image": "localhost/nextstack/node:24",
                "command": ["sleep", "60"],
                "securityContext": {"privileged": True},
            }
        ]
    },
}
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"


@pytest.fixture(scope="module")
def containers(stack: Stack) -> list[tuple[str, str]]:
    """Pod and name of every running container."""
    return [
        (pod["metadata"]["name"], container["name"])
        for pod in stack.objects("pods", "--field-selector=status.phase=Running")
        for container in pod["spec"]["containers"]
    ]


def inside(stack: Stack, container: tuple[str, str], *command: str) -> str:
    pod, name = container
    return stack.kubectl("exec", pod, f"--container={name}", "--", *command, check=False)


def test_pod_security_rejects_a_privileged_pod(stack: Stack) -> None:
    """AP-4."""
    answer = stack.kubectl("apply", "--filename=-", stdin=json.dumps(BAD_POD), check=False)
    assert 'violates PodSecurity "restricted' in answer
    assert "privileged" in answer


def test_every_process_is_unprivileged(stack: Stack, containers: list[tuple[str, str]]) -> None:
    """AP-4: no root, no capability, no new privileges, system calls filtered."""
    assert len(containers) >= 14
    for container in containers:
        text = inside(stack, container, "cat", "/proc/1/status")
        status = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
        assert "0" not in status["Uid"].split(), container
        assert int(status["CapEff"], 16) == 0, container
        assert int(status["CapBnd"], 16) == 0, container
        assert status["NoNewPrivs"] == "1", container
        assert status["Seccomp"] == "2", container


def test_every_root_file_system_is_read_only(
    stack: Stack, containers: list[tuple[str, str]]
) -> None:
    """AP-5."""
    for container in containers:
        lines = inside(stack, container, "cat", "/proc/mounts").splitlines()
        [root] = [line.split() for line in lines if line.split()[1] == "/"]
        assert "ro" in root[3].split(","), container


def test_no_container_holds_a_token_of_the_api(
    stack: Stack, containers: list[tuple[str, str]]
) -> None:
    """AP-4."""
    for container in containers:
        assert "No such file" in inside(stack, container, "cat", TOKEN), container


# Generated passwords, keys in base64, SCRAM verifiers: whatever surrounds them in a Secret.
CREDENTIAL = re.compile(r"[A-Za-z0-9]{64}|[A-Za-z0-9+/]{43}=|SCRAM-SHA-256\$[^\s\"']+")


# Public, though it stands beside its private key.
CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")


def secret_values(stack: Stack) -> set[str]:
    """Every credential in the namespace's Secrets."""
    return {
        found
        for secret in stack.objects("secrets")
        for value in secret.get("data", {}).values()
        for found in CREDENTIAL.findall(
            CERTIFICATE.sub("", base64.b64decode(value).decode(errors="replace"))
        )
    }


def test_no_secret_is_in_logs_events_or_config_maps(stack: Stack) -> None:
    """SC-3."""
    values = secret_values(stack)
    assert len(values) >= 10
    texts: dict[str, Any] = {
        "events": stack.kubectl("get", "events", "--output=json"),
        "config maps": stack.kubectl("get", "configmaps", "--output=json"),
        "pods": stack.kubectl("get", "pods,jobs,deployments,statefulsets", "--output=json"),
    }
    for pod in stack.objects("pods"):
        name = pod["metadata"]["name"]
        texts[f"log of {name}"] = stack.kubectl(
            "logs", name, "--all-containers", "--prefix", check=False
        )
    for where, text in texts.items():
        found = [value for value in values if value in text]
        assert not found, f"{len(found)} secret values in {where}"


def test_rendered_manifests_hold_secrets_only_in_secrets(stack: Stack, tmp_path: Path) -> None:
    """SC-3."""
    values = secret_values(stack)
    nextstack("render", "--stack", "dev", "--out", str(tmp_path))
    manifests = [path for path in tmp_path.rglob("*.yaml") if "secrets" not in path.parts]
    assert len(manifests) >= 20
    for path in manifests:
        assert "kind: Secret" not in path.read_text(), path.name
        assert not [value for value in values if value in path.read_text()], path.name


def test_the_headers_are_sent_once_on_answers_and_errors(stack: Stack) -> None:
    """HD-1 to HD-9 on the running site."""
    assert stack
    expected = {
        "x-frame-options": "DENY",
        "x-content-type-options": "nosniff",
        "referrer-policy": "strict-origin-when-cross-origin",
        "permissions-policy": "camera=(), microphone=(self), geolocation=()",
    }
    for path, status in (("/", 200), ("/nowhere", 404), ("/api/metrics", 404)):
        answer = httpx.get(f"{SITE}{path}")
        assert answer.status_code == status, path
        for name, value in expected.items():
            assert answer.headers.get_list(name) == [value], (path, name)
        assert len(answer.headers.get_list("content-security-policy")) == 1, path
        assert "strict-transport-security" not in answer.headers
        assert "x-powered-by" not in answer.headers
        assert "x-xss-protection" not in answer.headers
        assert answer.headers["server"] == "nginx"


def test_limits_are_answered_with_their_own_status(stack: Stack) -> None:
    """WB-6, RL-3."""
    assert stack
    with closing(http.client.HTTPConnection("localhost", 3000)) as connection:
        # The length is enough for nginx; nothing of the body needs to be sent.
        connection.request("POST", "/api/tasks", headers={"Content-Length": "50000001"})
        assert connection.getresponse().status == 413
    with httpx.Client(base_url=SITE, timeout=30) as client:
        answers = [client.get("/api/live") for _ in range(160)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert refused[0].headers["retry-after"] == "60"
