"""Inputs that are made up, for models that come without data.

Enough to see whether a result is broken, not how good it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgedeploy.datasets.base import Sample
from edgedeploy.values.model import TensorFacts

_EXTENTS = (1, 16, 32, 64, 224)
"""Tried for dynamic dimensions other than the first, in this order; the first is 1."""


def generated_samples(
    inputs: Sequence[TensorFacts], runs: Callable[[dict[str, np.ndarray]], bool], count: int = 8, seed: int = 0
) -> tuple[Sample, ...]:
    """Make `count` feeds of noise that the model accepts: normal for floats, 0 or 1 for integers and truth values.

    Args:
        inputs: of the model.
        runs: whether the model takes a feed. Models with dynamic dimensions rarely take every extent.

    Returns:
        The feeds; none when no extent was accepted.
    """
    for extent in _EXTENTS:
        rng = np.random.default_rng(seed)
        feeds = [{tensor.name: _noise(tensor, extent, rng) for tensor in inputs} for _ in range(count)]
        if runs(feeds[0]):
            return tuple(Sample(feed, None, 1) for feed in feeds)
        if not any(isinstance(dimension, str) for tensor in inputs for dimension in tensor.shape[1:]):
            break
    return ()


def _noise(tensor: TensorFacts, extent: int, rng: np.random.Generator) -> np.ndarray:
    shape = tuple(
        dimension if isinstance(dimension, int) else 1 if axis == 0 else extent
        for axis, dimension in enumerate(tensor.shape)
    )
    dtype = np.dtype(tensor.dtype)
    if np.issubdtype(dtype, np.floating):
        return rng.standard_normal(shape).astype(dtype)
    if dtype == np.dtype(bool):
        return rng.integers(0, 2, shape).astype(dtype)
    if np.issubdtype(dtype, np.integer):
        return rng.integers(0, 2, shape).astype(dtype)
    return np.zeros(shape, dtype)
