"""The sizes that a picture goes through on its way to a model's input."""

from __future__ import annotations

from msgspec import Struct

from edgedeploy.datasets.preprocessing.geometry import Geometry
from edgedeploy.foundation.errors import DatasetError
from edgedeploy.values.preprocessing import ImagePreprocessing

Size = tuple[int, int]
"""Height and width."""


class PictureSteps(Struct, frozen=True, kw_only=True):
    """What is done to a picture of one size: it is resized, then padded, then its middle is kept."""

    resized: Size
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Rows and columns that are added at the top, left, bottom and right."""
    corner: tuple[int, int] = (0, 0)
    """The first row and column that is kept."""
    size: Size
    """What is left."""
    geometry: Geometry


def plan(
    height: int, width: int, preprocessing: ImagePreprocessing, model: tuple[int | None, int | None]
) -> PictureSteps:
    """Compute the sizes for a picture.

    Args:
        height, width: of the picture.
        model: height and width of the model's input, None where it leaves them open.

    Raises:
        DatasetError: a size is needed and neither declared nor the model's; or more is to be kept than there is.
    """
    resized, padding = (height, width), (0, 0, 0, 0)
    if preprocessing.resize != "none":
        wanted = preprocessing.size or _of_model(model)
        if preprocessing.resize == "stretch":
            resized = wanted
        elif preprocessing.resize == "shorter-side":
            resized = _shorter_side(height, width, wanted[0])
        else:
            resized, padding = _letterbox(height, width, wanted, preprocessing)
    whole = (resized[0] + padding[0] + padding[2], resized[1] + padding[1] + padding[3])
    kept, corner = whole, (0, 0)
    if preprocessing.crop is not None:
        kept = preprocessing.crop
        if kept[0] > whole[0] or kept[1] > whole[1]:
            raise DatasetError(
                f"crop = {list(kept)} keeps more of a picture than there is",
                why=f"after resizing it is {whole[0]} pixels high and {whole[1]} wide",
                hint="make crop smaller or size larger in [preprocessing]",
            )
        # As torchvision.transforms.functional.center_crop: half to even.
        corner = (round((whole[0] - kept[0]) / 2), round((whole[1] - kept[1]) / 2))
    geometry = Geometry(
        scale_x=resized[1] / width,
        scale_y=resized[0] / height,
        offset_x=padding[1] - corner[1],
        offset_y=padding[0] - corner[0],
        width=kept[1],
        height=kept[0],
        source_width=width,
        source_height=height,
    )
    return PictureSteps(resized=resized, padding=padding, corner=corner, size=kept, geometry=geometry)


def _of_model(model: tuple[int | None, int | None]) -> Size:
    height, width = model
    if height is None or width is None:
        raise DatasetError(
            "it is not known to which size pictures are to be brought",
            why="the model leaves height or width open, and [preprocessing] says nothing of it",
            hint="set size = [HEIGHT, WIDTH] in [preprocessing]",
        )
    return height, width


def _shorter_side(height: int, width: int, shorter: int) -> Size:
    """Return the size with this shorter side, as `_compute_resized_output_size` of torchvision does: the longer one is
    rounded down."""
    if height <= width:
        return shorter, max(int(shorter * width / height), 1)
    return max(int(shorter * height / width), 1), shorter


def _letterbox(
    height: int, width: int, wanted: Size, preprocessing: ImagePreprocessing
) -> tuple[Size, tuple[int, int, int, int]]:
    """Return the size that fits inside `wanted`, and the bars, as `LetterBox` of ultralytics does."""
    ratio = min(wanted[0] / height, wanted[1] / width)
    if not preprocessing.letterbox_enlarge:
        ratio = min(ratio, 1.0)
    resized = (max(round(height * ratio), 1), max(round(width * ratio), 1))
    bars = (wanted[0] - resized[0], wanted[1] - resized[1])
    if not preprocessing.letterbox_center:
        return resized, (0, 0, *bars)
    # Its -0.1 and +0.1: of an odd number of rows, the one more is at the bottom.
    (top, bottom), (left, right) = ((round(bar / 2 - 0.1), round(bar / 2 + 0.1)) for bar in bars)
    return resized, (top, left, bottom, right)
