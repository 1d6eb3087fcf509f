"""Direct mode against a cluster in memory: order, waiting, second runs, pruning, refusals."""

import base64
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any, cast

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random
import pytest

from offline.direct import apply, failure, state
from offline.direct import stack as direct
from offline.direct.apply import ApplyError, Change
from offline.direct.kubernetes_api import ApiError, Body, KubernetesApi
from offline.direct.readiness import Readiness, Stage, readiness

SETTINGS = {"nextstack:namespace": "shop", "nextstack:protectData": "false"}
Key = tuple[str, str, str]


class FakeApi:
    """Keeps objects as the API server would, and lets a test decide what becomes of them."""

    def __init__(self) -> None:
        self.objects: dict[Key, Body] = {}
        self.applied: list[str] = []
        self.deleted: list[str] = []
        self.refuse: dict[str, str] = {}
        """Message with which a change of the named object is refused."""
        self.status: dict[str, Body] = {}
        """What the controller of a kind answers with."""
        self.log: list[str] = []

    def get(self, api_version: str, kind: str, name: str, namespace: str = "") -> Body | None:
        return deepcopy(self.objects.get((kind, namespace, name)))

    def list(
        self, api_version: str, kind: str, namespace: str = "", labels: str = "", fields: str = ""
    ) -> Sequence[Body]:
        return [deepcopy(o) for (k, _, _), o in self.objects.items() if k == kind]

    def apply(self, body: Body) -> Body:
        metadata = body["metadata"]
        key = (body["kind"], metadata.get("namespace", ""), metadata["name"])
        if key in self.objects and metadata["name"] in self.refuse:
            raise ApiError(422, self.refuse[metadata["name"]])
        self.applied.append(metadata["name"])
        made = deepcopy(body) | {"status": self.status.get(body["kind"], {})}
        made["metadata"] |= {"uid": f"uid-{len(self.applied)}", "generation": 1}
        if key in self.objects:
            made["metadata"]["uid"] = self.objects[key]["metadata"]["uid"]
        self.objects[key] = made
        return deepcopy(made)

    def delete(self, live: Body, propagation: str = "Background") -> None:
        metadata = live["metadata"]
        self.deleted.append(metadata["name"])
        del self.objects[live["kind"], metadata.get("namespace", ""), metadata["name"]]

    def logs(self, namespace: str, pod: str, container: str, **options: Any) -> Iterator[str]:
        return iter(self.log)

    def names(self, kind: str) -> set[str]:
        return {name for found, _, name in self.objects if found == kind}


DONE = {"conditions": [{"type": "Complete", "status": "True"}]}
FAILED = {"conditions": [{"type": "Failed", "status": "True", "message": "tried 1 time"}]}


def shop(
    generation: int = 1, with_cache: bool = True, selector: str = "web"
) -> Callable[[], object]:
    """A namespace with two secrets, each used by one Deployment, and a Job before the first."""

    def workload(name: str, secret: str, first: list[pulumi.Resource]) -> None:
        k8s.apps.v1.Deployment(
            name,
            metadata={"namespace": "shop", "annotations": {"pulumi.com/skipAwait": "true"}},
            spec={
                "selector": {"match_labels": {"app": selector}},
                "template": {
                    "metadata": {"labels": {"app": selector}},
                    "spec": {
                        "containers": [
                            {"name": name, "env_from": [{"secret_ref": {"name": secret}}]}
                        ]
                    },
                },
            },
            opts=pulumi.ResourceOptions(depends_on=first),
        )

    def secret(name: str, number: int, first: pulumi.Resource) -> Any:
        made = random.RandomPassword(
            f"{name}-password", length=32, special=False, keepers={"generation": str(number)}
        )
        return k8s.core.v1.Secret(
            f"{name}-login",
            metadata={"namespace": "shop"},
            string_data={"password": made.result},
            opts=pulumi.ResourceOptions(depends_on=[first]),
        ).metadata.name

    def program() -> None:
        namespace = k8s.core.v1.Namespace("namespace", metadata={"name": "shop"})
        job = k8s.batch.v1.Job(
            "migration",
            metadata={"namespace": "shop"},
            spec={"template": {"spec": {"containers": [{"name": "m"}], "restart_policy": "Never"}}},
            opts=pulumi.ResourceOptions(depends_on=[namespace]),
        )
        workload("web", secret("web", generation, namespace), [job])
        if with_cache:
            workload("cache", secret("cache", 1, namespace), [])
        pulumi.export("url", "http://shop")

    return program


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    monkeypatch.setattr(apply, "POLL_S", 0.01)
    monkeypatch.setattr(direct, "POLL_S", 0.01)
    fake = FakeApi()
    fake.status["Job"] = DONE
    return fake


def up(api: FakeApi, run: Callable[[], object], stack_name: str = "dev") -> direct.Result:
    return direct.up(cast(KubernetesApi, api), stack_name, SETTINGS, run=run)


def password(api: FakeApi, secret: str) -> str:
    [data] = [o["data"] for (_, _, name), o in api.objects.items() if name.startswith(secret)]
    return base64.b64decode(data["password"]).decode()


def test_what_a_program_ignores_stays_as_it_was_made(api: FakeApi) -> None:
    """DB-14: a Job that runs once is not made anew for another image."""

    def program(image: str) -> Callable[[], object]:
        return lambda: k8s.batch.v1.Job(
            "seed",
            metadata={"namespace": "shop", "name": "seed-1"},
            spec={"template": {"spec": {"containers": [{"name": "seed", "image": image}]}}},
            opts=pulumi.ResourceOptions(ignore_changes=["spec"]),
        )

    up(api, program("shop:1"))
    assert up(api, program("shop:2")).changes == {Change.UNCHANGED: 1, Change.DELETED: 0}
    [job] = [o for (kind, _, _), o in api.objects.items() if kind == "Job"]
    assert job["spec"]["template"]["spec"]["containers"][0]["image"] == "shop:1"


def test_a_second_run_changes_nothing(api: FakeApi) -> None:
    first = up(api, shop())
    assert first.changes[Change.CREATED] == 6
    again = up(api, shop())
    assert again.changes == {Change.UNCHANGED: 6, Change.DELETED: 0}
    assert again.outputs == {"url": "http://shop"}


def test_namespace_and_state_exist_before_anything_else(api: FakeApi) -> None:
    up(api, shop())
    assert api.applied[:2] == ["shop", state.NAME]


def test_what_depends_on_a_job_waits_for_its_end(api: FakeApi) -> None:
    api.status["Job"] = FAILED
    with pytest.raises(ApplyError, match=r"Job migration-\w+ did not get ready: tried 1 time"):
        up(api, shop())
    assert "web" not in api.names("Deployment")


def test_a_failed_job_is_run_anew(api: FakeApi) -> None:
    api.status["Job"] = FAILED
    with pytest.raises(ApplyError):
        up(api, shop())
    api.status["Job"] = DONE
    up(api, shop())
    assert "web" in api.names("Deployment")


def test_an_interrupted_run_keeps_its_secrets_and_is_completed(api: FakeApi) -> None:
    api.status["Job"] = FAILED
    with pytest.raises(ApplyError):
        up(api, shop())
    kept = state.read(cast(KubernetesApi, api), "shop", "dev")
    assert kept is not None
    value = kept.generated["RandomPassword:web-password"]["value"]
    api.status["Job"] = DONE
    up(api, shop())
    assert password(api, "web-login") == value


def test_rotating_one_secret_changes_only_its_user(api: FakeApi) -> None:
    up(api, shop())
    before, cache = password(api, "web-login"), password(api, "cache-login")
    result = up(api, shop(generation=2))
    assert result.changes == {
        Change.CREATED: 1,  # the Secret, under a new name
        Change.CHANGED: 1,  # the Deployment that uses it
        Change.DELETED: 1,  # the old Secret
        Change.UNCHANGED: 4,
    }
    assert password(api, "web-login") != before
    assert password(api, "cache-login") == cache


def test_what_is_gone_from_the_program_is_pruned_and_the_rest_stays(api: FakeApi) -> None:
    up(api, shop())
    result = up(api, shop(with_cache=False))
    assert result.changes[Change.DELETED] == 2
    assert api.names("Deployment") == {"web"}
    assert api.names("Secret") >= {state.NAME}


def test_pruning_lets_foreign_objects_and_volume_claims_be(api: FakeApi) -> None:
    def with_claim() -> None:
        shop()()
        k8s.core.v1.PersistentVolumeClaim("data", metadata={"namespace": "shop"}, spec={})

    up(api, with_claim)
    api.objects["Deployment", "shop", "cache"]["metadata"]["labels"] = {"made-by": "a person"}
    up(api, shop(with_cache=False))
    assert "data" in api.names("PersistentVolumeClaim")
    assert "cache" in api.names("Deployment")


def test_an_object_of_somebody_else_is_not_taken_over(api: FakeApi) -> None:
    api.apply({"kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}})
    with pytest.raises(ApplyError, match="Deployment web exists and belongs to something else"):
        up(api, shop())


def test_a_namespace_of_another_stack_is_refused(api: FakeApi) -> None:
    up(api, shop())
    with pytest.raises(ValueError, match="belongs to another stack: got dev, allowed other"):
        up(api, shop(), stack_name="other")


def test_an_immutable_deployment_is_replaced(api: FakeApi) -> None:
    up(api, shop())
    api.refuse["web"] = "spec.selector: field is immutable"
    result = up(api, shop(selector="other"))
    assert result.changes[Change.REPLACED] == 1
    assert api.objects["Deployment", "shop", "web"]["spec"]["selector"] == {
        "matchLabels": {"app": "other"}
    }


def test_an_immutable_stateful_set_is_explained_and_kept(api: FakeApi) -> None:
    def database() -> None:
        k8s.core.v1.Namespace("namespace", metadata={"name": "shop"})
        k8s.apps.v1.StatefulSet(
            "db",
            metadata={"namespace": "shop", "annotations": {"pulumi.com/skipAwait": "true"}},
            spec={"selector": {}, "template": {}},
        )

    up(api, database)
    api.refuse["db"] = "updates to statefulset spec for fields other than 'replicas' are forbidden"
    with pytest.raises(ApplyError, match="delete statefulset db --cascade=orphan"):
        up(api, database)
    assert api.names("StatefulSet") == {"db"}
    assert api.deleted == []


def test_down_deletes_all_and_a_second_down_finds_nothing(api: FakeApi) -> None:
    up(api, shop())
    assert direct.down(cast(KubernetesApi, api), "dev", SETTINGS) == 6
    assert api.deleted[-1] == "shop"
    assert api.names("Deployment") == set()
    api.objects.clear()  # the state goes with its namespace
    assert direct.down(cast(KubernetesApi, api), "dev", SETTINGS) == 0


@pytest.mark.parametrize("command", [direct.up, direct.down])
def test_protected_stacks_are_refused_and_told_how_to_get_the_engine(
    api: FakeApi, command: Callable[..., object]
) -> None:
    with pytest.raises(ValueError, match="protectData is true, allowed false; install Pulumi"):
        command(api, "production", SETTINGS | {"nextstack:protectData": "true"})
    assert api.applied == []


def test_clouds_are_refused_before_anything_exists(api: FakeApi) -> None:
    class Bucket(pulumi.CustomResource):
        def __init__(self) -> None:
            super().__init__("aws:s3/bucket:Bucket", "files")

    with pytest.raises(ValueError, match=r"aws:s3/bucket:Bucket can't be made without"):
        up(api, Bucket)
    assert api.applied == []


def test_a_failure_shows_the_pod_and_its_log_without_secrets(api: FakeApi) -> None:
    api.status["Job"] = FAILED
    api.apply(
        {
            "kind": "Pod",
            "metadata": {"name": "migration-x", "namespace": "shop"},
        }
    )
    pod = api.objects["Pod", "shop", "migration-x"]
    ended = {"reason": "Error", "exitCode": 3}
    pod["status"] = {
        "phase": "Failed",
        "containerStatuses": [{"name": "m", "state": {"terminated": ended}, "lastState": {}}],
    }

    def program() -> None:
        namespace = k8s.core.v1.Namespace("namespace", metadata={"name": "shop"})
        made = random.RandomPassword("made", length=32, special=False)
        k8s.core.v1.Secret("s", metadata={"namespace": "shop"}, string_data={"p": made.result})
        k8s.batch.v1.Job(
            "migration",
            metadata={"namespace": "shop"},
            spec={"selector": {"match_labels": {"job": "x"}}, "template": {}},
            opts=pulumi.ResourceOptions(depends_on=[namespace]),
        )

    with pytest.raises(ApplyError):
        up(api, program)
    kept = state.read(cast(KubernetesApi, api), "shop", "dev")
    assert kept is not None
    secret = kept.generated["RandomPassword:made"]["value"]
    api.log = [f"login with {secret} failed"]
    with pytest.raises(ApplyError) as told:
        up(api, program)
    assert "pod migration-x: Failed, m: Error with exit code 3" in str(told.value)
    assert "log m: login with [secret] failed" in str(told.value)


def test_masking_blanks_longer_secrets_first_and_leaves_short_words() -> None:
    mask = failure.masking(["hunter22", "hunter22-and-more", "app"], [])
    assert mask("app uses hunter22-and-more, then hunter22") == "app uses [secret], then [secret]"


def live(kind: str, status: Body, **spec: Any) -> Body:
    return {"kind": kind, "metadata": {"name": "x", "generation": 2}, "spec": spec} | {
        "status": {"observedGeneration": 2} | status
    }


ENDPOINT = {"endpoints": [{"conditions": {"ready": True}}]}
BUSY = {"conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]}
BUSY["conditions"][0]["message"] = "no progress"


@pytest.mark.parametrize(
    ("found", "slices", "expected"),
    [
        (live("ConfigMap", {}), [], Stage.READY),
        (live("Deployment", {"observedGeneration": 1}), [], Stage.WAITING),
        (
            live("Deployment", {"updatedReplicas": 3, "availableReplicas": 2}, replicas=3),
            [],
            Stage.WAITING,
        ),
        (
            live(
                "Deployment",
                {"updatedReplicas": 3, "availableReplicas": 3, "replicas": 4},
                replicas=3,
            ),
            [],
            Stage.WAITING,
        ),
        (
            live("Deployment", {"updatedReplicas": 3, "availableReplicas": 3}, replicas=3),
            [],
            Stage.READY,
        ),
        (live("Deployment", {}, replicas=0), [], Stage.READY),
        (live("Deployment", BUSY), [], Stage.FAILED),
        (live("StatefulSet", {"readyReplicas": 1}, replicas=3), [], Stage.WAITING),
        (
            live("StatefulSet", {"readyReplicas": 1, "currentRevision": "a"}, replicas=1),
            [],
            Stage.WAITING,
        ),
        (live("StatefulSet", {"readyReplicas": 1}, replicas=1), [], Stage.READY),
        (live("Job", {}), [], Stage.WAITING),
        (live("Job", DONE), [], Stage.READY),
        (live("Job", FAILED), [], Stage.FAILED),
        (live("Service", {}, selector={"a": "b"}), [], Stage.WAITING),
        (live("Service", {}, selector={"a": "b"}), [ENDPOINT], Stage.READY),
        (live("Service", {}, selector={"a": "b"}, clusterIP="None"), [], Stage.READY),
        (live("Service", {}), [], Stage.READY),
        (live("Service", {}, type="LoadBalancer"), [], Stage.WAITING),
    ],
)
def test_readiness_follows_the_provider(found: Body, slices: list[Body], expected: Stage) -> None:
    assert readiness(found, slices).stage is expected


def test_a_deployment_says_how_far_it_is() -> None:
    found = live("Deployment", {"updatedReplicas": 3, "availableReplicas": 1}, replicas=3)
    assert readiness(found) == Readiness(Stage.WAITING, "1 of 3 available")
