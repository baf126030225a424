"""Constants that are added to or multiplied with a convolution's output go into its weights and bias."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgedeploy.optimize.contract import Context, Facts, Pass
from edgedeploy.optimize.convolution import Affine, absorb, output_channels
from edgedeploy.optimize.graph import all_nodes, constant, is_operator, only_consumer


class FoldAffine(Pass, frozen=True):
    """Fold Add, Sub, Mul and Div by constants per channel into the convolution before them.

    Exporters write a convolution's bias as an Add of its own; an integer convolution then lacks its bias and gets one
    rounding more.
    """

    tolerance: ClassVar[float | None] = 1e-4

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        folded = 0
        for node in all_nodes(model):
            if not is_operator(node, "Add", "Sub", "Mul", "Div"):
                continue
            for position in (0, 1):
                value = node.inputs[position]
                convolution = value.producer() if value is not None else None
                if convolution is None or only_consumer(convolution.outputs[0]) is not node:
                    continue
                affine = _affine(node, position, convolution)
                if affine is not None and absorb(convolution, affine, node):
                    folded += 1
                    break
        return model, {"folded": folded}


def _affine(node: ir.Node, position: int, convolution: ir.Node) -> Affine | None:
    """What `node` does to each channel of its operand at `position`, which `convolution` makes."""
    other = constant(node.inputs[1 - position])
    weight = constant(convolution.inputs[1]) if len(convolution.inputs) > 1 else None
    channels = output_channels(convolution)
    if other is None or weight is None or channels is None or other.dtype != np.float32:
        return None
    # Broadcasting must neither add axes to the output nor vary along any axis but the channels'.
    rank = weight.ndim
    if other.ndim > rank or (other.size != 1 and (other.ndim < rank - 1 or other.size != channels)):
        return None
    aligned = other.reshape((1,) * (rank - other.ndim) + other.shape)
    if other.size != 1 and aligned.shape[1] != channels:
        return None
    operand = np.broadcast_to(aligned.reshape(-1).astype(np.float64), (channels,))
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
