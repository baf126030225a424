"""Masks of objects from prototypes, as YOLACT and ultralytics make them."""

from __future__ import annotations

import numpy as np

from edgedeploy.metrics.resize import bilinear


def masks_of(coefficients: np.ndarray, protos: np.ndarray, boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the mask of each object: bool, shape (objects, height, width).

    The sum of the prototypes by their coefficients, enlarged to the picture, is over 0 (its sigmoid over 0.5), inside
    the object's box (Bolya et al. 2019, https://arxiv.org/abs/1904.02689; ultralytics' `process_mask` with `upsample`).

    Args:
        coefficients: shape (objects, prototypes).
        protos: shape (prototypes, h, w).
        boxes: x0, y0, x1, y1 in pixels of the picture.
        size: height and width of the picture.
    """
    found = np.zeros((len(boxes), *size), bool)
    rows, columns = np.arange(size[0])[:, np.newaxis], np.arange(size[1])
    flat = protos.reshape(len(protos), -1)
    for place, (row, (x0, y0, x1, y1)) in enumerate(zip(coefficients, boxes, strict=True)):
        small = (row @ flat).reshape(1, *protos.shape[1:])
        inside = (rows >= y0) & (rows < y1) & (columns >= x0) & (columns < x1)
        found[place] = (bilinear(small, size)[0] > 0) & inside
    return found
