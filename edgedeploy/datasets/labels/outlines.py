"""Outlines of objects as masks in pixels of the model's input, drawn by COCO's own code."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from edgedeploy.datasets.preprocessing.geometry import Geometry
from edgedeploy.foundation.errors import DatasetError, HostError
from edgedeploy.foundation.extras import extra_line

_LEAST_COORDINATES = 6
"""Of a polygon: three points."""


def drawn(outline: Any, geometry: Geometry, where: str) -> np.ndarray:
    """Return an outline as a mask: bool, shape (height, width) of the input.

    Polygons are placed first and drawn at the input's size; run lengths are a mask of the picture, of which each pixel
    of the input takes the one under its middle.

    Args:
        outline: a list of polygons, each x, y, x, y … in pixels of the picture; or COCO's `{"size": …, "counts": …}`.

    Raises:
        DatasetError: it is neither.
        HostError: pycocotools is not installed.
    """
    coco = _coco()
    try:
        if isinstance(outline, dict):
            height, width = (int(extent) for extent in outline["size"])
            if (height, width) != (geometry.source_height, geometry.source_width):
                raise ValueError(f"a mask of {width} x {height} for a picture of another size")
            runs = outline if isinstance(outline["counts"], str | bytes) else coco.frPyObjects(outline, height, width)
            return geometry.mask(coco.decode(runs).astype(np.uint8), 0).astype(bool)
        polygons = [_placed(polygon, geometry) for polygon in outline]
        if not polygons:
            return np.zeros((geometry.height, geometry.width), bool)
        runs = coco.merge(coco.frPyObjects(polygons, geometry.height, geometry.width))
        return np.asarray(coco.decode(runs), bool)
    except DatasetError:
        raise
    # What pycocotools does with broken run lengths and polygons is not documented.
    except Exception as error:
        raise DatasetError(
            f"{where}: an outline cannot be drawn",
            why=str(error) or type(error).__name__,
            hint="correct the label, or leave such pictures out: skip_broken = true",
        ) from error


def _placed(polygon: Any, geometry: Geometry) -> list[float]:
    points = np.asarray(polygon, np.float64)
    if points.ndim != 1 or len(points) < _LEAST_COORDINATES or len(points) % 2 or not np.isfinite(points).all():
        raise ValueError("a polygon has x and y of three points or more")
    placed: list[float] = geometry.points(points.reshape(-1, 2)).reshape(-1).tolist()
    return placed


def _coco() -> Any:
    try:
        return importlib.import_module("pycocotools.mask")
    except ImportError as error:
        raise HostError(
            "outlines of objects need the Python package pycocotools",
            why="it is in the extra 'detection', which is not installed",
            hint=extra_line("detection"),
        ) from error
