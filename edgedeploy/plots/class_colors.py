"""Gives each class a color that differs from its neighbors'."""

from __future__ import annotations

import numpy as np

from edgedeploy.values.labels import NOT_JUDGED


def class_colors(classes: np.ndarray) -> np.ndarray:
    """Return a picture of classes: class 0 is black, 255 (not judged) is grey.

    The colors are those of the Pascal VOC development kit (`VOClabelcolormap`, http://host.robots.ox.ac.uk/pascal/VOC/):
    the bits of the class, three at a time, go to the highest bits of red, green and blue.

    Args:
        classes: whole numbers, shape (height, width).

    Returns:
        uint8, shape (height, width, 3).
    """
    left = classes.astype(np.int64) & 0xFF
    picture = np.zeros((*classes.shape, 3), np.uint8)
    for bit in range(7, -1, -1):
        for channel in range(3):
            picture[..., channel] |= (((left >> channel) & 1) << bit).astype(np.uint8)
        left >>= 3
    picture[classes == NOT_JUDGED] = 128
    return picture
