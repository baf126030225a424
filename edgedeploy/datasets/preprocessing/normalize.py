"""Turn pixels into the numbers that a model was trained with."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.values.model import TensorFacts
from edgedeploy.values.preprocessing import ImagePreprocessing

_LEVELS = np.arange(256)


def normalized(pixels: np.ndarray, preprocessing: ImagePreprocessing, tensor: TensorFacts) -> np.ndarray:
    """Return pixels scaled, minus the mean, divided by the standard deviation, in the input's dtype.

    In float32, step by step, as torchvision's `to_tensor` and `normalize` do. Inputs of integers get real numbers only
    where the model says what its integers stand for (scale and zero point of a quantized `.tflite`). Without, uint8
    inputs get the pixels as they are and int8 inputs the pixels minus 128: the model normalizes them itself.

    Args:
        pixels: uint8, shape (height, width, channels).

    Raises:
        UnsupportedError: the input takes neither numbers nor bytes.
    """
    tables = _tables(preprocessing, pixels.shape[2], tensor)
    found: np.ndarray = tables[np.arange(pixels.shape[2]), pixels]
    return found


def _tables(preprocessing: ImagePreprocessing, channels: int, tensor: TensorFacts) -> np.ndarray:
    """Return what each of the 256 levels becomes: shape (channels, 256), in the input's dtype."""
    dtype = _dtype(tensor)
    if dtype.kind == "f":
        levels = real_levels(preprocessing, channels)
    elif tensor.scale is not None:
        limits = np.iinfo(dtype)
        steps = np.rint(real_levels(preprocessing, channels) / np.float32(tensor.scale)) + (tensor.zero_point or 0)
        levels = np.clip(steps, limits.min, limits.max)
    else:
        levels = np.broadcast_to(_LEVELS - (128 if dtype == np.int8 else 0), (channels, 256))
    found: np.ndarray = levels.astype(dtype)
    return found


def real_levels(preprocessing: ImagePreprocessing, channels: int) -> np.ndarray:
    """Return the number that each of the 256 levels stands for: float32, shape (channels, 256)."""
    scaled = (_LEVELS * preprocessing.scale).astype(np.float32)
    mean, std = (
        np.broadcast_to(np.asarray(each, np.float32), (channels,))[:, np.newaxis]
        for each in (preprocessing.mean, preprocessing.std)
    )
    found: np.ndarray = (scaled - mean) / std
    return found


def _dtype(tensor: TensorFacts) -> np.dtype[Any]:
    try:
        dtype = np.dtype(tensor.dtype)
    except TypeError:
        dtype = np.dtype(object)
    if dtype.kind not in "fiu":
        raise UnsupportedError(
            f"the input {tensor.name!r} takes no pictures",
            why=f"its type is {tensor.dtype}",
            hint="give arrays of that type: FILE.npz",
        )
    return dtype
