"""Shapes and element types of intermediate values: what follows from the inputs, and what is known of shape arithmetic.

Whatever is written down here holds for every input that the model takes, since shapes that are known become constants.
onnx-ir's ShapeInferencePass also writes into the interface and the bodies of loops, and only logs a failure.
"""

from __future__ import annotations

import logging

import numpy as np
import onnx
import onnx_ir as ir

from edgedeploy.optimize.graph.edit import all_nodes, constant, integer_attribute, integers_attribute, is_operator

_log = logging.getLogger(__name__)

_LARGE_BYTES = 4096
"""No tensor of this size is a shape, so inference is spared its content."""


def forget_shapes(model: ir.Model) -> None:
    """Drop shapes and types of intermediate values, and extents that are no extents."""
    for value in (*model.graph.inputs, *model.graph.outputs):
        _forget_negative_extents(value)
    for graph in model.graphs():
        if graph is not model.graph:
            # A loop's body gives the extents of its first iteration, if that. The rank stays: onnxruntime needs it.
            for value in graph.inputs:
                value.shape = None if value.shape is None else ir.Shape([None] * len(value.shape))
    interface = set(model.graph.outputs)
    for node in all_nodes(model):
        for value in node.outputs:
            if value not in interface:
                value.shape, value.type = None, None


def infer_shapes(model: ir.Model) -> Exception | None:
    """Write down shapes and types that onnx infers, in the main graph and in the branches of `If`.

    Bodies of `Loop` and `Scan` are left out: a shape may differ from one iteration to the next.

    Returns:
        What inference stumbled over, when it gave nothing; then nothing is changed.
    """
    proto = ir.to_proto(_light(model))
    failure: Exception | None = None
    # Following the content of shape tensors tells more, and is what fails more often.
    for data_prop in (True, False):
        try:
            # Not strict: one operator that cannot be told must not cost the others their shapes.
            inferred = onnx.shape_inference.infer_shapes(
                proto, check_type=False, strict_mode=False, data_prop=data_prop
            )
            break
        except Exception as error:
            # The library reports a model it cannot take with half a dozen exception types, RuntimeError among them.
            _log.debug("onnx.shape_inference", exc_info=True)
            failure = failure or error
    else:
        return failure
    _take_over(model.graph, ir.from_proto(inferred).graph, set(model.graph.outputs))
    return None


def known_integers(value: ir.Value | None) -> np.ndarray | None:
    """Find the elements of a tensor of integers as far as they follow from known shapes.

    Returns:
        An array of objects in the tensor's own shape, with None for what depends on the input; None when not even the
        tensor's shape is known.
    """
    if value is None:
        return None
    if (known := constant(value)) is not None:
        return known.astype(object) if known.dtype.kind == "i" else None
    node = value.producer()
    if node is None:
        return None
    if is_operator(node, "Shape"):
        return _extents(node)
    if is_operator(node, "Identity"):
        return known_integers(node.inputs[0])
    if is_operator(node, "Cast"):
        wide = integer_attribute(node, "to", 0) in (ir.DataType.INT32, ir.DataType.INT64)
        return known_integers(node.inputs[0]) if wide else None
    if is_operator(node, "Gather"):
        indices = constant(node.inputs[1])
        source = known_integers(node.inputs[0])
        if source is None or indices is None or source.ndim != 1 or not _within(indices, len(source)):
            return None
        return np.asarray(source[indices], dtype=object)
    if is_operator(node, "Slice"):
        return _sliced(node)
    if is_operator(node, "Concat"):
        parts = [known_integers(value) for value in node.inputs]
        present = [part for part in parts if part is not None and part.ndim == 1]
        return np.concatenate(present) if len(present) == len(parts) else None
    if is_operator(node, "Unsqueeze", "Squeeze"):
        source = known_integers(node.inputs[0])
        # Between a number and a row of one; other ranks do not occur in shape arithmetic.
        if source is None or source.size != 1 or source.ndim > 1:
            return None
        to_row = is_operator(node, "Unsqueeze")
        return source.reshape(1 if to_row else ()) if (source.ndim == 0) == to_row else None
    return None


def _extents(shape_node: ir.Node) -> np.ndarray | None:
    source = shape_node.inputs[0]
    if source is None or source.shape is None:
        return None
    extents = [extent if isinstance(extent, int) and extent >= 0 else None for extent in source.shape]
    # Negative and out-of-range bounds mean what they mean in a Python slice (ONNX, Shape-15).
    end = shape_node.attributes.get("end")
    extents = extents[integer_attribute(shape_node, "start", 0) : None if end is None else end.as_int()]
    return np.array(extents, dtype=object)


def _sliced(node: ir.Node) -> np.ndarray | None:
    source = known_integers(node.inputs[0])
    if source is None or source.ndim != 1:
        return None
    if len(node.inputs) == 1:
        bounds = [integers_attribute(node, name) for name in ("starts", "ends", "axes")]
        starts, ends, steps = bounds[0], bounds[1], None
    else:
        arrays = [constant(value) for value in node.inputs[1:]]
        if any(array is None and value is not None for array, value in zip(arrays, node.inputs[1:], strict=True)):
            return None
        lists = [None if array is None else tuple(int(element) for element in array.reshape(-1)) for array in arrays]
        lists += [None] * (4 - len(lists))
        starts, ends, steps = lists[0], lists[1], lists[3]
    if starts is None or ends is None or len(starts) != 1 or len(ends) != 1:
        return None
    step = steps[0] if steps else 1
    # Backwards, ONNX's bounds and Python's mean different things at the ends.
    return source[starts[0] : ends[0] : step] if step > 0 else None


def _within(indices: np.ndarray, extent: int) -> bool:
    return bool(((indices >= -extent) & (indices < extent)).all())


def _light(model: ir.Model) -> ir.Model:
    """A copy whose large weights are inputs: their shapes are what counts."""
    light = model.clone()
    for name, value in list(light.graph.initializers.items()):
        tensor = value.const_value
        if tensor is not None and tensor.nbytes > _LARGE_BYTES and not value.is_graph_output():
            del light.graph.initializers[name]
            value.const_value = None
            value.shape, value.type = ir.Shape(tensor.shape.numpy()), ir.TensorType(tensor.dtype)
            if not value.is_graph_input():
                light.graph.inputs.append(value)
    return light


def _take_over(graph: ir.Graph, inferred: ir.Graph, interface: set[ir.Value]) -> None:
    for node, inferred_node in zip(graph, inferred, strict=True):
        for value, source in zip(node.outputs, inferred_node.outputs, strict=True):
            if value not in interface and source.shape is not None:
                value.shape, value.type = source.shape, source.type
            elif value not in interface and source.type is not None:
                value.type = source.type
        if is_operator(node, "If"):
            for name in ("then_branch", "else_branch"):
                if name in node.attributes and name in inferred_node.attributes:
                    _take_over(node.attributes[name].as_graph(), inferred_node.attributes[name].as_graph(), interface)


def _forget_negative_extents(value: ir.Value) -> None:
    """Exporters write -1 for «dynamic»; onnx takes it for an extent and infers nonsense from it."""
    if value.shape is not None and any(isinstance(extent, int) and extent < 0 for extent in value.shape):
        value.shape = ir.Shape([None if isinstance(extent, int) and extent < 0 else extent for extent in value.shape])
