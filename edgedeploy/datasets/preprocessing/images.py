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
from edgedeploy.values.preprocessing import EmbeddedPreprocessing, ImagePreprocessing


class PreparedPicture(Struct, frozen=True, kw_only=True, eq=False):
    """What the model sees of one picture."""

    values: np.ndarray
    """The shape of the model's input without its batch axis, in its dtype."""
    geometry: Geometry


def prepare_picture(pixels: np.ndarray, preprocessing: ImagePreprocessing, tensor: TensorFacts) -> PreparedPicture:
    """Resize, pad, crop and normalize a picture, and lay it out as the model's input.

    A model with its preprocessing inside gets the pixels as they are, or as they are after resizing where that stayed
    outside; the geometry is that of what is done in all.

    Args:
        pixels: uint8, shape (height, width, channels), in the declared order of colors (`decode_picture`).
        preprocessing: without open keys of a preset (`presets.resolve`).
        tensor: the model's input, batch axis included.

    Raises:
        DatasetError: what comes out does not have the size of the input, or the input takes no pictures.
        UnsupportedError: there is no such resampling without antialias, or the input's type takes no pictures.
    """
    if tensor.preprocessing is not None:
        return _for_embedded(pixels, tensor.preprocessing, tensor)
    layout = picture_layout(tensor, preprocessing)
    steps = plan(pixels.shape[0], pixels.shape[1], preprocessing, (layout.height, layout.width))
    _check_size(steps, layout, preprocessing, tensor)
    values = laid_out(fitted(pixels, steps, preprocessing), preprocessing, tensor)
    return PreparedPicture(values=values, geometry=steps.geometry)


def laid_out(pixels: np.ndarray, preprocessing: ImagePreprocessing, tensor: TensorFacts) -> np.ndarray:
    """Normalize a picture that has the input's size already, and turn its axes as the input has them."""
    layout = picture_layout(tensor, preprocessing)
    values = normalized(pixels, preprocessing, tensor)
    if not layout.has_channels:
        values = values[..., 0]
    elif layout.channels_first:
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values)


def _for_embedded(pixels: np.ndarray, embedded: EmbeddedPreprocessing, tensor: TensorFacts) -> PreparedPicture:
    steps = plan(pixels.shape[0], pixels.shape[1], embedded.declared, (embedded.height, embedded.width))
    values = pixels if embedded.resizes else fitted(pixels, steps, embedded.declared)
    if embedded.swaps:
        values = values[..., ::-1]
    wanted = tensor.shape[1:3]
    if any(isinstance(want, int) and want != have for want, have in zip(wanted, values.shape[:2], strict=True)):
        raise DatasetError(
            f"a picture is {values.shape[0]} pixels high and {values.shape[1]} wide, and the input {tensor.name!r} "
            f"takes {wanted[0]} by {wanted[1]}",
            why="the model was compiled for pictures of one size, which it resizes itself",
            hint="compile it with --picture-size any, or give pictures of that size",
        )
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
