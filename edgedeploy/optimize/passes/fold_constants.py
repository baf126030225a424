"""What can be computed before the model runs is computed now."""

from __future__ import annotations

import logging
import math
from typing import ClassVar

import numpy as np
import onnx
import onnx_ir as ir

from edgedeploy.host_run import HostSession
from edgedeploy.optimize.contract import Context, Facts, Pass
from edgedeploy.optimize.graph import (
    NameAuthority,
    add_initializer,
    all_nodes,
    constant,
    drop_if_unused,
    integer_attribute,
    is_operator,
    opset,
)

_log = logging.getLogger(__name__)

_RANDOM = frozenset("RandomNormal RandomNormalLike RandomUniform RandomUniformLike Bernoulli Multinomial".split())
# A weight that is stored in 8 bits and dequantized at run time is what a quantized model is made of.
_KEPT = frozenset({"DequantizeLinear"})


class FoldConstants(Pass, frozen=True):
    """Replace nodes whose inputs are all known by their results, and shapes that are known by their values.

    Each node is computed by onnxruntime, the runtime that would compute it otherwise. A result that is larger than
    what it is made from (a tensor filled with one value, a repeated one) stays a node: folding it would make the file
    larger.
    """

    # The numbers are those that the runtime would have computed. But a runtime packs weights that it knows for kernels
    # that sum in another order, and a recurrent network passes the last digit on.
    tolerance: ClassVar[float | None] = 1e-4

    growth_limit_bytes: int = 64
    """How much larger than its inputs a result may be. A node costs about as much as this."""

    def __post_init__(self) -> None:
        if self.growth_limit_bytes < 0:
            raise ValueError("growth_limit_bytes must not be negative")

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        folded = shapes = 0
        nodes = list(all_nodes(model))
        names = NameAuthority(model)
        for number, node in enumerate(nodes, start=1):
            context.progress.advance(number, len(nodes), "nodes")
            if (known := _known_shape(node)) is not None:
                _replace(node, [known], model.graph, names)
                shapes += 1
            elif self._is_foldable(node) and (results := self._compute(node, model)) is not None:
                _replace(node, results, model.graph, names)
                folded += 1
        return model, {"nodes_folded": folded, "shapes_folded": shapes}

    def _is_foldable(self, node: ir.Node) -> bool:
        return (
            node.domain in ("", "ai.onnx")
            and node.op_type not in _RANDOM
            and node.op_type not in _KEPT
            and len(node.inputs) > 0
            and all(value is None or constant(value) is not None for value in node.inputs)
            and any(value is not None for value in node.inputs)
            and not any(value.is_graph_output() for value in node.outputs)
            # A body may read values of the graph around it, which are not among the node's inputs.
            and not any(a.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for a in node.attributes.values())
            and not any(attribute.is_ref() for attribute in node.attributes.values())
        )

    def _compute(self, node: ir.Node, model: ir.Model) -> list[np.ndarray] | None:
        """The node's outputs, or None when it cannot or should not be computed now."""
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
        limit = sum(value.const_value.nbytes for value in inputs.values() if value.const_value is not None)
        limit += self.growth_limit_bytes
        try:
            # The extent of the result is looked at before it is computed: a few bytes can expand to gigabytes.
            inferred = onnx.shape_inference.infer_shapes(alone, strict_mode=True, data_prop=True)
            if not all(_fits(output, limit) for output in inferred.graph.output):
                return None
            results = HostSession(inferred.SerializeToString(), exact=True).run({})
        except Exception:
            # A node that cannot be computed here (no kernel for its types, wrong inputs in a branch that is never
            # taken) is no reason to fail: it stays as it is, and the runtime has the last word on it.
            _log.debug("%s %r is not folded", node.op_type, node.name, exc_info=True)
            return None
        return results


def _tensor_proto(value: ir.Value) -> onnx.TensorProto:
    assert value.const_value is not None
    proto: onnx.TensorProto = ir.to_proto(value.const_value)
    proto.name = value.name or ""
    return proto


def _fits(output: onnx.ValueInfoProto, limit_bytes: int) -> bool:
    kind = output.type.tensor_type
    if not output.type.HasField("tensor_type") or not kind.HasField("shape") or not kind.elem_type:
        return False
    if kind.elem_type == onnx.TensorProto.STRING or any(not extent.HasField("dim_value") for extent in kind.shape.dim):
        return False
    item_bytes = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).itemsize
    return bool(math.prod(extent.dim_value for extent in kind.shape.dim) * item_bytes <= limit_bytes)


def _known_shape(node: ir.Node) -> np.ndarray | None:
    """The result of a `Shape` or `Size` whose input's shape holds for every input of the model."""
    if not is_operator(node, "Shape", "Size") or node.outputs[0].is_graph_output():
        return None
    source = node.inputs[0]
    if source is None or source.shape is None:
        return None
    extents = list(source.shape)
    if is_operator(node, "Shape"):
        # Negative and out-of-range bounds mean what they mean in a Python slice (ONNX, Shape-15).
        end = node.attributes.get("end")
        extents = extents[integer_attribute(node, "start", 0) : None if end is None else end.as_int()]
    if not all(isinstance(extent, int) and extent >= 0 for extent in extents):
        return None
    known = np.array(extents, dtype=np.int64)
    return known if is_operator(node, "Shape") else np.array(known.prod(), dtype=np.int64)


def _replace(node: ir.Node, results: list[np.ndarray], weights: ir.Graph, names: NameAuthority) -> None:
    """Let weights of the main graph take the place of the node's outputs, in whatever subgraph it is."""
    graph = node.graph
    assert graph is not None
    for value, result in zip([one for one in node.outputs if one.name], results, strict=True):
        name = names.renamed(value.name or "folded")
        # Out of the way first: the weight may take over the value's name.
        value.name = f"{name}:folded"
        ir.convenience.replace_all_uses_with(value, add_initializer(weights, name, np.asarray(result)))
    inputs = [value for value in node.inputs if value is not None]
    graph.remove(node, safe=True)
    for value in inputs:
        drop_if_unused(value)
