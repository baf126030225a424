from __future__ import annotations

import hashlib
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedeploy.bundle.build import decode_manifest, encode_manifest, list_files, open_bundle
from edgedeploy.foundation.errors import EdgedeployError, IntegrityError, InvalidFileError
from edgedeploy.values.bundle import MANIFEST_NAME, FileEntry, Manifest, Runtime
from edgedeploy.values.model import ModelFacts

MODEL = ModelFacts(
    format="onnx", sha256="0" * 64, size_bytes=5, producer="", opset=17, inputs=(), outputs=(), parameters=0, macs=0,
    macs_note="", operators={},
)  # fmt: skip


def manifest(files: tuple[FileEntry, ...] | None = None, **changes: object) -> Manifest:
    sound = Manifest(
        schema=1,
        name="model",
        version="1",
        target="rpi4",
        architecture="aarch64",
        model_file="model.onnx",
        model=MODEL,
        runtime=Runtime(backend="onnxruntime", python="3.11", glibc="2.28", packages={"numpy": "2.4.6"}),
        runner="run",
        golden_samples=1,
        source=None,
        tools={},
        files=tuple(entry(path) for path in ("golden/0000.npz", "model.onnx", "run")) if files is None else files,
    )
    return msgspec.structs.replace(sound, **changes)


def entry(path: str, **changes: object) -> FileEntry:
    sound = FileEntry(path=path, size_bytes=1, sha256="0" * 64, executable=path == "run")
    return msgspec.structs.replace(sound, **changes)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "bundle"
    for name, content in (("model.onnx", b"model"), ("run", b"#!/bin/sh\n"), ("golden/0000.npz", b"npz")):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    (path / "run").chmod(0o755)
    (path / MANIFEST_NAME).write_bytes(encode_manifest(manifest(list_files(path))))
    return path


def test_a_sound_bundle_is_opened(bundle):
    opened = open_bundle(bundle)
    assert [file.path for file in opened.manifest.files] == ["golden/0000.npz", "model.onnx", "run"]
    assert [file.executable for file in opened.manifest.files] == [False, False, True]
    assert opened.sha256 == hashlib.sha256((bundle / MANIFEST_NAME).read_bytes()).hexdigest()
    assert opened.size_bytes == sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())
    assert open_bundle(bundle, verify=False) == opened


def change_content(bundle: Path) -> None:
    (bundle / "model.onnx").write_bytes(b"MODEL")


def cut(bundle: Path) -> None:
    (bundle / "model.onnx").write_bytes(b"mod")


def remove(bundle: Path) -> None:
    (bundle / "model.onnx").unlink()


def add(bundle: Path) -> None:
    (bundle / "golden" / "0001.npz").write_bytes(b"")


def link(bundle: Path) -> None:
    (bundle / "model.onnx").rename(bundle.parent / "model.onnx")
    (bundle / "model.onnx").symlink_to(bundle.parent / "model.onnx")


def link_folder(bundle: Path) -> None:
    (bundle / "golden").rename(bundle.parent / "golden")
    (bundle / "golden").symlink_to(bundle.parent / "golden")


def drop_bit(bundle: Path) -> None:
    (bundle / "run").chmod(0o644)


@pytest.mark.parametrize("touch", [change_content, cut, remove, add, link, link_folder, drop_bit])
def test_a_bundle_that_was_touched_is_refused(bundle, touch):
    touch(bundle)
    with pytest.raises(IntegrityError):
        open_bundle(bundle)


def test_what_is_no_bundle_is_refused(tmp_path, bundle):
    (tmp_path / "empty").mkdir()
    for path, words in (
        (tmp_path / "none", "does not exist"),
        (tmp_path / "empty", "is not a bundle"),
        (bundle / "run", "begins with its manifest"),
    ):
        with pytest.raises(InvalidFileError, match=words):
            open_bundle(path)


@pytest.mark.parametrize(
    "path",
    [
        "../evil", "/etc/passwd", "a/../../b", "a/..", ".", "..", "", "a//b", "a/", "./a", "a\nb", "a\0b", "a\x7fb",
        "a\\b", "manifest.json", "x" * 1025, "a\u202eb", "\ud800",
    ],
)  # fmt: skip
def test_paths_that_are_not_plainly_inside_are_refused(path):
    files = tuple(sorted((*manifest().files, entry(path)), key=lambda file: file.path))
    content = json.dumps(json.loads(encode_manifest(manifest())) | {"files": [msgspec.to_builtins(f) for f in files]})
    with pytest.raises(InvalidFileError):
        decode_manifest(content.encode(), "manifest.json")


@pytest.mark.parametrize(
    "broken",
    [
        manifest(schema=2),
        manifest(name="../x"),
        manifest(name="Model"),
        manifest(name=""),
        manifest(name="x" * 65),
        manifest(name=".hidden"),
        manifest(version="1\n"),
        manifest(version="1/2"),
        manifest(golden_samples=2),
        manifest(golden_samples=-1),
        manifest(golden_samples=10**12),
        manifest(model_file="other.onnx"),
        manifest(runner="../run"),
        manifest(runner="model.onnx"),
        manifest(files=()),
        manifest(files=(*manifest().files, entry("run"))),
        manifest(files=manifest().files[::-1]),
        manifest(files=(*manifest().files, entry("run/x"))),
        manifest(files=(*manifest().files, entry("z", size_bytes=-1))),
        manifest(files=(*manifest().files, entry("z", sha256="0" * 63))),
        manifest(files=(*manifest().files, entry("z", sha256="G" * 64))),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(broken):
    with pytest.raises(InvalidFileError, match="is not sound"):
        decode_manifest(encode_manifest(broken), "manifest.json")


def test_a_manifest_of_before_there_were_settings_is_read():
    document = json.loads(encode_manifest(manifest()))
    del document["needs"], document["runtime"]["settings"], document["runtime"]["chosen"]
    assert decode_manifest(json.dumps(document).encode(), "manifest.json") == manifest()


_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=5), inner, max_size=2)),
    max_leaves=4,
)


@pytest.mark.slow
@settings(max_examples=300)
@given(data=st.data())
def test_every_manifest_is_read_or_refused_in_words(data):
    """Any value in the place of any other; what passes is safe to hand to `push`."""
    document = json.loads(encode_manifest(manifest()))
    place = document
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(_JSON)
    try:
        read = decode_manifest(json.dumps(document).encode(), "manifest.json")
    except EdgedeployError as error:
        assert str(error).startswith("manifest.json")
    else:
        for file in read.files:
            assert not Path(file.path).is_absolute()
            assert Path("/bundle", file.path).resolve().is_relative_to("/bundle")


@given(st.binary(max_size=200))
def test_bytes_are_no_manifest(content):
    with pytest.raises(InvalidFileError):
        decode_manifest(content, "manifest.json")


def test_deep_json_is_no_manifest():
    with pytest.raises(InvalidFileError):
        decode_manifest(b'{"schema":' + b"[" * 100_000, "manifest.json")
