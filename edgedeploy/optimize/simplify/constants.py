"""Nodes whose inputs are all known: how large their results are, and what they are."""

from __future__ import annotations

import logging
import math

import numpy as np
import onnx
import onnx_ir as ir

from edgedeploy.inference.onnxruntime import HostSession
from edgedeploy.optimize.graph.constant_if import branches_of
from edgedeploy.optimize.graph.edit import ONNX_DOMAINS, constant, opset

_log = logging.getLogger(__name__)

_RANDOM = frozenset("RandomNormal RandomNormalLike RandomUniform RandomUniformLike Bernoulli Multinomial".split())
# A weight that is stored in 8 bits and dequantized at run time is what a quantized model is made of.
_KEPT = frozenset({"DequantizeLinear"})


def is_constant(node: ir.Node) -> bool:
    """Tell whether the node gives the same each time, and nobody but other nodes reads it."""
    inputs = [value for value in node.inputs if value is not None]
    return (
        node.domain in ONNX_DOMAINS
        and node.op_type not in _RANDOM
        and node.op_type not in _KEPT
        and len(inputs) > 0
        and all(constant(value) is not None for value in inputs)
        and not any(value.is_graph_output() for value in node.outputs)
        # A body may read values of the graph around it, which are not among the node's inputs.
        and not branches_of(node)
        and not any(attribute.is_ref() for attribute in node.attributes.values())
    )


class ConstantNode:
    """One such node as a model of its own."""

    def __init__(self, node: ir.Node, model: ir.Model) -> None:
        self._node = node
        inputs = {value.name: value for value in node.inputs if value is not None}
        graph = onnx.helper.make_graph(
            [ir.to_proto(node)],
            "one_node",
            [],
            [onnx.ValueInfoProto(name=value.name) for value in node.outputs if value.name],
            [_tensor_proto(value) for value in inputs.values()],
        )
        alone = onnx.helper.make_model(
            graph,
            opset_imports=[onnx.helper.make_opsetid("", opset(model))],
            ir_version=model.ir_version or 8,
        )
        self._model: onnx.ModelProto | None = None
        try:
            self._model = onnx.shape_inference.infer_shapes(alone, strict_mode=True, data_prop=True)
        except Exception:
            # The library reports what it cannot take with half a dozen exception types, RuntimeError among them.
            _log.debug("%s %r cannot be inferred", node.op_type, node.name, exc_info=True)
        self.result_bytes: int | None = None if self._model is None else _bytes(self._model.graph.output)
        """Of all outputs, told without computing them, since a few bytes can expand to gigabytes; None when that
        cannot be told."""

    def results(self) -> list[np.ndarray] | None:
        """Compute the outputs that have names, with onnxruntime; return None when it cannot."""
        if self._model is None:
            return None
        try:
            return HostSession(self._model.SerializeToString(), exact=True).run({})
        except Exception:
            # A node that cannot be computed here (no kernel for its types, wrong inputs in a branch that is never
            # taken) is no reason to fail: it stays as it is, and the runtime has the last word on it.
            _log.debug("%s %r is not folded", self._node.op_type, self._node.name, exc_info=True)
            return None


def _tensor_proto(value: ir.Value) -> onnx.TensorProto:
    assert value.const_value is not None
    proto: onnx.TensorProto = ir.to_proto(value.const_value)
    proto.name = value.name or ""
    return proto


def _bytes(outputs: list[onnx.ValueInfoProto]) -> int | None:
    total = 0
    for output in outputs:
        kind = output.type.tensor_type
        if not output.type.HasField("tensor_type") or not kind.HasField("shape") or not kind.elem_type:
            return None
        extents = kind.shape.dim
        if kind.elem_type == onnx.TensorProto.STRING or any(not extent.HasField("dim_value") for extent in extents):
            return None
        item_bytes = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).itemsize
        total += math.prod(extent.dim_value for extent in extents) * item_bytes
    return total
