"""Batch normalization behind or before a node with weights is the node with other weights."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgedeploy.optimize.base import Context, Facts, Pass
from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.optimize.graph.edit import (
    all_nodes,
    constant,
    float_attribute,
    integer_attribute,
    is_operator,
    only_consumer,
)
from edgedeploy.optimize.simplify.fold_into_weights import (
    Affine,
    channels_are_last,
    fold_following,
    fold_preceding,
    output_rank,
)


class FoldBatchNormalization(Pass, frozen=True):
    """Fold BatchNormalization into the Conv, ConvTranspose, Gemm or MatMul before it, or else into the one behind it.

    Into a convolution behind it only where that does not pad: the zeros that it pads with are not normalized.
    y = (x - mean) / sqrt(variance + epsilon) * scale + bias is one factor and one summand per channel (Ioffe and
    Szegedy 2015, https://arxiv.org/abs/1502.03167, algorithm 2), computed here in 64 bits.
    """

    # Weights are rounded anew to 32 bits; a deep network passes this on.
    tolerance: ClassVar[float | None] = 1e-4

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        builder = GraphBuilder(model)
        folded = left = 0
        for node in all_nodes(model):
            if not is_operator(node, "BatchNormalization"):
                continue
            affine = _affine(node)
            if affine is not None and (_into_previous(builder, node, affine) or _into_next(builder, node, affine)):
                folded += 1
            else:
                left += 1
        return model, {"folded": folded, "left": left}


def _into_previous(builder: GraphBuilder, node: ir.Node, affine: Affine) -> bool:
    previous = node.inputs[0].producer() if node.inputs[0] is not None else None
    if previous is None or only_consumer(previous.outputs[0]) is not node:
        return False
    # Channels are the second axis of what is normalized: the last of a matrix alone.
    if channels_are_last(previous) and output_rank(previous) != 2:
        return False
    return fold_following(builder, previous, affine, node)


def _into_next(builder: GraphBuilder, node: ir.Node, affine: Affine) -> bool:
    following = only_consumer(node.outputs[0])
    if following is None or following.inputs[0] is not node.outputs[0]:
        return False
    return fold_preceding(builder, node, affine, following)


def _affine(node: ir.Node) -> Affine | None:
    """What the node does to each channel; None when it is in training mode or a parameter is not known."""
    if integer_attribute(node, "training_mode", 0) or any(
        value.uses() or value.is_graph_output() for value in node.outputs[1:]
    ):
        return None
    parameters = [constant(value) for value in node.inputs[1:5]]
    if len(parameters) != 4 or any(parameter is None for parameter in parameters):
        return None
    scale, bias, mean, variance = (np.asarray(parameter, dtype=np.float64) for parameter in parameters)
    deviation_squared = variance + float_attribute(node, "epsilon", 1e-5)
    if not (deviation_squared > 0).all():
        return None
    factor = scale / np.sqrt(deviation_squared)
    return Affine(factor=factor, summand=bias - mean * factor)
