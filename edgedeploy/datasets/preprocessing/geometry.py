"""Where a place of a picture is in the model's input."""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from edgedeploy.foundation.errors import DatasetError


class Geometry(Struct, frozen=True, kw_only=True):
    """Maps places of a picture (turned as its EXIF data say) to places of the model's input.

    Both are counted in pixels from the top left corner of the top left pixel, so the middle of that
    pixel is (0.5, 0.5).
    """

    scale_x: float
    scale_y: float
    offset_x: float
    """In pixels of the input."""
    offset_y: float
    width: int
    """Of the input."""
    height: int
    source_width: int
    source_height: int

    def points(self, xy: np.ndarray) -> np.ndarray:
        """Return points in pixels of the input, not clipped.

        Args:
            xy: shape (..., 2), in pixels of the picture.
        """
        scale, offset = (self.scale_x, self.scale_y), (self.offset_x, self.offset_y)
        found: np.ndarray = np.asarray(xy, np.float64) * scale + offset
        return found

    def boxes(self, xyxy: np.ndarray) -> np.ndarray:
        """Return boxes in pixels of the input, not clipped: float64, shape (boxes, 4).

        Args:
            xyxy: shape (boxes, 4): x0, y0, x1, y1, in pixels of the picture.
        """
        return self.points(np.asarray(xyxy, np.float64).reshape(-1, 2, 2)).reshape(-1, 4)

    def mask(self, mask: np.ndarray, outside: int) -> np.ndarray:
        """Return a mask in pixels of the input: shape (height, width), each pixel the one under its middle.

        Args:
            mask: shape (source height, source width).
            outside: the value where the input shows nothing of the picture, as in the bars of a letterbox.

        Raises:
            DatasetError: the mask has another size than the picture.
        """
        if mask.shape != (self.source_height, self.source_width):
            raise DatasetError(
                f"a mask has {mask.shape[1]}x{mask.shape[0]} pixels, and its picture "
                f"{self.source_width}x{self.source_height}",
                hint="give the mask the size of its picture",
            )
        rows = _source_places(self.height, self.scale_y, self.offset_y)
        columns = _source_places(self.width, self.scale_x, self.offset_x)
        found = np.full((self.height, self.width), outside, mask.dtype)
        inside_rows = (rows >= 0) & (rows < self.source_height)
        inside_columns = (columns >= 0) & (columns < self.source_width)
        found[np.ix_(inside_rows, inside_columns)] = mask[np.ix_(rows[inside_rows], columns[inside_columns])]
        return found


def _source_places(extent: int, scale: float, offset: float) -> np.ndarray:
    """Return the pixel of the picture under the middle of each pixel of the input, along one axis."""
    found: np.ndarray = np.floor((np.arange(extent) + 0.5 - offset) / scale).astype(np.int64)
    return found
