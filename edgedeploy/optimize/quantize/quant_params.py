"""Numbers in 8 bits: real = scale · (integer - zero point), rounded to nearest, ties to even (ONNX, QuantizeLinear)."""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from edgedeploy.optimize.quantize.histogram import Range
from edgedeploy.values.target import Target

WEIGHT_MAX = 127
"""Weights use -127…127: without -128 the grid is symmetric, and the product of two extremes fits where kernels add two
of them in 16 bits."""

_BIAS_MAX = 2**31 - 1


class QuantParams(Struct, frozen=True):
    """The values that an activation can take."""

    scale: float
    zero_point: int
    signed: bool

    @property
    def dtype(self) -> type[np.int8] | type[np.uint8]:
        return np.int8 if self.signed else np.uint8


def activation_params(seen: Range, *, signed: bool) -> QuantParams:
    """Choose the scale and zero point whose 256 values cover a range, one of them exactly zero.

    Source: Jacob et al. 2018, https://arxiv.org/abs/1712.05877, sections 2.1 and 3.

    Args:
        seen: the range; zero lies in it.
        signed: whether the integers go from -128 to 127, or from 0 to 255.
    """
    lowest = -128 if signed else 0
    scale = np.float32((seen.high - seen.low) / 255)
    # A tensor that is always zero has any scale; one whose range is below the smallest normal number has no other.
    if scale < np.finfo(np.float32).tiny:
        return QuantParams(1.0, lowest, signed)
    zero_point = int(np.clip(np.rint(lowest - seen.low / float(scale)), lowest, lowest + 255))
    return QuantParams(float(scale), zero_point, signed)


def weight_max(target: Target | None) -> int:
    """Return the largest integer of weights: 127, or 63 where kernels would saturate.

    On x86 without VNNI, `vpmaddubsw` adds two products of unsigned and signed 8-bit integers in 16 bits: 2 · 255 · 127
    does not fit, 2 · 255 · 63 does (what onnxruntime calls `reduce_range`). Source:
    https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html, «When and why do I need to try U8U8».
    """
    return WEIGHT_MAX // 2 if saturates(target) else WEIGHT_MAX


def saturates(target: Target | None) -> bool:
    """Tell whether the target's kernels lose sums of products of 8 bits."""
    if target is None or target.architecture != "x86_64":
        return False
    return not any(feature in target.cpu.features for feature in ("avx_vnni", "avx512_vnni"))


def quantize_weight(
    weight: np.ndarray,
    axis: int | None,
    *,
    bias: np.ndarray | None = None,
    input_scale: float = 1.0,
    weight_max: int = WEIGHT_MAX,
) -> tuple[np.ndarray, np.ndarray]:
    """Quantize a weight to symmetric signed 8-bit integers.

    Args:
        weight: float32, any shape.
        axis: of the output channels, each of which gets a scale; None gives one scale to all.
        bias: float32, shape (channels,): scales are raised where the bias, stored in 32 bits in units of
            `input_scale` · scale, would not fit.
        weight_max: the largest integer.

    Returns:
        int8 of the shape of `weight`, and float32 scales of shape (channels,) or ().
    """
    other_axes = tuple(i for i in range(weight.ndim) if i != axis) if axis is not None else None
    largest = np.abs(weight.astype(np.float64)).max(axis=other_axes, initial=0.0)
    scales = np.asarray(largest / weight_max)
    if bias is not None:
        needed = np.abs(bias.astype(np.float64)) / (input_scale * _BIAS_MAX)
        # Half of the range is left, so that rounding of the product to 32 bits cannot overflow it.
        scales = np.maximum(scales, 2 * (needed if axis is not None else needed.max(initial=0.0)))
    scales = np.where(scales < np.finfo(np.float32).tiny, 1.0, scales).astype(np.float32)
    aligned = scales if axis is None else np.expand_dims(scales, other_axes or ())
    integers = np.clip(np.rint(weight.astype(np.float64) / aligned), -weight_max, weight_max)
    return integers.astype(np.int8), scales


def quantize_bias(bias: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Quantize a bias to units of `scales`.

    Args:
        bias: floats, shape (channels,).
        scales: input scale · weight scale; float32, shape (channels,) or ().

    Returns:
        int32, shape (channels,).
    """
    integers = np.rint(bias.astype(np.float64) / scales.astype(np.float64))
    return np.clip(integers, -_BIAS_MAX, _BIAS_MAX).astype(np.int32)
