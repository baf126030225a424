"""The C expressions of operators that compute each element from those at the same place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgedeploy.compile.native.graph import Node, Value
from edgedeploy.compile.native.layout import C_TYPES

Formula = Callable[[Node, list[str]], str]
"""Gives the C expression of a node's result from those of its inputs."""


def literal(value: float, dtype: np.dtype[np.generic] | None = None) -> str:
    """Write a C constant of that type, exact; of float32 when none is given."""
    dtype = np.dtype(np.float32) if dtype is None else dtype
    if dtype.kind == "b":
        return "true" if value else "false"
    if dtype.kind in "iu":
        return f"(({C_TYPES[dtype.name]}){int(value)}{'u' if dtype.kind == 'u' else ''}LL)"
    number = float(value)
    if np.isnan(number):
        return "NAN"
    if np.isinf(number):
        return "INFINITY" if number > 0 else "(-INFINITY)"
    return f"({number.hex()}f)" if dtype.name == "float32" else f"({number.hex()})"


def _clip(node: Node, x: list[str]) -> str:
    low, high = clip_bounds(node)
    dtype = node.output.dtype
    found = x[0]
    kind = "m" if dtype.name == "float32" else "n"
    if low is not None:
        found = f"{kind}_max({found}, {literal(low, dtype)})"
    if high is not None:
        found = f"{kind}_min({found}, {literal(high, dtype)})"
    return found


def clip_bounds(node: Node) -> tuple[float | None, float | None]:
    """Return the bounds of a Clip, in any opset; None where it has no bound.

    Raises:
        UnsupportedError: a bound is computed by the model.
    """
    bounds: list[float | None] = [node.get("min", None), node.get("max", None)]
    for which in (0, 1):
        given = node.constant(which + 1)
        if given is not None:
            bounds[which] = given.item()
    return bounds[0], bounds[1]


def _cast(node: Node, x: list[str]) -> str:
    source, result = node.needed(0).dtype, node.output.dtype
    if result.kind == "b":
        return f"({x[0]} != 0)"
    if result.kind in "iu" and source.kind == "f" and result.itemsize < 4:
        # Through a wider integer: what does not fit is cut off as onnxruntime does, not undefined.
        return f"(({C_TYPES[result.name]})(int32_t)({x[0]}))"
    return f"(({C_TYPES[result.name]})({x[0]}))"


def _fold(function: str, operator: str | None = None) -> Formula:
    def formula(node: Node, x: list[str]) -> str:
        found = x[0]
        for each in x[1:]:
            if operator:
                found = f"({found} {operator} {each})"
            else:
                found = f"{'m' if node.output.dtype.name == 'float32' else 'n'}_{function}({found}, {each})"
        return found

    return formula


def _infix(operator: str) -> Formula:
    return lambda node, x: f"({x[0]} {operator} {x[1]})"


def _call(function: str) -> Formula:
    return lambda node, x: f"{function}({x[0]})"


def _pow(node: Node, x: list[str]) -> str:
    exponent = node.needed(1).constant
    if exponent is not None and exponent.size == 1:
        if exponent.item() == 2:
            return f"m_square({x[0]})"
        if exponent.item() == 3:
            return f"m_cube({x[0]})"
        if exponent.item() == 0.5:
            return f"sqrtf({x[0]})"
    return f"powf({x[0]}, (float){x[1]})"


def _gelu(node: Node, x: list[str]) -> str:
    return f"m_gelu_tanh({x[0]})" if node.get("approximate", "none") == "tanh" else f"m_gelu({x[0]})"


def _quantize(node: Node, x: list[str]) -> str:
    """Write a QuantizeLinear, per tensor or per axis: scale and zero point are operands."""
    bounds = np.iinfo(node.output.dtype)
    zero = f"(float){x[2]}" if len(x) > 2 else "0.0f"
    return (
        f"(({C_TYPES[node.output.dtype.name]})(int32_t)"
        f"m_clip(m_round({x[0]} / {x[1]}) + {zero}, {float(bounds.min)}f, {float(bounds.max)}f))"
    )


def _dequantize(node: Node, x: list[str]) -> str:
    zero = f" - (int32_t){x[2]}" if len(x) > 2 else ""
    return f"((float)((int32_t){x[0]}{zero}) * {x[1]})"


FLOAT: dict[str, Formula] = {
    "Abs": _call("fabsf"),
    "Ceil": _call("ceilf"),
    "Cos": _call("cosf"),
    "Elu": lambda node, x: f"m_elu({x[0]}, {literal(node.get('alpha', 1.0))})",
    "Erf": _call("m_erf"),
    "Exp": _call("m_exp"),
    "Floor": _call("floorf"),
    "Gelu": _gelu,
    "HardSigmoid": lambda node, x: (
        f"m_clip({x[0]} * {literal(node.get('alpha', 0.2))} + {literal(node.get('beta', 0.5))}, 0.0f, 1.0f)"
    ),
    "HardSwish": _call("m_hard_swish"),
    "LeakyRelu": lambda node, x: f"m_leaky({x[0]}, {literal(node.get('alpha', 0.01))})",
    "Log": _call("logf"),
    "PRelu": lambda node, x: f"m_leaky({x[0]}, {x[1]})",
    "Pow": _pow,
    "Reciprocal": lambda node, x: f"(1.0f / {x[0]})",
    "Relu": lambda node, x: f"m_max({x[0]}, 0.0f)",
    "Round": _call("m_round"),
    "Sigmoid": _call("m_sigmoid"),
    "Silu": _call("m_silu"),
    "Sin": _call("sinf"),
    "Softplus": _call("m_softplus"),
    "Sqrt": _call("sqrtf"),
    "Tanh": _call("m_tanh"),
}
"""Of 32-bit floats."""

ANY: dict[str, Formula] = {
    "Add": _fold("", "+"),
    "And": _infix("&&"),
    "Cast": _cast,
    "Clip": _clip,
    "Div": _infix("/"),
    "Equal": _infix("=="),
    "Greater": _infix(">"),
    "GreaterOrEqual": _infix(">="),
    "Less": _infix("<"),
    "LessOrEqual": _infix("<="),
    "Max": _fold("max"),
    "Min": _fold("min"),
    "Mul": _infix("*"),
    "Neg": lambda node, x: f"(-{x[0]})",
    "Not": lambda node, x: f"(!{x[0]})",
    "Or": _infix("||"),
    "Sub": _infix("-"),
    "Sum": _fold("", "+"),
    "Where": lambda node, x: f"({x[0]} ? {x[1]} : {x[2]})",
    "Xor": _infix("!="),
}

_QUANTIZED: dict[str, Formula] = {"QuantizeLinear": _quantize, "DequantizeLinear": _dequantize}


def formula_of(node: Node) -> Formula | None:
    """Find how C computes the operator; None when it is not one of these, or not for these types."""
    types = [value.dtype for value in (*node.inputs, *node.outputs) if value is not None]
    if any(each.name not in C_TYPES or each.name == "float16" for each in types) or len(node.outputs) != 1:
        return None
    if node.op in _QUANTIZED:
        return _quantized_formula(node)
    if node.op in ("And", "Or", "Xor", "Not") and any(each.kind != "b" for each in types):
        return None
    if node.op == "Clip" and node.output.dtype.itemsize > 4:
        return None
    if node.op in ANY:
        return ANY[node.op]
    if node.op in FLOAT and types[0].name == "float32" and types[-1].name == "float32":
        return FLOAT[node.op]
    return None


def _quantized_formula(node: Node) -> Formula | None:
    scale = node.needed(1)
    numbers = node.needed(0) if node.op == "DequantizeLinear" else node.output
    if numbers.dtype.name not in ("int8", "uint8", "int16", "uint16", "int32") or scale.dtype.name != "float32":
        return None
    if scale.size > 1 and (len(scale.shape) != 1 or node.get("block_size", 0)):
        return None
    return _QUANTIZED[node.op]


def quantized_axis(node: Node, position: int, value: Value) -> int | None:
    """Return the dimension along which a scale or zero point goes, None where it is one for all."""
    if node.op not in _QUANTIZED or not position or value.size == 1:
        return None
    axis = int(node.get("axis", 1))
    return axis + len(node.output.shape) if axis < 0 else axis
