"""The name of a model on devices, recorded in its file, so that it stays the same when the file is renamed."""

from __future__ import annotations

import re
from pathlib import Path

import onnx

from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.foundation.reading import MODEL, read_file
from edgedeploy.foundation.validation import is_name
from edgedeploy.inference.formats import ModelFormat
from edgedeploy.model.load import is_tflite, read_onnx

METADATA_KEY = "edgedeploy.model_name"
"""Of an ONNX model's `metadata_props`, whose value is the name; of TensorFlow Lite, the name of an entry in `metadata`,
whose buffer is the name in UTF-8."""


def model_name(model: Path) -> str:
    """Return the name that `model` has on devices where nobody gives one.

    That is the name that `optimize` recorded in the file; else the file's name, in lower case and without what a name
    cannot have. A file that cannot be read is named by its file name: whoever opens it says what is wrong.
    """
    return recorded_name(model) or name_of_file(model)


def name_of_file(model: Path) -> str:
    """Return a model's name made from its file's name, e.g. `"text-direction"` for `Text Direction.onnx`."""
    name = re.sub(r"[^a-z0-9._-]+", "-", model.stem.lower()).strip("._-")[:64]
    return name or "model"


def recorded_name(model: Path) -> str | None:
    """Return the name that is recorded in a file; None when there is none, or it is not one that a model can have."""
    try:
        name = _of_tflite(read_file(model, MODEL)) if is_tflite(model) else _of_onnx(read_onnx(model))
    except (EdgedeployError, OSError):
        return None
    return name if name is not None and is_name(name) else None


def with_name(content: bytes, model_format: ModelFormat, name: str) -> bytes:
    """Return a serialized model with `name` recorded in it. A model that has a recorded name stays as it is."""
    if METADATA_KEY.encode() in content:
        return content
    if model_format == "onnx":
        # Protobuf joins messages that are written one after the other: https://protobuf.dev/programming-guides/encoding/
        # So a model of 2 GB need not be parsed and written again for one entry.
        entry = onnx.StringStringEntryProto(key=METADATA_KEY, value=name)
        return content + bytes(onnx.ModelProto(metadata_props=[entry]).SerializeToString())
    from edgedeploy.model.tflite_file import add_metadata, read_tflite, write_tflite

    model = read_tflite(content)
    add_metadata(model, METADATA_KEY, name.encode())
    return write_tflite(model, content)


def _of_onnx(model: onnx.ModelProto) -> str | None:
    return next((entry.value for entry in model.metadata_props if entry.key == METADATA_KEY), None)


def _of_tflite(content: bytes) -> str | None:
    if METADATA_KEY.encode() not in content:
        return None
    from edgedeploy.model.tflite_file import metadata, read_tflite

    found = metadata(read_tflite(content), METADATA_KEY)
    return None if found is None else found.decode("utf-8", "replace")
