"""What can be computed before the model runs is computed now."""

from __future__ import annotations

import logging
import math
from typing import ClassVar

import numpy as np
import onnx
import onnx_ir as ir

from edgedeploy.host_run import HostSession
from edgedeploy.optimize.branches import branches_of, inline, live_nodes, nodes_within, taken_branch
from edgedeploy.optimize.contract import Context, Facts, Pass
from edgedeploy.optimize.graph import (
    NameAuthority,
    add_initializer,
    all_nodes,
    constant,
    drop_if_unused,
    is_operator,
    opset,
)
from edgedeploy.optimize.observed_shapes import tell_shapes
from edgedeploy.optimize.shapes import known_integers

_log = logging.getLogger(__name__)

_RANDOM = frozenset("RandomNormal RandomNormalLike RandomUniform RandomUniformLike Bernoulli Multinomial".split())
# A weight that is stored in 8 bits and dequantized at run time is what a quantized model is made of.
_KEPT = frozenset({"DequantizeLinear"})

_MOST_ROUNDS = 20
"""Each round takes a branch, of branches within branches, or tells a shape that another depended on."""


class FoldConstants(Pass, frozen=True):
    """Compute what is known, shapes too, and take the branch of an `If` whose condition is known.

    Each node is computed by onnxruntime, the runtime that would compute it otherwise. A result that is larger than
    what it is made from (a tensor filled with one value, a repeated one), or made from a weight that is needed all the
    same, stays a node: folding it would make the file larger.
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
        # Where shapes were inferred, a branch that is gone or a shape that is known tells more of them.
        has_shapes = any(value.shape is not None for node in all_nodes(model) for value in node.outputs[:1])
        total = {"nodes_folded": 0, "shapes_folded": 0, "branches_taken": 0}
        for _ in range(_MOST_ROUNDS):
            found = self._fold_once(model, context)
            for name, count in found.items():
                total[name] += count
            if not any(found.values()):
                break
            if has_shapes:
                tell_shapes(model, context.probes)
        return model, {**total}

    def _fold_once(self, model: ir.Model, context: Context) -> dict[str, int]:
        folded = shapes = branches = 0
        names = NameAuthority(model)
        nodes = list(all_nodes(model))
        live = live_nodes(model.graph)
        gone: set[ir.Node] = set()
        for number, node in enumerate(nodes, start=1):
            context.progress.advance(number, len(nodes), "nodes")
            if node in gone or node not in live:
                continue
            if (known := _known_shape(node)) is not None:
                _replace(node, [known], model.graph, names)
                shapes += 1
            elif (branch := taken_branch(node)) is not None:
                gone.update(
                    inner for other in branches_of(node) if other is not branch for inner in nodes_within(other)
                )
                inline(node, branch, names)
                branches += 1
            elif self._is_foldable(node) and (results := self._compute(node, model, live)) is not None:
                _replace(node, results, model.graph, names)
                folded += 1
        return {"nodes_folded": folded, "shapes_folded": shapes, "branches_taken": branches}

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

    def _compute(self, node: ir.Node, model: ir.Model, live: set[ir.Node]) -> list[np.ndarray] | None:
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
        # A weight that something else reads stays in the file, and the result would come on top.
        freed = [
            value
            for value in inputs.values()
            if not any(reader in live and reader is not node for reader, _ in value.uses())
        ]
        limit = sum(value.const_value.nbytes for value in freed if value.const_value is not None)
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
    """The result of a `Shape` or `Size`, or of arithmetic on shapes, that holds for every input of the model."""
    if not node.outputs or node.outputs[0].is_graph_output():
        return None
    if is_operator(node, "Size"):
        source = node.inputs[0]
        extents = None if source is None or source.shape is None else list(source.shape)
        if extents is None or not all(isinstance(extent, int) and extent >= 0 for extent in extents):
            return None
        return np.array(math.prod(extents), dtype=np.int64)
    if not is_operator(node, "Shape", "Gather", "Slice", "Concat"):
        return None
    known = known_integers(node.outputs[0])
    if known is None or any(element is None for element in known.reshape(-1)):
        return None
    # What is taken from constants alone keeps the type that these have.
    kind = node.outputs[0].dtype or (ir.DataType.INT64 if is_operator(node, "Shape") else None)
    return known.astype(kind.numpy()) if kind in (ir.DataType.INT64, ir.DataType.INT32) else None


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
