"""Places buffers in one block of memory: those that are never alive together may share bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ALIGNMENT = 64


@dataclass(frozen=True)
class Lifetime:
    size_bytes: int
    first: int
    """The statement that first names it."""
    last: int


def lay_out(lifetimes: Sequence[Lifetime]) -> tuple[list[int], int]:
    """Return the offset of each buffer in the block and the size of the block, in bytes.

    The largest first, each at the lowest place that is free as long as it lives: Pisarchyk and Lee, «Efficient Memory
    Management for Deep Neural Net Inference» (2020), «greedy by size».
    """
    offsets = [0] * len(lifetimes)
    placed: list[int] = []
    total = 0
    for number in sorted(range(len(lifetimes)), key=lambda each: (-lifetimes[each].size_bytes, each)):
        mine = lifetimes[number]
        size = -(-mine.size_bytes // ALIGNMENT) * ALIGNMENT
        at = 0
        for other in sorted(placed, key=lambda each: offsets[each]):
            theirs = lifetimes[other]
            if theirs.last < mine.first or mine.last < theirs.first:
                continue
            if offsets[other] - at >= size:
                break
            at = max(at, offsets[other] + -(-theirs.size_bytes // ALIGNMENT) * ALIGNMENT)
        offsets[number] = at
        placed.append(number)
        total = max(total, at + size)
    return offsets, total
