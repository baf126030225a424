"""The facts of a model file, read without running it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
from msgspec import structs

from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.model.embedded import embedded_preprocessing
from edgedeploy.model.graphs import nodes
from edgedeploy.model.identity import sha256_of_files
from edgedeploy.model.load import external_files, is_tflite, read_with_notes
from edgedeploy.model.macs import count_macs
from edgedeploy.model.shapes import shapes_at_batch_one
from edgedeploy.model.weights import count_parameters
from edgedeploy.values.model import Dimension, ModelFacts, TensorFacts


def inspect_model(path: Path, input_shapes: Mapping[str, Sequence[int]] | None = None) -> ModelFacts:
    """Read a model's facts.

    Args:
        path: an `.onnx` file; its external data is looked for beside it. Or a `.tflite` file.
        input_shapes: extents for dynamic inputs, by input name, for counting MACs. What is not given is 1 for a first
            (batch) extent and unknown else.

    Raises:
        InvalidFileError: the file or its external data is missing or not what it should be.
        UnsupportedError: it is over 2 GB in one file; an input has no tensor type; a shape in `input_shapes`
            contradicts the model.
        HostError: it is TensorFlow Lite, and the extra `tflite` is not installed.
    """
    if is_tflite(path):
        from edgedeploy.model.tflite_facts import inspect_tflite

        return inspect_tflite(path, input_shapes or {})
    model, notes = read_with_notes(path)
    sha256, size_bytes = sha256_of_files((path, *external_files(model, path)))
    # Before IR version 4 every initializer is listed among the inputs.
    initialized = {tensor.name for tensor in model.graph.initializer}
    initialized |= {sparse.values.name for sparse in model.graph.sparse_initializer}
    embedded = embedded_preprocessing(model)
    inputs = tuple(
        structs.replace(_tensor_facts(value), preprocessing=embedded.get(value.name))
        for value in model.graph.input
        if value.name not in initialized
    )
    macs, macs_note = count_macs(model, shapes_at_batch_one(inputs, input_shapes or {}))
    operators = Counter(
        f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type for node in nodes(model)
    )
    return ModelFacts(
        format="onnx",
        sha256=sha256,
        size_bytes=size_bytes,
        producer=" ".join(filter(None, (model.producer_name, model.producer_version))),
        opset=next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0),
        inputs=inputs,
        outputs=tuple(_tensor_facts(value) for value in model.graph.output),
        parameters=count_parameters(model),
        macs=macs,
        macs_note=macs_note,
        operators=dict(sorted(operators.items(), key=lambda item: (-item[1], item[0]))),
        notes=notes,
    )


def _tensor_facts(value: onnx.ValueInfoProto) -> TensorFacts:
    if not value.type.HasField("tensor_type"):
        kind, hint = _NO_TENSOR.get(_kind(value.type), _NO_TENSOR[""])
        raise UnsupportedError(
            f"{value.name!r} is no tensor but {kind}",
            why="what devices are sent, and answer, are tensors",
            hint=f"export the model with tensors as inputs and outputs: {hint}",
        )
    tensor = value.type.tensor_type
    return TensorFacts(
        name=value.name,
        dtype=_dtype(tensor.elem_type),
        shape=tuple(_dimension(extent) for extent in tensor.shape.dim),
    )


_ZIPMAP = "for a scikit-learn classifier, to_onnx(…, options={'zipmap': False})"
_NO_TENSOR = {
    "sequence of map": ("a sequence of maps", _ZIPMAP),
    "map": ("a map", _ZIPMAP),
    "sequence": ("a sequence", "stack or join its elements (torch.stack, torch.cat; in ONNX ConcatFromSequence)"),
    "optional": ("an optional value", "give the value itself (in ONNX OptionalGetElement)"),
    "sparse_tensor": ("a sparse tensor", "make it dense (torch: .to_dense())"),
    "": ("a value without a type", "declare its type and shape"),
}
"""By the kind of a value: what it is called, and how to do without."""


def _kind(kind: onnx.TypeProto) -> str:
    name = (kind.WhichOneof("value") or "").removesuffix("_type")
    if name == "sequence" and kind.sequence_type.elem_type.HasField("map_type"):
        return "sequence of map"
    return name


def _dtype(elem_type: int) -> str:
    if elem_type == onnx.TensorProto.STRING:
        return "str"
    try:
        return str(onnx.helper.tensor_dtype_to_np_dtype(elem_type).name)
    except KeyError:
        return "undefined"


def _dimension(extent: onnx.TensorShapeProto.Dimension) -> Dimension:
    # Exporters write -1 or nothing where they mean any extent, and numbers as if they were names.
    if extent.HasField("dim_value") and extent.dim_value >= 0:
        return int(extent.dim_value)
    return extent.dim_param.strip() or "?"
