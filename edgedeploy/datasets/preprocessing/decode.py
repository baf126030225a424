"""Read pictures and masks from files, whoever made them.

A picture may claim 40,000 x 40,000 pixels in a few kB, end in the middle, or be no picture at all. Its extent is looked
at before its pixels are decoded, and whatever a decoder does with broken data becomes a `DatasetError` that names the
file.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from edgedeploy.datasets.preprocessing.pillow import pillow
from edgedeploy.foundation.errors import DatasetError, EdgedeployError
from edgedeploy.foundation.files import unreadable
from edgedeploy.foundation.reading import PICTURE, read_file
from edgedeploy.foundation.sanitize import printable
from edgedeploy.values.preprocessing import ImagePreprocessing

MAX_PIXELS = 89_478_485
"""Of one picture: Pillow's own limit (`Image.MAX_IMAGE_PIXELS`), a quarter of a gigabyte at three bytes each. The
largest sensors of phones have 200 million, but their pictures are saved with a quarter or less of that."""
FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
_ORIENTATION = 0x0112
"""The tag of EXIF 2.3, section 4.6.4, for how the picture is to be turned."""
_CONVERT = "convert it to JPEG or PNG, or leave it out: skip_broken = true"


class DecodedPicture(Struct, frozen=True, kw_only=True, eq=False):
    """The pixels of one picture."""

    pixels: np.ndarray
    """uint8, shape (height, width, channels): three in the declared order, or one of gray."""
    notes: tuple[str, ...] = ()
    """What was lost or left out, in words: transparency, the lower 8 of 16 bits, later frames."""


def decode_picture(path: Path, preprocessing: ImagePreprocessing) -> DecodedPicture:
    """Read one picture: its first frame, turned as its EXIF data say, in the declared colors.

    Transparency is dropped, not blended, and of 16 bits the upper 8 are taken, as torchvision's and OpenCV's loaders
    do.

    Raises:
        DatasetError: it is not a JPEG, PNG, WebP or BMP file, it is broken, or it has too many pixels.
        InvalidFileError: there is no such file, it is too large, or it cannot be read.
        HostError: Pillow is not installed.
    """
    with _opened(path) as image:
        notes = _notes(image)
        image.load()
        if preprocessing.orientation:
            image = _turned(image)
        image = _eight_bits(image)
        pixels = np.asarray(image.convert("L" if preprocessing.color == "gray" else "RGB"))
    if preprocessing.color == "gray":
        pixels = pixels[..., np.newaxis]
    elif preprocessing.color == "bgr":
        pixels = pixels[..., ::-1]
    return DecodedPicture(pixels=np.ascontiguousarray(pixels), notes=notes)


def read_class_mask(path: Path) -> np.ndarray:
    """Read a mask of classes: integers, shape (height, width), the entries of the palette or the gray levels.

    Raises:
        DatasetError: as `decode_picture`; or it has colors without a palette, which are no numbers.
        InvalidFileError, HostError: as `decode_picture`.
    """
    with _opened(path) as image:
        image.load()
        if image.mode not in ("1", "L", "P", "I;16", "I;16B", "I;16L", "I"):
            raise DatasetError(
                f"{printable(str(path))} is no mask of classes",
                why=f"each pixel is a color ({image.mode}), not a number",
                hint="save it as a PNG with a palette or in gray, with the number of the class as the pixel's value",
            )
        return np.array(image).astype(np.int32 if image.mode.startswith("I") else np.uint8)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Give a picture whose extent was checked; what a decoder raises in the block is a `DatasetError`."""
    image_module = pillow()
    try:
        content = read_file(path, PICTURE)
    except OSError as error:
        raise unreadable(path, error) from error
    name = printable(str(path))
    if not content:
        raise DatasetError(f"{name} is empty", why="it has 0 bytes", hint=_CONVERT)
    try:
        # Pillow warns of much that is broken or large; here it is an error, a note, or no matter.
        with warnings.catch_warnings(action="ignore"), image_module.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise image_module.DecompressionBombError(f"it has {width:,} x {height:,}")
            yield image
    except EdgedeployError:
        raise
    except image_module.UnidentifiedImageError as error:
        raise DatasetError(
            f"{name} is not a picture that can be read", why=f"it is none of {', '.join(FORMATS)}", hint=_CONVERT
        ) from error
    except image_module.DecompressionBombError as error:
        raise DatasetError(
            f"{name} has too many pixels",
            why=f"at most {MAX_PIXELS:,} are read ({error})",
            hint="make it smaller, or leave it out: skip_broken = true",
        ) from error
    # A decoder of broken data raises nearly anything: OSError, SyntaxError, ValueError, struct.error, IndexError.
    except Exception as error:
        raise DatasetError(
            f"{name} cannot be decoded", why=printable(str(error)) or type(error).__name__, hint=_CONVERT
        ) from error


def _notes(image: Any) -> tuple[str, ...]:
    notes = []
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        notes.append("transparency dropped")
    if image.mode.startswith("I"):
        notes.append("upper 8 of 16 bits taken")
    if image.mode == "CMYK":
        notes.append("CMYK converted without a color profile")
    if getattr(image, "n_frames", 1) > 1:
        notes.append(f"first of {image.n_frames} frames taken")
    return tuple(notes)


def _turned(image: Any) -> Any:
    """Return the picture as its EXIF data say that it is to be seen; what is no orientation is passed over."""
    transpose = pillow().Transpose
    turn = {
        2: transpose.FLIP_LEFT_RIGHT,
        3: transpose.ROTATE_180,
        4: transpose.FLIP_TOP_BOTTOM,
        5: transpose.TRANSPOSE,
        6: transpose.ROTATE_270,
        7: transpose.TRANSVERSE,
        8: transpose.ROTATE_90,
    }.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _orientation(image: Any) -> int:
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    # Broken EXIF data do not make a picture unreadable, and raise nearly anything.
    except Exception:
        return 1
    return value if isinstance(value, int) else 1


def _eight_bits(image: Any) -> Any:
    """Return gray pictures of 16 bits with the upper 8; Pillow's own conversion would clip them at 255."""
    if not image.mode.startswith("I"):
        return image
    levels = np.clip(np.asarray(image).astype(np.int64), 0, 65_535) >> 8
    return pillow().fromarray(levels.astype(np.uint8))
