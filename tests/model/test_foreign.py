"""Files of other kinds are told apart wherever a model is read, with what makes a model of them; none is unpickled."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tflite_models import small_network

from edgedeploy import api
from edgedeploy.foundation.errors import EdgedeployError, InvalidFileError
from edgedeploy.model.identity import sha256_of_model
from edgedeploy.model.inspect import inspect_model
from edgedeploy.model.load import load_onnx, read_in_one_piece


class Opened:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def archive(**files: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as written:
        for name, data in files.items():
            written.writestr(name.replace("__", "/"), data)
    return content.getvalue()


def array() -> bytes:
    content = io.BytesIO()
    np.save(content, np.zeros(3))
    return content.getvalue()


def safetensors() -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(4)


def saved_model() -> bytes:
    return b"\x08\x01\x12\x90\x01\x0a\x20\x12\x05serve" + b"\x2a\x05NoOp\x12\x10tensorflow" + bytes(range(128, 200))


TORCH, EXPORT = "checkpoint of PyTorch", "torch.onnx.export("
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n"
OLD_TORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."

FILES: dict[str, tuple[bytes, str, str]] = {
    # By name: the content, what it is called, and what makes a model of it.
    "w.pt": (
        archive(**{"w__data.pkl": b"\x80\x02}q.", "w__data__0": b"1"}),
        "checkpoint of PyTorch",
        "torch.onnx.export(",
    ),
    "yolo.pt": (archive(**{"best__data.pkl": b"\x80\x02cultralytics.nn\n"}), "Ultralytics", "yolo export model="),
    "script.pt": (archive(**{"m__data.pkl": b"", "m__code__m.py": b""}), "TorchScript", "torch.jit.load("),
    "program.pt2": (archive(**{"serialized_exported_program.json": b"{}"}), ".pt2", "torch.export.load("),
    "old.pth": (
        OLD_TORCH + bytes(40),
        "checkpoint of PyTorch",
        "torch.onnx.export(",
    ),
    "m.keras": (archive(**{"config.json": b"{}", "model.weights.h5": b""}), "Keras", "keras.saving.load_model("),
    "m.h5": (b"\x89HDF\r\n\x1a\n" + bytes(50), "HDF5", "python -m tf2onnx.convert --keras"),
    "saved_model.pb": (saved_model(), "SavedModel", "python -m tf2onnx.convert --saved-model"),
    "frozen.pb": (b"\x0a\x1c\x0a\x05input\x12\x0bPlaceholder*\x02" + bytes(9), "frozen graph", "--graphdef"),
    "m.safetensors": (safetensors(), "weights without a graph", "safetensors.torch.load_file("),
    "m.gguf": (b"GGUF\x03\0\0\0" + bytes(40), "GGUF", "optimum-cli export onnx"),
    "m.engine": (b"ftrt" + bytes(60), "TensorRT", "ONNX"),
    "a.npy": (array(), ".npy", "--evaluation"),
    "a.npz": (archive(**{"x.npy": array()}), ".npz", "--evaluation"),
    "m.mlmodel": (b"\x08\x05\x12\x40\x0a\x10\x0a\x05image" + bytes(70), "Core ML", "ONNX"),
    "m.joblib": (zlib.compress(b"x" * 99), "joblib", "skl2onnx.to_onnx("),
    "sk.pkl": (pickle.dumps({"sklearn": 1}), "scikit-learn", "skl2onnx.to_onnx("),
    "other.pkl": (pickle.dumps([1, 2, 3]), "pickle", "skl2onnx.to_onnx("),
    "m.xml": (b'<?xml version="1.0"?>\n<net name="m" version="11"></net>', "OpenVINO", "ONNX"),
    "m.ort": (struct.pack("<I", 28) + b"ORTM" + bytes(99), ".ort", ".onnx"),
    "m.pte": (struct.pack("<I", 28) + b"ET12" + bytes(99), "ExecuTorch", "ONNX"),
    "m.rknn": (b"RKNN" + bytes(99), "Rockchip", "ONNX"),
    "m.hef": (b"\x01HEF" + bytes(99), "Hailo", "ONNX"),
    "m.onnx.gz": (gzip.compress(b"x" * 99), "gzip", "gunzip "),
    "m.onnx.bz2": (bz2.compress(b"x" * 99), "bzip2", "bunzip2 "),
    "m.onnx.xz": (lzma.compress(b"x" * 99), "xz archive", "unxz "),
    "m.zip": (archive(**{"a__m.onnx": b"x"}), "a/m.onnx", "unzip "),
    "text.zip": (archive(**{"readme.txt": b"x"}), "zip archive", "unzip "),
    "cut.pt": (archive(**{"w__data.pkl": b"x" * 99})[:60], "cut off or damaged", "again"),
    "page.onnx": (b"\n<!DOCTYPE html>\n<html>sign in</html>", "HTML", "download the file itself"),
    "denied.onnx": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "XML", "download"),
    "answer.onnx": (b'{"error": "Not Found"}', "JSON", "model"),
    "words.onnx": ("not a model, but wörds\n".encode() * 300, "a text", "again"),
    "lfs.onnx": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n",
        "Git LFS pointer",
        "git lfs pull",
    ),
    "m.onnxtxt": (b'<ir_version: 9, opset_import: ["" : 17]> g (float x) => (float x) {}', "text syntax", "onnxtxt"),
    "m.textproto": (b"# exported\nir_version: 9\ngraph {\n}\n", "text of protobuf", "format='textproto'"),
    "m.pbtxt": (b'node {\n  name: "x"\n  op: "Placeholder"\n}', "TensorFlow as a text", "ONNX"),
    "m.prototxt": (b'name: "net"\nlayer {\n}\n', "Caffe", "ONNX"),
    "m.cfg": (b"[net]\nbatch=1\n[convolutional]\n", "Darknet", "ONNX"),
    "m.py": (b"# a model\nimport torch\n", "program in Python", "run it"),
    "lightgbm.txt": (b"tree\nversion=v4\nnum_class=1\n", "LightGBM", "convert_lightgbm("),
    "m.tgz": (gzip.compress(b"x" * 99), "gzip", "tar -xzf "),
    "zeros.onnx": (bytes(5000), "nothing but zeros", "again"),
    "run": (b"\x7fELF\x02\x01\x01" + bytes(99), "program", "ONNX"),
    "m.cbm": (b"CBM1" + bytes(99), "CatBoost", "format='onnx'"),
    "p.png": (b"\x89PNG\r\n\x1a\n" + bytes(99), "PNG", "model"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_kind_is_told_with_what_makes_a_model_of_it(tmp_path, name):
    content, kind, hint = FILES[name]
    path = tmp_path / name
    path.write_bytes(content)
    for read in (inspect_model, load_onnx, read_in_one_piece, sha256_of_model):
        with pytest.raises(InvalidFileError) as caught:
            read(path)
        assert "is not an ONNX model" in caught.value.what
        assert kind in caught.value.why
        assert hint in caught.value.hint
        assert "{" not in caught.value.hint.replace("{'zipmap': False}", "")


def test_a_bundle_is_no_model(tmp_path):
    header = b"manifest.json".ljust(257, b"\0") + b"ustar  \0"
    (tmp_path / "m.edge").write_bytes(header.ljust(1024, b"\0"))
    with pytest.raises(InvalidFileError) as caught:
        inspect_model(tmp_path / "m.edge")
    assert "a bundle of edgedeploy" in caught.value.why
    assert caught.value.hint == f"edgedeploy bundle show {tmp_path / 'm.edge'}"


@pytest.mark.parametrize(
    ("names", "kind", "hint"),
    [
        (("saved_model.pb", "variables"), "SavedModel", "--saved-model"),
        (("Manifest.json", "Data"), "Core ML", "ONNX"),
        (("a.onnx", "b.onnx"), "a.onnx, b.onnx", "name the file"),
        (("config.json", "model.safetensors"), "Hugging Face", "optimum-cli"),
        (("manifest.json", "golden"), "a bundle", "edgedeploy bundle show"),
        (("manifest.json", "golden", "model.onnx"), "a bundle", "edgedeploy bundle show"),
        ((), "without a model", ".onnx"),
    ],
)
def test_a_folder_is_told_by_what_is_in_it(tmp_path, names, kind, hint):
    folder = tmp_path / "model"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(b"")
    with pytest.raises(InvalidFileError, match="is a folder") as caught:
        inspect_model(folder)
    assert kind in caught.value.why
    assert hint in caught.value.hint


def test_weights_beside_a_config_are_exported_from_their_folder(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(safetensors())
    (tmp_path / "config.json").write_bytes(b"{}")
    with pytest.raises(InvalidFileError) as caught:
        inspect_model(tmp_path / "model.safetensors")
    assert caught.value.hint == f"optimum-cli export onnx --model {tmp_path} model-onnx"


@pytest.mark.parametrize("recipe", ["int8", "fold"])
def test_a_checkpoint_is_told_before_data_for_it_is_asked_for(tmp_path, recipe):
    path = tmp_path / "w.pt"
    path.write_bytes(FILES["w.pt"][0])
    with pytest.raises(InvalidFileError, match="is not an ONNX model"):
        api.optimize(path, api.load_recipe(recipe), tmp_path / "small.onnx")


@pytest.mark.parametrize("place", [".", "..", "/"])
def test_a_folder_without_a_name_of_its_own_is_one(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidFileError, match="is a folder"):
        inspect_model(Path(place))


def test_nothing_is_unpickled(tmp_path):
    trap = tmp_path / "opened"
    evil = pickle.dumps(Opened(trap))
    for name, content in (
        ("a.pkl", evil),
        ("a.pt", archive(**{"a__data.pkl": evil})),
        ("a.npz", archive(**{"x.npy": b"\x93NUMPY\x01\0" + evil})),
        ("a.joblib", zlib.compress(evil)),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InvalidFileError):
            inspect_model(tmp_path / name)
    assert not trap.exists()


def test_a_name_with_spaces_and_braces_is_quoted_in_the_command(tmp_path):
    path = tmp_path / "my {0} model.h5"
    path.write_bytes(FILES["m.h5"][0])
    with pytest.raises(InvalidFileError) as caught:
        inspect_model(path)
    assert f"--keras '{path}' " in caught.value.hint


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.8, 0.95])
def test_a_part_of_a_tflite_model_is_refused(tmp_path, share):
    content = small_network()
    (tmp_path / "m.tflite").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InvalidFileError, match="part of") as caught:
        inspect_model(tmp_path / "m.tflite")
    assert "Error" not in caught.value.why


@settings(max_examples=300)
@given(
    content=st.binary(max_size=200),
    head=st.sampled_from([b"", b"PK\x03\x04", b"\x80\x04", b"<", b"{", b"\x08\x01\x12"]),
)
def test_whatever_a_file_holds_it_is_refused_in_words(tmp_path_factory, content, head):
    path = tmp_path_factory.getbasetemp() / "some.bin"
    path.write_bytes(head + content)
    with pytest.raises(EdgedeployError) as caught:
        inspect_model(path)
    assert str(caught.value)
