"""Prepare an ONNX model for conversion: fix its input shapes, and record every other shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.version_converter

from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.foundation.scratch import scratch_folder
from edgedeploy.model.graphs import nodes, subgraphs

_SOFTMAX_BY_AXIS = 13
"""From this opset on these work along one axis; before, over all from it on, which onnx2tf 2.6 takes for the same:
https://onnx.ai/onnx/operators/text_diff_Softmax_11_13.html"""
_SOFTMAX = frozenset(("Softmax", "LogSoftmax", "Hardmax"))
_NUMERIC = "biuf"


def input_name(index: int) -> str:
    """Name an input of the model that is converted: names of real models hold characters that TensorFlow rejects."""
    return f"edgedeploy_in{index}"


def output_name(index: int) -> str:
    """Name an output of the model that is converted."""
    return f"edgedeploy_out{index}"


def pin(content: bytes, inputs: Sequence[str], outputs: Sequence[str], feed: Mapping[str, np.ndarray]) -> bytes:
    """Rewrite a model for inputs of the shapes in `feed` only.

    What is computed from shapes alone is a constant then, branches among it; onnxruntime does that, as it does for
    itself. The shape of every value that remains is taken from a run. Inputs and outputs are called by `input_name` and
    `output_name`.

    Args:
        content: a serialized model without external data.
        inputs, outputs: their names, in the model's order.

    Raises:
        UnsupportedError: onnxruntime does not run it on this feed.
    """
    model = onnx.load_model_from_string(content)
    del model.graph.value_info[:]
    _name(model, inputs, outputs, feed)
    model = _folded(_with_softmax_by_axis(model))
    _write_shapes_down(model, {input_name(index): feed[name] for index, name in enumerate(inputs)})
    pinned: bytes = model.SerializeToString(deterministic=True)
    return pinned


def _name(
    model: onnx.ModelProto, inputs: Sequence[str], outputs: Sequence[str], feed: Mapping[str, np.ndarray]
) -> None:
    graph = model.graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    taken = {name: input_name(index) for index, name in enumerate(inputs)}
    # An input, a constant or another output may be an output too: such a one gets a node of its own.
    made = {name for node in graph.node for name in node.output}
    given = {name: output_name(index) for index, name in enumerate(outputs) if name in made}
    _rename(graph, taken | given)
    for index, name in enumerate(outputs):
        if given.get(name) != output_name(index):
            source = (taken | given).get(name, name)
            graph.node.append(onnx.helper.make_node("Identity", [source], [output_name(index)]))
    described = [
        [
            onnx.helper.make_tensor_value_info(input_name(i), kinds[name], feed[name].shape)
            for i, name in enumerate(inputs)
        ],
        [onnx.helper.make_tensor_value_info(output_name(i), kinds[name], None) for i, name in enumerate(outputs)],
    ]
    del graph.input[:], graph.output[:]
    graph.input.extend(described[0])
    graph.output.extend(described[1])


def _rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Rename values in all nodes, those of inner graphs too: ONNX lets no inner name hide an outer one."""
    for node in graph.node:
        for used in (node.input, node.output):
            for index, name in enumerate(used):
                used[index] = names.get(name, name)
        for inner in subgraphs(node):
            _rename(inner, names)
            for value in inner.output:
                value.name = names.get(value.name, value.name)


def _with_softmax_by_axis(model: onnx.ModelProto) -> onnx.ModelProto:
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), _SOFTMAX_BY_AXIS)
    if opset >= _SOFTMAX_BY_AXIS or not any(node.op_type in _SOFTMAX for node in nodes(model)):
        return model
    try:
        return onnx.version_converter.convert_version(model, _SOFTMAX_BY_AXIS)
    except Exception:
        # It knows not every operator, and raises what it likes. Most softmaxes are over the last axis, which is the
        # same in both; what is not, shows in the comparison.
        return model


def _folded(model: onnx.ModelProto) -> onnx.ModelProto:
    with scratch_folder() as folder:
        path = Path(folder) / "folded.onnx"
        _session(model, save_as=path)
        folded = onnx.load_model(path)
    # onnxruntime imports every domain that it knows.
    used = {"" if node.domain == "ai.onnx" else node.domain for node in nodes(folded)} | {""}
    kept = [each for each in folded.opset_import if each.domain in used]
    del folded.opset_import[:], folded.graph.value_info[:]
    folded.opset_import.extend(kept)
    return folded


def _write_shapes_down(model: onnx.ModelProto, feed: Mapping[str, np.ndarray]) -> None:
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    outputs = {value.name for value in model.graph.output}
    names = [name for node in model.graph.node for name in node.output if name and name not in outputs]
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = _session(watched)
    taken = {value.name for value in session.get_inputs()}
    try:
        found = session.run(None, {name: array for name, array in feed.items() if name in taken})
    except Exception as error:
        raise UnsupportedError("the model cannot be run on its golden inputs", why=str(error)[:500]) from error
    seen = {value.name: array for value, array in zip(session.get_outputs(), found, strict=True)}
    for value in model.graph.output:
        value.CopyFrom(_described(value.name, seen[value.name]))
    # A sequence, or text, has no shape.
    are_arrays = [name for name in names if isinstance(seen[name], np.ndarray) and seen[name].dtype.kind in _NUMERIC]
    model.graph.value_info.extend(_described(name, seen[name]) for name in are_arrays)


def _described(name: str, array: np.ndarray) -> onnx.ValueInfoProto:
    kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
    return onnx.helper.make_tensor_value_info(name, kind, list(array.shape))


def _session(model: onnx.ModelProto, *, save_as: Path | None = None) -> Any:
    """The model as it is; with `save_as`, made simpler and written there."""
    # Before onnxruntime: it sets what that reads while it is loaded.
    import edgedeploy.inference.onnxruntime  # noqa: F401, I001
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong comes back as an exception
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if save_as is not None:
        # «Basic» keeps to ONNX's own operators: https://onnxruntime.ai/docs/performance/model-optimizations
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(save_as)
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # Its classes have no common base of their own below Exception.
        raise UnsupportedError(
            "onnxruntime does not load the model for inputs of one shape", why=str(error)[:500]
        ) from error
