"""Files that are no ONNX and no TensorFlow Lite models: what they are, by their first bytes, and what makes a model.

Nothing of them is run or unpickled: a checkpoint of PyTorch or a pickle can hold any program.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from edgedeploy.foundation.errors import InvalidFileError
from edgedeploy.model.foreign_archives import Foreign, folder_kind, zip_kind

LFS_POINTER = b"version https://git-lfs"
"""How a file begins in place of which Git LFS has not fetched the real one."""
_LOOKED_AT_BYTES = 4096


class _Mark(Struct, frozen=True):
    """Bytes at a place in the file, and what that is the mark of."""

    at: int
    bytes: bytes
    kind: str
    hint: str = "export or download the model itself again"


_KERAS = "python -m tf2onnx.convert --keras {file} --output {stem}.onnx"
_SKLEARN = (
    "in Python, where the model was trained: skl2onnx.to_onnx(model, X[:1], options={{'zipmap': False}}), and write "
    "its SerializeToString() to {stem}.onnx"
)
_GRAPH = "python -m tf2onnx.convert --graphdef {file} --inputs INPUT:0 --outputs OUTPUT:0 --output {stem}.onnx"
_LOAD = "model.load_state_dict(…)"
_TORCH = f"in Python: {_LOAD}, then torch.onnx.export(model.eval(), (example,), '{{stem}}.onnx')"
_HUGGING_FACE = "optimum-cli export onnx --model {folder} {stem}-onnx"
_LIGHTGBM = "in Python, with onnxmltools: convert_lightgbm(model, initial_types=…), and save what it returns"
_TEXT_FORM = "python -c \"import onnx; onnx.save(onnx.load('{path}', format='{format}'), '{stem}.onnx')\""
_ORIGINAL = "export the model that it was made from to ONNX"
_UNPACK = "unpack it, and give the model in it"
_DATA = "give the model here, and this file as --evaluation, --calibration or --golden"
_LANGUAGE = "optimum-cli export onnx --model MODEL OUTPUT_FOLDER, with the model that it was made from"

# No message of protobuf that ONNX is begins with these, so they are looked for before the whole file is read.
_PLAIN = (
    _Mark(0, b"\x89PNG", "a PNG picture"),
    _Mark(0, b"\xff\xd8\xff", "a JPEG picture"),
    _Mark(0, b"%PDF", "a PDF document"),
    _Mark(0, b"\x7fELF", "a program or library, such as the backend native makes of a model", _ORIGINAL),
    _Mark(0, b"\x89HDF", "an HDF5 file, as Keras writes models and weights (.h5)", _KERAS),
    _Mark(0, b"\x93NUMPY", "an array of NumPy (.npy): data, and no model", _DATA),
    _Mark(0, b"GGUF", "a language model for llama.cpp (GGUF)", _LANGUAGE),
    _Mark(0, b"ftrt", "an engine of TensorRT: a program for one kind of GPU", _ORIGINAL),
    _Mark(0, b"ptrt", "an engine of TensorRT: a program for one kind of GPU", _ORIGINAL),
    _Mark(
        0, b"\x1f\x8b", "a gzip archive", "gunzip {file}, and give what is in it; a .tar.gz or .tgz: tar -xzf {file}"
    ),
    _Mark(0, b"\xfd7zXZ", "an xz archive", "unxz {file}, and give what is in it"),
    _Mark(0, b"\x28\xb5\x2f\xfd", "a zstd archive", "unzstd {file}, and give what is in it"),
    _Mark(0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    _Mark(0, b"Rar!", "a RAR archive", _UNPACK),
    _Mark(257, b"ustar", "a tar archive", "tar -xf {file}, and give the model in it"),
    _Mark(0, LFS_POINTER, "a Git LFS pointer: the file itself was not fetched", "git lfs pull"),
    # The old form of torch.save: https://github.com/pytorch/pytorch/blob/main/torch/serialization.py, MAGIC_NUMBER
    _Mark(0, b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "a checkpoint of PyTorch", _TORCH),
    _Mark(0, b"7767517", "a model for ncnn", _ORIGINAL),
    _Mark(0, b"[net]", "the layers of a Darknet model (.cfg)", _ORIGINAL),
    _Mark(0, b"CBM1", "a model of CatBoost", "in Python: model.save_model('{stem}.onnx', format='onnx')"),
)
# Bytes that a model can begin with too: looked for once it is known not to be one.
_AMBIGUOUS = (
    _Mark(4, b"ORTM", "a model in onnxruntime's own format (.ort)", "give the .onnx file that it was made from"),
    _Mark(4, b"ET12", "a program of ExecuTorch (.pte)", _ORIGINAL),
    _Mark(0, b"RKNN", "a model for Rockchip's NPU", _ORIGINAL),
    _Mark(0, b"\x01HEF", "a model for Hailo's accelerators", _ORIGINAL),
    _Mark(0, b"BZh", "a bzip2 archive", "bunzip2 {file}, and give what is in it"),
    _Mark(0, b"\x78\x9c", "compressed by zlib, as joblib writes models of scikit-learn", _SKLEARN),
    _Mark(0, b"\x78\xda", "compressed by zlib, as joblib writes models of scikit-learn", _SKLEARN),
    _Mark(0, b"\x78\x5e", "compressed by zlib, as joblib writes models of scikit-learn", _SKLEARN),
)


def refuse_by_beginning(path: Path, beginning: bytes) -> None:
    """Refuse what its first bytes say is something else, before all of it is read.

    Args:
        beginning: of the file, some hundred bytes.

    Raises:
        InvalidFileError: it is another kind of file; the message says which, and what makes a model of it.
    """
    found = _marked(_PLAIN, beginning) or _text(beginning) or _pickle(beginning) or _safetensors(path, beginning)
    if beginning.startswith(b"PK\x03\x04"):
        found = zip_kind(path)
    if found is not None:
        if found.kind == "a tar archive" and beginning.startswith(b"manifest.json\0"):
            found = Foreign("a bundle of edgedeploy: what a model was compiled to", "edgedeploy bundle show {file}")
        raise _error(path, found)


def not_a_model(path: Path, content: bytes) -> InvalidFileError:
    """Return the error for a file that is no ONNX model, after that was tried.

    Args:
        content: of the file.
    """
    beginning = content[:_LOOKED_AT_BYTES]
    found = _marked(_AMBIGUOUS, beginning) or _protobuf(path, beginning)
    if found is not None:
        return _error(path, found)
    if beginning and not beginning.strip(b"\0"):
        return _error(path, Foreign("nothing but zeros: it was not copied or downloaded whole", "copy it again"))
    if _is_text(beginning):
        return _error(path, _text_kind(beginning))
    return InvalidFileError(f"{path} is not an ONNX model, or only a part of one", hint="export or copy it again")


def not_a_folder(path: Path) -> InvalidFileError:
    """Return the error for a folder that was given for a model."""
    return _error(path, folder_kind(path), file="is a folder, and no model")


def _error(path: Path, found: Foreign, file: str = "is not an ONNX model") -> InvalidFileError:
    named = {
        "file": shlex.quote(str(path)),
        "path": str(path),
        "stem": path.absolute().stem or "model",
        "folder": shlex.quote(str(path.parent)),
    }
    return InvalidFileError(f"{path} {file}", why=f"it is {found.kind}", hint=found.hint.format(**named))


def _marked(marks: Sequence[_Mark], beginning: bytes) -> Foreign | None:
    for mark in marks:
        if beginning[mark.at : mark.at + len(mark.bytes)] == mark.bytes:
            return Foreign(mark.kind, mark.hint)
    return None


def _text(beginning: bytes) -> Foreign | None:
    start = beginning.lstrip(b"\xef\xbb\xbf \t\r\n")[:_LOOKED_AT_BYTES].lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return Foreign(
            "a page in HTML, such as a login or the page about a file in place of the file",
            "download the file itself: on GitHub and Hugging Face its address has raw or resolve, not blob",
        )
    if start.startswith((b"<?xml", b"<net")):
        if b"<net" in start:
            return Foreign("the graph of an OpenVINO model (.xml)", _ORIGINAL)
        return Foreign("a text in XML, such as a server's error in place of the file", "download the file itself again")
    if start.startswith(b"{") and _is_text(beginning[:512]):
        if b'"modeltopology"' in start or b'"format": "graph-model"' in start:
            return Foreign("a model of TensorFlow.js", "export the Keras model or the SavedModel with tf2onnx")
        return Foreign("a text in JSON, such as a server's answer or a model's settings", "give the model itself")
    return None


def _pickle(beginning: bytes) -> Foreign | None:
    # Protocol 2 to 5, whose second instruction is a frame or one that begins an object.
    if len(beginning) < 3 or beginning[0] != 0x80 or beginning[1] not in range(2, 6):
        return None
    if b"sklearn" in beginning or b"joblib" in beginning or b"xgboost" in beginning or b"lightgbm" in beginning:
        return Foreign("a model of scikit-learn or its like as a Python pickle, which is not opened here", _SKLEARN)
    hint = f"for PyTorch: {_TORCH}; for scikit-learn: {_SKLEARN}"
    return Foreign("a Python pickle, which is not opened here: it can hold any program", hint)


def _safetensors(path: Path, beginning: bytes) -> Foreign | None:
    # https://github.com/huggingface/safetensors#format: eight bytes of length, then JSON.
    if beginning[5:8] == b"\0\0\0" and beginning[8:10] == b'{"':
        load = "model.load_state_dict(safetensors.torch.load_file('{path}'))"
        hint = _HUGGING_FACE if (path.parent / "config.json").exists() else _TORCH.replace(_LOAD, load)
        return Foreign("weights without a graph (.safetensors)", hint)
    return None


def _protobuf(path: Path, beginning: bytes) -> Foreign | None:
    """Other tools' messages, which are told from ONNX by what they name."""
    if beginning.startswith(b"\x08") and (path.suffix == ".mlmodel" or b"coremltools" in beginning):
        return Foreign("a model of Core ML (.mlmodel)", _ORIGINAL)
    if beginning.startswith(b"\x08\x01\x12") or path.name == "saved_model.pb":
        return Foreign(
            "the graph of a TensorFlow SavedModel, whose weights are in the folder variables beside it",
            "python -m tf2onnx.convert --saved-model {folder} --output model.onnx",
        )
    operators = (b"\x12\x0bPlaceholder", b"\x12\x05Const", b"\x12\x04NoOp")
    if beginning.startswith(b"\x0a") and any(operator in beginning for operator in operators):
        return Foreign("a frozen graph of TensorFlow (.pb)", _GRAPH)
    if path.suffix in (".pdmodel", ".pdiparams"):
        return Foreign("a model of PaddlePaddle", "paddle2onnx --model_dir {folder} --save_file {stem}.onnx")
    return None


def _text_kind(beginning: bytes) -> Foreign:
    """Tell apart the texts that frameworks write graphs as; comments before the first line are skipped."""
    lines = [line.strip() for line in beginning.splitlines()]
    start = next((line for line in lines if line and not line.startswith(b"#")), b"")
    if start.startswith(b"<") and b"ir_version" in beginning:
        return Foreign("ONNX in its text syntax", _TEXT_FORM.replace("{format}", "onnxtxt"))
    if start.startswith(b"ir_version:"):
        return Foreign("ONNX as a text of protobuf", _TEXT_FORM.replace("{format}", "textproto"))
    if start.startswith(b"node {") and b"op:" in beginning:
        return Foreign("a graph of TensorFlow as a text (.pbtxt)", _ORIGINAL)
    if start.startswith((b"name:", b"layer {", b"layers {")) and b"layer" in beginning:
        return Foreign("the layers of a Caffe model (.prototxt)", _ORIGINAL)
    if start.startswith((b"import ", b"from ")):
        return Foreign("a program in Python, which is not run here", "run it, and give the .onnx file that it exports")
    if start == b"tree":
        return Foreign("a model of LightGBM", _LIGHTGBM)
    return Foreign("a text", "export or download the model itself again")


def _is_text(beginning: bytes) -> bool:
    if not beginning or any(byte < 0x20 and byte not in b"\t\r\n" for byte in beginning):
        return False
    try:
        beginning.decode("utf-8", errors="strict")
    except UnicodeDecodeError as error:
        # A character that is cut at the end is one all the same.
        return error.start >= len(beginning) - 3
    return True
