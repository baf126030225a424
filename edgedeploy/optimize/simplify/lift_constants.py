"""Weights that hide in `Constant` nodes, or in inputs, become initializers."""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir
from onnx_ir.passes import common

from edgedeploy.optimize.base import Context, Facts, Pass, PostconditionError
from edgedeploy.optimize.graph.edit import all_nodes, is_operator
from edgedeploy.optimize.graph.names import NameAuthority


class LiftConstants(Pass, frozen=True):
    """Turn weights in Constant nodes, and initializers that are also inputs, into plain initializers.

    Some exporters (PaddlePaddle's) keep every weight in a node, and files before IR version 4 had to list initializers
    as inputs. Neither is recognized as a weight by what comes later.
    """

    tolerance: ClassVar[float | None] = 0.0

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        before = _constant_nodes(model)
        inputs = sum(len(graph.inputs) for graph in model.graphs())
        # An initializer that is also an input is a default that a caller may override. Nobody does on a device, and
        # IR version 3 knew no other way to write a weight.
        common.RemoveInitializersFromInputsPass()(model)
        lift_constants(model)
        if model.ir_version is None or model.ir_version < 4:
            model.ir_version = 4
        return model, {
            "constants_lifted": before - _constant_nodes(model),
            "inputs_removed": inputs - sum(len(graph.inputs) for graph in model.graphs()),
        }

    def ensures(self, before: ir.Model, after: ir.Model, facts: Facts) -> None:
        for value in after.graph.initializers.values():
            if value.is_graph_input():
                raise PostconditionError(f"initializer {value.name!r} is still an input")


def lift_constants(model: ir.Model) -> None:
    """Turn Constant nodes, of subgraphs too, into initializers of the main graph."""
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    _lift_out_of_subgraphs(model)


def _lift_out_of_subgraphs(model: ir.Model) -> None:
    """Move weights of subgraphs to the main graph, where equal ones of several branches can be merged.

    onnx-ir's LiftSubgraphInitializersToMainGraphPass gives names that other subgraphs use.
    """
    names = NameAuthority(model)
    for graph in model.graphs():
        if graph is model.graph:
            continue
        for name, value in list(graph.initializers.items()):
            if value.is_graph_output() or value.is_graph_input():
                continue
            del graph.initializers[name]
            # Sibling branches may use one name for two values; over the whole model it has to be one value's.
            value.name = names.renamed(name)
            model.graph.register_initializer(value)


def _constant_nodes(model: ir.Model) -> int:
    return sum(is_operator(node, "Constant") for node in all_nodes(model))
