"""What a rule is, and what rules of several families share.

Semantics of operators are those of https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from edgedeploy.optimize.graph.edit import constant
from edgedeploy.optimize.prune.channels.edits import Cut, Extent
from edgedeploy.optimize.prune.channels.walk import Walk

Rule = Callable[[Walk, ir.Node], None]
"""Follows channels through one node: gives channels to its outputs, adds edits, or keeps what comes in."""
RuleTable = dict[str, Rule]
"""By operator."""

UNKNOWN_SHAPE = "has a value of unknown shape"


def keep(walk: Walk, node: ir.Node, why: str) -> None:
    """Keep all channels that come into the node; `why` is what the node does or has."""
    walk.keep(node, f"{node.op_type} {why}")


def cut(walk: Walk, node: ir.Node, position: int, axis: int, ids: np.ndarray) -> None:
    """Let a constant operand lose the slices of removed channels along an axis."""
    walk.edits.append(Cut(node=walk.index[node], position=position, axis=axis, ids=ids))


def is_read(value: ir.Value) -> bool:
    """Tell whether a node reads the value, or it is an output."""
    return bool(value.uses()) or value.is_graph_output()


def has_input(node: ir.Node, position: int) -> bool:
    """Tell whether the node has an operand there."""
    return len(node.inputs) > position and node.inputs[position] is not None


def counted_element(walk: Walk, node: ir.Node, position: int, element: int, ids: np.ndarray) -> Extent | None:
    """Find the constant that holds one element of an operand that is a shape.

    Args:
        node: reads the shape.
        position: of the operand among its inputs.
        element: of the shape.
        ids: channels that it counts.

    Returns:
        The edit that counts those that are left; None when the element is computed.
    """
    value = node.inputs[position]
    while value is not None:
        if constant(value) is not None:
            return Extent(node=walk.index[node], position=position, element=element, ids=ids)
        producer = value.producer()
        if producer is None or producer not in walk.index:
            return None
        if producer.op_type in ("Cast", "Identity"):
            node, position = producer, 0
        elif producer.op_type == "Concat":
            part = _part_with(walk, producer, element)
            if part is None:
                return None
            node, (position, element) = producer, part
        else:
            return None
        value = node.inputs[position]
    return None


def _part_with(walk: Walk, concat: ir.Node, element: int) -> tuple[int, int] | None:
    """Which operand of a Concat of vectors holds an element, and where in it; None where a size is not known."""
    for position, value in enumerate(concat.inputs):
        shape = walk.shape(value)
        if shape is None or len(shape) != 1:
            return None
        if element < shape[0]:
            return position, element
        element -= shape[0]
    return None
