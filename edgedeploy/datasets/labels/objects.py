"""Objects that somebody marked in a picture, put where the model sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct

from edgedeploy.datasets.preprocessing.geometry import Geometry
from edgedeploy.foundation.errors import DatasetError
from edgedeploy.values.labels import Detections

_ROUNDING = 1e-6
"""Of an extent: labels written with six digits lie outside by as much."""


class MarkedObjects(Struct, frozen=True, kw_only=True, eq=False):
    """The objects of one picture, in its own pixels."""

    boxes: np.ndarray
    """float64, shape (objects, 4): x0, y0, x1, y1."""
    classes: np.ndarray
    crowds: np.ndarray | None = None
    areas: np.ndarray | None = None
    keypoints: np.ndarray | None = None
    """float64, shape (objects, points, 3): x, y, visibility."""
    outlines: tuple[Any, ...] | None = None
    """For each object its polygons, each a list x, y, x, y …, or a mask of COCO's run lengths."""


def seen_objects(marked: MarkedObjects, geometry: Geometry, where: str) -> Detections:
    """Return the objects in pixels of the model's input.

    Boxes that lie partly outside the picture are clipped. Of a picture that is cropped, objects outside of what is kept
    are dropped.

    Args:
        where: the objects are written, for messages.

    Raises:
        DatasetError: a box is empty, negative, no number, or wholly outside the picture.
    """
    size = geometry.source_width, geometry.source_height
    _check_boxes(marked.boxes, size, where)
    boxes = geometry.boxes(np.clip(marked.boxes, 0, [*size, *size]))
    boxes = np.clip(boxes, 0, [geometry.width, geometry.height] * 2)
    kept = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    masks = None
    if marked.outlines is not None:
        from edgedeploy.datasets.labels.outlines import drawn

        outlines = [outline for outline, keep in zip(marked.outlines, kept, strict=True) if keep]
        masks = np.zeros((len(outlines), geometry.height, geometry.width), bool)
        for number, outline in enumerate(outlines):
            masks[number] = drawn(outline, geometry, where)
    scale = abs(geometry.scale_x * geometry.scale_y)
    return Detections(
        boxes=boxes[kept],
        classes=marked.classes.astype(np.int64)[kept],
        masks=masks,
        keypoints=None if marked.keypoints is None else _points(marked.keypoints[kept], geometry),
        crowds=None if marked.crowds is None else marked.crowds.astype(bool)[kept],
        areas=None if marked.areas is None else marked.areas[kept] * scale,
    )


def check_size(annotated: tuple[int | None, int | None], geometry: Geometry, where: str) -> None:
    """Check that a picture has the width and height that it was annotated with, where its label says them.

    Raises:
        DatasetError: it has another size, or is turned.
    """
    found = geometry.source_width, geometry.source_height
    if not all(annotated) or annotated == found:
        return
    turned = annotated == found[::-1]
    raise DatasetError(
        f"{where}: the picture has {found[0]} x {found[1]} pixels, and its label says {annotated[0]} x {annotated[1]}",
        why="it is turned by its EXIF data, and its boxes are not" if turned else "its boxes are of another size",
        hint="set orientation = false in [preprocessing]" if turned else "take the picture that was annotated",
    )


def _check_boxes(boxes: np.ndarray, size: tuple[int, int], where: str) -> None:
    width, height = size
    for number, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
        if not np.isfinite([x0, y0, x1, y1]).all():
            wrong = "is not made of numbers"
        elif x1 <= x0 or y1 <= y0:
            wrong = "is empty or negative"
        elif x1 <= -_ROUNDING or y1 <= -_ROUNDING or x0 >= width or y0 >= height:
            wrong = f"lies outside the picture, which has {width} x {height} pixels"
        else:
            continue
        raise DatasetError(
            f"{where}: the box of object {number} {wrong}",
            why=f"from ({x0:g}, {y0:g}) to ({x1:g}, {y1:g})",
            hint="correct the label, or leave such pictures out: skip_broken = true",
        )


def _points(keypoints: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Return keypoints in pixels of the input; those that are not labeled stay at 0, and those that are cropped away
    count as not labeled."""
    placed = np.concatenate((geometry.points(keypoints[..., :2]), keypoints[..., 2:]), axis=-1)
    x, y = placed[..., 0], placed[..., 1]
    unseen = (keypoints[..., 2] <= 0) | (x < 0) | (y < 0) | (x > geometry.width) | (y > geometry.height)
    placed[unseen] = 0.0
    return placed
