"""Bring maps to another size."""

from __future__ import annotations

import numpy as np


def bilinear(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return maps in another size, between the middles of pixels, as ONNX Resize with `half_pixel` and PyTorch's
    `interpolate(align_corners=False)` do.

    Args:
        maps: shape (maps, height, width).
        size: the wanted height and width.
    """
    if maps.shape[1:] == size:
        return maps
    (top, bottom, down), (left, right, across) = (
        _neighbors(old, new) for old, new in zip(maps.shape[1:], size, strict=True)
    )
    rows = maps[:, top] * (1 - down)[:, np.newaxis] + maps[:, bottom] * down[:, np.newaxis]
    found: np.ndarray = rows[..., left] * (1 - across) + rows[..., right] * across
    return found


def nearest(classes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return an array (height, width) in another size, each pixel the nearest one's."""
    rows, columns = (
        np.minimum((np.arange(new) + 0.5) * old / new, old - 1).astype(np.int64)
        for old, new in zip(classes.shape, size, strict=True)
    )
    found: np.ndarray = classes[rows][:, columns]
    return found


def _neighbors(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    places = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    lower = np.floor(places).astype(np.int64)
    return lower, np.minimum(lower + 1, old - 1), places - lower
