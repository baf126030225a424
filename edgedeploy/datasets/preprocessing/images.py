"""Make a model's input of a picture, as its preprocessing is declared."""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from edgedeploy.datasets.preprocessing.geometry import Geometry
from edgedeploy.datasets.preprocessing.layout import PictureLayout, picture_layout
from edgedeploy.datasets.preprocessing.normalize import normalized
from edgedeploy.datasets.preprocessing.resampling import resample
from edgedeploy.datasets.preprocessing.steps import PictureSteps, plan
from edgedeploy.foundation.errors import DatasetError
from edgedeploy.values.model import TensorFacts
from edgedeploy.values.preprocessing import ImagePreprocessing


class PreparedPicture(Struct, frozen=True, kw_only=True, eq=False):
    """What the model sees of one picture."""

    values: np.ndarray
    """The shape of the model's input without its batch axis, in its dtype."""
    geometry: Geometry


def prepare_picture(pixels: np.ndarray, preprocessing: ImagePreprocessing, tensor: TensorFacts) -> PreparedPicture:
    """Resize, pad, crop and normalize a picture, and lay it out as the model's input.

    Args:
        pixels: uint8, shape (height, width, channels), in the declared order of colors (`decode_picture`).
        preprocessing: without open keys of a preset (`presets.resolve`).
        tensor: the model's input, batch axis included.

    Raises:
        DatasetError: what comes out does not have the size of the input, or the input takes no pictures.
        UnsupportedError: there is no such resampling without antialias, or the input's type takes no pictures.
    """
    layout = picture_layout(tensor, preprocessing)
    steps = plan(pixels.shape[0], pixels.shape[1], preprocessing, (layout.height, layout.width))
    _check_size(steps, layout, preprocessing, tensor)
    values = normalized(fitted(pixels, steps, preprocessing), preprocessing, tensor)
    if not layout.has_channels:
        values = values[..., 0]
    elif layout.channels_first:
        values = values.transpose(2, 0, 1)
    return PreparedPicture(values=np.ascontiguousarray(values), geometry=steps.geometry)


def fitted(pixels: np.ndarray, steps: PictureSteps, preprocessing: ImagePreprocessing) -> np.ndarray:
    """Resize, pad and crop a picture: uint8, shape (height, width, channels)."""
    resized = resample(pixels, steps.resized, preprocessing.resampling, antialias=preprocessing.antialias)
    if any(steps.padding):
        top, left, bottom, right = steps.padding
        height, width, channels = resized.shape
        framed = np.empty((top + height + bottom, left + width + right, channels), np.uint8)
        framed[:] = np.asarray(preprocessing.letterbox_value, np.uint8)
        framed[top : top + height, left : left + width] = resized
        resized = framed
    top, left = steps.corner
    height, width = steps.size
    return resized[top : top + height, left : left + width]


def _check_size(
    steps: PictureSteps, layout: PictureLayout, preprocessing: ImagePreprocessing, tensor: TensorFacts
) -> None:
    height, width = steps.size
    if layout.height in (None, height) and layout.width in (None, width):
        return
    wanted = f"[{layout.height or height}, {layout.width or width}]"
    key = "crop" if preprocessing.resize == "shorter-side" or preprocessing.crop else "size"
    raise DatasetError(
        f"a prepared picture is {height} pixels high and {width} wide, and the input {tensor.name!r} takes "
        f"{layout.height or 'any'} by {layout.width or 'any'}",
        why=f"resize = {preprocessing.resize!r}, crop = {list(preprocessing.crop) if preprocessing.crop else 'none'}",
        hint=f"set {key} = {wanted} in [preprocessing]"
        if preprocessing.resize != "none"
        else f'set resize = "stretch" or "letterbox", or crop = {wanted}, in [preprocessing]',
    )
