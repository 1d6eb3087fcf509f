"""Dumps in object storage: copied, compared, fetched, restored (BK-6, BK-7, BK-16, S-7, RO-8)."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from archive_lab import Ended, Node, Store, store

from local.machine import refuse_unfit
from offline.recorder import Graph, Providers, program, record, stack_settings

BUCKET = "dumps"
DATABASE = """
initdb --pgdata=/scratch/data --username=owner --auth=trust --no-sync >/scratch/log
pg_ctl --pgdata=/scratch/data --silent --wait --log=/scratch/log \\
    --options="-c listen_addresses= -c unix_socket_directories=/scratch" start
psql --quiet --host=/scratch --username=owner postgres <<'SQL'
CREATE TABLE notes AS
    SELECT id, repeat(md5(id::text), 100) AS text FROM generate_series(1, 2000) AS id;
SQL
sh /etc/nextstack/job/dump.sh
"""
LIBPQ = {
    "PGHOST": "/scratch",
    "PGUSER": "owner",
    "PGDATABASE": "postgres",
    "PGSSLMODE": "disable",
    "PGSSLROOTCERT": "",
}
RIGHTS = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{BUCKET}"},
        {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject"],
            "Resource": f"arn:aws:s3:::{BUCKET}/*",
        },
    ],
}
"""No right to delete: whoever has the key can't take copies away."""
DELETE = {"Effect": "Allow", "Action": "s3:DeleteObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
NOW = datetime.now(UTC)
SUNDAY = NOW - timedelta(days=(NOW.weekday() + 1) % 7)
"""The last one, perhaps today."""
OTHER = NOW - timedelta(days=1) if SUNDAY == NOW else NOW
"""Another day of the last week."""
NEWEST = max(SUNDAY, OTHER)


def name_of(day: datetime) -> str:
    return day.strftime("%Y%m%dT010000Z")


def folder_of(day: datetime) -> str:
    return f"{'weekly' if day.isoweekday() == 7 else 'daily'}/{name_of(day)}"


def recorded(endpoint: str, keys: dict[str, str], ca_file: Path, **changes: Any) -> Graph:
    """The dev stack with its archive switched on, by nothing but configuration."""
    settings = stack_settings(
        "dev",
        archiveEnabled=True,
        archiveImage="localhost/nextstack/rclone:1.60",
        archiveEndpoint=endpoint,
        archiveBucket=BUCKET,
        archiveKeys=keys,
        archiveCaFile=str(ca_file),
        **changes,
    )
    return record(program, Providers(), settings, "dev", secret_keys=["nextstack:archiveKeys"])


def container(node: Node, cron_job: str, name: str) -> dict[str, Any]:
    [job] = [r for r in node.graph.all("CronJob") if r.inputs["metadata"]["name"] == cron_job]
    pod = job.inputs["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    [found] = [c for c in pod.get("initContainers", []) + pod["containers"] if c["name"] == name]
    return found


@dataclass(frozen=True, kw_only=True)
class Lab:
    node: Node
    store: Store

    def archive(self, **variables: str) -> Ended:
        """The Job's second step."""
        step = container(self.node, "backup", "archive")
        return self.node.run(step, {"backups": "backups"}, variables=variables)

    def fetch(self, *days: datetime) -> None:
        """Dumps from the store into the volume `fetched`, as docs say."""
        step = container(self.node, "backup", "archive") | {"volumeMounts": [FETCHED, FILES]}
        for day in days:
            where, name = folder_of(day), name_of(day)
            command = ["rclone", "copy", f"archive:{BUCKET}/{where}", f"/backups/{name}"]
            ended = self.node.run(step, {"backups": "fetched"}, command=command)
            assert ended.code == 0, ended.output

    def restore(self, volume: str) -> Ended:
        """The weekly restore test, on the dumps of a volume."""
        step = container(self.node, "restore-test", "restore-test")
        return self.node.run(step, {"backups": volume, "scratch": "scratch"})


FETCHED = {"name": "backups", "mountPath": "/backups"}
FILES = {"name": "archive-files", "mountPath": "/etc/nextstack/job", "readOnly": True}


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dump of a real database, taken by the Job's first step."""
    try:
        refuse_unfit()
    except RuntimeError as unfit:
        pytest.skip(str(unfit))
    folder = tmp_path_factory.mktemp("taken")
    (folder / "ca.pem").touch()
    keys = {"accessKeyId": "a", "secretAccessKey": "b"}
    graph = recorded("https://localhost:1", keys, folder / "ca.pem")
    node = Node(graph=graph, folder=folder)
    step = container(node, "backup", "dump")
    scratch = {"name": "scratch", "mountPath": "/scratch"}
    step = step | {"volumeMounts": [*step["volumeMounts"], scratch]}
    volumes = {"backups": "backups", "scratch": "server"}
    ended = node.run(step, volumes, command=["sh", "-euc", DATABASE], variables=LIBPQ)
    assert ended.code == 0, ended.output
    assert ended.result["rows"] == 2000
    [made] = node.volume("backups").glob("20*Z")
    return made


@pytest.fixture
def lab(dump: Path, tmp_path: Path) -> Iterator[Lab]:
    """A store, and a volume with the dump as if it were of the last days."""
    with store(BUCKET, RIGHTS, tmp_path) as running:
        yield make_lab(running, dump, tmp_path, SUNDAY, OTHER)


def make_lab(running: Store, dump: Path, folder: Path, *days: datetime, **changes: Any) -> Lab:
    (folder / "ca.pem").write_text(running.ca)
    graph = recorded(running.endpoint, running.keys, folder / "ca.pem", **changes)
    node = Node(graph=graph, folder=folder)
    for day in days:
        copy = node.volume("backups") / name_of(day)
        shutil.copytree(dump, copy)
        for path in (copy, *copy.iterdir()):
            os.chown(path, 999, 999)
        os.utime(copy, (day.timestamp(), day.timestamp()))
    return Lab(node=node, store=running)


def test_dumps_arrive_whole_and_can_be_restored(lab: Lab) -> None:
    """BK-6, BK-7, BK-16, RO-8: Sunday's where the year-long archive is, the others apart."""
    ended = lab.archive()
    assert ended.code == 0, ended.output
    assert ended.result | {"seconds": 0} == {
        "dump": name_of(NEWEST),
        "ok": True,
        "copied": 2,
        "present": 0,
        "seconds": 0,
    }
    files = ("dump", "facts", "SHA256SUMS")
    assert lab.store.names == {
        f"{folder_of(day)}/{file}" for day in (SUNDAY, OTHER) for file in files
    }
    lab.fetch(SUNDAY, OTHER)
    restored = lab.restore("fetched")
    assert restored.code == 0, restored.output
    assert restored.result["dump"] == name_of(NEWEST)
    assert (restored.result["ok"], restored.result["rows"]) == (True, 2000)


def test_a_second_run_sends_nothing_again(lab: Lab) -> None:
    assert lab.archive().result["copied"] == 2
    before = len(lab.store.requests)
    again = lab.archive()
    assert (again.code, again.result["copied"], again.result["present"]) == (0, 0, 2)
    assert not [r for r in lab.store.requests[before:] if r.startswith(("PUT", "POST"))]


def test_what_an_interrupted_run_left_is_completed(lab: Lab) -> None:
    assert lab.archive().code == 0
    lab.store.remove(f"{folder_of(SUNDAY)}/SHA256SUMS")
    again = lab.archive()
    assert (again.code, again.result["copied"], again.result["present"]) == (0, 1, 1)


@pytest.mark.parametrize(
    ("method", "error"),
    [("GET", "what arrived differs from what was sent"), ("PUT", "the upload failed")],
)
def test_a_damaged_copy_fails_the_job_and_counts_as_missing(
    lab: Lab, method: str, error: str
) -> None:
    """BK-6: silently changed at rest, or on the way."""
    lab.store.damaged.add(method)
    ended = lab.archive()
    assert ended.code == 1
    assert (ended.result["ok"], ended.result["error"]) == (False, error)
    assert not [name for name in lab.store.names if name.endswith("SHA256SUMS")]
    lab.store.damaged.clear()
    assert lab.archive().result["copied"] == 2


def test_a_damaged_dump_is_not_copied(lab: Lab) -> None:
    with (lab.node.volume("backups") / name_of(SUNDAY) / "dump").open("ab") as file:
        file.write(b"x")
    ended = lab.archive()
    assert (ended.code, ended.result["error"]) == (1, "the checksum on the volume is wrong")
    assert not [name for name in lab.store.names if name.startswith(folder_of(SUNDAY))]


@pytest.mark.parametrize(
    "wrong",
    [
        {"AWS_SECRET_ACCESS_KEY": "wrong"},
        {"AWS_ACCESS_KEY_ID": "AKIAWRONG"},
        {"RCLONE_CA_CERT": ""},
    ],
)
def test_a_wrong_key_or_an_unknown_authority_fails_the_job(lab: Lab, wrong: dict[str, str]) -> None:
    """BK-22: the store checks who asks, and rclone whom it talks to."""
    ended = lab.archive(RCLONE_LOW_LEVEL_RETRIES="1", RCLONE_RETRIES="1", **wrong)
    assert (ended.code, ended.result["error"]) == (1, "the upload failed")
    assert lab.store.names == set()


def test_only_sundays_dumps_go_where_the_stack_says_so(dump: Path, tmp_path: Path) -> None:
    """BK-6: staging."""
    with store(BUCKET, RIGHTS, tmp_path) as running:
        lab = make_lab(running, dump, tmp_path, SUNDAY, OTHER, archiveDaily=False)
        assert lab.archive().result["copied"] == 1
        assert {name.split("/")[0] for name in lab.store.names} == {"weekly"}


def test_a_volume_without_dumps_fails_the_job(dump: Path, tmp_path: Path) -> None:
    with store(BUCKET, RIGHTS, tmp_path) as running:
        ended = make_lab(running, dump, tmp_path).archive()
    assert (ended.code, ended.result["error"]) == (1, "there is no dump")


def test_copies_that_are_too_old_go_only_where_the_stack_says_so(
    dump: Path, tmp_path: Path
) -> None:
    """BK-6: for stores without lifecycle rules; the key needs one more right."""
    may_delete = RIGHTS | {"Statement": [*RIGHTS["Statement"], DELETE]}
    with store(BUCKET, may_delete, tmp_path) as running:
        lab = make_lab(running, dump, tmp_path, OTHER, archivePrune=True)
        old = dump.stat().st_mtime - 40 * 86_400
        for file in (lab.node.volume("backups") / name_of(OTHER)).iterdir():
            os.utime(file, (old, old))
        assert lab.archive().code == 0
        assert lab.store.names == set()
    with store(BUCKET, may_delete, tmp_path) as running:
        shutil.rmtree(tmp_path / "backups")
        lab = make_lab(running, dump, tmp_path, OTHER, archivePrune=True)
        assert lab.archive().code == 0
        assert len(lab.store.names) == 3
