"""A pass that folds constants: it computes now what does not depend on an input."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgedeploy.optimize.base import Context, Facts, Pass
from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.optimize.graph.constant_if import branches_of, inline, live_nodes, nodes_within, taken_branch
from edgedeploy.optimize.graph.edit import all_nodes, bypass, constant, drop_if_unused, is_operator
from edgedeploy.optimize.graph.runtime_shapes import tell_shapes
from edgedeploy.optimize.graph.shapes import known_integers
from edgedeploy.optimize.simplify.constants import ConstantNode, is_constant
from edgedeploy.optimize.simplify.gemm_factors import fold_gemm_factors

_MOST_ROUNDS = 20
"""Each round takes a branch, of branches within branches, or tells a shape that another depended on."""


class FoldConstants(Pass, frozen=True):
    """Compute what is known, shapes and factors of a Gemm too, and take the branch of an `If` whose condition is known.

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
        total = {"nodes_folded": 0, "shapes_folded": 0, "branches_taken": 0, "gemm_factors_folded": 0}
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
        builder = GraphBuilder(model)
        nodes = list(all_nodes(model))
        growth = _Growth(model, self.growth_limit_bytes)
        gone: set[ir.Node] = set()
        for number, node in enumerate(nodes, start=1):
            context.progress.advance(number, len(nodes), "nodes")
            if node in gone or node not in growth.live:
                continue
            if is_operator(node, "Identity") and constant(node.inputs[0]) is not None:
                # Computed, it would be a second copy of a weight that others read too.
                folded += _bypassed(node)
            elif (known := _known_shape(node)) is not None:
                _replace(node, [known], builder)
                shapes += 1
            elif (branch := taken_branch(node)) is not None:
                for other in branches_of(node):
                    gone.update(() if other is branch else nodes_within(other))
                inline(node, branch, builder)
                branches += 1
            elif is_constant(node) and growth.allows(node) and (results := growth.alone(node).results()) is not None:
                _replace(node, results, builder)
                folded += 1
        factors = fold_gemm_factors(model, builder)
        return {
            "nodes_folded": folded,
            "shapes_folded": shapes,
            "branches_taken": branches,
            "gemm_factors_folded": factors,
        }


class _Growth:
    """Tells which nodes may be replaced by their results without the file becoming larger."""

    def __init__(self, model: ir.Model, limit_bytes: int) -> None:
        self.live = live_nodes(model.graph)
        self._model = model
        self._limit_bytes = limit_bytes
        self._alone: dict[ir.Node, ConstantNode] = {}

    def alone(self, node: ir.Node) -> ConstantNode:
        # Its inputs are constants, so it stays what it is.
        if node not in self._alone:
            self._alone[node] = ConstantNode(node, self._model)
        return self._alone[node]

    def allows(self, node: ir.Node) -> bool:
        result_bytes = self.alone(node).result_bytes
        if result_bytes is None:
            return False
        freed = 0
        for value in dict.fromkeys(value for value in node.inputs if value is not None):
            assert value.const_value is not None
            readers = {reader for reader, _ in value.uses() if reader in self.live}
            if readers <= {node}:
                freed += value.const_value.nbytes
            elif self._all_go(value.const_value.nbytes, readers):
                # Pieces that a weight is cut into are as large as the weight, which nobody reads then.
                freed += result_bytes
        return result_bytes <= freed + self._limit_bytes

    def _all_go(self, weight_bytes: int, readers: set[ir.Node]) -> bool:
        """Whether all readers of a weight can be replaced by results that are no larger than it together."""
        if not all(is_constant(reader) for reader in readers):
            return False
        sizes = [self.alone(reader).result_bytes for reader in readers]
        known = [size for size in sizes if size is not None]
        return len(known) == len(sizes) and sum(known) <= weight_bytes + self._limit_bytes


def _bypassed(node: ir.Node) -> int:
    bypass(node)
    return int(node.graph is None)


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


def _replace(node: ir.Node, results: list[np.ndarray], builder: GraphBuilder) -> None:
    """Let weights of the main graph take the place of the node's outputs, in whatever subgraph it is."""
    graph = node.graph
    assert graph is not None
    for value, result in zip([output for output in node.outputs if output.name], results, strict=True):
        builder.replace_by_initializer(value, np.asarray(result))
    inputs = [value for value in node.inputs if value is not None]
    graph.remove(node, safe=True)
    for value in inputs:
        drop_if_unused(value)
