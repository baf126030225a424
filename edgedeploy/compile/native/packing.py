"""Packs weights as the kernels read them: see kernels/rows.h, kernels/depthwise.h and kernels/integers.h."""

from __future__ import annotations

import numpy as np

COLUMNS = 8
"""Of a block: `COLS` in kernels/base.h."""


def packed_matrix(weights: np.ndarray) -> np.ndarray:
    """Pack [depth, columns] → [blocks, depth, COLUMNS], filled up with zeros."""
    depth, columns = weights.shape
    blocks = -(-columns // COLUMNS)
    whole = np.zeros((depth, blocks * COLUMNS), weights.dtype)
    whole[:, :columns] = weights
    return np.ascontiguousarray(whole.reshape(depth, blocks, COLUMNS).transpose(1, 0, 2))


def packed_bias(bias: np.ndarray | None, columns: int, groups: int = 1) -> np.ndarray:
    """Pack [groups * columns] → float32 [groups, blocks * COLUMNS], filled up with zeros."""
    blocks = -(-columns // COLUMNS)
    whole = np.zeros((groups, blocks * COLUMNS), np.float32)
    if bias is not None:
        whole[:, :columns] = bias.reshape(groups, columns)
    return whole


def packed_kernel(weights: np.ndarray, groups: int) -> np.ndarray:
    """Pack ONNX's [groups * columns, depth, *window] → [groups, blocks, taps * depth, COLUMNS]."""
    columns, depth = weights.shape[0] // groups, weights.shape[1]
    by_group = weights.reshape(groups, columns, depth, -1).transpose(0, 3, 2, 1)
    return np.stack([packed_matrix(each.reshape(-1, columns)) for each in by_group])


def packed_depthwise(weights: np.ndarray) -> np.ndarray:
    """Pack ONNX's [channels, 1, *window] → [taps, channels]."""
    return np.ascontiguousarray(weights.reshape(weights.shape[0], -1).T)


INTEGER_STEP = 16
"""`Q_STEP` in kernels/integers.h."""


def integer_columns(dot_product: bool) -> int:
    """Return how many columns a block has: `Q_COLS` in kernels/integers.h."""
    return 8 if dot_product else 4


def packed_integers(weights: np.ndarray, dot_product: bool) -> np.ndarray:
    """Pack int8 [depth, columns] → [blocks, depth / 16, columns of a block, 16], filled up with zeros; with
    `dot_product` → [blocks, depth / 4, columns of a block, 4]."""
    depth, columns = weights.shape
    width, step = integer_columns(dot_product), 4 if dot_product else INTEGER_STEP
    steps, blocks = -(-depth // INTEGER_STEP) * INTEGER_STEP // step, -(-columns // width)
    whole = np.zeros((steps * step, blocks * width), np.int8)
    whole[:depth, :columns] = weights
    return np.ascontiguousarray(whole.reshape(steps, step, blocks, width).transpose(2, 0, 3, 1))


def packed_along(numbers: np.ndarray, groups: int, width: int) -> np.ndarray:
    """Pack [groups * columns] → [groups, blocks * width], filled up with zeros."""
    columns = numbers.size // groups
    whole = np.zeros((groups, -(-columns // width) * width), numbers.dtype)
    whole[:, :columns] = numbers.reshape(groups, columns)
    return whole
