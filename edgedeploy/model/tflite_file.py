"""Open a TensorFlow Lite file and write one: the flatbuffer as objects, and the files that may be attached to it.

The objects are those of the schema (`ModelT`, `SubGraphT`, `TensorT`, `OperatorT`, `BufferT`), as the extra's package
generates them from https://github.com/google-ai-edge/LiteRT, tflite/converter/schema/schema.fbs
"""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np

from edgedeploy.foundation.errors import InvalidFileError, UnsupportedError
from edgedeploy.foundation.units import bytes_in_words
from edgedeploy.inference.formats import format_of
from edgedeploy.inference.litert import require_tflite

_CUSTOM = "CUSTOM"
_ATTACHED_LIMIT_BYTES = 256_000_000

# By name of `TensorType`; INT4, INT2, BFLOAT16 and STRING have no type of NumPy's own.
_NUMPY: dict[str, np.dtype[Any]] = {
    "FLOAT32": np.dtype(np.float32),
    "FLOAT16": np.dtype(np.float16),
    "FLOAT64": np.dtype(np.float64),
    "INT8": np.dtype(np.int8),
    "UINT8": np.dtype(np.uint8),
    "INT16": np.dtype(np.int16),
    "UINT16": np.dtype(np.uint16),
    "INT32": np.dtype(np.int32),
    "UINT32": np.dtype(np.uint32),
    "INT64": np.dtype(np.int64),
    "UINT64": np.dtype(np.uint64),
    "BOOL": np.dtype(np.bool_),
}


def read_tflite(content: bytes, name: str = "the model") -> Any:
    """Return the file as a `ModelT`, whose parts may be changed.

    Data that lies behind the flatbuffer is taken in, every buffer is an array of bytes, and operators are numbered as
    the schema does today: files from before 2020 have another field for it, which ai-edge-quantizer does not read (it
    takes all their operators for ADD).

    Raises:
        HostError: the extra `tflite` is not installed.
        InvalidFileError: it is not a whole TensorFlow Lite model.
    """
    if format_of(content[:8]) != "tflite":
        raise InvalidFileError(f"{name} is not a TensorFlow Lite model")
    reader = require_tflite("ai_edge_litert.tools.flatbuffer_utils")
    try:
        model = reader.read_model_from_bytearray(content)
        for code in model.operatorCodes:
            code.builtinCode = max(code.builtinCode, code.deprecatedBuiltinCode)
        for buffer in model.buffers:
            buffer.data = _bytes(buffer.data)
        for graph in model.subgraphs:
            for tensor in graph.tensors:
                tensor_name(tensor)
            for operator in graph.operators:
                operator_name(model, operator)
    except Exception as error:
        # The generated readers check nothing: what a damaged file makes them stumble over is of every kind.
        raise InvalidFileError(
            f"{name} is damaged, or only a part of a TensorFlow Lite model",
            why="it begins as one, and its tables do not fit together",
            hint="export or copy it again",
        ) from error
    if not model.subgraphs:
        raise InvalidFileError(f"{name} holds no graph", hint="export the model again")
    return model


def write_tflite(model: Any, attached_to: bytes = b"") -> bytes:
    """Serialize the model as one flatbuffer, with the files that were attached to `attached_to` behind it.

    Attached files (labels, scores) are a zip archive behind the flatbuffer:
    https://ai.google.dev/edge/litert/models/metadata#the_metadata_format
    """
    writer = require_tflite("ai_edge_litert.tools.flatbuffer_utils")
    content = bytes(writer.convert_object_to_bytearray(model))
    before = io.BytesIO(attached_to)
    if not zipfile.is_zipfile(before):
        return content
    after = io.BytesIO(content)
    with zipfile.ZipFile(before) as old, zipfile.ZipFile(after, "a") as new:
        total_bytes = sum(entry.file_size for entry in old.infolist())
        if total_bytes > _ATTACHED_LIMIT_BYTES:
            raise UnsupportedError(
                f"the files attached to the model inflate to {bytes_in_words(total_bytes)}",
                why=f"they are lists of labels and scores; at most {bytes_in_words(_ATTACHED_LIMIT_BYTES)} are taken",
                hint="take them out of the model: zip -d MODEL.tflite '*'",
            )
        for entry in old.infolist():
            new.writestr(entry, old.read(entry), compress_type=entry.compress_type)
    return after.getvalue()


def metadata(model: Any, name: str) -> bytes | None:
    """Return the data of the model's metadata called `name`; None when it has none."""
    for entry in model.metadata or []:
        if entry.name == name.encode() and model.buffers[entry.buffer].data is not None:
            return bytes(model.buffers[entry.buffer].data.tobytes())
    return None


def add_metadata(model: Any, name: str, data: bytes) -> None:
    """Add metadata called `name` to the model, in a buffer of its own."""
    schema = require_tflite("ai_edge_litert.schema_py_generated")
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(data, np.uint8)
    entry.name, entry.buffer = name.encode(), len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]


def tensor_name(tensor: Any) -> str:
    """Return a tensor's name; `""` when it has none."""
    return str(tensor.name.decode("utf-8")) if tensor.name else ""


def operator_name(model: Any, operator: Any) -> str:
    """Return an operator's name: of the schema's `BuiltinOperator`, or the one that a custom operator gives itself."""
    tools = require_tflite("ai_edge_litert.tools.flatbuffer_utils")
    code = model.operatorCodes[operator.opcodeIndex]
    name = tools.opcode_to_name(model, operator.opcodeIndex)
    if name == _CUSTOM or name is None:
        return str(code.customCode.decode("utf-8")) if code.customCode else _CUSTOM
    return str(name)


def type_name(tensor: Any) -> str:
    """Return the tensor's type as the schema's `TensorType` names it, e.g. `"FLOAT32"`."""
    return str(require_tflite("ai_edge_litert.tools.flatbuffer_utils").type_to_name(tensor.type))


def type_number(name: str) -> int:
    """Return the number that the schema gives a `TensorType`."""
    return int(getattr(require_tflite("ai_edge_litert.tools.flatbuffer_utils").TensorType, name))


def dtype_name(tensor: Any) -> str:
    """Return NumPy's name of the element type, or the schema's in lower case where NumPy has none."""
    name = type_name(tensor)
    if name == "STRING":
        return "str"
    return str(_NUMPY[name].name) if name in _NUMPY else name.lower()


def shape(tensor: Any) -> tuple[int, ...]:
    """Return the extents that the file gives; a dynamic one counts 1."""
    return () if tensor.shape is None else tuple(int(extent) for extent in tensor.shape)


def is_constant(model: Any, tensor: Any) -> bool:
    """Return whether the file holds the tensor's data."""
    return tensor.buffer > 0 and model.buffers[tensor.buffer].data is not None


def constant(model: Any, tensor: Any) -> np.ndarray | None:
    """Return a constant's data, in its shape; None when it has none, or is sparse, or of a type that NumPy lacks."""
    name = type_name(tensor)
    if not is_constant(model, tensor) or tensor.sparsity is not None or name not in _NUMPY:
        return None
    data: np.ndarray = model.buffers[tensor.buffer].data
    return np.frombuffer(data.tobytes(), dtype=_NUMPY[name]).reshape(shape(tensor))


def is_quantized(tensor: Any) -> bool:
    """Return whether the tensor's integers stand for real numbers."""
    quantization = tensor.quantization
    return quantization is not None and (
        (quantization.scale is not None and len(quantization.scale) > 0) or bool(quantization.detailsType)
    )


def _bytes(data: Any) -> np.ndarray | None:
    if data is None or len(data) == 0:
        return None
    return np.frombuffer(data, np.uint8) if isinstance(data, bytes | bytearray | memoryview) else np.asarray(data)
