"""The text file of one picture in YOLO's form: a row for each object, in shares of the picture's width and height."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from edgedeploy.datasets.class_numbers import ClassNumbers
from edgedeploy.datasets.labels.objects import MarkedObjects
from edgedeploy.foundation.errors import DatasetError
from edgedeploy.foundation.files import unreadable
from edgedeploy.foundation.reading import PICTURE_LABEL, read_text

_BOX = 5
"""Values of a row: the class, and the middle, width and height of its box."""
_LEAST_POLYGON = 7
"""The class, and three points."""


class RowForm(Struct, frozen=True, kw_only=True):
    """What rows hold."""

    polygons: bool = False
    """Outlines are wanted; rows with boxes only stand for rectangles."""
    keypoints: tuple[int, int] | None = None
    """Points of an object, and values of a point."""


def read_rows(file: Path, form: RowForm, classes: ClassNumbers, size: tuple[int, int]) -> MarkedObjects:
    """Read the objects of one picture; none where there is no file.

    Args:
        size: width and height of the picture.

    Raises:
        InvalidFileError: the file cannot be read.
        DatasetError: a row has other values than its form, or there is no such class; the message names file and line.
    """
    try:
        lines = read_text(file, PICTURE_LABEL).splitlines()
    except FileNotFoundError:
        lines = []
    except OSError as error:
        raise unreadable(file, error) from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{file} is not text in UTF-8", why=str(error)) from error
    boxes, numbers, outlines, points = [], [], [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{file}:{number}"
        values = _values(line, where)
        numbers.append(_class(values[0], classes, where))
        box, outline = _shape(values[1:], form, where)
        boxes.append(box)
        outlines.append(outline)
        if form.keypoints is not None:
            points.append(_points(values[_BOX:], form.keypoints, where))
    scale = np.array(size * 2, np.float64)
    count = form.keypoints[0] if form.keypoints is not None else 0
    keypoints = (
        np.array(points, np.float64).reshape(-1, count, 3) * (*size, 1.0) if form.keypoints is not None else None
    )
    return MarkedObjects(
        boxes=np.array(boxes, np.float64).reshape(-1, 4) * scale,
        classes=np.array(numbers, np.int64),
        keypoints=keypoints,
        outlines=tuple([(np.array(each).reshape(-1, 2) * size).reshape(-1)] for each in outlines)
        if form.polygons
        else None,
    )


def _values(line: str, where: str) -> list[float]:
    try:
        values = [float(word) for word in line.split()]
    except ValueError as error:
        raise DatasetError(f"{where}: a value is no number", why=str(error), hint=_FORM) from error
    if len(values) < _BOX or not all(map(math.isfinite, values)):
        raise DatasetError(f"{where}: it has {len(values)} values, and a box has {_BOX}", hint=_FORM)
    return values


def _class(value: float, classes: ClassNumbers, where: str) -> int:
    if value != int(value):
        raise DatasetError(f"{where}: the class is {value:g}, and no whole number", hint=_FORM)
    return classes.checked(int(value), where)


def _shape(values: list[float], form: RowForm, where: str) -> tuple[list[float], list[float]]:
    """Return the box of a row, x0, y0, x1, y1, and its outline, x, y, x, y …"""
    if form.keypoints is None and len(values) >= _LEAST_POLYGON - 1:
        if len(values) % 2:
            raise DatasetError(
                f"{where}: a polygon has x and y of each point; here are {len(values)} values", hint=_FORM
            )
        xs, ys = values[::2], values[1::2]
        box, outline = [min(xs), min(ys), max(xs), max(ys)], values
    elif form.keypoints is None and len(values) != _BOX - 1:
        raise DatasetError(f"{where}: it has {len(values) + 1} values, and a box has {_BOX}", hint=_FORM)
    else:
        x, y, width, height = values[:4]
        box = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
        outline = [box[0], box[1], box[2], box[1], box[2], box[3], box[0], box[3]]
    if max(map(abs, box)) > _LARGEST_SHARE:
        raise DatasetError(
            f"{where}: coordinates up to {max(map(abs, box)):g}",
            why="they are shares of the picture's width and height, from 0 to 1",
            hint="divide x and widths by the picture's width, y and heights by its height",
        )
    return box, outline


_LARGEST_SHARE = 2.0
"""Boxes may reach out of the picture, but not by all of it."""
_FORM = "write class, x and y of the middle, width and height, as shares of the picture: 0 0.5 0.5 0.2 0.3"


def _points(values: list[float], shape: tuple[int, int], where: str) -> list[list[float]]:
    """Return x, y and visibility of each point; points without a visibility are visible, but those at 0, 0."""
    count, each = shape
    if len(values) != count * each:
        raise DatasetError(
            f"{where}: it has {len(values)} values after the box, and kpt_shape says {count} x {each}",
            hint="correct kpt_shape in the data.yaml, or the row",
        )
    found: list[Any] = []
    for start in range(0, len(values), each):
        x, y, *seen = values[start : start + each]
        found.append([x, y, seen[0] if seen else 2.0 * (x != 0 or y != 0)])
    return found
