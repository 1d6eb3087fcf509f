"""Container images as OCI archives: reproducible layers, packed with a manifest.

Leaves out compression: the archives never leave the machine, and plain layers unpack fastest.
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from local.image_packages import architecture

# Time of every file that has none of its own, 2025-01-01. Not 0: Next.js takes a page file of
# time 0 for new for ever, and never refreshes the page.
EPOCH = 1_735_689_600
# Part of every archive's key: raise it when the code makes another image of the same input.
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Layer:
    file: Path
    """A layer's own file, or an archive that has the layer inside."""
    offset: int
    size: int
    digest: str
    """Hash of the content, as sha256:<hex>."""


@dataclass(frozen=True, kw_only=True)
class Image:
    ref: str
    """Name and tag under which a cluster finds the image."""
    layers: Sequence[Layer]
    config: Mapping[str, object]
    """User, Env, Cmd and so on, as the OCI image specification names them."""


class LayerWriter:
    """Entries of one layer; a path that is already there is not written again."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._seen = {""}

    def add(self, entry: tarfile.TarInfo, data: IO[bytes] | None = None) -> None:
        """Adds an entry with the name it has, after the folders above it."""
        if entry.name in self._seen:
            return
        for folder in reversed(PurePosixPath(entry.name).parents):
            if str(folder) != "." and str(folder) not in self._seen:
                self.folder(str(folder))
        self._seen.add(entry.name)
        entry.uname = entry.gname = ""
        entry.pax_headers = {}
        self._tar.addfile(entry, data)

    def folder(self, name: str, *, uid: int = 0, gid: int = 0) -> None:
        entry = _entry(name, tarfile.DIRTYPE, 0o755)
        entry.uid, entry.gid = uid, gid
        self.add(entry)

    def link(self, name: str, target: str) -> None:
        entry = _entry(name, tarfile.SYMTYPE, 0o777)
        entry.linkname = target
        self.add(entry)

    def write(self, name: str, content: bytes, *, mode: int = 0o644, mtime: int = EPOCH) -> None:
        entry = _entry(name, tarfile.REGTYPE, mode)
        entry.size, entry.mtime = len(content), mtime
        self.add(entry, io.BytesIO(content))


@contextmanager
def writing(file: Path) -> Generator[LayerWriter]:
    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as tar:
        yield LayerWriter(tar)


def written(file: Path) -> Layer:
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return Layer(file=file, offset=0, size=file.stat().st_size, digest=f"sha256:{digest}")


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.mtime = kind, mode, EPOCH
    return entry


def pack(image: Image, archive: Path, *, thin: bool = False) -> None:
    """Writes the archive under a temporary name, then moves it: a file of that name is complete.

    A thin archive has the last layer only; it can be imported where the others are already.
    """
    config = _json(
        {
            "architecture": architecture(),
            "os": "linux",
            "config": image.config,
            "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in image.layers]},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": _described("config.v1+json", config),
            "layers": [
                {
                    "mediaType": "application/vnd.oci.image.layer.v1.tar",
                    "digest": layer.digest,
                    "size": layer.size,
                }
                for layer in image.layers
            ],
        }
    )
    # containerd takes the name from the first annotation, other tools from the second.
    names = {
        "io.containerd.image.name": image.ref,
        "org.opencontainers.image.ref.name": image.ref,
    }
    described = {**_described("manifest.v1+json", manifest), "annotations": names}
    partial = archive.with_suffix(f".{os.getpid()}.partial")
    with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in {
            "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
            "index.json": _json({"schemaVersion": 2, "manifests": [described]}),
            _blob(_digest(manifest)): manifest,
            _blob(_digest(config)): config,
        }.items():
            _put(tar, name, io.BytesIO(content), len(content))
        for layer in image.layers[-1:] if thin else image.layers:
            with layer.file.open("rb") as data:
                data.seek(layer.offset)
                _put(tar, _blob(layer.digest), data, layer.size)
    partial.rename(archive)


def digest(archive: Path) -> str:
    """Hash of the manifest, by which a cluster tells two images of one name apart."""
    with tarfile.open(archive) as tar:
        return json.loads(_read(tar, "index.json"))["manifests"][0]["digest"]


def layers(archive: Path) -> list[Layer]:
    """The layers of a packed image, to put more on top."""
    with tarfile.open(archive) as tar:
        members = {member.name: member for member in tar}
        manifest = json.loads(_read(tar, _blob(digest(archive))))
    return [
        Layer(
            file=archive,
            offset=members[_blob(entry["digest"])].offset_data,
            size=entry["size"],
            digest=entry["digest"],
        )
        for entry in manifest["layers"]
    ]


def _described(kind: str, content: bytes) -> dict[str, object]:
    media_type = f"application/vnd.oci.image.{kind}"
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}


def _put(tar: tarfile.TarFile, name: str, content: IO[bytes], size: int) -> None:
    entry = _entry(name, tarfile.REGTYPE, 0o644)
    entry.size = size
    tar.addfile(entry, content)


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    content = tar.extractfile(name)
    if content is None:
        raise ValueError(f"not an OCI archive: got no file {name} in {tar.name}; build it again")
    return content.read()


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
