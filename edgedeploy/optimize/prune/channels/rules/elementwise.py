"""Operators of which one element of each operand gives one of the result; operands are aligned at their last axes."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgedeploy.optimize.graph.edit import constant
from edgedeploy.optimize.prune.channels.edits import Cut
from edgedeploy.optimize.prune.channels.rules.rule import RuleTable, is_read, keep
from edgedeploy.optimize.prune.channels.walk import Walk

CONTRIBUTED = frozenset(("Gelu", "FastGelu", "QuickGelu"))
"""Of onnxruntime's own domain."""


def _elementwise(walk: Walk, node: ir.Node) -> None:
    if not any(walk.channels(value) is not None for value in node.inputs):
        return
    ranks = {
        value: len(shape) for value in node.inputs if value is not None and (shape := walk.shape(value)) is not None
    }
    if any(value is not None and value not in ranks for value in node.inputs):
        keep(walk, node, "has an operand of unknown shape")
        return
    wide = {
        value: channels for value in ranks if (channels := walk.channels(value)) is not None and len(channels.ids) > 1
    }
    # Counted from the end; along an axis of one element a value is repeated for all channels of the others.
    axes = {channels.axis - ranks[value] for value, channels in wide.items()}
    if len(axes) != 1:
        keep(walk, node, "meets channels along different axes, or single ones")
        return
    (axis,) = axes
    ids = next(iter(wide.values())).ids
    cuts = _follow_operands(walk, node, axis, ids)
    if isinstance(cuts, str):
        keep(walk, node, cuts)
        return
    walk.edits += cuts
    walk.give(node.outputs[0], max(ranks.values()) + axis, ids)
    if any(is_read(value) for value in node.outputs[1:]):
        walk.sets.pin(ids, f"the second output of {node.op_type} is read")


def _follow_operands(walk: Walk, node: ir.Node, axis: int, ids: np.ndarray) -> list[Cut] | str:
    """Unite the operands' channels; return the cuts of constant operands, or why the channels must stay.

    Args:
        axis: of the channels, counted from the end.
        ids: the channels of the result.
    """
    cuts: list[Cut] = []
    for position, value in enumerate(node.inputs):
        if value is None:
            continue
        channels, shape = walk.channels(value), walk.shape(value)
        assert shape is not None
        extent = shape[axis] if len(shape) >= -axis else 1
        if channels is not None and len(channels.ids) == 1:
            walk.sets.pin(channels.ids, f"{node.op_type} repeats a single channel")
        if extent == 1:
            continue
        if extent != len(ids):
            return "repeats them in a way that is not followed"
        if channels is not None:
            walk.sets.unite(ids, channels.ids)
        elif constant(value) is not None:
            cuts.append(Cut(node=walk.index[node], position=position, axis=len(shape) + axis, ids=ids))
        else:
            return "combines them with values whose channels must stay"
    return cuts


_OPERATORS = (
    "Abs Acos Acosh Asin Asinh Atan Atanh BitShift Cast Ceil Celu Clip Cos Cosh Dropout Elu Erf Exp Floor Gelu "
    "HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Log Mish Neg Not Reciprocal Relu Round Selu Shrink Sigmoid "
    "Sign Sin Sinh Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu FastGelu QuickGelu "
    "Add Sub Mul Div Min Max Pow PRelu Sum Mean Mod Where Less LessOrEqual Greater GreaterOrEqual Equal And Or Xor"
)
RULES: RuleTable = dict.fromkeys(_OPERATORS.split(), _elementwise)
