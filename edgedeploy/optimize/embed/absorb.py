"""Let the first convolution do what comes before it: scale, mean and the order of colors.

A convolution is linear: what a picture is multiplied with may be multiplied into its weights, and what is added to it
into its bias. But a convolution that pads puts zeros around what it is given, and a zero there is the mean, not black:
what is added may go into the bias only where nothing is padded. Else the mean is subtracted before, and only the scale
is absorbed.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import onnx_ir as ir
from msgspec import Struct

from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.optimize.graph.edit import (
    constant,
    integer_attribute,
    integers_attribute,
    is_operator,
    only_consumer,
    replace_input,
)

Absorbed = Literal["scale", "mean", "color"]


class Normalization(Struct, frozen=True, eq=False):
    """`(level - shift) * factor`, for each channel in the model's order: float64, shape (channels,)."""

    shift: np.ndarray
    factor: np.ndarray
    swapped: bool
    """The model's order of colors is the reverse of the picture's."""


def absorbable(prepared: ir.Value, normalization: Normalization) -> tuple[Absorbed, ...]:
    """Say what the node that reads `prepared` could do by its weights, exactly; nothing where it is no convolution."""
    node = only_consumer(prepared)
    if node is None or not is_operator(node, "Conv") or node.inputs[0] is not prepared:
        return ()
    weights = constant(node.inputs[1])
    if weights is None or weights.dtype != np.float32:
        return ()
    found: list[Absorbed] = []
    if (normalization.factor != 1).any():
        found.append("scale")
    if normalization.shift.any() and not _pads(node) and _has_known_bias(node):
        found.append("mean")
    if normalization.swapped and integer_attribute(node, "group", 1) == 1:
        found.append("color")
    return tuple(found)


def absorb(
    builder: GraphBuilder, prepared: ir.Value, normalization: Normalization, absorbed: tuple[Absorbed, ...]
) -> None:
    """Change the weights and the bias of the convolution that reads `prepared`; before it reads another value."""
    node = only_consumer(prepared)
    assert node is not None
    weights, bias = constant(node.inputs[1]), constant(node.inputs[2]) if len(node.inputs) > 2 else None
    assert weights is not None
    exact = weights.astype(np.float64)
    channels = _channels(node, exact.shape[0], exact.shape[1])
    spread = (*channels.shape, *(1 for _ in exact.shape[2:]))
    if "scale" in absorbed:
        exact = exact * normalization.factor[channels].reshape(spread)
    if "mean" in absorbed:
        # The scale was absorbed, or is 1.
        added = -(exact * normalization.shift[channels].reshape(spread)).sum(axis=tuple(range(1, exact.ndim)))
        whole = (added if bias is None else bias.astype(np.float64) + added).astype(np.float32)
        value = builder.initializer(f"{node.name or 'conv'}:bias", whole)
        if len(node.inputs) > 2:
            replace_input(node, 2, value)
        else:
            node.resize_inputs(3)
            node.replace_input_with(2, value)
    if "color" in absorbed:
        exact = exact[:, ::-1]
    replace_input(node, 1, builder.initializer(f"{node.name or 'conv'}:weights", exact.astype(np.float32)))


def _channels(node: ir.Node, outputs: int, inputs: int) -> np.ndarray:
    """Return which channel of the picture each weight is for: shape (outputs, inputs of a group)."""
    groups = integer_attribute(node, "group", 1)
    first = np.arange(outputs) // (outputs // groups) * inputs
    found: np.ndarray = first[:, np.newaxis] + np.arange(inputs)
    return found


def _pads(node: ir.Node) -> bool:
    auto = node.attributes.get("auto_pad")
    return any(integers_attribute(node, "pads") or ()) or (
        auto is not None and auto.as_string() not in ("NOTSET", "VALID")
    )


def _has_known_bias(node: ir.Node) -> bool:
    if len(node.inputs) < 3 or node.inputs[2] is None:
        return True
    bias = constant(node.inputs[2])
    return bias is not None and bias.dtype == np.float32
