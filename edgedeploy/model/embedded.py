"""What an ONNX file says of preprocessing that is inside it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import onnx

from edgedeploy.values.preprocessing import EmbeddedPreprocessing

METADATA_KEY = "edgedeploy.preprocessing"
"""Of `metadata_props`; its value is JSON: by the names of inputs, the fields of `EmbeddedPreprocessing`."""


def embedded_preprocessing(model: onnx.ModelProto) -> dict[str, EmbeddedPreprocessing]:
    """Return what is done to which input inside the model; what is no such record is passed over."""
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            try:
                return msgspec.json.decode(entry.value, type=dict[str, EmbeddedPreprocessing])
            except msgspec.DecodeError:
                return {}
    return {}


def record(embedded: Mapping[str, EmbeddedPreprocessing]) -> str:
    """Return the value of the entry in the file."""
    return msgspec.json.encode(dict(embedded), order="deterministic").decode()
