"""Numbers in 8 bits: real = scale · (integer - zero point), rounded to nearest, ties to even (ONNX, QuantizeLinear)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from msgspec import Struct

from edgedeploy.optimize.histogram import Range
from edgedeploy.values.target import Target

WEIGHT_MAX = 127
"""Weights use -127…127: without -128 the grid is symmetric, and the product of two extremes fits where kernels add two
of them in 16 bits."""

_BIAS_MAX = 2**31 - 1


class Grid(Struct, frozen=True):
    """The values that an activation can take."""

    scale: float
    zero_point: int
    signed: bool

    @property
    def dtype(self) -> type[np.int8] | type[np.uint8]:
        return np.int8 if self.signed else np.uint8


def activation_grid(seen: Range, *, signed: bool) -> Grid:
    """The 256 values that cover `seen`, one of them exactly zero (Jacob et al. 2018, section 2.1 and 3)."""
    lowest = -128 if signed else 0
    scale = np.float32((seen.high - seen.low) / 255)
    # A tensor that is always zero has any scale; one whose range is below the smallest normal number has no other.
    if scale < np.finfo(np.float32).tiny:
        return Grid(1.0, lowest, signed)
    zero_point = int(np.clip(np.rint(lowest - seen.low / float(scale)), lowest, lowest + 255))
    return Grid(float(scale), zero_point, signed)


def signed_activations(wanted: Literal["auto", "s8", "u8"], target: Target | None) -> bool:
    """Whether activations are signed.

    Arm's kernels multiply signed with signed. On x86 without VNNI, unsigned times signed saturates in 16 bits
    (`vpmaddubsw`) and loses accuracy; with VNNI it does not, and is faster. Signed is exact everywhere, so it is what a
    result for no target in particular gets. Source: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
    (When and why do I need to try U8U8, «Data type selection»).
    """
    if wanted != "auto":
        return wanted == "s8"
    vnni = target is not None and any(feature in target.cpu.features for feature in ("avx_vnni", "avx512_vnni"))
    return not vnni


def quantize_weight(
    weight: np.ndarray, axis: int | None, *, bias: np.ndarray | None = None, input_scale: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric signed 8-bit weights.

    Args:
        weight: float32, any shape.
        axis: of the output channels, each of which gets a scale; None gives one scale to all.
        bias: float32, shape (channels,): scales are raised where the bias, stored in 32 bits in units of
            `input_scale` · scale, would not fit.

    Returns:
        int8 of the shape of `weight`, and float32 scales of shape (channels,) or ().
    """
    other_axes = tuple(i for i in range(weight.ndim) if i != axis) if axis is not None else None
    largest = np.abs(weight.astype(np.float64)).max(axis=other_axes, initial=0.0)
    scales = np.asarray(largest / WEIGHT_MAX)
    if bias is not None:
        needed = np.abs(bias.astype(np.float64)) / (input_scale * _BIAS_MAX)
        # Half of the range is left, so that rounding of the product to 32 bits cannot overflow it.
        scales = np.maximum(scales, 2 * (needed if axis is not None else needed.max(initial=0.0)))
    scales = np.where(scales < np.finfo(np.float32).tiny, 1.0, scales).astype(np.float32)
    aligned = scales if axis is None else np.expand_dims(scales, other_axes or ())
    integers = np.clip(np.rint(weight.astype(np.float64) / aligned), -WEIGHT_MAX, WEIGHT_MAX)
    return integers.astype(np.int8), scales


def quantize_bias(bias: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """The bias in units of `scales`, int32."""
    integers = np.rint(bias.astype(np.float64) / scales.astype(np.float64))
    return np.clip(integers, -_BIAS_MAX, _BIAS_MAX).astype(np.int32)
