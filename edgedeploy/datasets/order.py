"""An order of samples in which every part stands for all of them."""

from __future__ import annotations

import numpy as np

_GOLDEN = 0x9E3779B97F4A7C15
_MULTIPLIERS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_LAST_SHIFT = 31


def mixed_order(count: int) -> np.ndarray:
    """Return the numbers below `count` in an order that looks random and is the same everywhere: int64.

    Files of a folder come class by class, or video by video; the first hundred of them are one class. They are ordered
    by the SplitMix64 hash of their number: Steele, Lea and Flood, «Fast splittable pseudorandom number generators»,
    OOPSLA 2014; constants as in https://prng.di.unimi.it/splitmix64.c.
    """
    hashed = (np.arange(count, dtype=np.uint64) + np.uint64(1)) * np.uint64(_GOLDEN)
    for shift, multiplier in _MULTIPLIERS:
        hashed = (hashed ^ (hashed >> np.uint64(shift))) * np.uint64(multiplier)
    hashed ^= hashed >> np.uint64(_LAST_SHIFT)
    return np.argsort(hashed, kind="stable")
