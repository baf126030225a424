"""A picture of many small ones: what the model will see, with the labels drawn on it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from edgedeploy.datasets.base import Dataset, Sample
from edgedeploy.datasets.preprocessing.pillow import pillow
from edgedeploy.foundation.sanitize import one_line
from edgedeploy.values.labels import NOT_JUDGED, Detections
from edgedeploy.workflows.data_show.observed import channel_axis
from edgedeploy.workflows.data_show.shown_pictures import as_pixels

MOST_TILES = 24
_COLUMNS = 6
_TILE = 240
"""Pixels of a tile's longer side; smaller pictures are enlarged by a whole number."""
_MARGIN = 8
_LINE = 14
"""Pixels under a tile for its words."""
_COLORS = (
    (230, 25, 75),
    (60, 180, 75),
    (0, 130, 200),
    (245, 130, 48),
    (145, 30, 180),
    (70, 240, 240),
    (240, 50, 230),
    (210, 245, 60),
)
"""Of classes in turn: the first of https://sashamaps.net/docs/resources/20-colors/ that are seen on pictures."""
_SHOWN_THROUGH = 0.45


class Tile(Struct, frozen=True, eq=False):
    """One picture of the sheet."""

    pixels: np.ndarray
    """uint8, shape (height, width, 3)."""
    label: Any
    words: str
    names: Sequence[str] = ()
    """Of classes."""


def tiles_of(sample: Sample, dataset: Dataset) -> list[Tile]:
    """Return a tile for each picture of a feed; none where no input is a picture."""
    name = next((name for name, array in sample.feed.items() if channel_axis(array.shape) is not None), None)
    if name is None:
        return []
    array = sample.feed[name]
    rows = sample.size if array.shape[0] == sample.size else 1
    labels = sample.labels if sample.labels is not None and rows == len(sample.labels) else [None] * rows
    names = dataset.class_names
    pixels = [as_pixels(array[row : row + 1], dataset.preprocessing) for row in range(rows)]
    return [Tile(picture, label, _words(label, names), names) for picture, label in zip(pixels, labels, strict=True)]


def contact_sheet(tiles: Sequence[Tile]) -> bytes:
    """Draw tiles in rows of six, each with its labels, as a PNG.

    Raises:
        HostError: Pillow is not installed.
    """
    image_module, draw_module = pillow(), pillow("ImageDraw")
    drawn = [_drawn(tile) for tile in tiles]
    width, height = max(each.width for each in drawn), max(each.height for each in drawn)
    columns = min(len(drawn), _COLUMNS)
    rows = -(-len(drawn) // columns)
    step = width + _MARGIN, height + _LINE + _MARGIN
    sheet = image_module.new("RGB", (columns * step[0] + _MARGIN, rows * step[1] + _MARGIN), (255, 255, 255))
    draw = draw_module.Draw(sheet)
    for number, (tile, image) in enumerate(zip(tiles, drawn, strict=True)):
        left, top = _MARGIN + number % columns * step[0], _MARGIN + number // columns * step[1]
        sheet.paste(image, (left, top))
        draw.text((left, top + height + 1), tile.words, fill=(0, 0, 0))
    content = io.BytesIO()
    sheet.save(content, "PNG")
    return content.getvalue()


def _drawn(tile: Tile) -> Any:
    """Return a tile's picture, scaled for the sheet, with its label."""
    image_module = pillow()
    pixels = _with_masks(tile.pixels, tile.label)
    height, width = pixels.shape[:2]
    longer = max(height, width)
    scale = max(1, _TILE // longer) if longer <= _TILE else _TILE / longer
    size = max(1, round(width * scale)), max(1, round(height * scale))
    how = image_module.Resampling.NEAREST if scale >= 1 else image_module.Resampling.BILINEAR
    image = image_module.fromarray(pixels).resize(size, how)
    if isinstance(tile.label, Detections):
        _draw_objects(pillow("ImageDraw").Draw(image), tile.label, scale, tile.names)
    return image


def _draw_objects(draw: Any, label: Detections, scale: float, names: Sequence[str]) -> None:
    for number, (box, kind) in enumerate(zip(label.boxes.tolist(), label.classes.tolist(), strict=True)):
        color = _COLORS[kind % len(_COLORS)]
        x0, y0, x1, y1 = (each * scale for each in box)
        draw.rectangle((x0, y0, max(x1 - 1, x0), max(y1 - 1, y0)), outline=color, width=2)
        draw.text((x0 + 3, y0 + 2), one_line(_name(kind, names), limit=20), fill=color)
        if label.keypoints is None:
            continue
        for x, y, seen in label.keypoints[number].tolist():
            if seen > 0:
                draw.ellipse((x * scale - 2, y * scale - 2, x * scale + 2, y * scale + 2), fill=color)


def _with_masks(pixels: np.ndarray, label: Any) -> np.ndarray:
    """Return pixels with masks shown through; what is not judged is gray."""
    shown = pixels.astype(np.float64)
    for mask, color in _masks(pixels, label):
        shown[mask] = (1 - _SHOWN_THROUGH) * shown[mask] + _SHOWN_THROUGH * np.array(color)
    return shown.astype(np.uint8)


def _masks(pixels: np.ndarray, label: Any) -> list[tuple[np.ndarray, tuple[int, int, int]]]:
    if isinstance(label, Detections) and label.masks is not None:
        return [
            (mask, _COLORS[kind % len(_COLORS)]) for mask, kind in zip(label.masks, label.classes.tolist(), strict=True)
        ]
    if isinstance(label, np.ndarray) and label.dtype.kind in "iu" and label.shape == pixels.shape[:2]:
        # Class 0 is mostly the background, and is left as it is.
        numbers = [number for number in np.unique(label).tolist() if number != 0]
        gray = (128, 128, 128)
        return [(label == each, gray if each == NOT_JUDGED else _COLORS[each % len(_COLORS)]) for each in numbers]
    return []


def _words(label: Any, names: Sequence[str]) -> str:
    if label is None:
        return ""
    if isinstance(label, Detections):
        counts = {kind: int((label.classes == kind).sum()) for kind in dict.fromkeys(label.classes.tolist())}
        text = ", ".join(f"{count} {_name(kind, names)}" for kind, count in counts.items()) or "nothing"
    elif isinstance(label, np.integer | int):
        text = _name(int(label), names)
    elif isinstance(label, np.ndarray) and label.size > 1:
        text = "x".join(map(str, label.shape))
    else:
        text = str(label)
    return one_line(text, limit=40)


def _name(number: int, names: Sequence[str]) -> str:
    return names[number] if 0 <= number < len(names) and names[number] else f"class {number}"
