"""The inputs of a layer as rows of a matrix, so that the layer is a matrix product (im2col).

A convolution multiplies, at each place of its output, a window of its input. Of all places a sample is drawn, so that
memory depends on the number of rows that are wanted and the width of the layer, not on the extents of its input.
Chellapilla et al. 2006, High Performance Convolutional Neural Networks for Document Processing,
https://inria.hal.science/inria-00112631, section 4.1; paddings are those of ONNX's Conv
(https://onnx.ai/onnx/operators/onnx__Conv.html).
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
from msgspec import Struct

from edgedeploy.optimize.graph.edit import integer_attribute, integers_attribute


class ConvGeometry(Struct, frozen=True, kw_only=True):
    """Which elements of its input a convolution multiplies at each place of its output; a number per axis."""

    groups: int
    kernel: tuple[int, ...]
    """Extents of the window; () for layers that multiply single elements."""
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    """Of all axes at their beginning, then of all at their end."""
    auto_pad: str
    """NOTSET, VALID, SAME_UPPER or SAME_LOWER."""


def conv_geometry(node: ir.Node, kernel: tuple[int, ...]) -> ConvGeometry:
    """Read the geometry from the attributes of a Conv or ConvTranspose.

    Args:
        node: the layer.
        kernel: extents of its weight behind the channels.
    """
    ones = (1,) * len(kernel)
    auto_pad = node.attributes.get("auto_pad")
    return ConvGeometry(
        groups=integer_attribute(node, "group", 1),
        kernel=kernel,
        strides=integers_attribute(node, "strides") or ones,
        dilations=integers_attribute(node, "dilations") or ones,
        pads=integers_attribute(node, "pads") or (0,) * (2 * len(kernel)),
        auto_pad="NOTSET" if auto_pad is None else str(auto_pad.as_string()),
    )


def matrix_rows(value: np.ndarray, limit: int, rng: np.random.Generator) -> np.ndarray:
    """Return rows of the input of a MatMul or Gemm.

    Args:
        value: shape (…, features).
        limit: at most so many rows, drawn without replacement where there are more.
        rng: draws them. The same state draws the same places of values of the same extents, whatever their channels.

    Returns:
        Shape (1, rows, features), in the dtype of `value`.
    """
    flat = value.reshape(-1, value.shape[-1])
    return np.asarray(flat[_draw(len(flat), limit, rng)][np.newaxis])


def element_rows(value: np.ndarray, groups: int, limit: int, rng: np.random.Generator) -> np.ndarray:
    """Return rows of single elements over their channels, which is what a ConvTranspose multiplies.

    Args:
        value: shape (batch, channels, …).
        groups: of channels.
        limit: see `matrix_rows`.
        rng: see `matrix_rows`.

    Returns:
        Shape (groups, rows, channels per group), in the dtype of `value`.
    """
    flat = np.moveaxis(value, 1, -1).reshape(-1, value.shape[1])
    return _by_group(flat[_draw(len(flat), limit, rng)], groups)


def window_rows(geometry: ConvGeometry, value: np.ndarray, limit: int, rng: np.random.Generator) -> np.ndarray:
    """Return the windows that a Conv multiplies, padding included.

    Args:
        geometry: of the convolution.
        value: its input; shape (batch, channels, …), with as many axes behind as the kernel has.
        limit: see `matrix_rows`.
        rng: see `matrix_rows`.

    Returns:
        Shape (groups, rows, channels per group · kernel), in the dtype of `value`. Along the last axis, each channel
        has its window in C order, as the weight has it.
    """
    extents, rank = value.shape[2:], len(geometry.kernel)
    begins, counts = zip(*(_places(geometry, axis, extents[axis]) for axis in range(rank)), strict=True)
    drawn = _draw(value.shape[0] * math.prod(counts), limit, rng)
    batch, *corners = np.unravel_index(drawn, (value.shape[0], *counts))
    index: list[np.ndarray] = []
    inside = np.ones((len(drawn), *geometry.kernel), dtype=bool)
    for axis in range(rank):
        offsets = np.arange(geometry.kernel[axis]) * geometry.dilations[axis] - begins[axis]
        positions = corners[axis][:, np.newaxis] * geometry.strides[axis] + offsets
        along = [1] * rank
        along[axis] = geometry.kernel[axis]
        positions = positions.reshape(len(drawn), *along)
        inside &= (positions >= 0) & (positions < extents[axis])
        index.append(np.clip(positions, 0, extents[axis] - 1))
    # Indexed at its end, the channels stay the last axis: (rows, kernel…, channels).
    windows = np.moveaxis(value, 1, -1)[(batch.reshape(-1, *(1,) * rank), *index)]
    windows = np.where(inside[..., np.newaxis], windows, np.zeros((), dtype=value.dtype))
    return _by_group(np.moveaxis(windows, -1, 1).reshape(len(drawn), -1), geometry.groups)


def _places(geometry: ConvGeometry, axis: int, extent: int) -> tuple[int, int]:
    """Return the padding at the beginning of an axis, and how many places the output has along it."""
    stride, reach = geometry.strides[axis], (geometry.kernel[axis] - 1) * geometry.dilations[axis] + 1
    if geometry.auto_pad.startswith("SAME"):
        count = -(-extent // stride)
        pad = max((count - 1) * stride + reach - extent, 0)
        return (pad // 2 if geometry.auto_pad == "SAME_UPPER" else -(-pad // 2)), count
    begin, end = geometry.pads[axis], geometry.pads[axis + len(geometry.kernel)]
    if geometry.auto_pad == "VALID":
        begin = end = 0
    return begin, (extent + begin + end - reach) // stride + 1


def _draw(count: int, limit: int, rng: np.random.Generator) -> np.ndarray:
    return np.arange(count) if count <= limit else rng.choice(count, limit, replace=False)


def _by_group(rows: np.ndarray, groups: int) -> np.ndarray:
    """(rows, channels …) → (groups, rows, … of a group)."""
    return np.ascontiguousarray(rows.reshape(len(rows), groups, -1).transpose(1, 0, 2))
