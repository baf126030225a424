"""Bring pictures to another size, with the very pixels of Pillow or of OpenCV.

Models are trained with one of the two, and they differ: Pillow takes all pixels under a new one (antialias), OpenCV
only its neighbors, and rounds in fixed point. OpenCV is not needed for it: its arithmetic is repeated here, after
`modules/imgproc/src/resize.cpp` of OpenCV 4.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgedeploy.datasets.preprocessing.pillow import pillow
from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.values.preprocessing import Resampling

_PILLOW = {
    "nearest": "NEAREST",
    "bilinear": "BILINEAR",
    "bicubic": "BICUBIC",
    "area": "BOX",
    "lanczos": "LANCZOS",
}
_COEFFICIENT = 1 << 11
"""`INTER_RESIZE_COEF_SCALE`: weights are whole numbers of 1/2048."""
_CUBIC_A = -0.75
"""Of `interpolateCubic` in OpenCV; Pillow has -0.5."""

Size = tuple[int, int]
"""Height and width."""


def resample(pixels: np.ndarray, size: Size, method: Resampling, *, antialias: bool) -> np.ndarray:
    """Return a picture in another size.

    Args:
        pixels: uint8, shape (height, width, channels).
        antialias: as Pillow does it; without, as OpenCV does.

    Raises:
        UnsupportedError: OpenCV's way of this method is not known.
        HostError: Pillow is not installed.
    """
    if pixels.shape[:2] == size:
        return pixels
    if antialias:
        return _with_pillow(pixels, size, _PILLOW[method])
    if method not in _OPENCV:
        raise UnsupportedError(
            f"resampling {method!r} without antialias is not supported",
            why=f"known without: {', '.join(_OPENCV)}",
            hint="set antialias = true, or choose one of them",
        )
    return _OPENCV[method](pixels, size)


def _with_pillow(pixels: np.ndarray, size: Size, method: str) -> np.ndarray:
    image_module = pillow()
    gray = pixels.shape[2] == 1
    image = image_module.fromarray(pixels[..., 0] if gray else np.ascontiguousarray(pixels))
    found = np.asarray(image.resize((size[1], size[0]), getattr(image_module.Resampling, method)))
    return found[..., np.newaxis] if gray else found


def _nearest(pixels: np.ndarray, size: Size) -> np.ndarray:
    rows, columns = (
        np.minimum(np.floor(np.arange(new) * _step(old, new)).astype(np.int64), old - 1)
        for old, new in zip(pixels.shape[:2], size, strict=True)
    )
    found: np.ndarray = pixels[rows][:, columns]
    return found


def _bilinear(pixels: np.ndarray, size: Size) -> np.ndarray:
    if pixels.shape[:2] == (2 * size[0], 2 * size[1]):
        return _area(pixels, size)  # as `resize` of OpenCV does
    columns, across = _neighbors(pixels.shape[1], size[1], ends=True)
    rows, down = _neighbors(pixels.shape[0], size[0], ends=False)
    return _fixed_point(pixels, (rows, down), (columns, across))


def _fixed_point(
    pixels: np.ndarray, vertical: tuple[np.ndarray, np.ndarray], horizontal: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Return what `HResizeLinear` and `VResizeLinear` make of pixels of uint8.

    Args:
        vertical: the row above each new one, and the part of the one below, in [0, 1).
        horizontal: likewise the columns.
    """
    (top, down), (left, across) = vertical, horizontal
    height, width = pixels.shape[:2]
    used, places = np.unique(np.clip(np.stack([top, top + 1]), 0, height - 1), return_inverse=True)
    places = places.reshape(2, -1)
    source = pixels[used].astype(np.int32)
    weights = [_whole(1 - across), _whole(across)]
    right = np.minimum(left + 1, width - 1)
    lines = source[:, left] * weights[0][:, np.newaxis] + source[:, right] * weights[1][:, np.newaxis]
    lines >>= 4
    above, below = _whole(1 - down)[:, np.newaxis, np.newaxis], _whole(down)[:, np.newaxis, np.newaxis]
    found = ((above * lines[places[0]]) >> 16) + ((below * lines[places[1]]) >> 16)
    return _levels((found + 2) >> 2)


def _bicubic(pixels: np.ndarray, size: Size) -> np.ndarray:
    found = pixels.astype(np.float64)
    for axis, new in ((1, size[1]), (0, size[0])):
        old = pixels.shape[axis]
        places, part = _neighbors(old, new, ends=False)
        weights = np.rint(_cubic(part.astype(np.float32)) * np.float32(_COEFFICIENT)).astype(np.float64)
        taps = [np.take(found, np.clip(places + tap - 1, 0, old - 1), axis) for tap in range(4)]
        shape = (-1, 1, 1) if axis == 0 else (1, -1, 1)
        found = sum((tap * weight.reshape(shape) for tap, weight in zip(taps, weights, strict=True)), np.zeros(()))
    return _levels(found / _COEFFICIENT**2)


def _cubic(part: np.ndarray) -> np.ndarray:
    """Return the weights of four neighbors: float32, shape (4, places)."""
    a = np.float32(_CUBIC_A)
    after, before = part + 1, 1 - part
    first = ((a * after - 5 * a) * after + 8 * a) * after - 4 * a
    second = ((a + 2) * part - (a + 3)) * part * part + 1
    third = ((a + 2) * before - (a + 3)) * before * before + 1
    return np.stack([first, second, third, 1 - first - second - third]).astype(np.float32)


def _area(pixels: np.ndarray, size: Size) -> np.ndarray:
    height, width = pixels.shape[:2]
    if height < size[0] or width < size[1]:
        return _fixed_point(pixels, _area_neighbors(height, size[0]), _area_neighbors(width, size[1]))
    if height % size[0] == 0 and width % size[1] == 0:
        down, across = height // size[0], width // size[1]
        parts = pixels.reshape(size[0], down, size[1], across, -1)
        sums = parts.sum(axis=(1, 3), dtype=np.int64)
        if (down, across) == (2, 2):
            return _levels((sums + 2) >> 2)
        return _levels(sums.astype(np.float32) * np.float32(1.0 / (down * across)))
    rows, columns = _area_weights(height, size[0]), _area_weights(width, size[1])
    lines = np.einsum("hwc,xw->hxc", pixels.astype(np.float32), columns, optimize=True)
    found = np.einsum("hxc,yh->yxc", lines, rows, optimize=True)
    return _levels(found)


def _area_weights(old: int, new: int) -> np.ndarray:
    """Return the part that each pixel has of each new one: float32, shape (new, old). After `computeResizeAreaTab`."""
    step = _step(old, new)
    begins, ends = np.arange(new) * step, np.minimum((np.arange(new) + 1) * step, old)
    places = np.arange(old)
    shared = np.minimum(ends[:, np.newaxis], places + 1) - np.maximum(begins[:, np.newaxis], places)
    shared = np.where(shared > 1e-3, shared, 0)
    found: np.ndarray = (shared / np.minimum(step, old - begins)[:, np.newaxis]).astype(np.float32)
    return found


def _area_neighbors(old: int, new: int) -> tuple[np.ndarray, np.ndarray]:
    step, inverse = _step(old, new), new / old
    places = np.floor(np.arange(new) * step).astype(np.int64)
    part = ((np.arange(new) + 1) - (places + 1) * inverse).astype(np.float32)
    part = np.where(part <= 0, np.float32(0), part - np.floor(part)).astype(np.float32)
    ends = places >= old - 1
    return np.where(ends, old - 1, places), np.where(ends, np.float32(0), part)


def _neighbors(old: int, new: int, *, ends: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixel before each new one, and how far it is from there to the next, in [0, 1), as float32.

    Args:
        ends: at the ends the outermost pixel counts alone, as along the rows of OpenCV.
    """
    place = ((np.arange(new) + 0.5) * _step(old, new) - 0.5).astype(np.float32)
    before = np.floor(place).astype(np.int64)
    part = (place - before.astype(np.float32)).astype(np.float32)
    if ends:
        part = np.where((before < 0) | (before >= old - 1), np.float32(0), part)
        before = np.clip(before, 0, old - 1)
    return before, part


def _step(old: int, new: int) -> float:
    """Return the old pixels for each new one, rounded as OpenCV does (`1. / inv_scale_x`)."""
    return 1.0 / (new / old)


def _whole(weights: np.ndarray) -> np.ndarray:
    """Return weights as whole numbers of 1/2048, rounded to even as `saturate_cast<short>` does."""
    found: np.ndarray = np.rint(weights.astype(np.float32) * np.float32(_COEFFICIENT)).astype(np.int32)
    return found


def _levels(values: np.ndarray) -> np.ndarray:
    """Return values as pixels, rounded to even and kept in 0 to 255 (`saturate_cast<uchar>`)."""
    found: np.ndarray = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return found


_OPENCV: dict[str, Callable[[np.ndarray, Size], np.ndarray]] = {
    "nearest": _nearest,
    "bilinear": _bilinear,
    "bicubic": _bicubic,
    "area": _area,
}
