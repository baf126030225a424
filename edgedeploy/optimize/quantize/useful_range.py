"""The part of a value's range that an activation function behind it makes something of.

A convolution before SiLU may reach from -88 to 31, and of all that is under -6 SiLU makes nothing: with a grid from -6
to 31, what is left of the value has a third of the noise. Relu and Clip are not here: their results go on the grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx_ir as ir

from edgedeploy.optimize.graph.edit import float_attribute, is_operator
from edgedeploy.optimize.quantize.histogram import Range

_STEPS = 255
"""Of a grid of 8 bits."""
_SILU_LEAST = -1.2784645427610738
"""Where SiLU, x·sigmoid(x), has its minimum: the root of 1 + x + exp(x). From there on to the left it rises to 0."""
_LEAST_SCORE = 1e-4
"""A sigmoid's results under this, and over 1 minus it, are not told from each other. Scores of COCO's evaluation begin
at 0.001 (`conf` of ultralytics' val)."""
_HARD_SWISH_ZERO = -3.0
"""Up to there HardSwish is 0 (https://onnx.ai/onnx/operators/onnx__HardSwish.html)."""


def useful_range(value: ir.Value, seen: Range) -> Range:
    """Return what of a range is to be on a value's grid, for all that reads it; the range itself where that is all.

    Args:
        value: of the main graph.
        seen: the range of its values; zero lies in it.
    """
    low, high = -math.inf, math.inf
    if value.is_graph_output():
        return seen
    readers = [use.node for use in value.uses()]
    if not readers:
        return seen
    if all(is_operator(node, "HardSwish") for node in readers):
        low = _HARD_SWISH_ZERO
    elif all(is_operator(node, "HardSigmoid") for node in readers):
        low, high = _common(readers)
    elif _is_silu(value, readers):
        # A quarter of the step that the result has: on the result's grid, what is cut off is 0.
        low = _silu_at_least(-seen.high / _STEPS / 4)
    elif all(is_operator(node, "Sigmoid") for node in readers):
        high = math.log((1 - _LEAST_SCORE) / _LEAST_SCORE)
        low = -high
    return Range(min(max(seen.low, low), 0.0), max(min(seen.high, high), 0.0))


def _common(readers: Sequence[ir.Node]) -> tuple[float, float]:
    """Return from where to where one of these HardSigmoid, max(0, min(1, alpha·x + beta)), is neither 0 nor 1."""
    low, high = math.inf, -math.inf
    for node in readers:
        alpha, beta = float_attribute(node, "alpha", 0.2), float_attribute(node, "beta", 0.5)
        if alpha <= 0:
            return -math.inf, math.inf
        low, high = min(low, -beta / alpha), max(high, (1 - beta) / alpha)
    return low, high


def _is_silu(value: ir.Value, readers: Sequence[ir.Node]) -> bool:
    """Return whether a value is read by sigmoids, and by products of itself with these, and by nothing else."""
    sigmoids = {node.outputs[0] for node in readers if is_operator(node, "Sigmoid")}
    products = [node for node in readers if is_operator(node, "Mul")]
    return (
        bool(sigmoids)
        and bool(products)
        and len(sigmoids) + len(products) == len(readers)
        and all(any(other in sigmoids for other in node.inputs if other is not value) for node in products)
        and all(use.node in products for sigmoid in sigmoids for use in sigmoid.uses())
        and not any(sigmoid.is_graph_output() for sigmoid in sigmoids)
    )


def _silu_at_least(result: float) -> float:
    """Return where SiLU, left of its minimum, has risen to a result under 0."""
    left, right = -64.0, _SILU_LEAST
    for _ in range(60):
        middle = (left + right) / 2
        if middle / (1 + math.exp(-middle)) < result:
            right = middle
        else:
            left = middle
    return left
