"""How often a tensor took which values, counted sample by sample in memory that is fixed beforehand.

The bins of a histogram are as wide as a power of two, and there is a fixed number of them. When a value comes that lies
beyond the last one, neighbours are joined until it fits: each bin of the wider grid is made of whole bins of the finer
one, so no count is ever lost or guessed, and the result does not depend on the order in which the samples came.
"""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct

HALF = 4096
"""Bins on either side of zero at most. The largest magnitude lies in the upper half of them, so that an 8-bit step over
the whole range spans 8 bins at least, 32 at most."""

_CENTRE = HALF - 1
_BINS = 2 * HALF - 1
_SMALLEST_EXPONENT = -100
"""Bins are no narrower than for values up to 2^-100, so that what they are multiplied with fits in float32."""

_BLOCK = 1 << 15
"""Elements that are counted at once: the intermediate arrays stay in the processor's cache."""

_WAYS = 2
# Successive elements are counted in two tables, which are added up at the end: a tensor that is mostly zeros would
# otherwise wait for its own last increment each time.
_OFFSETS = np.resize(np.arange(_WAYS) * _BINS + _CENTRE, _BLOCK)


class Range(Struct, frozen=True):
    """An interval of a tensor's values; zero lies in it."""

    low: float
    high: float


class Histogram(Struct, frozen=True, kw_only=True, eq=False):
    """Counts of a tensor's values.

    Bin `i` holds the values x with trunc(x / width) = i: those of magnitude |i| · width up to (|i| + 1) · width, of the
    sign of i; bin 0 lies on both sides of zero and is twice as wide.
    """

    counts: np.ndarray
    """Unsigned integers, shape (bins,): from the bin of the smallest value to that of the largest, and bin 0."""
    first: int
    """What the first of `counts` is the bin number of; at most 0."""
    width: float
    seen: Range
    """The smallest and the largest value, exactly, and zero."""

    @property
    def total(self) -> int:
        """Count the values."""
        return int(self.counts.sum(dtype=np.int64))

    @property
    def numbers(self) -> np.ndarray:
        """Return the bins' numbers; int64, shape (bins,)."""
        return np.arange(self.first, self.first + len(self.counts))

    @property
    def centres(self) -> np.ndarray:
        """Return the value that stands for each bin: its middle, and 0 for bin 0; float64, shape (bins,)."""
        numbers = self.numbers
        return np.asarray((numbers + 0.5 * np.sign(numbers)) * self.width)

    def coarser(self) -> Histogram:
        """Return the same counts in bins of twice the width."""
        numbers = _in_twice_the_width(self.numbers)
        counts = np.bincount(numbers - numbers[0], self.counts).astype(np.uint64)
        return Histogram(counts=counts, first=int(numbers[0]), width=2 * self.width, seen=self.seen)

    def upper_edge(self, number: int) -> float:
        """Return the end of the bin that is farther from -∞, at most the largest value seen."""
        return min(self.seen.high, (number + 1 if number >= 0 else number) * self.width)

    def lower_edge(self, number: int) -> float:
        """Return the end of the bin that is nearer to -∞, at least the smallest value seen."""
        return max(self.seen.low, (number - 1 if number <= 0 else number) * self.width)


class HistogramBuilder:
    """Counts the values of one tensor as they come.

    Holds two fixed arrays, together less than 300 kB: the counts, and values that wait until there are enough of them
    to be worth a round of counting.
    """

    def __init__(self) -> None:
        self._tables = np.zeros(_WAYS * _BINS, dtype=np.int64)
        self._exponent = _SMALLEST_EXPONENT
        self._low = 0.0
        self._high = 0.0
        self._waiting: np.ndarray | None = None
        self._waiting_count = 0

    def add(self, values: np.ndarray, low: float, high: float) -> None:
        """Count `values`.

        Args:
            values: finite float32, any shape, not empty.
            low: their smallest.
            high: their largest.
        """
        self._low, self._high = min(self._low, low), max(self._high, high)
        flat = values.reshape(-1)
        if self._waiting_count + flat.size > _BLOCK:
            self._count_waiting()
        if flat.size > _BLOCK // 2:
            self._count(flat)
            return
        if self._waiting is None:
            self._waiting = np.empty(_BLOCK, dtype=np.float32)
        self._waiting[self._waiting_count : self._waiting_count + flat.size] = flat
        self._waiting_count += flat.size

    def finish(self) -> Histogram:
        """Return what was counted so far."""
        self._count_waiting()
        all_counts = self._tables.reshape(_WAYS, _BINS).sum(axis=0)
        occupied = np.flatnonzero(all_counts)
        first = min(int(occupied[0]), _CENTRE) if occupied.size else _CENTRE
        last = max(int(occupied[-1]), _CENTRE) if occupied.size else _CENTRE
        counts = all_counts[first : last + 1]
        small = counts.max() <= np.iinfo(np.uint32).max
        return Histogram(
            counts=counts.astype(np.uint32 if small else np.uint64),
            first=first - _CENTRE,
            width=math.ldexp(1.0 / HALF, self._exponent),
            seen=Range(self._low, self._high),
        )

    def _count_waiting(self) -> None:
        if self._waiting is not None and self._waiting_count:
            self._count(self._waiting[: self._waiting_count])
            self._waiting_count = 0

    def _count(self, flat: np.ndarray) -> None:
        # frexp gives the smallest e with |x| < 2^e.
        self._widen(math.frexp(max(-self._low, self._high))[1])
        per_bin = np.float32(math.ldexp(HALF, -self._exponent))
        scaled = np.empty(min(_BLOCK, flat.size), dtype=np.float32)
        numbers = np.empty(scaled.size, dtype=np.int64)
        for start in range(0, flat.size, _BLOCK):
            part = flat[start : start + _BLOCK]
            bins = numbers[: part.size]
            # Exact: a factor that is a power of two. Conversion to integers truncates (C, 6.3.1.4).
            np.multiply(part, per_bin, out=scaled[: part.size])
            np.copyto(bins, scaled[: part.size], casting="unsafe")
            np.add(bins, _OFFSETS[: part.size], out=bins)
            self._tables += np.bincount(bins, minlength=_WAYS * _BINS)

    def _widen(self, exponent: int) -> None:
        """Make the bins so wide that values below 2^`exponent` in magnitude fit."""
        if self._exponent >= exponent:
            return
        counts = self._tables.reshape(_WAYS, _BINS).sum(axis=0)
        if not counts.any():
            self._exponent = exponent
        while self._exponent < exponent:
            counts = np.bincount(_JOINED, counts, minlength=_BINS).astype(np.int64)
            # All but the last few doublings may be skipped: those alone make every bin part of bin 0.
            self._exponent = max(self._exponent + 1, exponent - HALF.bit_length())
        self._tables[:_BINS], self._tables[_BINS:] = counts, 0


def _in_twice_the_width(numbers: np.ndarray) -> np.ndarray:
    """Which bins of twice the width these bins are part of: trunc(trunc(x) / 2) = trunc(x / 2)."""
    return np.asarray(np.sign(numbers) * (np.abs(numbers) // 2))


_JOINED = _in_twice_the_width(np.arange(-_CENTRE, _CENTRE + 1)) + _CENTRE
