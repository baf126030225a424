"""Where values lie in memory: a buffer, and a stride for each dimension, in any order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

C_TYPES = {
    "float32": "float",
    "float64": "double",
    "int8": "int8_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "int64": "int64_t",
    "uint8": "uint8_t",
    "uint16": "uint16_t",
    "uint32": "uint32_t",
    "uint64": "uint64_t",
    "bool": "bool",
    "float16": "_Float16",
}
"""The C type of elements, by NumPy's name of theirs."""


@dataclass(eq=False)
class Buffer:
    """A block of elements in the arena, or among the weights."""

    number: int
    dtype: np.dtype[Any]
    size: int
    """Elements."""
    lasts: bool
    """An output: nothing may take its memory before the end."""
    weights_offset: int | None = None
    """Where in the weights, in bytes, for constants."""

    @property
    def token(self) -> str:
        """Stands for the buffer's address in a statement until it has one: see `emit.with_pointers`."""
        return f"@{self.number}@"

    @property
    def size_bytes(self) -> int:
        return self.size * self.dtype.itemsize


@dataclass(frozen=True)
class Place:
    """An array in a buffer."""

    buffer: Buffer
    offset: int
    """Elements before its first one."""
    strides: tuple[int, ...]
    """Elements from one to the next, for each dimension; 0 where a dimension is repeated."""

    @property
    def pointer(self) -> str:
        """The C expression of its first element's address."""
        return f"({self.buffer.token} + {self.offset})" if self.offset else self.buffer.token

    def with_strides(self, strides: tuple[int, ...]) -> Place:
        """Return the same memory with other dimensions."""
        return replace(self, strides=strides)


def dense(shape: Sequence[int], order: Sequence[int] | None = None) -> tuple[int, ...]:
    """Return the strides of a dense array whose dimensions lie in `order`, the outermost first; None is C's order."""
    strides = [0] * len(shape)
    step = 1
    for axis in reversed(order if order is not None else range(len(shape))):
        strides[axis] = step
        step *= shape[axis]
    return tuple(strides)


def same_strides(shape: Sequence[int], first: Sequence[int], second: Sequence[int]) -> bool:
    """Tell whether both reach the same elements; the stride of a dimension of one element does not matter."""
    return all(extent <= 1 or a == b for extent, a, b in zip(shape, first, second, strict=True))


def memory_order(shape: Sequence[int], strides: Sequence[int]) -> tuple[int, ...]:
    """Sort dimensions from the outermost to the innermost; repeated ones and those of one element come first."""

    def key(axis: int) -> tuple[int, int]:
        return (-strides[axis] if shape[axis] > 1 and strides[axis] else -(1 << 62), axis)

    return tuple(sorted(range(len(shape)), key=key))


def channels_last(rank: int) -> tuple[int, ...]:
    """Return the order N, spatial dimensions, C."""
    return (0, *range(2, rank), 1)


def broadcast(place: Place, shape: Sequence[int], to: Sequence[int]) -> Place:
    """Repeat an array to a larger shape, as NumPy does."""
    missing = len(to) - len(shape)
    strides = [0] * missing
    strides += [
        0 if extent == 1 and wanted != 1 else stride
        for extent, wanted, stride in zip(shape, to[missing:], place.strides, strict=True)
    ]
    return place.with_strides(tuple(strides))
