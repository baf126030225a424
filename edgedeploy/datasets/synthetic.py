"""Inputs that are made up, for models that come without data.

Enough to see whether a result is broken, not how good it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edgedeploy.datasets.base import Sample
from edgedeploy.inference.element_types import TEXT, travels
from edgedeploy.values.model import TensorFacts

_EXTENTS = (1, 16, 32, 64, 224)
"""Tried for dynamic dimensions other than the first, in this order; the first is 1."""


_PLAIN_WORDS = ("apple", "banana", "cherry", "New York", "42", "")
"""For a model that looks for no words. The empty one is what many exporters write for a missing value."""


def generated_samples(
    inputs: Sequence[TensorFacts],
    runs: Callable[[dict[str, np.ndarray]], bool],
    count: int = 8,
    seed: int = 0,
    *,
    words: Mapping[str, Sequence[str]] = {},
) -> tuple[Sample, ...]:
    """Make `count` feeds of noise that the model accepts: normal for floats, 0 or 1 for integers and truth values,
    words that the model knows for text.

    Args:
        inputs: of the model.
        runs: whether the model takes a feed. Models with dynamic dimensions rarely take every extent.
        words: by input of text, what the model looks for in it; plain ones are taken where it looks for none.

    Returns:
        The feeds; none when no extent was accepted, or an input is of a type that does not travel.
    """
    if not all(travels(tensor.dtype) for tensor in inputs):
        return ()
    for extent in _EXTENTS:
        rng = np.random.default_rng(seed)
        feeds = [{tensor.name: _noise(tensor, extent, rng, words) for tensor in inputs} for _ in range(count)]
        if runs(feeds[0]):
            return tuple(Sample(feed, None, 1) for feed in feeds)
        if not any(isinstance(dimension, str) for tensor in inputs for dimension in tensor.shape[1:]):
            break
    return ()


def made_up_text(shape: Sequence[int], words: Sequence[str], rng: np.random.Generator) -> np.ndarray:
    """Return text in this shape, as `inference.text` has it: drawn from `words`, or from plain ones where there are
    none."""
    known = words or _PLAIN_WORDS
    count = math.prod(shape)
    return np.array(known, dtype=object)[rng.integers(0, len(known), count)].reshape(tuple(shape))


def made_up_picture(height: int, width: int, channels: int, rng: np.random.Generator) -> np.ndarray:
    """Return a picture with slopes, edges and noise, as photographs have them: uint8, shape (height, width, channels).

    Noise alone becomes gray where it is made smaller, whatever is done wrong.
    """
    rows, columns = np.mgrid[:height, :width]
    slopes = np.stack([rows * 5, columns * 4, (rows + columns) * 2], -1)[..., :channels] % 256
    noise = rng.integers(0, 256, slopes.shape)
    tiles = (rows // 24 + columns // 24) % 2 == 0
    found: np.ndarray = np.where(tiles[..., np.newaxis], slopes, noise).astype(np.uint8)
    return found


def _noise(
    tensor: TensorFacts, extent: int, rng: np.random.Generator, words: Mapping[str, Sequence[str]]
) -> np.ndarray:
    shape = tuple(
        dimension if isinstance(dimension, int) else 1 if axis == 0 else extent
        for axis, dimension in enumerate(tensor.shape)
    )
    if tensor.dtype == TEXT:
        return made_up_text(shape, words.get(tensor.name, ()), rng)
    dtype = np.dtype(tensor.dtype)
    if np.issubdtype(dtype, np.floating):
        return rng.standard_normal(shape).astype(dtype)
    if dtype == np.dtype(bool):
        return rng.integers(0, 2, shape).astype(dtype)
    if np.issubdtype(dtype, np.integer):
        return rng.integers(0, 2, shape).astype(dtype)
    return np.zeros(shape, dtype)
