"""A part of a dataset that stands for all of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from edgedeploy.datasets.base import Dataset, Sample


def spread(dataset: Dataset, wanted: int) -> Iterator[Sample]:
    """Yield `wanted` samples at equal distances; the first ones where only running the dataset gives its length."""
    if dataset.count is None:
        yield from itertools.islice(dataset.samples(), wanted)
        return
    yield from dataset.chosen(spread_indices(dataset.count, wanted))


def spread_indices(count: int, wanted: int) -> Sequence[int]:
    """Return `wanted` of `count` indices, or all, at distances that differ by one at most."""
    wanted = min(wanted, count)
    return [(2 * i + 1) * count // (2 * wanted) for i in range(wanted)]
