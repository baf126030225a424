"""From what a model gets back to pictures that people can look at."""

from __future__ import annotations

import numpy as np

from edgedeploy.values.preprocessing import ImagePreprocessing, Preprocessing
from edgedeploy.workflows.data_show.observed import channel_axis


def as_pixels(values: np.ndarray, preprocessing: Preprocessing | None) -> np.ndarray:
    """Return one picture as the model gets it: uint8, shape (height, width, 3), in the order red, green, blue.

    Args:
        values: one row of a feed, shape (1, …) with an axis of channels.
        preprocessing: is undone; without one, values are stretched over 0 to 255.
    """
    axis = channel_axis(values.shape)
    if axis is None:
        raise ValueError(f"no picture has the shape {values.shape}")
    picture = np.moveaxis(values[0], axis - 1, -1)[..., :3]
    if isinstance(preprocessing, ImagePreprocessing) and picture.dtype.kind == "f":
        mean, std = np.asarray(preprocessing.mean), np.asarray(preprocessing.std)
        pixels = (picture * std + mean) / preprocessing.scale
    elif picture.dtype == np.uint8:
        pixels = picture.astype(np.float64)
    elif picture.dtype == np.int8 and preprocessing is not None:
        pixels = picture.astype(np.float64) + 128
    else:
        low, high = float(picture.min()), float(picture.max())
        pixels = (picture.astype(np.float64) - low) / ((high - low) or 1.0) * 255
    shown: np.ndarray = np.clip(np.rint(np.nan_to_num(pixels)), 0, 255).astype(np.uint8)
    if isinstance(preprocessing, ImagePreprocessing) and preprocessing.color == "bgr":
        shown = shown[..., ::-1]
    return np.ascontiguousarray(np.broadcast_to(shown, (*shown.shape[:2], 3)))
