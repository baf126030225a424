from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedeploy.foundation.errors import EdgedeployError, InvalidFileError, UnsupportedError
from edgedeploy.model import load
from edgedeploy.model.inspect import inspect_model
from edgedeploy.model.load import load_onnx, read_onnx

MODEL = onnx.parser.parse_model("""
    <ir_version: 8, opset_import: ["" : 17]>
    linear (float[N, 3] x) => (float[N, 2] y) <float[3, 2] w = {1, 2, 3, 4, 5, 6}> { y = MatMul(x, w) }
""")


def external(path: Path, *, location: str = "weights.bin", length: int = 24, offset: int = 0) -> Path:
    """The model with its weight in a file beside it, which is written only for the usual location."""
    model = onnx.ModelProto()
    model.CopyFrom(MODEL)
    (weight,) = model.graph.initializer
    values = onnx.numpy_helper.to_array(weight)
    del weight.float_data[:]
    weight.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(length))):
        weight.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    if location == "weights.bin":
        (path.parent / location).write_bytes(values.astype("<f4").tobytes())
    return path


def test_a_model_is_read(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(MODEL.SerializeToString())
    assert read_onnx(path) == load_onnx(path) == MODEL


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "a PNG picture"),
        (b"PK\x03\x04" + bytes(100), "a zip archive"),
        (b"hello, this is a text\n" * 9, "not an ONNX model"),
        (MODEL.SerializeToString()[:-5], "part of one"),
        (MODEL.SerializeToString()[:40], "part of one"),
        (onnx.ModelProto(ir_version=8).SerializeToString(), "not an ONNX model"),
        (MODEL.SerializeToString().replace(b"MatMul", b"MatM\xff\xfe"), "not text in UTF-8"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
    ],
)
def test_what_is_no_model_is_refused_in_words(tmp_path, content, words):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(InvalidFileError) as caught:
        inspect_model(path)
    assert words in str(caught.value)


def test_a_folder_and_a_missing_file_are_refused(tmp_path):
    for path, words in ((tmp_path, "is a folder"), (tmp_path / "none.onnx", "does not exist")):
        with pytest.raises(InvalidFileError, match=words):
            inspect_model(path)


def test_tensorflow_lite_is_recognised_by_its_content(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(100))
    with pytest.raises(InvalidFileError, match="TensorFlow Lite"):
        inspect_model(path)
    with pytest.raises(UnsupportedError, match="TensorFlow Lite"):
        load.read_onnx(path)


def test_a_file_that_protobuf_cannot_hold_is_refused_unread(tmp_path):
    path = tmp_path / "m.onnx"
    with path.open("wb") as file:
        file.truncate(load.PROTOBUF_LIMIT_BYTES + 1)  # sparse: takes no space
    with pytest.raises(UnsupportedError, match="ends at 2 GB"):
        inspect_model(path)


# -- external data


def test_external_data_is_loaded_counted_and_hashed(tmp_path):
    import hashlib

    path = external(tmp_path / "m.onnx")
    np.testing.assert_array_equal(
        onnx.numpy_helper.to_array(load_onnx(path).graph.initializer[0]), [[1, 2], [3, 4], [5, 6]]
    )
    facts = inspect_model(path)
    content = path.read_bytes() + (tmp_path / "weights.bin").read_bytes()
    assert (facts.size_bytes, facts.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert (facts.parameters, facts.macs) == (6, 6)


def test_a_model_that_is_too_large_with_its_data_is_refused_whole_but_can_be_inspected(tmp_path, monkeypatch):
    path = external(tmp_path / "m.onnx")
    monkeypatch.setattr(load, "PROTOBUF_LIMIT_BYTES", path.stat().st_size + 23)
    with pytest.raises(UnsupportedError, match="at most 2 GB"):
        load_onnx(path)
    assert inspect_model(path).parameters == 6


def test_external_data_that_is_missing_is_named(tmp_path):
    path = external(tmp_path / "m.onnx")
    (tmp_path / "weights.bin").unlink()
    for read in (inspect_model, load_onnx):
        with pytest.raises(InvalidFileError, match=r"needs its external data weights\.bin"):
            read(path)


def test_external_data_that_git_lfs_has_not_fetched_is_told(tmp_path):
    path = external(tmp_path / "m.onnx")
    (tmp_path / "weights.bin").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 24\n")
    for read in (inspect_model, load_onnx):
        with pytest.raises(InvalidFileError, match=r"weights\.bin .* Git LFS pointer") as caught:
            read(path)
        assert caught.value.hint == "git lfs pull"


@pytest.mark.parametrize("place", [{"length": 25}, {"offset": 1}, {"offset": -1}, {"offset": 2**70}])
def test_external_data_that_is_too_short_is_said(tmp_path, place):
    path = external(tmp_path / "m.onnx", **place)
    for read in (inspect_model, load_onnx):
        with pytest.raises(InvalidFileError, match="beyond the end"):
            read(path)


@pytest.mark.parametrize("location", ["../secret", "/etc/hostname", "a/../../secret", "", "a\0b", "link"])
def test_external_data_outside_the_models_folder_is_refused(tmp_path, location):
    (tmp_path / "secret").write_bytes(bytes(100))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "link").symlink_to(tmp_path / "secret")
    path = external(tmp_path / "model" / "m.onnx", location=location)
    for read in (inspect_model, load_onnx):
        with pytest.raises(InvalidFileError, match="must lie in the model's folder"):
            read(path)


@pytest.mark.slow
@settings(max_examples=400)
@given(data=st.data())
def test_no_damage_leads_to_anything_but_an_error_in_words(tmp_path_factory, data):
    """Whatever bytes of a model are changed or cut off: its facts are read, or it is refused with one of our errors."""
    content = bytearray(MODEL.SerializeToString())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))]
    path = tmp_path_factory.mktemp("model") / "m.onnx"
    path.write_bytes(bytes(content))
    try:
        inspect_model(path)
    except EdgedeployError as error:
        assert str(error)
