"""Loops over arrays: as few as there can be, and the C expressions of the elements that they reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Index:
    """The position of an element in an array, in C: a sum of loop counters times strides, and of other terms."""

    terms: tuple[str, ...]

    @classmethod
    def start(cls, offset: int) -> Index:
        """Begin a sum with a number."""
        return cls((str(offset),))

    @classmethod
    def along(cls, strides: Sequence[int], counter: str = "i") -> Index:
        """Index a nest of loops whose counters are called `i0`, `i1` …, in the shortest form."""
        terms = [
            f"{counter}{axis}" if stride == 1 else f"{counter}{axis} * {stride}"
            for axis, stride in enumerate(strides)
            if stride
        ]
        return cls(tuple(terms) or ("0",))

    @classmethod
    def spelled_out(cls, strides: Sequence[int], counter: str = "i") -> Index:
        """Index such a nest with every stride written, 0 and 1 among them; no term where there is no loop."""
        return cls(tuple(f"{counter}{axis} * {stride}" for axis, stride in enumerate(strides)))

    def __add__(self, other: Index) -> Index:
        return Index(self.terms + other.terms)

    def __str__(self) -> str:
        return " + ".join(self.terms) or "0"


@dataclass(frozen=True)
class Element:
    """One element of a C array."""

    array: str
    index: Index

    def shifted(self, by: str) -> Element:
        """Return the element that lies `by`, a C expression, behind this one."""
        return Element(self.array, self.index + Index((by,)))

    def __str__(self) -> str:
        return f"{self.array}[{self.index}]"


@dataclass(frozen=True)
class Nest:
    """Loops, the outermost first, and the strides of each operand along them."""

    extents: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]

    def index(self, operand: int, counter: str = "i") -> Index:
        """Return the position of an operand's element in the innermost loop."""
        return Index.along(self.strides[operand], counter)


def collapse(shape: Sequence[int], order: Sequence[int], operands: Sequence[Sequence[int]]) -> Nest:
    """Make as few loops over `shape` as there can be: neighbours along which all operands go on evenly become one.

    Args:
        order: the dimensions, the outermost first; others are left out.
        operands: strides of each, by dimension.
    """
    extents: list[int] = []
    strides: list[list[int]] = [[] for _ in operands]
    for axis in order:
        extent = shape[axis]
        if extent == 1:
            continue
        steps = [operand[axis] for operand in operands]
        if extents and all(held[-1] == step * extent for held, step in zip(strides, steps, strict=True)):
            extents[-1] *= extent
            for held, step in zip(strides, steps, strict=True):
                held[-1] = step
            continue
        extents.append(extent)
        for held, step in zip(strides, steps, strict=True):
            held.append(step)
    return Nest(tuple(extents), tuple(tuple(each) for each in strides))


def for_loops(extents: Sequence[int], counter: str = "i") -> list[str]:
    """Write the heads of nested loops, one a line."""
    return [
        f"for (int {counter}{axis} = 0; {counter}{axis} < {extent}; {counter}{axis}++)"
        for axis, extent in enumerate(extents)
    ]


def block(lines: Sequence[str]) -> str:
    """Put lines of C into braces, indented."""
    return "{\n" + "\n".join("    " + line for line in lines) + "\n}"
