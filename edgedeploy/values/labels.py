"""What is right for a sample, where that is no number: boxes, outlines, points, spans of time.

Coordinates are in pixels of the model's input, the origin at the top left corner of the top left pixel, x to the right
and y down: a reader of data puts them through what it puts the picture through.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct

NOT_JUDGED = 255
"""In masks of classes: a pixel that does not count."""

Labels = np.ndarray | tuple[Any, ...]
"""Of the samples of one feed: an array with the samples along its first axis, or, where samples differ in extent, a
tuple with an entry for each sample: `Detections`, a `str`, an array."""


class Detections(Struct, frozen=True, kw_only=True, eq=False):
    """Objects in one picture: as labeled, or as a head makes them from a model's outputs."""

    boxes: np.ndarray
    """float64, shape (objects, 4): x0, y0, x1, y1."""
    classes: np.ndarray
    """int64, shape (objects,): from 0."""
    scores: np.ndarray | None = None
    """float64, shape (objects,), in [0, 1]: of answers; labels have none."""
    masks: np.ndarray | None = None
    """bool, shape (objects, height, width): in pixels of the model's input."""
    keypoints: np.ndarray | None = None
    """float64, shape (objects, points, 3): x, y, and how visible: in labels 0 not labeled, 1 hidden, 2 visible (as in
    COCO, https://cocodataset.org/#format-data); in answers a score."""
    crowds: np.ndarray | None = None
    """bool, shape (objects,): labels that stand for many objects, as `iscrowd` of COCO."""
    areas: np.ndarray | None = None
    """float64, shape (objects,): of the object, in square pixels of the model's input; None: those of the boxes."""


class TimeSpans(Struct, frozen=True, kw_only=True, eq=False):
    """Events in one recording."""

    spans_s: np.ndarray
    """float64, shape (events, 2): begin and end, in seconds from the recording's begin."""
    classes: np.ndarray
    """int64, shape (events,): from 0."""
