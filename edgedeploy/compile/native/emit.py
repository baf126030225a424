"""Collects the C of a graph: statements in order, and where each value lies in memory.

A value lies at a `Place`: a buffer with a stride for each of its dimensions, in any order. So Transpose, Reshape and
the like mostly cost nothing, convolutions work on channels-last images, and what is copied is copied only where a
kernel wants another order. Buffers get their addresses when all is written (`arena`), by the statements that name them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgedeploy.compile.native.graph import Graph, Node, Value
from edgedeploy.compile.native.layout import C_TYPES, Buffer, Place, dense, memory_order, same_strides
from edgedeploy.compile.native.loops import Element, Index, block, collapse, for_loops
from edgedeploy.foundation.errors import UnsupportedError

WEIGHTS_ALIGNMENT = 64

_TOKEN = re.compile(r"@(\d+)@")


class Emitter:
    """Collects the C of a graph. Operators write with it; `program` makes the file of what they wrote."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.consumers = graph.consumers()
        self.statements: list[str] = []
        self.buffers: list[Buffer] = []
        self.weights = bytearray()
        self.sources: dict[str, str] = {}
        """Further C files, by name."""
        self.prototypes: list[str] = []
        self._weights_at: dict[tuple[str, bytes], int] = {}
        self._places: dict[Value, Place] = {}
        self._constants: dict[tuple[Value, tuple[int, ...]], Place] = {}
        self._copies: dict[tuple[Buffer, int, tuple[int, ...], tuple[int, ...]], Place] = {}
        self.deferred: dict[Value, Node] = {}
        """Elementwise results that are computed where they are used: see `elementwise`."""
        self.materialize: Callable[[Value], None] | None = None
        self._zeros: Buffer | None = None
        self.delivered: dict[Value, Buffer] = {}
        """Where the model's outputs are left."""

    # Memory

    def buffer(self, dtype: np.dtype[Any], size: int, *, lasts: bool = False) -> Buffer:
        """Reserve room in the arena for `size` elements; with `lasts`, until the program ends."""
        made = Buffer(len(self.buffers), np.dtype(dtype), max(1, size), lasts)
        self.buffers.append(made)
        return made

    def weight(self, array: np.ndarray) -> Buffer:
        """Put a constant array among the weights, as it lies in memory; equal arrays share their bytes."""
        flat = np.ascontiguousarray(array)
        content = flat.tobytes()
        made = self.buffer(flat.dtype, flat.size)
        key = (flat.dtype.str, content)
        if key not in self._weights_at:
            self.weights.extend(bytes(-len(self.weights) % WEIGHTS_ALIGNMENT))
            self._weights_at[key] = len(self.weights)
            self.weights.extend(content)
        made.weights_offset = self._weights_at[key]
        return made

    def zeros(self, count: int) -> str:
        """Return a pointer to `count` float32 zeros: the rows outside of an image."""
        if self._zeros is None or self._zeros.size < count:
            self._zeros = self.weight(np.zeros(count, np.float32))
        return self._zeros.token

    # Values

    def define(self, value: Value, order: Sequence[int] | None = None, *, lasts: bool = False) -> Place:
        """Reserve room for a value, dense, its dimensions in `order`; None is C's order."""
        self._c_type(value.dtype, value.name)
        place = Place(self.buffer(value.dtype, value.size, lasts=lasts), 0, dense(value.shape, order))
        self._places[value] = place
        return place

    def alias(self, value: Value, place: Place) -> None:
        """Say that a value is what lies at `place` already."""
        self._places[value] = place

    def place(self, value: Value) -> Place:
        """Return where a value lies, in whatever order it lies there."""
        if value not in self._places and value in self.deferred:
            assert self.materialize is not None
            self.materialize(value)
        if value.constant is not None and value not in self._places:
            self._c_type(value.dtype, value.name)
            self._places[value] = Place(self.weight(value.constant), 0, dense(value.shape))
        return self._places[value]

    def ordered(self, value: Value, order: Sequence[int] | None = None) -> Place:
        """Return a place where the value lies dense in that order: it is copied if it does not lie so already."""
        wanted = dense(value.shape, order)
        if value.constant is not None:
            key = (value, wanted)
            if key not in self._constants:
                array = value.constant if order is None else value.constant.transpose(order)
                self._constants[key] = Place(self.weight(array), 0, wanted)
            return self._constants[key]
        place = self.place(value)
        if same_strides(value.shape, place.strides, wanted):
            return place.with_strides(wanted)
        found = (place.buffer, place.offset, place.strides, wanted)
        if found not in self._copies:
            copy = Place(self.buffer(value.dtype, value.size), 0, wanted)
            self.copy(value.shape, source=place, target=copy)
            self._copies[found] = copy
        return self._copies[found]

    def deliver(self, value: Value) -> None:
        """Leave an output of the model where nothing else writes, in C's order."""
        if value in self.delivered:
            return
        place = self.place(value)
        target = Place(self.buffer(value.dtype, value.size, lasts=True), 0, dense(value.shape))
        self.copy(value.shape, source=place, target=target)
        self.delivered[value] = target.buffer

    # Statements

    def emit(self, statement: str) -> None:
        """Append a C statement. It names buffers by their tokens."""
        self.statements.append(statement)

    def c_type(self, value: Value) -> str:
        """Return the C type of the value's elements.

        Raises:
            UnsupportedError: it has none.
        """
        return self._c_type(value.dtype, value.name)

    @staticmethod
    def _c_type(dtype: np.dtype[Any], name: str) -> str:
        if dtype.name not in C_TYPES:
            raise UnsupportedError(f"the native backend cannot hold {name!r}", why=f"its type is {dtype}")
        return C_TYPES[dtype.name]

    def copy(self, shape: Sequence[int], *, source: Place, target: Place) -> None:
        """Copy an array, whatever the strides of both. They must not overlap."""
        self.loops(shape, target, [source], lambda elements: str(elements[0]))

    def copy_within(self, shape: Sequence[int], *, source: Place, target: Place) -> None:
        """Copy from one part of a buffer to another part of it, element by element, in the order of `shape`."""
        kind = C_TYPES[target.buffer.dtype.name]
        to, read = Index.spelled_out(target.strides), Index.spelled_out(source.strides)
        lines = [f"{kind} *y = {target.pointer};", f"const {kind} *x = {source.pointer};", *for_loops(shape)]
        self.emit(block([*lines, f"    y[{to}] = x[{read}];"]))

    def loops(
        self, shape: Sequence[int], target: Place, sources: Sequence[Place], value: Callable[[list[Element]], str]
    ) -> None:
        """Write loops over `shape` in the target's order, which set each of its elements.

        Args:
            value: gives the C expression of an element from the elements of the sources at the same place.
        """
        order = memory_order(shape, target.strides)
        nest = collapse(shape, order, [target.strides, *(source.strides for source in sources)])
        lines = [f"{C_TYPES[target.buffer.dtype.name]} *restrict y = {target.pointer};"]
        elements = []
        for number, source in enumerate(sources):
            lines.append(f"const {C_TYPES[source.buffer.dtype.name]} *restrict x{number} = {source.pointer};")
            elements.append(Element(f"x{number}", nest.index(number + 1)))
        lines += ["    " * depth + head for depth, head in enumerate(for_loops(nest.extents))]
        lines.append("    " * len(nest.extents) + f"{Element('y', nest.index(0))} = {value(elements)};")
        self.emit(block(lines))


def named_buffers(statement: str) -> set[int]:
    """Return the numbers of the buffers that a statement names."""
    return {int(each) for each in _TOKEN.findall(statement)}


def with_pointers(statement: str, pointer: Callable[[int], str]) -> str:
    """Put addresses in place of the buffers' tokens, each given by `pointer` for the buffer's number."""
    return _TOKEN.sub(lambda found: pointer(int(found[1])), statement)
