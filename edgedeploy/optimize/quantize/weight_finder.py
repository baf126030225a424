"""Weights that any operator reads, and which of their axes belong together when they are stored in fewer bits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
from msgspec import Struct

from edgedeploy.optimize.graph.edit import ONNX_DOMAINS, all_nodes, integer_attribute, is_operator

_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE)


class StoredWeight(Struct, frozen=True, kw_only=True, eq=False):
    """A constant of floats, and what reads it."""

    value: ir.Value
    readers: tuple[ir.Node, ...]
    row_axes: tuple[int, ...] | None
    """The axes along which each index has a scale of its own: those of output channels. None when the readers take it
    for something else than weights, such as a table of positions."""

    @property
    def layers(self) -> frozenset[str]:
        """Names of the layers that read it: the first outputs of its readers."""
        return frozenset(node.outputs[0].name or "" for node in self.readers)

    @property
    def array(self) -> np.ndarray:
        assert self.value.const_value is not None
        return self.value.const_value.numpy()

    @property
    def size_bytes(self) -> int:
        assert self.value.const_value is not None
        return self.value.const_value.nbytes


def find_weights(model: ir.Model) -> list[StoredWeight]:
    """Find the constants of floats that nodes read, in the main graph or in subgraphs; those of functions are not seen.

    KeptFloat out are those that are inputs or outputs of a graph, and those that a quantizer or a dequantizer reads.
    """
    found: dict[ir.Value, None] = {}
    for node in all_nodes(model):
        for value in node.inputs:
            if value is not None and _is_weight(value):
                found[value] = None
    weights = []
    for value in found:
        uses = list(value.uses())
        if any(is_operator(use.node, "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear") for use in uses):
            continue
        rank = len(value.const_value.shape) if value.const_value is not None else 0
        axes = [_row_axes(use.node, use.idx, rank) for use in uses]
        weights.append(
            StoredWeight(
                value=value,
                readers=tuple(dict.fromkeys(use.node for use in uses)),
                # The first reader decides: scales along any axis are right, those of output channels are the best.
                row_axes=next((axis_set for axis_set in axes if axis_set is not None), None),
            )
        )
    return weights


def _is_weight(value: ir.Value) -> bool:
    return (
        value.is_initializer()
        and value.const_value is not None
        and value.const_value.dtype in _FLOATS
        and not value.is_graph_input()
        and not value.is_graph_output()
    )


def _row_axes(node: ir.Node, position: int, rank: int) -> tuple[int, ...] | None:
    """The axes of output channels of the input at `position`, None when it is no weight."""
    if rank < 2:
        return None
    if node.domain == "com.microsoft":
        return (rank - 1,) if (node.op_type, position) in (("Attention", 1), ("FusedMatMul", 1)) else None
    rule = _RULES.get((node.op_type, position)) if node.domain in ONNX_DOMAINS else None
    return None if rule is None else rule(node, rank)


def _first(node: ir.Node, rank: int) -> tuple[int, ...]:
    return (0,)


def _transposed_convolution(node: ir.Node, rank: int) -> tuple[int, ...]:
    # (inputs, outputs / group, …); with groups the second axis mixes channels of different groups, so each input
    # channel gets its own scales too.
    return (1,) if integer_attribute(node, "group", 1) == 1 else (0, 1)


def _left_matrix(node: ir.Node, rank: int) -> tuple[int, ...]:
    return (*range(rank - 2), rank - 2)


def _right_matrix(node: ir.Node, rank: int) -> tuple[int, ...]:
    return (*range(rank - 2), rank - 1)


def _gemm_left(node: ir.Node, rank: int) -> tuple[int, ...]:
    return (1 if integer_attribute(node, "transA", 0) else 0,)


def _gemm_right(node: ir.Node, rank: int) -> tuple[int, ...]:
    return (0 if integer_attribute(node, "transB", 0) else 1,)


def _recurrent(node: ir.Node, rank: int) -> tuple[int, ...] | None:
    # (directions, gates · hidden, inputs): each row of each gate, in both directions.
    return (0, 1) if rank == 3 else None


def _gathered(node: ir.Node, rank: int) -> tuple[int, ...]:
    axis = integer_attribute(node, "axis", 0)
    return (axis % rank,)


def _last(node: ir.Node, rank: int) -> tuple[int, ...]:
    return (rank - 1,)


_RULES: dict[tuple[str, int], Callable[[ir.Node, int], tuple[int, ...] | None]] = {
    ("Conv", 1): _first,
    ("ConvTranspose", 1): _transposed_convolution,
    ("MatMul", 0): _left_matrix,
    ("MatMul", 1): _right_matrix,
    ("Gemm", 0): _gemm_left,
    ("Gemm", 1): _gemm_right,
    ("Gather", 0): _gathered,
    ("Einsum", 0): _last,
    ("Einsum", 1): _last,
    **{(operator, position): _recurrent for operator in ("LSTM", "GRU", "RNN") for position in (1, 2)},
}
