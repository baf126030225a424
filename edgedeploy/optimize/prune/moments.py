"""First and second moments of what layers multiply, added up while samples stream by.

What is kept does not depend on the number of samples: per layer one matrix of the size of its input, squared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from msgspec import Struct

from edgedeploy.optimize.prune.layer_form import Form, rows_of


class Moments(Struct, kw_only=True, eq=False):
    """Of rows x, and of other rows y at the same places, which may be the same rows."""

    square: np.ndarray
    """Σ x xᵀ; shape (groups, in, in), float64."""
    cross: np.ndarray
    """Σ x yᵀ; shape (groups, in, other in)."""
    total: np.ndarray
    """Σ x; shape (groups, in)."""
    other_total: np.ndarray
    """Σ y; shape (groups, other in)."""
    rows: int

    def centred(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return the covariance of x, the covariance of x with y, the mean of x, and the mean of y."""
        mean, other = self.total / self.rows, self.other_total / self.rows
        square = self.square / self.rows - mean[:, :, None] * mean[:, None, :]
        cross = self.cross / self.rows - mean[:, :, None] * other[:, None, :]
        return square, cross, mean, other


def gather(
    form: Form, values: Iterable[tuple[np.ndarray, np.ndarray]], rows_per_sample: int, seed: int
) -> tuple[Moments, Moments | None]:
    """Add up the moments of one layer, of every other sample apart: one half tests what is fitted to the other.

    Args:
        values: of each sample the layer's input x, and another model's input y of the same layer.
        rows_per_sample: at most so many places of each are taken.
        seed: of the draw.

    Returns:
        Of both halves; None for the second when there is one sample.
    """
    rng, other_rng = np.random.default_rng(seed), np.random.default_rng(seed)
    halves: list[Moments | None] = [None, None]
    for number, (value, other) in enumerate(values):
        x = rows_of(form, value, rows_per_sample, rng)
        y = x if other is value else rows_of(form, other, rows_per_sample, other_rng)
        halves[number % 2] = _add(halves[number % 2], x, y, same=other is value)
    first, second = halves
    assert first is not None, "a dataset without samples is refused before"
    return first, second


def joined(first: Moments, second: Moments) -> Moments:
    """Add up the moments of two sets of rows."""
    return Moments(
        square=first.square + second.square,
        cross=first.cross + second.cross,
        total=first.total + second.total,
        other_total=first.other_total + second.other_total,
        rows=first.rows + second.rows,
    )


class Gatherer:
    """Adds up the moments of several layers at once, x and y being the same."""

    def __init__(self, forms: dict[int, Form], rows_per_sample: Callable[[int], int], seed: int) -> None:
        self._forms = forms
        self._rows = rows_per_sample
        self._chance = np.random.default_rng(seed)
        self.found: dict[int, Moments] = {}

    def add(self, layer: int, value: np.ndarray) -> None:
        """Take in one sample's input of a layer."""
        x = rows_of(self._forms[layer], value, self._rows(layer), self._chance)
        self.found[layer] = _add(self.found.get(layer), x, x, same=True)


def _add(found: Moments | None, x: np.ndarray, y: np.ndarray, *, same: bool) -> Moments:
    # Products in 32 bits, sums over samples in 64.
    square = np.matmul(x.transpose(0, 2, 1), x).astype(np.float64)
    cross = square if same else np.matmul(x.transpose(0, 2, 1), y).astype(np.float64)
    total = x.sum(axis=1, dtype=np.float64)
    other_total = total if same else y.sum(axis=1, dtype=np.float64)
    if found is None:
        return Moments(square=square, cross=cross, total=total, other_total=other_total, rows=x.shape[1])
    found.square += square
    if found.cross is not found.square:
        found.cross += cross
    found.total += total
    if found.other_total is not found.total:
        found.other_total += other_total
    found.rows += x.shape[1]
    return found
