"""What changes between two graphs, and which changes are dangerous."""

from collections.abc import Callable
from inspect import signature
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as k8s
import pulumi_random as random
import pytest
from conftest import deploy
from pulumi.runtime import rpc

from offline.recorder import Graph, Providers, record
from offline.review import dangers, exposure
from offline.review.compare import Op, changes, counts, differences
from offline.review.dangers import Danger, Kind
from offline.review.replacement import KEPT, forces
from offline.review.schedules import runs_in_four_weeks
from offline.review.view import lines, words

Make = Callable[..., object]


def found(before: Make, after: Make) -> list[Danger]:
    """The dangers of a change from what one function makes to what another one does."""
    old, new = deploy(before), deploy(after)
    changed = changes(old, new)
    return [*dangers.dangers(changed), *exposure.dangers(changed, old)]


def of(make: Make, **changed: Any) -> list[tuple[Kind, str]]:
    """The dangers of changing inputs of one resource; the first part of what is told of each."""
    return [(d.kind, d.told.split(":")[0]) for d in found(make, lambda: make(**changed))]


def instance(**inputs: Any) -> object:
    given: dict[str, Any] = {
        "identifier": "main",
        "instance_class": "db.m7g.large",
        "username": "owner",
        "db_name": "app",
        "backup_retention_period": 30,
        "storage_encrypted": True,
        "publicly_accessible": False,
        "deletion_protection": True,
        "skip_final_snapshot": False,
    }
    opts = pulumi.ResourceOptions(protect=inputs.pop("protect", True))
    return aws.rds.Instance("main", opts=opts, **(given | inputs))


def service(kind: str = "ClusterIP", **spec: Any) -> object:
    given: Any = {"type": kind, "ports": [{"port": 80, "name": "http"}], **spec}
    return k8s.core.v1.Service("nginx", spec=given)


def policy(*labels: str) -> object:
    clients: list[k8s.networking.v1.NetworkPolicyPeerArgsDict] = [
        {"pod_selector": {"match_labels": {"reaches": label}}} for label in labels
    ]
    return k8s.networking.v1.NetworkPolicy(
        "postgres",
        spec={
            "pod_selector": {"match_labels": {"app": "postgres"}},
            "policy_types": ["Ingress"],
            "ingress": [{"from_": clients, "ports": [{"port": 5432}]}],
        },
    )


def login(password: str) -> object:
    secret = pulumi.Output.secret(password)
    return k8s.core.v1.Secret("login", string_data={"PASSWORD": secret})


def deny() -> object:
    types = ["Ingress", "Egress"]
    return k8s.networking.v1.NetworkPolicy("deny", spec={"pod_selector": {}, "policy_types": types})


def firewall(*peers: str) -> None:
    group = aws.ec2.SecurityGroup("firewall")
    for peer in peers:
        aws.vpc.SecurityGroupIngressRule(
            peer,
            security_group_id=group.id,
            ip_protocol="tcp",
            from_port=5432,
            to_port=5432,
            cidr_ipv4=peer,
        )


def rotating(a: str, b: str) -> None:
    for slot, generation in (("A", a), ("B", b)):
        keepers = {"generation": generation}
        random.RandomPassword(f"secrets-encryption{slot}", length=64, keepers=keepers)


def nothing() -> None:
    pass


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": 1}, {"a": 2}, [("a", 1, 2)]),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1]}}, [("a.b", [1, 2], [1])]),
        ({}, {"a": None, "b": 0}, [("b", None, 0)]),
        (
            {"c": [{"name": "app", "image": "1"}]},
            {"c": [{"name": "new"}, {"name": "app", "image": "2"}]},
            [("c[app].image", "1", "2"), ("c[new]", None, {"name": "new"})],
        ),
        ({"r": [{"port": 1}, {"port": 2}]}, {"r": [{"port": 1}]}, [("r[1]", {"port": 2}, None)]),
        (
            {"p": '{"Effect": "Deny"}'},
            {"p": '{"Effect": "Allow"}'},
            [("p.Effect", "Deny", "Allow")],
        ),
        ({"p": '{"a": 1}'}, {"p": "none"}, [("p", '{"a": 1}', "none")]),
    ],
)
def test_differences_are_told_by_path(before: Any, after: Any, expected: list[Any]) -> None:
    assert [(f.path, f.before, f.after) for f in differences(before, after)] == expected


def test_a_secret_is_told_by_its_path_only() -> None:
    [change] = changes(deploy(lambda: login("hunter2")), deploy(lambda: login("hunter3")))
    [line] = [text for found in change.properties for _, text in lines(found)]
    assert line == "stringData.PASSWORD: [secret] changed  (replaces it)"


def test_a_secret_inside_something_new_is_not_told() -> None:
    """The wire marks the secret only, not what is around it."""
    secret = rpc.wrap_rpc_secret("hunter2")
    [found] = differences({}, {"env": [{"name": "KEY", "value": secret}]})
    assert not found.secret
    assert [text for _, text in lines(found)] == ['env: [{"name": "KEY", "value": "[secret]"}]']


def test_generated_values_show_by_their_generation() -> None:
    [change] = changes(deploy(lambda: rotating("1", "0")), deploy(lambda: rotating("1", "1")))
    assert (change.op, change.resource.name) == (Op.REPLACE, "secrets-encryptionB")
    assert [(p.path, p.before, p.after) for p in change.properties] == [
        ("keepers.generation", "0", "1")
    ]


def test_created_deleted_updated_and_same_are_counted() -> None:
    def before() -> None:
        service()
        deny()

    def after() -> None:
        service("NodePort")
        policy("web")

    found = changes(deploy(before), deploy(after))
    assert counts(found) == {"create": 1, "delete": 1, "replace": 0, "update": 1}


def test_a_renamed_resource_with_an_alias_is_the_same() -> None:
    def after() -> None:
        opts = pulumi.ResourceOptions(aliases=[pulumi.Alias(name="main")])
        aws.rds.Instance("other", identifier="main", instance_class="a", opts=opts)

    def before() -> None:
        aws.rds.Instance("main", identifier="main", instance_class="a")

    assert changes(deploy(before), deploy(after)) == []
    assert [c.op for c in changes(deploy(before), deploy(nothing))] == [Op.DELETE]


class Part(pulumi.ComponentResource):
    def __init__(self, name: str, old: str = "") -> None:
        aliases = [pulumi.Alias(name=old)] if old else []
        super().__init__("nextstack:test:Part", name, {}, pulumi.ResourceOptions(aliases=aliases))
        random.RandomPassword("same", length=8, opts=pulumi.ResourceOptions(parent=self))


def test_a_moved_child_follows_its_parent() -> None:
    assert changes(deploy(lambda: Part("a")), deploy(lambda: Part("b", old="a"))) == []


def test_what_a_resource_ignores_is_no_change() -> None:
    def make(version: str) -> Graph:
        opts = pulumi.ResourceOptions(ignore_changes=["engineVersion"])
        return deploy(
            lambda: aws.rds.Instance("a", instance_class="b", engine_version=version, opts=opts)
        )

    assert changes(make("17.1"), make("17.2")) == []


def test_a_replaced_provider_key_or_namespace_takes_others_with_it() -> None:
    def make(region: str, usage: str, name: str) -> Graph:
        def program() -> None:
            opts = pulumi.ResourceOptions(provider=aws.Provider("home", region=region))
            key = aws.kms.Key("key", key_usage=usage, opts=opts)
            aws.rds.Instance("main", instance_class="a", kms_key_id=key.arn, opts=opts)
            namespace = k8s.core.v1.Namespace("space", metadata={"name": name})
            metadata: Any = {"name": "data", "namespace": namespace.metadata.name}
            k8s.core.v1.PersistentVolumeClaim("data", metadata=metadata)

        return deploy(program)

    before = make("us-east-1", "ENCRYPT_DECRYPT", "one")

    def replaced(after: Graph) -> list[str]:
        return [c.resource.name for c in changes(before, after) if c.op is Op.REPLACE]

    assert replaced(make("us-west-2", "ENCRYPT_DECRYPT", "one")) == ["home", "key", "main"]
    assert replaced(make("us-east-1", "SIGN_VERIFY", "one")) == ["key", "main"]
    assert replaced(make("us-east-1", "ENCRYPT_DECRYPT", "two")) == ["data", "space"]


@pytest.mark.parametrize(
    ("type_", "path", "expected"),
    [
        ("aws:rds/instance:Instance", "dbName", True),
        ("aws:rds/instance:Instance", "dbNameOfAnother", False),
        ("aws:rds/instance:Instance", "instanceClass", False),
        ("aws:rds/instance:Instance", "restoreToPointInTime.restoreTime", True),
        ("kubernetes:apps/v1:StatefulSet", "spec.volumeClaimTemplates[data].spec", True),
        ("kubernetes:apps/v1:StatefulSet", "spec.template.spec", False),
        ("kubernetes:core/v1:PersistentVolumeClaim", "spec.resources.requests.storage", False),
        ("kubernetes:core/v1:ConfigMap", "metadata.namespace", True),
        ("kubernetes:core/v1:ConfigMap", "metadata.labels.a", False),
    ],
)
def test_what_forces_a_replacement(type_: str, path: str, expected: bool) -> None:
    assert forces(type_, path) is expected


def test_every_forcing_property_of_aws_is_an_input() -> None:
    """A misspelt one would never fire."""
    for type_, kept in KEPT.items():
        if type_.startswith("aws:"):
            service_name, name = type_.removeprefix("aws:").split("/")
            arguments = getattr(getattr(aws, service_name), f"{name.split(':')[1]}Args")
            inputs = signature(arguments).parameters
            top = {path.split(".")[0] for path in kept.forcing}
            assert not [name for name in top if pulumi_name(name) not in inputs], type_


def pulumi_name(name: str) -> str:
    """The Python name of an input."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, []),
        ({"instance_class": "db.m7g.xlarge"}, []),
        ({"db_name": "shop"}, [(Kind.DATA, "it is replaced, and the database is lost")]),
        ({"backup_retention_period": 15}, [(Kind.BACKUP, "backupRetentionPeriod 30 -> 15")]),
        ({"backup_retention_period": 31}, []),
        ({"backup_retention_period": None}, [(Kind.BACKUP, "backupRetentionPeriod 30 -> nothing")]),
        (
            {"publicly_accessible": True},
            [(Kind.EXPOSURE, "publiclyAccessible opens to the whole world")],
        ),
        ({"deletion_protection": False}, [(Kind.PROTECTION, "deletionProtection True -> False")]),
        ({"skip_final_snapshot": True}, [(Kind.PROTECTION, "skipFinalSnapshot False -> True")]),
        (
            {"delete_automated_backups": True},
            [(Kind.BACKUP, "deleteAutomatedBackups nothing -> True")],
        ),
        ({"protect": False}, [(Kind.PROTECTION, "(protect) True -> False")]),
        (
            {"storage_encrypted": False},
            [
                (Kind.DATA, "it is replaced, and the database is lost"),
                (Kind.ENCRYPTION, "storageEncrypted True -> False"),
            ],
        ),
    ],
)
def test_dangers_of_a_database(changed: dict[str, Any], expected: list[Any]) -> None:
    assert of(instance, **changed) == expected


def test_the_way_back_is_never_dangerous() -> None:
    worse = {"backup_retention_period": 7, "publicly_accessible": True, "protect": False}
    assert found(lambda: instance(**worse), instance) == []


def test_deleting_data_is_dangerous_and_a_copy_is_not_data() -> None:
    [danger] = found(instance, nothing)
    assert danger.told == "it is deleted, and with it the database"
    assert "as long as it is protected" in danger.fix
    assert found(lambda: instance(replicate_source_db="main", protect=False), nothing) == []


def test_what_stays_is_told_so() -> None:
    def keeping() -> None:
        aws.kms.Key("key", opts=pulumi.ResourceOptions(retain_on_delete=True))

    [danger] = found(keeping, nothing)
    assert danger.told.startswith("it leaves the program but is not deleted")


def test_a_rotation_is_safe_one_value_at_a_time() -> None:
    def before() -> None:
        rotating("1", "1")

    assert found(before, lambda: rotating("2", "1")) == []
    [danger] = found(before, lambda: rotating("2", "2"))
    assert danger.subject == "secrets-encryption"
    assert [d.kind for d in found(before, nothing)] == [Kind.DATA, Kind.DATA]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (service, lambda: service("LoadBalancer"), ["port 80 opens to the whole world"]),
        (service, lambda: service("NodePort"), ["port 80 opens to whoever reaches a node"]),
        (nothing, service, []),
        (nothing, lambda: service("LoadBalancer"), ["port 80 opens to the whole world"]),
        (
            lambda: service("LoadBalancer", load_balancer_source_ranges=["10.0.0.0/8"]),
            lambda: service("LoadBalancer", load_balancer_source_ranges=["10.0.0.0/8", "::/0"]),
            ["port 80 opens to the whole world"],
        ),
        (
            lambda: policy("web"),
            lambda: policy("web", "nginx"),
            ['port 5432 opens to pods {"matchLabels": {"reaches": "nginx"}}'],
        ),
        (lambda: policy("web", "nginx"), lambda: policy("web"), []),
        (lambda: policy("web"), policy, ["port 5432 opens to the whole world"]),
        (nothing, lambda: policy("web"), []),
        (nothing, lambda: firewall("10.0.0.0/8"), []),
        (nothing, lambda: firewall("0.0.0.0/0"), ["port 5432 opens to the whole world"]),
        (firewall, lambda: firewall("10.0.0.0/8"), ["port 5432 opens to 10.0.0.0/8"]),
        (lambda: firewall("10.0.0.0/8"), firewall, []),
        (
            deny,
            nothing,
            ["the policy that denies by default goes: every pod is open to all others"],
        ),
    ],
)
def test_doors_that_a_change_opens(before: Make, after: Make, expected: list[str]) -> None:
    assert [d.told for d in found(before, after)] == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("sslmode=verify-full", "sslmode=require", "sslmode verify-full -> require"),
        ("sslmode=require", "sslmode=verify-full", None),
        ("server_tls_sslmode = verify-ca", "", None),
        ("a sslmode=require", "a", "sslmode require -> nothing"),
        ("ssl_protocols TLSv1.3", "ssl_protocols TLSv1.2 TLSv1.3", "least TLS version 1.3 -> 1.2"),
        ("TLSv1.2_2021", "TLSv1.2_2025", None),
        ("rediss://cache", "redis://cache", "rediss:// -> redis://"),
    ],
)
def test_words_that_weaken_encryption(before: str, after: str, expected: str | None) -> None:
    def make(text: str) -> Callable[[], object]:
        return lambda: k8s.core.v1.ConfigMap("files", data={"a": text})

    told = [d.told for d in found(make(before), make(after))]
    assert told == ([] if expected is None else [f"data.a: {expected}; {READ}"])


READ = "others can read along or pretend to be the server"


def test_a_secret_url_is_judged_but_not_shown() -> None:
    def make(mode: str) -> object:
        return login(f"postgresql://app:hunter2@db/app?sslmode={mode}")

    [danger] = found(lambda: make("verify-full"), lambda: make("disable"))
    assert "sslmode verify-full -> disable" in danger.told
    assert "hunter2" not in f"{danger}"


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("0 3 * * *", 28),
        ("*/15 * * * *", 28 * 24 * 4),
        ("0 3 * * 0", 4),
        ("0 1,13 * * mon-fri", 40),
        ("rate(1 hour)", 28 * 24),
        ("rate(7 days)", 4),
        ("cron(0 5 ? * * *)", 28),
        ("cron(0 5 ? * SUN *)", 4),
        ("sometimes", 0),
        ("a b c d e", 0),
    ],
)
def test_how_often_a_schedule_runs(schedule: str, expected: float) -> None:
    assert runs_in_four_weeks(schedule) == pytest.approx(expected)


def test_rarer_backups_are_dangerous() -> None:
    def job(schedule: str, suspend: bool = False) -> Callable[[], object]:
        spec: Any = {"schedule": schedule, "suspend": suspend}
        return lambda: k8s.batch.v1.CronJob("backup", spec=spec)

    daily = job("0 3 * * *")
    assert [d.kind for d in found(daily, job("0 3 * * 0"))] == [Kind.BACKUP]
    assert [d.kind for d in found(daily, job("0 3 * * *", suspend=True))] == [Kind.BACKUP]
    assert found(daily, job("0 */6 * * *")) == []


def test_a_promise_may_only_grow() -> None:
    before = {"rpoMinutes": 15, "rtoMinutes": 240, "retentionDays": 30}
    better = {"rpoMinutes": 5, "rtoMinutes": 60, "retentionDays": 35}
    worse = {"rpoMinutes": 60, "rtoMinutes": 241, "retentionDays": 15}
    assert list(dangers.promises(before, better)) == []
    assert [d.what.split()[0] for d in dangers.promises(before, worse)] == list(before)


def test_an_application_led_elsewhere_is_told() -> None:
    before = {"directUrl": "postgresql://owner:hunter2@one:5432/app", "redisUrl": "redis://a:6379"}
    after = before | {"directUrl": "postgresql://owner:other@one:5432/shop?sslmode=require"}
    [danger] = dangers.addresses(before, after)
    assert "from one:5432/app to one:5432/shop" in danger.told
    assert "hunter2" not in f"{danger}"
    assert not list(dangers.addresses(before, before | {"directUrl": before["directUrl"] + "?a=b"}))


def test_an_id_stays_while_the_change_does() -> None:
    [first] = found(instance, lambda: instance(backup_retention_period=15))
    [again] = found(instance, lambda: instance(backup_retention_period=15, tags={"a": "b"}))
    [worse] = found(instance, lambda: instance(backup_retention_period=1))
    assert first.id("production") == again.id("production")
    assert len({first.id("production"), first.id("staging"), worse.id("production")}) == 3


def test_a_value_is_one_line_of_limited_length() -> None:
    assert words("a\n  b") == "a b"
    assert words("") == '""'
    assert words(["a", 1]) == '["a", 1]'
    assert len(words("x" * 1000)) < 350


def test_recordings_of_the_same_program_are_equal() -> None:
    def program() -> None:
        instance()
        policy("web")

    graphs = [record(program, Providers()) for _ in range(2)]
    assert changes(*graphs) == []
