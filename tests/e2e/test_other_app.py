"""A second, different application runs by a stack file alone: no component knows the sample."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from conftest import Stack, nextstack

from commands.cluster import choose, load_image
from local import image_app, images
from offline.recorder import ROOT

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def other(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The second stack, from a copy of the checkout that has one file more."""
    copy = tmp_path_factory.mktemp("checkout")
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in files:
        if (ROOT / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    shutil.copy2(HERE / "Pulumi.other.yaml", copy)
    made = image_app.build_app(HERE / "other-app", {}, name="other", secrets=())
    cluster = choose(None)
    load_image(cluster, images.ref("node"), made.base)
    load_image(cluster, made.ref, made.archive)
    nextstack("up", "--stack", "other", "--image", made.ref, cwd=copy)
    yield replace(stack, namespace="nextstack-other")
    nextstack("down", "--stack", "other", "--keep-cluster", cwd=copy)


def test_the_other_application_gets_its_database_and_cache_under_its_own_names(
    other: Stack,
) -> None:
    [node] = other.objects("nodes")
    addresses = {a["type"]: a["address"] for a in node["status"]["addresses"]}
    address = f"http://{addresses['InternalIP']}:30081/"
    assert httpx.get(address, timeout=10).status_code == 421  # the stack answers its own name only
    answer = httpx.get(address, timeout=10, headers={"Host": "localhost:3001"})
    body = answer.json()
    assert answer.status_code == 200, body
    assert body["app"] == "other"
    assert body["database"] == 1
    assert body["cache"] == "PONG"
    assert body["uid"] == 2000
    assert {"PG_URL", "CACHE_URL", "GREETING"} <= set(body["env"])
    assert not {"DATABASE_URL", "REDIS_URL"} & set(body["env"])


def test_an_application_without_migrations_runs_no_job_for_them(other: Stack) -> None:
    names = [job["metadata"]["name"] for job in other.objects("jobs")]
    assert names
    assert not [name for name in names if "migration" in name]


def test_its_data_was_put_in_by_its_own_command(other: Stack) -> None:
    """DB-14: with the owner's rights, before the first pod of the application."""
    [seed] = [job for job in other.objects("jobs") if job["metadata"]["name"] == "web-seed-1"]
    assert seed["status"]["succeeded"] == 1
    query = ["--tuples-only", "--no-align", "--command=select word from greeting"]
    psql = ["psql", "--username=postgres", "--dbname=app", "--no-psqlrc"]
    assert other.execute("postgres-0", *psql, *query).split() == ["hello"]
