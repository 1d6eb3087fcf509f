"""Rendering: manifests with names, whose change rolls whoever refers to them; kept secrets."""

import base64
import json
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random
import pytest
import yaml

from offline import render
from offline.direct.generated import GeneratedValues, generate
from offline.recorder import Graph, record
from offline.render import KubernetesNames, Manifest, manifests


def graph(program: Callable[[], object], kept: dict[str, Any] | None = None) -> Graph:
    return record(program, KubernetesNames(GeneratedValues(kept or {})), preview=True)


def rendered(program: Callable[[], object]) -> dict[str, Manifest]:
    """By logical name."""
    return {m.urn.rsplit("::", 1)[1]: m for m in manifests(graph(program), "dev")}


def web(message: str = "hello", unrelated: str = "x") -> Callable[[], None]:
    """A pod that uses one of two ConfigMaps."""

    def program() -> None:
        used = k8s.core.v1.ConfigMap("used", data={"message": message})
        k8s.core.v1.ConfigMap("unrelated", data={"value": unrelated})
        k8s.core.v1.Pod(
            "web",
            metadata={"annotations": {"pulumi.com/skipAwait": "true"}},
            spec={
                "containers": [
                    {"name": "web", "env_from": [{"config_map_ref": {"name": used.metadata.name}}]}
                ]
            },
        )

    return program


def test_a_changed_config_map_changes_its_name_and_only_its_users() -> None:
    before, after, other = rendered(web()), rendered(web("bye")), rendered(web(unrelated="y"))
    assert before["used"].name != after["used"].name
    assert before["web"].body != after["web"].body
    assert before["web"].body == other["web"].body
    reference = before["web"].body["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"]
    assert reference == before["used"].name


def test_rendering_twice_gives_the_same_objects_in_the_same_order() -> None:
    assert manifests(graph(web()), "dev") == manifests(graph(web()), "dev")


def test_dependencies_come_first() -> None:
    names = list(rendered(web()))
    assert names.index("used") < names.index("web")


def test_objects_say_who_manages_them_and_lose_the_engine_s_annotations() -> None:
    pod = rendered(web())["web"]
    assert pod.body["metadata"] == {
        "name": "web",
        "labels": {"app.kubernetes.io/managed-by": "nextstack", "nextstack/stack": "dev"},
    }
    assert not pod.waits


def test_secret_text_is_encoded_beside_given_data() -> None:
    secret = rendered(lambda: k8s.core.v1.Secret("s", string_data={"a": "é"}, data={"b": "Yg=="}))
    assert secret["s"].body["data"] == {"a": base64.b64encode("é".encode()).decode(), "b": "Yg=="}
    assert "stringData" not in secret["s"].body


def test_what_only_a_provider_knows_is_refused() -> None:
    def program() -> None:
        service = k8s.core.v1.Service("edge", spec={"type": "LoadBalancer"})
        address = service.status.load_balancer.ingress[0].ip
        k8s.core.v1.ConfigMap("address", data={"ip": address})

    with pytest.raises(ValueError, match=r"address can't be rendered: data.* is known only after"):
        rendered(program)


def test_nothing_of_a_cloud_is_made_up_in_a_manifest(tmp_path: Path) -> None:
    """An invented address would be deployed as if it were one."""
    with pytest.raises(ValueError, match="is known only after a provider has made something"):
        render.render("staging", tmp_path / "out")


def password(**changes: Any) -> dict[str, Any]:
    return {"length": 40, "special": False, "keepers": {"generation": "1"}} | changes


def test_a_kept_value_lives_until_its_inputs_change() -> None:
    first = GeneratedValues({})
    value = first("RandomPassword", "db", password())
    other = first("RandomPassword", "cache", password())
    kept = {key: {"inputs": v.inputs, "value": v.value} for key, v in first.used.items()}
    assert first.changed
    second = GeneratedValues(kept)
    assert second("RandomPassword", "db", password(keepers={"generation": "2"})) != value
    assert second("RandomPassword", "cache", password()) == other
    assert second.changed


@pytest.mark.parametrize(
    ("inputs", "allowed"),
    [
        (password(), "a-zA-Z0-9"),
        (password(upper=False, lower=False), "0-9"),
        (password(special=True, overrideSpecial="_", minSpecial=3), "a-zA-Z0-9_"),
    ],
)
def test_passwords_have_the_length_and_alphabet_asked_for(
    inputs: dict[str, Any], allowed: str
) -> None:
    for _ in range(20):
        value = generate("RandomPassword", inputs)
        assert re.fullmatch(f"[{allowed}]{{40}}", value)
        assert value.count("_") >= inputs.get("minSpecial", 0)


def test_other_generators_are_refused() -> None:
    with pytest.raises(ValueError, match="allowed RandomPassword"):
        generate("RandomShuffle", {})


@pytest.fixture
def small_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renders a password, its Secret and a ConfigMap in place of the committed program."""

    def program() -> None:
        made = random.RandomPassword("made", length=32)
        k8s.core.v1.Secret("login", string_data={"password": made.result})
        k8s.core.v1.ConfigMap("plain", data={"a": pulumi.Config().require("stage")})

    monkeypatch.setattr(render, "program", program)


@pytest.mark.usefixtures("small_stack")
def test_files_keep_secrets_apart_and_private(tmp_path: Path) -> None:
    files = render.render("dev", tmp_path)
    made = json.loads((tmp_path / render.GENERATED).read_text())["RandomPassword:made"]["value"]
    encoded = base64.b64encode(made.encode()).decode()
    for file in files:
        secret = made in file.read_text() or encoded in file.read_text()
        assert secret == (file.parent.name == "secrets"), file
    assert stat.S_IMODE((tmp_path / render.GENERATED).stat().st_mode) == 0o600
    [secret_file] = (tmp_path / "secrets").glob("*.yaml")
    assert stat.S_IMODE(secret_file.stat().st_mode) == 0o600


@pytest.mark.usefixtures("small_stack")
def test_rendering_into_the_same_folder_again_changes_nothing(tmp_path: Path) -> None:
    first = {file: file.read_bytes() for file in render.render("dev", tmp_path)}
    assert {file: file.read_bytes() for file in render.render("dev", tmp_path)} == first
    listed = yaml.safe_load((tmp_path / "kustomization.yaml").read_text())["resources"]
    assert {tmp_path / name for name in listed} == first.keys() - {tmp_path / "kustomization.yaml"}


@pytest.mark.usefixtures("small_stack")
def test_what_is_gone_from_the_program_goes_from_the_folder(tmp_path: Path) -> None:
    render.render("dev", tmp_path)
    render.render("dev", tmp_path, stage="staging")
    assert len(list(tmp_path.glob("configmap-*.yaml"))) == 1


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="has files that are not from here"):
        render.render("dev", tmp_path)
