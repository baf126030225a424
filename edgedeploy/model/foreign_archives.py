"""What a zip archive or a folder holds that was given for a model, by the names in it."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path, PurePosixPath

from msgspec import Struct

from edgedeploy.foundation.reading import open_file

_END = b"PK\x05\x06"
_END_BYTES = 22 + 0xFFFF
"""The record at the end of a zip archive, and the longest comment behind it (APPNOTE.TXT, 4.3.16)."""
_MOST_DIRECTORY_BYTES = 4 << 20
"""Of names. A checkpoint has some hundred; what has more is not listed."""
_MOST_PICKLE_BYTES = 1 << 16
_MOST_ENTRIES = 10_000


class Foreign(Struct, frozen=True):
    """What a file is, and how a model is made of it; `{file}`, `{path}`, `{stem}` and `{folder}` stand for its name."""

    kind: str
    hint: str


def zip_kind(path: Path) -> Foreign:
    """Tell what a zip archive is. Nothing in it is unpickled, and its list of names is read only up to some MiB."""
    try:
        names = _names(path)
    except (OSError, ValueError, NotImplementedError, RuntimeError, zipfile.BadZipFile):
        return Foreign(
            "the beginning of a zip archive (a PyTorch checkpoint or an .npz is one): it is cut off or damaged",
            "copy or download it again",
        )
    files = {PurePosixPath(name).name for name in names}
    suffixes = {PurePosixPath(name).suffix for name in names}
    if "data.pkl" in files or "serialized_exported_program.json" in files or "archive_format" in files:
        return _torch(path, names)
    if {"config.json", "model.weights.h5"} <= files:
        return Foreign(
            "a model of Keras (.keras)",
            "python -c \"import keras; keras.saving.load_model('{path}').export('{stem}.onnx', format='onnx')\"",
        )
    if names and suffixes == {".npy"}:
        return Foreign(
            "a zip archive of arrays (.npz): data, and no model",
            "give the model here, and this file as --evaluation, --calibration or --golden",
        )
    if "saved_model.pb" in files:
        return Foreign("a zip archive with a TensorFlow SavedModel", "unzip {file}, then tf2onnx.convert --saved-model")
    models = [name for name in names if PurePosixPath(name).suffix in (".onnx", ".tflite")]
    if models:
        return Foreign(f"a zip archive with {_shown(models)}", "unzip {file}, and give the model in it")
    return Foreign("a zip archive, and there is no ONNX model in it", "unzip {file}, and export what is in it")


def folder_kind(path: Path) -> Foreign:
    """Tell what a folder is that was given for a model."""
    names: list[str] = []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                names.append(entry.name)
                if len(names) >= _MOST_ENTRIES:
                    break
    except OSError:
        names = []
    suffixes = {PurePosixPath(name).suffix for name in names}
    models = sorted(name for name in names if PurePosixPath(name).suffix in (".onnx", ".tflite"))
    if "saved_model.pb" in names:
        return Foreign("a TensorFlow SavedModel", "python -m tf2onnx.convert --saved-model {file} --output {stem}.onnx")
    if path.suffix == ".mlpackage" or {"Manifest.json", "Data"} <= set(names):
        return Foreign("a model of Core ML (.mlpackage)", "export the model that it was made from to ONNX")
    # Before the models: what lies in a bundle was optimized for one board, and is not to be the next one's source.
    if "manifest.json" in names and "golden" in names:
        return Foreign("a bundle of edgedeploy: what a model was compiled to", "edgedeploy bundle show {file}")
    if models:
        return Foreign(f"a folder with {_shown(models)}", "name the file in it")
    if "config.json" in names and suffixes & {".safetensors", ".bin", ".pt"}:
        return Foreign(
            "a model of the Hugging Face hub, without a graph", "optimum-cli export onnx --model {file} {stem}-onnx"
        )
    return Foreign("a folder without a model", "name a file: an .onnx or .tflite model")


def _torch(path: Path, names: list[str]) -> Foreign:
    if any("/code/" in name or name.startswith("code/") for name in names):
        return Foreign(
            "a TorchScript program of PyTorch",
            "in Python: torch.onnx.export(torch.jit.load('{path}'), (example,), '{stem}.onnx', dynamo=False)",
        )
    if not any(PurePosixPath(name).name == "data.pkl" for name in names):
        return Foreign(
            "an exported program of PyTorch (.pt2)",
            "in Python: torch.onnx.export(torch.export.load('{path}'), (), '{stem}.onnx')",
        )
    if b"ultralytics" in _pickle_of(path, names):
        return Foreign("a checkpoint of Ultralytics YOLO", "yolo export model={file} format=onnx")
    return Foreign(
        "a checkpoint of PyTorch, which is a zip archive with weights and no graph",
        "in Python: model.load_state_dict(…), then torch.onnx.export(model.eval(), (example,), '{stem}.onnx')",
    )


def _pickle_of(path: Path, names: list[str]) -> bytes:
    """The beginning of a checkpoint's pickle, as bytes: the classes that it names stand in it."""
    name = next(name for name in names if PurePosixPath(name).name == "data.pkl")
    try:
        with open_file(path) as whole, zipfile.ZipFile(whole) as archive, archive.open(name) as file:
            return file.read(_MOST_PICKLE_BYTES)
    except (OSError, ValueError, NotImplementedError, RuntimeError, EOFError, zipfile.BadZipFile):
        return b""


def _names(path: Path) -> list[str]:
    """The names in an archive. Raises an error of `zipfile` where it is no whole one, or has too many."""
    with open_file(path) as file:
        size_bytes = file.seek(0, os.SEEK_END)
        file.seek(max(0, size_bytes - _END_BYTES))
        end = file.read(_END_BYTES)
    place = end.rfind(_END)
    if place < 0 or int.from_bytes(end[place + 12 : place + 16], "little") > _MOST_DIRECTORY_BYTES:
        raise ValueError("no list of names, or a very long one")
    with open_file(path) as file, zipfile.ZipFile(file) as archive:
        return archive.namelist()


def _shown(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more models" if len(names) > 3 else "")
