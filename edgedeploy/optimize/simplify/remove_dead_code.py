"""Nodes, weights and functions that nothing reads, and nodes that do nothing."""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir
from onnx_ir.passes import common

from edgedeploy.optimize.base import Context, Facts, Pass, PostconditionError
from edgedeploy.optimize.graph.constant_if import branches_of, release
from edgedeploy.optimize.graph.edit import (
    all_nodes,
    bypass,
    constant,
    drop_if_unused,
    integer_attribute,
    is_operator,
    opset,
)


class RemoveDeadCode(Pass, frozen=True):
    """Remove nodes that do nothing or that nothing reads, and weights and functions that nothing uses."""

    # A weight that was read through Identity is one that the runtime packs for kernels that sum in another order.
    tolerance: ClassVar[float | None] = 1e-5

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        before = _counts(model)
        for node in all_nodes(model):
            if _does_nothing(node, opset(model)):
                bypass(node)
        # Removing a node can leave a subgraph's initializer without a reader, and the other way round.
        with_branches = [node for node in all_nodes(model) if branches_of(node)]
        while True:
            common.RemoveUnusedNodesPass()(model)
            gone = [node for node in with_branches if node.graph is None]
            if not gone:
                break
            # What only they read is dead now, too.
            for node in gone:
                for branch in branches_of(node):
                    release(branch)
            with_branches = [node for node in with_branches if node.graph is not None]
        _remove_unused_initializers(model)
        common.RemoveUnusedFunctionsPass()(model)  # type: ignore[no-untyped-call]
        common.RemoveUnusedOpsetsPass()(model)
        after = _counts(model)
        return model, {"nodes_removed": before[0] - after[0], "initializers_removed": before[1] - after[1]}

    def ensures(self, before: ir.Model, after: ir.Model, facts: Facts) -> None:
        for graph in after.graphs():
            for value in graph.initializers.values():
                if not (value.uses() or value.is_graph_output() or value.is_graph_input()):
                    raise PostconditionError(f"initializer {value.name!r} is still there and nothing reads it")


def _counts(model: ir.Model) -> tuple[int, int]:
    return sum(1 for _ in all_nodes(model)), sum(len(graph.initializers) for graph in model.graphs())


def _does_nothing(node: ir.Node, version: int) -> bool:
    if is_operator(node, "Identity"):
        return True
    if is_operator(node, "Cast"):
        source = node.inputs[0]
        return (
            source is not None
            and source.dtype is not None
            and source.dtype == ir.DataType(integer_attribute(node, "to", 0))
        )
    if is_operator(node, "Dropout"):
        if any(output.uses() or output.is_graph_output() for output in node.outputs[1:]):
            return False
        if version < 7:
            return integer_attribute(node, "is_test", 0) == 1
        if version < 12 or len(node.inputs) < 3 or node.inputs[2] is None:
            return True
        training = constant(node.inputs[2])
        return training is not None and not training.any()
    return False


def _remove_unused_initializers(model: ir.Model) -> None:
    for graph in model.graphs():
        for value in list(graph.initializers.values()):
            drop_if_unused(value)
