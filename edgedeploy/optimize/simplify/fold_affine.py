"""A pass that folds constant scales and offsets after a node into its weights and bias."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgedeploy.optimize.base import Context, Facts, Pass
from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.optimize.graph.edit import all_nodes, constant, is_operator, only_consumer
from edgedeploy.optimize.simplify.fold_into_weights import (
    Affine,
    channels_are_last,
    fold_following,
    output_channels,
    output_rank,
)


class FoldAffine(Pass, frozen=True):
    """Fold Add, Sub, Mul and Div by constants per channel into the Conv, ConvTranspose, Gemm or MatMul before them.

    Exporters write a bias as an Add of its own; an integer kernel then lacks its bias and gets one rounding more.
    """

    tolerance: ClassVar[float | None] = 1e-4

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        builder = GraphBuilder(model)
        folded = 0
        for node in all_nodes(model):
            if not is_operator(node, "Add", "Sub", "Mul", "Div"):
                continue
            for position in (0, 1):
                value = node.inputs[position]
                weighted = value.producer() if value is not None else None
                if weighted is None or only_consumer(weighted.outputs[0]) is not node:
                    continue
                affine = _affine(node, position, weighted)
                if affine is not None and fold_following(builder, weighted, affine, node):
                    folded += 1
                    break
        return model, {"folded": folded}


def _affine(node: ir.Node, position: int, weighted: ir.Node) -> Affine | None:
    """What `node` does to each channel of its operand at `position`, which `weighted` makes."""
    other, channels = constant(node.inputs[1 - position]), output_channels(weighted)
    if other is None or channels is None or other.dtype != np.float32:
        return None
    # Broadcasting must neither add axes to the output nor vary along any axis but the channels'. A rank that is not
    # known is at least one.
    if other.ndim > (output_rank(weighted) or 1):
        return None
    if other.size != 1:
        from_last = 0 if channels_are_last(weighted) else (output_rank(weighted) or 2) - 2
        along = other.shape[other.ndim - 1 - from_last] if other.ndim > from_last else 1
        if along != channels or other.size != channels:
            return None
    operand = np.broadcast_to(other.reshape(-1).astype(np.float64), (channels,))
    ones, zeros = np.ones(channels), np.zeros(channels)
    match node.op_type:
        case "Add":
            return Affine(factor=ones, summand=operand)
        case "Mul":
            return Affine(factor=operand, summand=zeros)
        case "Sub":
            return Affine(factor=ones, summand=-operand) if position == 0 else Affine(factor=-ones, summand=operand)
        case _:
            if position == 1 or not operand.all():
                return None
            return Affine(factor=1.0 / operand, summand=zeros)
