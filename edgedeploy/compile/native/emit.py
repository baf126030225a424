"""Writes C: statements in order, and where each value lies in memory.

A value lies at a `Place`: a buffer with a stride for each of its dimensions, in any order. So Transpose, Reshape and
the like mostly cost nothing, convolutions work on channels-last images, and what is copied is copied only where a
kernel wants another order. Buffers get their addresses when all is written (`arena`), by the statements that name them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgedeploy.compile.native.graph import Graph, Node, Value
from edgedeploy.foundation.errors import UnsupportedError

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

WEIGHTS_ALIGNMENT = 64

_TOKEN = re.compile(r"@(\d+)@")


@dataclass(eq=False)
class Buffer:
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
        return f"@{self.number}@"

    @property
    def size_bytes(self) -> int:
        return self.size * self.dtype.itemsize


@dataclass(frozen=True)
class Place:
    buffer: Buffer
    offset: int
    strides: tuple[int, ...]
    """Elements from one to the next, for each dimension; 0 where a dimension is repeated."""

    @property
    def pointer(self) -> str:
        return f"({self.buffer.token} + {self.offset})" if self.offset else self.buffer.token


def dense(shape: Sequence[int], order: Sequence[int] | None = None) -> tuple[int, ...]:
    """Strides of a dense array whose dimensions lie in `order`, the outermost first; None is C's order."""
    strides = [0] * len(shape)
    step = 1
    for axis in reversed(order if order is not None else range(len(shape))):
        strides[axis] = step
        step *= shape[axis]
    return tuple(strides)


def same_strides(shape: Sequence[int], one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether both say the same; the stride of a dimension of one element says nothing."""
    return all(extent <= 1 or a == b for extent, a, b in zip(shape, one, other, strict=True))


def memory_order(shape: Sequence[int], strides: Sequence[int]) -> tuple[int, ...]:
    """Dimensions from the outermost to the innermost; repeated ones and those of one element first."""

    def key(axis: int) -> tuple[int, int]:
        return (-strides[axis] if shape[axis] > 1 and strides[axis] else -(1 << 62), axis)

    return tuple(sorted(range(len(shape)), key=key))


def channels_last(rank: int) -> tuple[int, ...]:
    """The order N, spatial dimensions, C."""
    return (0, *range(2, rank), 1)


Emit = Callable[["Emitter", Node], None]


class Emitter:
    """What is written so far. Operators call it; `program` asks it for the result."""

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
        made = Buffer(len(self.buffers), np.dtype(dtype), max(1, size), lasts)
        self.buffers.append(made)
        return made

    def weight(self, array: np.ndarray) -> Buffer:
        """A constant array as it lies in memory."""
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
        """So many floats that are 0: the rows outside of an image."""
        if self._zeros is None or self._zeros.size < count:
            self._zeros = self.weight(np.zeros(count, np.float32))
        return self._zeros.token

    # Values

    def define(self, value: Value, order: Sequence[int] | None = None, *, lasts: bool = False) -> Place:
        """Room for a value, dense, its dimensions in `order`."""
        self._c_type(value.dtype, value.name)
        place = Place(self.buffer(value.dtype, value.size, lasts=lasts), 0, dense(value.shape, order))
        self._places[value] = place
        return place

    def alias(self, value: Value, place: Place) -> None:
        """The value is what lies there already."""
        self._places[value] = place

    def place(self, value: Value) -> Place:
        """Where a value lies, as it lies there."""
        if value not in self._places and value in self.deferred:
            assert self.materialize is not None
            self.materialize(value)
        if value.constant is not None and value not in self._places:
            self._c_type(value.dtype, value.name)
            self._places[value] = Place(self.weight(value.constant), 0, dense(value.shape))
        return self._places[value]

    def ordered(self, value: Value, order: Sequence[int] | None = None) -> str:
        """A pointer to the value, dense in that order: copied if it does not lie so already."""
        wanted = dense(value.shape, order)
        if value.constant is not None:
            key = (value, wanted)
            if key not in self._constants:
                array = value.constant if order is None else value.constant.transpose(order)
                self._constants[key] = Place(self.weight(array), 0, wanted)
            return self._constants[key].pointer
        place = self.place(value)
        if same_strides(value.shape, place.strides, wanted):
            return place.pointer
        found = (place.buffer, place.offset, place.strides, wanted)
        if found not in self._copies:
            copy = Place(self.buffer(value.dtype, value.size), 0, wanted)
            self.copy(value.shape, place, copy)
            self._copies[found] = copy
        return self._copies[found].pointer

    def lies_ordered(self, value: Value, order: Sequence[int] | None = None) -> bool:
        """Whether `ordered` would cost nothing."""
        return value.constant is not None or same_strides(
            value.shape, self.place(value).strides, dense(value.shape, order)
        )

    def deliver(self, value: Value) -> None:
        """Leave an output of the model where nothing else writes, in C's order."""
        if value in self.delivered:
            return
        place = self.place(value)
        target = Place(self.buffer(value.dtype, value.size, lasts=True), 0, dense(value.shape))
        self.copy(value.shape, place, target)
        self.delivered[value] = target.buffer

    def at(self, pointer: str, strides: tuple[int, ...]) -> Place:
        """The place of a pointer that `ordered` gave."""
        found = re.fullmatch(r"\(?@(\d+)@(?: \+ (\d+)\))?", pointer)
        assert found is not None, pointer
        return Place(self.buffers[int(found[1])], int(found[2] or 0), strides)

    # Statements

    def say(self, statement: str) -> None:
        self.statements.append(statement)

    def c_type(self, value: Value) -> str:
        return self._c_type(value.dtype, value.name)

    @staticmethod
    def _c_type(dtype: np.dtype[Any], name: str) -> str:
        if dtype.name not in C_TYPES:
            raise UnsupportedError(f"the native backend cannot hold {name!r}", why=f"its type is {dtype}")
        return C_TYPES[dtype.name]

    def copy(self, shape: Sequence[int], source: Place, target: Place) -> None:
        """Copy an array, whatever the strides of both."""
        self.loops(shape, target, [source], lambda names: names[0])

    def fill(self, shape: Sequence[int], target: Place, source: Place) -> None:
        """Copy from one part of a buffer to another, in any order."""
        axes = range(len(shape))
        kind = C_TYPES[target.buffer.dtype.name]
        lines = [f"{kind} *y = {target.pointer};", f"const {kind} *x = {source.pointer};"]
        lines += [f"for (int i{axis} = 0; i{axis} < {shape[axis]}; i{axis}++)" for axis in axes]
        to = " + ".join(f"i{axis} * {target.strides[axis]}" for axis in axes) or "0"
        read = " + ".join(f"i{axis} * {source.strides[axis]}" for axis in axes) or "0"
        self.say("{\n" + "\n".join("    " + line for line in (*lines, f"    y[{to}] = x[{read}];")) + "\n}")

    def loops(
        self, shape: Sequence[int], target: Place, sources: Sequence[Place], value: Callable[[list[str]], str]
    ) -> None:
        """Loops over `shape` in the target's order, which set each of its elements to `value` of the sources' ones."""
        order = memory_order(shape, target.strides)
        nest = collapse(shape, order, [target.strides, *(each.strides for each in sources)])
        lines = [f"{C_TYPES[target.buffer.dtype.name]} *restrict y = {target.pointer};"]
        names = []
        for number, source in enumerate(sources):
            lines.append(f"const {C_TYPES[source.buffer.dtype.name]} *restrict x{number} = {source.pointer};")
            names.append(f"x{number}[{index(nest, number + 1)}]")
        depth = len(nest.extents)
        for axis, extent in enumerate(nest.extents):
            lines.append("    " * axis + f"for (int i{axis} = 0; i{axis} < {extent}; i{axis}++)")
        lines.append("    " * depth + f"y[{index(nest, 0)}] = {value(names)};")
        self.say("{\n" + "\n".join("    " + line for line in lines) + "\n}")


@dataclass(frozen=True)
class Nest:
    """Loops, the outermost first, and the strides of each operand along them."""

    extents: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]


def collapse(shape: Sequence[int], order: Sequence[int], operands: Sequence[Sequence[int]]) -> Nest:
    """As few loops over `shape` as there can be: neighbours along which all operands go on evenly become one."""
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


def index(nest: Nest, operand: int) -> str:
    """The C expression of an operand's element in the innermost loop."""
    terms = []
    for axis, stride in enumerate(nest.strides[operand]):
        if stride == 1:
            terms.append(f"i{axis}")
        elif stride:
            terms.append(f"i{axis} * {stride}")
    return " + ".join(terms) or "0"


def broadcast(place: Place, shape: Sequence[int], to: Sequence[int]) -> Place:
    """The same array, repeated to a larger shape as NumPy does."""
    missing = len(to) - len(shape)
    strides = [0] * missing
    strides += [
        0 if extent == 1 and wanted != 1 else stride
        for extent, wanted, stride in zip(shape, to[missing:], place.strides, strict=True)
    ]
    return Place(place.buffer, place.offset, tuple(strides))


def named_buffers(statement: str) -> set[int]:
    """Numbers of the buffers that a statement names."""
    return {int(each) for each in _TOKEN.findall(statement)}


def with_pointers(statement: str, pointer: Callable[[int], str]) -> str:
    return _TOKEN.sub(lambda found: pointer(int(found[1])), statement)
