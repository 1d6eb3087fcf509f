"""The list of images is sound, archives are reproducible, and no build secret gets into an image.

Leaves out downloads: packages and programs are made up here.
"""

import json
import re
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from local import image_app, image_archive, image_packages, images
from local.image_archive import EPOCH, Image, Layer
from local.image_packages import Package

IMAGES = images.table().images
BUILD = """
mkdir -p .next/standalone/.next/server .next/static
cp page.js .next/standalone/server.js
echo "{\\"encryptionKey\\": \\"$NEXT_SERVER_ACTIONS_ENCRYPTION_KEY\\"}" \\
  > .next/standalone/.next/server/server-reference-manifest.json
"""
KEY = "k3y/of+the-server-actions=="


@pytest.mark.parametrize("name", IMAGES)
def test_recipe_is_sound(name: str) -> None:
    recipe = IMAGES[name]
    assert recipe.suite in {"trixie", "forky"}
    assert set(recipe.at_least) <= set(recipe.packages), "a floor for a package it does not name"
    assert recipe.at_least, "nothing says which version the tag stands for"
    assert recipe.uid > 0 and recipe.gid > 0
    assert recipe.stop_signal in {"SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1"}
    assert re.fullmatch(r"localhost/nextstack/[a-z]+:[\d.]+", images.ref(name))


def test_pooler_is_the_one_without_known_holes() -> None:
    """PO-1."""
    assert IMAGES["pgbouncer"].at_least == {"pgbouncer": "1.26.1"}


def test_list_names_no_host() -> None:
    """Packages come from the machine's own mirror."""
    assert not re.search(r"https?:|\.(org|com|net|io)\b", images.TABLE.read_text())


@pytest.mark.parametrize("found", ["1.26.0-1", "1.24.1-3", "1.26.1~rc1-1"])
def test_older_package_is_refused(found: str) -> None:
    with pytest.raises(ValueError, match=r"pgbouncer is too old: got .*, allowed 1.26.1 or newer"):
        image_packages.check_floors({"pgbouncer": found}, {"pgbouncer": "1.26.1"})


@pytest.mark.parametrize("found", ["1.26.1-1", "1.26.1", "1.30.0-1", "1:0.1"])
def test_newer_package_is_taken(found: str) -> None:
    image_packages.check_floors({"pgbouncer": found}, {"pgbouncer": "1.26.1"})


def test_unknown_image_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no such image: got 'mysql', allowed haproxy, nginx"):
        images.ensure(["mysql"])


def test_recipe_decides_the_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: images.archive(name) for name in IMAGES}
    assert before == {name: images.archive(name) for name in IMAGES}
    nginx = replace(IMAGES["nginx"], packages=["nginx", "curl"])
    changed = replace(images.table(), images={**IMAGES, "nginx": nginx})
    monkeypatch.setattr(images, "table", lambda: changed)
    assert {name for name in IMAGES if images.archive(name) != before[name]} == {"nginx"}


def test_containerfile_says_the_same() -> None:
    text = images.containerfile("postgres")
    assert "FROM debian:trixie-slim" in text
    assert "useradd --uid 999 --gid 999" in text
    assert "postgresql-17-pgvector" in text
    assert "ENV PATH=/usr/lib/postgresql/17/bin:" in text
    assert "STOPSIGNAL SIGINT" in text


def test_layer_is_reproducible_and_has_no_file_of_time_zero(tmp_path: Path) -> None:
    first, second = (_layer(tmp_path / name, {"a/b/c": b"x"}) for name in ("1.tar", "2.tar"))
    assert first.digest == second.digest
    with tarfile.open(first.file) as tar:
        entries = [(entry.name, entry.uid, entry.mtime) for entry in tar]
    assert entries == [("a", 0, EPOCH), ("a/b", 0, EPOCH), ("a/b/c", 0, EPOCH)]


def test_packed_layers_are_found_again(tmp_path: Path) -> None:
    layers = [_layer(tmp_path / name, {name: b"x"}) for name in ("1.tar", "2.tar")]
    whole, thin = tmp_path / "whole.tar", tmp_path / "thin.tar"
    image = Image(ref="localhost/nextstack/x:1", layers=layers, config={"User": "1:1"})
    image_archive.pack(image, whole)
    image_archive.pack(image, thin, thin=True)
    assert image_archive.digest(thin) == image_archive.digest(whole)
    for packed, layer in zip(image_archive.layers(whole), layers, strict=True):
        assert packed.digest == layer.digest
        content = whole.read_bytes()[packed.offset : packed.offset + packed.size]
        assert content == layer.file.read_bytes()
    with tarfile.open(thin) as tar:
        names = tar.getnames()
        manifest = json.loads(_content(thin, "index.json"))["manifests"][0]
    assert [layer.digest.replace(":", "/") in " ".join(names) for layer in layers] == [False, True]
    assert manifest["annotations"]["io.containerd.image.name"] == "localhost/nextstack/x:1"
    assert not list(tmp_path.glob("*.partial"))


def test_packages_lose_what_is_omitted_and_land_in_usr(tmp_path: Path) -> None:
    package = _package(
        tmp_path, ["lib/x/a.so", "usr/share/doc/p/README", "usr/share/doc/p/copyright"]
    )
    with image_archive.writing(tmp_path / "layer.tar") as layer:
        images.unpack([package], layer)
    with tarfile.open(tmp_path / "layer.tar") as tar:
        files = {entry.name for entry in tar if entry.isfile()}
    assert files == {"usr/lib/x/a.so", "usr/share/doc/p/copyright"}


def test_damaged_package_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "p.deb"
    broken.write_bytes(b"no package")
    with (
        pytest.raises(RuntimeError, match="damaged package"),
        image_archive.writing(tmp_path / "layer.tar") as layer,
    ):
        images.unpack([Package(name="p", version="1", file=broken)], layer)


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An application whose npm is a script, on a base image of one file."""
    base = tmp_path / "node.tar"
    layer = _layer(tmp_path / "base.tar", {"usr/bin/node": b""})
    image_archive.pack(Image(ref="localhost/nextstack/node:24", layers=[layer], config={}), base)

    def ensure(names: list[str]) -> Mapping[str, Path]:
        return {name: base for name in names}

    monkeypatch.setattr(images, "ensure", ensure)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    (tmp_path / "bin").mkdir()
    _script(tmp_path / "bin/node", "echo v20.9.0")
    _npm(tmp_path, BUILD)
    source = tmp_path / "source"
    source.mkdir()
    for name in ("package.json", "package-lock.json", "page.js"):
        (source / name).write_text("{}")
    return source


def test_app_is_built_once_for_the_same_content(app: Path) -> None:
    first = image_app.build_app(app, {"A": "1"})
    (app.parent / "bin/npm").unlink()
    assert image_app.build_app(app, {"A": "1"}) == first
    assert first.ref == f"localhost/nextstack/{first.archive.stem.replace('-', ':')}"
    assert not (app / "node_modules").exists() and not (app / ".next").exists()


def test_whatever_goes_into_the_app_changes_its_ref(app: Path) -> None:
    refs = [image_app.build_app(app, {}).ref, image_app.build_app(app, {"A": "1"}).ref]
    (app / "page.js").write_text("other")
    refs.append(image_app.build_app(app, {}).ref)
    (app / "page.js").chmod(0o755)
    refs.append(image_app.build_app(app, {}).ref)
    (app / ".env.local").write_text("SECRET=1")
    assert image_app.build_app(app, {}).ref == refs[-1], "a private file must not reach the image"
    assert len(set(refs)) == 4


def test_app_runs_as_nobody_special_from_files_of_root(app: Path) -> None:
    made = image_app.build_app(app, {})
    manifest = json.loads(_content(made.archive, _blob(image_archive.digest(made.archive))))
    config = json.loads(_content(made.archive, _blob(manifest["config"]["digest"])))["config"]
    assert (config["User"], config["WorkingDir"]) == ("1001:1001", "/app")
    assert config["Cmd"] == ["node", "server.js"]
    with tarfile.open(_extracted(made.archive, manifest["layers"][-1]["digest"])) as tar:
        owners = {entry.name: entry.uid for entry in tar}
        times = [entry.mtime for entry in tar]
    assert owners.pop("app/.next/cache") == 1001
    assert set(owners.values()) == {0}
    assert min(times) > 0


def test_changed_file_of_equal_size_has_another_time(app: Path) -> None:
    """Else its ETag stays, and browsers keep the old one."""
    times: list[float] = []
    for text in ("old", "new"):
        (app / "page.js").write_text(text)
        made = image_app.build_app(app, {})
        manifest = json.loads(_content(made.archive, _blob(image_archive.digest(made.archive))))
        with tarfile.open(_extracted(made.archive, manifest["layers"][-1]["digest"])) as tar:
            times.append(tar.getmember("app/server.js").mtime)
    assert times[0] != times[1]


def test_key_of_server_actions_is_not_in_the_image(app: Path) -> None:
    made = image_app.build_app(app, {"NEXT_SERVER_ACTIONS_ENCRYPTION_KEY": KEY})
    content = made.archive.read_bytes()
    assert b'{"encryptionKey": ""}' in content
    assert KEY.encode() not in content


def test_secret_in_a_page_is_refused(app: Path) -> None:
    (app / "page.js").write_text(f"const token = '{KEY}'")
    with pytest.raises(ValueError, match=r"got the value of TOKEN in /app/server.js"):
        image_app.build_app(app, {"TOKEN": KEY}, secrets=["TOKEN"])
    assert not list(app.parent.glob("cache/nextstack/apps/app-*.tar"))


def test_failed_build_tells_why_without_the_secret(app: Path) -> None:
    _npm(app.parent, 'echo "cannot use $NEXT_SERVER_ACTIONS_ENCRYPTION_KEY here"; exit 1')
    with pytest.raises(RuntimeError) as failure:
        image_app.build_app(app, {"NEXT_SERVER_ACTIONS_ENCRYPTION_KEY": KEY})
    assert "cannot use <NEXT_SERVER_ACTIONS_ENCRYPTION_KEY> here" in str(failure.value)
    assert KEY not in str(failure.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("rm package-lock.json", r"no package-lock.json: got the folder .*run npm install"),
        (
            "sed -i s/v20.9.0/v18.20.0/ ../bin/node",
            r"Node.js is too old: got v18.20.0",
        ),
        ("sed -i s/server.js/other.js/ ../bin/npm", r'no server: .* allowed output: "standalone"'),
    ],
)
def test_what_cannot_be_built_is_refused(app: Path, change: str, message: str) -> None:
    subprocess.run(change.split(), cwd=app, check=True)
    with pytest.raises(ValueError, match=message):
        image_app.build_app(app, {})


def _layer(file: Path, files: Mapping[str, bytes]) -> Layer:
    with image_archive.writing(file) as layer:
        for name, content in files.items():
            layer.write(name, content)
    return image_archive.written(file)


def _package(folder: Path, files: list[str]) -> Package:
    tree = folder / "tree"
    for name in files:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("x")
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text(
        "Package: p\nVersion: 1\nArchitecture: all\nMaintainer: none\nDescription: none\n"
    )
    file = folder / "p.deb"
    subprocess.run(["dpkg-deb", "--build", tree, file], check=True, capture_output=True)
    return Package(name="p", version="1", file=file)


def _script(file: Path, body: str) -> None:
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)


def _npm(folder: Path, build: str) -> None:
    commands = f'ci) mkdir -p node_modules ;; "run build") {build} ;;'
    _script(folder / "bin/npm", f'case "$*" in {commands} esac')


def _content(archive: Path, name: str) -> bytes:
    with tarfile.open(archive) as tar:
        content = tar.extractfile(name)
        assert content is not None
        return content.read()


def _extracted(archive: Path, digest: str) -> Path:
    file = archive.with_suffix(".layer")
    file.write_bytes(_content(archive, _blob(digest)))
    return file


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"
