"""Where a model's input has its channels, its height and its width."""

from __future__ import annotations

from msgspec import Struct

from edgedeploy.foundation.errors import DatasetError
from edgedeploy.values.model import Dimension, TensorFacts
from edgedeploy.values.preprocessing import ImagePreprocessing


class PictureLayout(Struct, frozen=True, kw_only=True):
    """The axes of an input for pictures, its batch axis left out."""

    channels_first: bool
    has_channels: bool
    """Without, the input is (batch, height, width), of gray pictures."""
    height: int | None
    """None where the model leaves it open."""
    width: int | None


def picture_layout(tensor: TensorFacts, preprocessing: ImagePreprocessing) -> PictureLayout:
    """Find the axes of a model's input: as `layout` says, else the axis with as many channels as the colors have.

    Raises:
        DatasetError: the input is none for pictures of these colors, or it is not clear which axis has the channels.
    """
    shape, channels = tensor.shape, _channels(preprocessing)
    if len(shape) == 3 and channels == 1:
        return PictureLayout(channels_first=True, has_channels=False, height=_extent(shape[1]), width=_extent(shape[2]))
    if len(shape) != 4:
        raise DatasetError(
            f"the input {tensor.name!r} takes no pictures",
            why=f"it has {len(shape)} axes ({_words(shape)}); pictures need four: batch, height, width and channels",
            hint="name a model for pictures, or give arrays: FILE.npz",
        )
    first = _channels_first(tensor, preprocessing, channels)
    found = shape[1] if first else shape[3]
    if isinstance(found, int) and found != channels:
        raise DatasetError(
            f"the input {tensor.name!r} has {found} channels ({_words(shape)}), and color = {preprocessing.color!r} "
            f"has {channels}",
            hint='set color = "gray" for 1 channel, "rgb" or "bgr" for 3; or layout = "nchw" or "nhwc"',
        )
    height, width = (shape[2], shape[3]) if first else (shape[1], shape[2])
    return PictureLayout(channels_first=first, has_channels=True, height=_extent(height), width=_extent(width))


def picture_size(tensor: TensorFacts, preprocessing: ImagePreprocessing) -> tuple[int | None, int | None]:
    """Return height and width of a model's input, None where it leaves them open.

    Raises:
        DatasetError: as `picture_layout`.
    """
    layout = picture_layout(tensor, preprocessing)
    return layout.height, layout.width


def _channels(preprocessing: ImagePreprocessing) -> int:
    return 1 if preprocessing.color == "gray" else 3


def _channels_first(tensor: TensorFacts, preprocessing: ImagePreprocessing, channels: int) -> bool:
    if preprocessing.layout:
        return preprocessing.layout == "nchw"
    first, last = tensor.shape[1] == channels, tensor.shape[3] == channels
    if first != last:
        return first
    # Neither fits: say so of the axis that looks like channels.
    known = [extent in (1, 3, 4) for extent in (tensor.shape[1], tensor.shape[3])]
    if not first and known[0] != known[1]:
        return known[0]
    raise DatasetError(
        f"it is not clear which axis of the input {tensor.name!r} has the {channels} channels",
        why=f"its shape is {_words(tensor.shape)}",
        hint='set layout = "nchw" or layout = "nhwc" in [preprocessing]',
    )


def _extent(dimension: Dimension) -> int | None:
    return dimension if isinstance(dimension, int) else None


def _words(shape: tuple[Dimension, ...]) -> str:
    return "x".join(map(str, shape))
