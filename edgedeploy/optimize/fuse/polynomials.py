"""Values that are a polynomial of another value with constant coefficients, however the graph wrote it down."""

from __future__ import annotations

import math
from collections.abc import Mapping

import onnx_ir as ir

from edgedeploy.optimize.graph.edit import constant, is_operator

Polynomial = dict[int, float]
"""Coefficient of each power."""

_DEEPEST = 8
_HIGHEST = 3


def scalar(value: ir.Value | None) -> float | None:
    """Return the number that a constant float tensor of one element holds, else None."""
    array = constant(value)
    if array is None or array.size != 1 or array.dtype.kind != "f":
        return None
    return float(array.reshape(-1)[0])


def polynomial(value: ir.Value | None, x: ir.Value, depth: int = 0) -> Polynomial | None:
    """Read `value` as a polynomial of `x` up to the third power; return None when it is none.

    Args:
        value: the tensor that is computed.
        x: the tensor that it may be a polynomial of.
        depth: how many nodes lie between `value` and where reading began; it ends after eight.
    """
    if value is None or depth > _DEEPEST:
        return None
    if value is x:
        return {1: 1.0}
    if (number := scalar(value)) is not None:
        return {0: number}
    node = value.producer()
    if node is None or len(node.inputs) != 2 or not is_operator(node, "Add", "Sub", "Mul", "Div", "Pow"):
        return None
    left = polynomial(node.inputs[0], x, depth + 1)
    right = polynomial(node.inputs[1], x, depth + 1)
    if left is None or right is None:
        return None
    match node.op_type:
        case "Add":
            return _sum(left, right)
        case "Sub":
            return _sum(left, {power: -factor for power, factor in right.items()})
        case "Mul":
            return product(left, right)
        case "Div":
            divisor = right.get(0, 0.0) if set(right) == {0} else 0.0
            return product(left, {0: 1.0 / divisor}) if divisor else None
        case _:
            exponent = right.get(0, 0.0) if set(right) == {0} else 0.0
            if exponent not in (1.0, 2.0, 3.0):
                return None
            result: Polynomial | None = left
            for _ in range(int(exponent) - 1):
                result = None if result is None else product(result, left)
            return result


def product(left: Polynomial, right: Polynomial) -> Polynomial | None:
    """Multiply two polynomials; return None when a power is higher than three."""
    result: Polynomial = {}
    for power, factor in left.items():
        for other_power, other_factor in right.items():
            result[power + other_power] = result.get(power + other_power, 0.0) + factor * other_factor
    return result if max(result, default=0) <= _HIGHEST else None


def is_close(found: Polynomial | None, wanted: Mapping[int, float], relative: float = 1e-4) -> bool:
    """Compare coefficients, of which exporters write √2 with anything from five digits on.

    Args:
        found: what was read; None is close to nothing.
        wanted: the coefficients that are not zero.
        relative: by how much each may differ.
    """
    if found is None:
        return False
    present = {power: factor for power, factor in found.items() if factor}
    return set(present) == set(wanted) and all(
        math.isclose(present[power], wanted[power], rel_tol=relative) for power in wanted
    )


def _sum(left: Polynomial, right: Polynomial) -> Polynomial:
    return {power: left.get(power, 0.0) + right.get(power, 0.0) for power in set(left) | set(right)}
