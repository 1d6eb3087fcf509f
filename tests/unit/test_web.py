"""WebApp: what it refuses, what it hands to the cluster, what a migration gets."""

import json
from collections import Counter
from ipaddress import IPv4Network
from typing import Any

import pytest
from conftest import deploy, deploy_stack, knobs

from components.app_config import AppConfig
from components.network_policy import reaches
from components.sql_job import JobStep
from components.web import PRIVATE, Migration, WebApp, WebAppArgs
from offline.recorder import Graph

MIGRATE = ["npm", "run", "migrate"]


def step(name: str) -> JobStep:
    return JobStep(
        container={"name": name, "image": f"localhost/{name}:1"},
        volumes=[{"name": f"{name}-files", "empty_dir": {}}],
        labels=reaches(name),
    )


def args(stack: str = "dev", version: str = "3f2a9c1", **changes: Any) -> WebAppArgs:
    return WebAppArgs(
        config=knobs(AppConfig, "app", stack, **changes),
        namespace="shop",
        image="localhost/shop:1",
        deployment_version=version,
        config_map="plain-1",
        secret="secret-1",
        ca_bundle="PEM",
        migration=Migration(
            env={"DIRECT_URL": "postgresql://owner:pass@db/app"},
            before=[step("dump")],
            after=[step("reconnect")],
        ),
    )


def run(stack: str = "dev", **changes: Any) -> Graph:
    return deploy(lambda: WebApp("web", args(stack, **changes)))


def pod(graph: Graph, kind: str = "Deployment") -> dict[str, Any]:
    return graph.one(kind).inputs["spec"]["template"]["spec"]


def server(graph: Graph) -> dict[str, Any]:
    [container] = pod(graph)["containers"]
    return container


def types(graph: Graph) -> Counter[str]:
    return Counter(r.type.rsplit(":", 1)[1] for r in graph.resources if "Stack" not in r.type)


BASE = {
    "WebApp": 1,
    "ConfigMap": 1,
    "Deployment": 1,
    "Service": 2,
    "PodDisruptionBudget": 1,
    "NetworkPolicy": 3,
}


def test_registers_exactly_these_resources() -> None:
    assert types(run(migration_command=[])) == BASE
    assert types(run(migration_command=MIGRATE)) == {**BASE, "Job": 1, "Secret": 1}
    scaled = run("production", migration_command=[])
    assert types(scaled) == {**BASE, "HorizontalPodAutoscaler": 1}


@pytest.mark.parametrize(
    ("stack", "cpu", "request_mib"),
    [("dev", "100m", 256), ("staging", "250m", 1024), ("production", "500m", 1024)],
)
def test_resources(stack: str, cpu: str, request_mib: int) -> None:
    """AP-3: no CPU limit; the folders count as storage of the node."""
    assert server(run(stack))["resources"] == {
        "requests": {"cpu": cpu, "memory": f"{request_mib}Mi", "ephemeral-storage": "256Mi"},
        "limits": {"memory": "1024Mi", "ephemeral-storage": "1536Mi"},
    }


def test_heap_leaves_a_quarter_of_the_memory() -> None:
    """AP-3."""
    assert knobs(AppConfig, "app").node_options == "--max-old-space-size=768"
    assert knobs(AppConfig, "app", memory_mib=2048).node_options == "--max-old-space-size=1536"


def test_a_fixed_number_of_pods_without_scaling() -> None:
    """AP-1."""
    assert run().one("Deployment").inputs["spec"]["replicas"] == 3
    assert knobs(AppConfig, "app").most_pods == 4


@pytest.mark.parametrize(("stack", "most"), [("staging", 5), ("production", 10)])
def test_the_autoscaler_owns_the_number_of_pods(stack: str, most: int) -> None:
    """AP-2, S-29."""
    graph = run(stack)
    spec = graph.one("HorizontalPodAutoscaler").inputs["spec"]
    assert "replicas" not in graph.one("Deployment").inputs["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (3, most)
    assert {m["resource"]["name"]: m["resource"]["target"] for m in spec["metrics"]} == {
        "cpu": {"type": "Utilization", "averageUtilization": 70},
        "memory": {"type": "Utilization", "averageUtilization": 80},
    }
    assert spec["scaleTargetRef"]["name"] == "web-server"
    assert knobs(AppConfig, "app", stack).most_pods == most + 1


def test_pod_is_unprivileged_and_writes_only_to_its_folders() -> None:
    """AP-4, AP-5."""
    spec = pod(run())
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"] == 1001
    assert server(run())["securityContext"]["readOnlyRootFilesystem"] is True
    sizes = {v["name"]: v["emptyDir"]["sizeLimit"] for v in spec["volumes"] if "emptyDir" in v}
    paths = {m["mountPath"]: sizes.get(m["name"]) for m in server(run())["volumeMounts"]}
    assert paths == {
        "/app/.next/cache": "1024Mi",
        "/tmp": "256Mi",
        "/etc/nextstack/database-ca": None,
    }
    assert run().one("ConfigMap").inputs["data"] == {"ca.pem": "PEM"}


def test_rollout_never_goes_below_the_number_of_pods() -> None:
    """AP-6: and each pod has time to leave."""
    spec = run().one("Deployment").inputs["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert spec["progressDeadlineSeconds"] == 180
    assert server(run())["lifecycle"] == {"preStop": {"sleep": {"seconds": 10}}}
    assert pod(run())["terminationGracePeriodSeconds"] == 45


def test_probes() -> None:
    """AP-7: liveness asks for no more than an open port."""
    container = server(run())
    assert container["livenessProbe"]["tcpSocket"] == {"port": 3000}
    assert container["startupProbe"]["tcpSocket"] == {"port": 3000}
    assert container["readinessProbe"] == {
        "httpGet": {"path": "/api/ready", "port": 3000},
        "timeoutSeconds": 2,
        "periodSeconds": 10,
        "failureThreshold": 3,
    }
    assert server(run(readiness_path=""))["readinessProbe"]["tcpSocket"] == {"port": 3000}


def test_pods_are_spread_and_two_stay() -> None:
    """AP-8: each build on its own."""
    spread = pod(run())["topologySpreadConstraints"]
    assert [entry["topologyKey"] for entry in spread] == [
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    ]
    assert all(entry["matchLabelKeys"] == ["pod-template-hash"] for entry in spread)
    assert run().one("PodDisruptionBudget").inputs["spec"]["minAvailable"] == 2


def test_the_version_is_a_label_and_the_environment_comes_by_name() -> None:
    """AP-9, AP-10."""
    template = run().one("Deployment").inputs["spec"]["template"]
    assert template["metadata"]["labels"]["app.kubernetes.io/version"] == "3f2a9c1"
    assert server(run())["envFrom"] == [
        {"configMapRef": {"name": "plain-1"}},
        {"secretRef": {"name": "secret-1"}},
    ]
    assert "env" not in server(run())


def test_pods_reach_pool_cache_and_the_internet_only() -> None:
    """AP-11, PO-10: the addresses of cloud credentials are no part of the internet."""
    graph = run()
    labels = graph.one("Deployment").inputs["spec"]["template"]["metadata"]["labels"]
    assert {name for name in labels if "reaches" in name} == {
        "nextstack/reaches-pgbouncer",
        "nextstack/reaches-redis",
    }
    [rule] = graph.one("NetworkPolicy", "to-internet").inputs["spec"]["egress"]
    assert rule == {
        "to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": PRIVATE}}],
        "ports": [{"port": 443, "protocol": "TCP"}],
    }
    assert any(IPv4Network("169.254.169.254").subnet_of(IPv4Network(cidr)) for cidr in PRIVATE)
    [rule] = (
        run(private_ranges=["10.1.2.0/24"])
        .one("NetworkPolicy", "to-internet")
        .inputs["spec"]["egress"]
    )
    assert rule["to"][1:] == [{"ipBlock": {"cidr": "10.1.2.0/24"}}]


def test_pods_reach_the_queue_where_there_is_one() -> None:
    """CA-4: QUEUE_REDIS_URL is of no use behind a closed port."""
    graph = deploy_stack("dev", redisQueue=True, image="localhost/shop:1", deploymentVersion="1")
    [client] = graph.one("NetworkPolicy", "redis-queue-from-clients").inputs["spec"]["ingress"]
    opens_to = client["from"][0]["podSelector"]["matchLabels"]
    labels = graph.one("Deployment", "web-server").inputs["spec"]["template"]["metadata"]["labels"]
    assert opens_to.items() <= labels.items()


def test_services_have_names_that_others_can_know() -> None:
    specs = {r.inputs["metadata"]["name"]: r.inputs["spec"] for r in run().all("Service")}
    assert specs.keys() == {"web", "web-pods"}
    assert specs["web-pods"]["clusterIP"] == "None"


def test_migration_runs_between_dump_and_reconnect() -> None:
    """DB-13: each only when the one before has succeeded."""
    spec = pod(run(migration_command=MIGRATE), "Job")
    assert [c["name"] for c in spec["initContainers"]] == ["dump", "migrate"]
    assert [c["name"] for c in spec["containers"]] == ["reconnect"]
    assert spec["restartPolicy"] == "Never"
    migrate = spec["initContainers"][1]
    assert migrate["command"] == MIGRATE
    assert (migrate["securityContext"]["runAsUser"], spec["securityContext"]["runAsUser"]) == (
        1001,
        999,
    )
    volumes = {volume["name"] for volume in spec["volumes"]}
    assert {"dump-files", "reconnect-files", "database-ca"} <= volumes


def test_migration_gets_the_direct_url_by_reference_and_nothing_that_changes_often() -> None:
    """PO-10, SC-3: another plain variable does not run it again."""
    graph = run(migration_command=MIGRATE)
    job = json.dumps(graph.one("Job").inputs)
    assert "owner:pass" not in job
    assert "plain-1" not in job and "secret-1" not in job
    assert graph.one("Secret").inputs["stringData"].keys() == {"DIRECT_URL"}
    labels = graph.one("Job").inputs["spec"]["template"]["metadata"]["labels"]
    assert {name for name in labels if "reaches" in name} == {
        f"nextstack/reaches-{server}" for server in ("postgres", "pgbouncer", "dump", "reconnect")
    }


def test_the_same_image_is_not_migrated_again() -> None:
    """PL-6: a Job's pod template is what makes a new Job."""
    before, after = (
        run(migration_command=MIGRATE, version=version).one("Job").inputs["spec"]
        for version in ("3f2a9c1", "77aa01b")
    )
    assert before == after


def test_the_rollout_waits_for_the_migration() -> None:
    """DB-13: a migration that fails stops the release."""
    graph = run(migration_command=MIGRATE)
    assert graph.one("Job").urn in graph.one("Deployment").depends_on


def test_data_is_put_in_once_after_the_schema() -> None:
    """DB-14: a new image runs it no more, a new generation does."""
    graph = run(migration_command=MIGRATE, seed_command=["npm", "run", "seed"])
    jobs = {r.name: r for r in graph.resources if r.type.endswith(":Job")}
    seed, migration = jobs["web-seed"], jobs["web-migration"]
    assert seed.type.endswith(":Job") and seed.object_name == "web-seed-1"
    assert seed.ignore_changes == ("spec",)
    assert seed.inputs["spec"]["backoffLimit"] == 0
    [container] = seed.inputs["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["npm", "run", "seed"]
    assert migration.urn in seed.depends_on
    assert seed.urn in graph.one("Deployment").depends_on
    again = run(seed_command=["npm", "run", "seed"], migration_command=[], seed_generation=2)
    assert again.one("Job").object_name == "web-seed-2"


def test_a_registry_login_is_used_by_every_pod() -> None:
    graph = run(pull_secret="registry", migration_command=MIGRATE)
    for kind in ("Deployment", "Job"):
        assert pod(graph, kind)["imagePullSecrets"] == [{"name": "registry"}]


def test_any_application_fits() -> None:
    """A port, user, folders and probe of its own, no migration."""
    graph = run(
        port=8080,
        uid=1000,
        gid=1000,
        writable_mib={"/srv/.next/cache": 64},
        readiness_path="",
        migration_command=[],
    )
    text = json.dumps(graph.one("Deployment").inputs)
    assert "1001" not in text and "3000" not in text and "/app" not in text
    assert {r.inputs["spec"]["ports"][0]["port"] for r in graph.all("Service")} == {8080}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"port": 80}, "appPort is out of range: got 80, allowed 1024 to 65535"),
        ({"uid": 0}, "appUid is out of range: got 0, allowed 1 to"),
        ({"gid": 0}, "appGid is out of range"),
        ({"memory_mib": 64, "memory_request_mib": 64}, "appMemoryMib is out of range: got 64"),
        ({"heap_percent": 100}, "appHeapPercent is out of range"),
        ({"cpu_millis": 0}, "appCpuMillis is out of range"),
        ({"scale_cpu_percent": 0}, "appScaleCpuPercent is out of range"),
        ({"scale_memory_percent": 101}, "appScaleMemoryPercent is out of range"),
        ({"readiness_timeout_s": 0}, "appReadinessTimeoutS is out of range"),
        ({"readiness_period_s": 0}, "appReadinessPeriodS is out of range"),
        ({"readiness_failures": 0}, "appReadinessFailures is out of range"),
        ({"startup_s": 1}, "appStartupS is out of range"),
        ({"progress_deadline_s": 10}, "appProgressDeadlineS is out of range"),
        ({"migration_timeout_s": 1}, "appMigrationTimeoutS is out of range"),
        ({"min_replicas": 0}, "appMinReplicas is too small: got 0, allowed 2 or more"),
        ({"min_replicas": 2}, "appMinAvailable is out of range: got 2, allowed 1 to one less"),
        ({"min_available": 0}, "appMinAvailable is out of range: got 0"),
        (
            {"max_replicas": 4, "memory_request_mib": 1024},
            "appMaxReplicas is too small: got 4, all",
        ),
        ({"max_replicas": 5}, "appMemoryRequestMib differs from the limit: got 256, allowed 1024"),
        ({"memory_request_mib": 2048}, "appMemoryRequestMib is out of range: got 2048"),
        ({"readiness_path": "ready"}, "appReadinessPath is malformed: got 'ready'"),
        ({"readiness_path": "/api/health"}, "appReadinessPath is for monitoring"),
        ({"readiness_path": "/api/health/?x=1"}, "appReadinessPath is for monitoring"),
        ({"pre_stop_s": 0}, "appPreStopS is too short: got 0"),
        ({"grace_s": 39}, "appGraceS is too short: got 39, allowed 40 or more"),
        ({"writable_mib": {"tmp": 1}}, "appWritableMib.tmp is no folder"),
        ({"writable_mib": {"/": 1}}, "appWritableMib./ is no folder"),
        ({"writable_mib": {"/tmp/": 1}}, "appWritableMib./tmp/ is no folder"),
        ({"writable_mib": {"/app/.next": 1}}, "appWritableMib./app/.next would hide the build"),
        ({"writable_mib": {"/app/.next/server": 1}}, "would hide the build"),
        ({"writable_mib": {"/tmp": 0}}, "appWritableMib./tmp is out of range: got 0"),
    ],
)
def test_bad_values_are_refused_with_what_is_allowed(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="configuration has") as refused:
        knobs(AppConfig, "app", **changes)
    assert message in str(refused.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ValueError, match="configuration has 3 problems"):
        knobs(AppConfig, "app", port=1, uid=0, readiness_path="x")


@pytest.mark.parametrize("version", ["", "a b", "-a", "a" * 64])
def test_a_version_that_is_no_label_is_refused(version: str) -> None:
    with pytest.raises(ValueError, match="deployment_version is no label"):
        args(version=version)
