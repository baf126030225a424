"""Operators that copy elements to other places and compute nothing."""

from __future__ import annotations

from collections.abc import Sequence

from edgedeploy.compile.native.emit import Emitter
from edgedeploy.compile.native.graph import Node, Value
from edgedeploy.compile.native.layout import Place, channels_last, memory_order
from edgedeploy.compile.native.loops import Element
from edgedeploy.compile.native.views import axis_of


def _gathered(elements: Sequence[Element], extent: int, step: int) -> str:
    """Write the element of the first operand that the second, an index along one dimension, chooses."""
    return str(elements[0].shifted(f"bounded((int32_t){elements[1]}, {extent}) * {step}"))


def gather(emitter: Emitter, node: Node) -> None:
    """Take slices by index. One known index costs nothing; the device keeps others within bounds."""
    source, indices, result = node.needed(0), node.needed(1), node.output
    axis = axis_of(node, 0, len(source.shape))
    place = emitter.place(source)
    if indices.constant is not None and indices.size == 1:
        which = int(indices.constant.item()) % source.shape[axis]
        kept = (*place.strides[:axis], *[0] * len(indices.shape), *place.strides[axis + 1 :])
        emitter.alias(result, Place(place.buffer, place.offset + which * place.strides[axis], kept))
        return
    if indices.dtype.name not in ("int32", "int64"):
        raise node.refused(f"its indices are {indices.dtype}")
    target = emitter.define(result)
    rank = len(indices.shape)
    strides = place.strides[:axis] + (0,) * rank + place.strides[axis + 1 :]
    index_strides = (0,) * axis + emitter.place(indices).strides + (0,) * (len(source.shape) - axis - 1)
    chosen = emitter.place(indices)
    extent, step = source.shape[axis], place.strides[axis]
    sources = [place.with_strides(strides), chosen.with_strides(index_strides)]
    emitter.loops(result.shape, target, sources, lambda elements: _gathered(elements, extent, step))


def gather_elements(emitter: Emitter, node: Node) -> None:
    """Take single elements, each by an index of its own."""
    source, indices, result = node.needed(0), node.needed(1), node.output
    axis = axis_of(node, 0, len(source.shape))
    place = emitter.place(source)
    strides = tuple(0 if dimension == axis else stride for dimension, stride in enumerate(place.strides))
    extent, step = source.shape[axis], place.strides[axis]
    emitter.loops(
        result.shape,
        emitter.define(result),
        [place.with_strides(strides), emitter.place(indices)],
        lambda elements: _gathered(elements, extent, step),
    )


def concat(emitter: Emitter, node: Node) -> None:
    """Copy parts side by side."""
    parts = [value for value in node.inputs if value is not None]
    result = node.output
    axis = axis_of(node, 0, len(result.shape))
    order = _shared_order(emitter, parts)
    target = emitter.define(result, order)
    offset = 0
    for part in parts:
        if part.size:
            region = Place(target.buffer, offset, target.strides)
            emitter.copy(part.shape, source=emitter.place(part), target=region)
        offset += part.shape[axis] * target.strides[axis]


def _shared_order(emitter: Emitter, parts: Sequence[Value]) -> tuple[int, ...] | None:
    """Return the order of the largest part that is no constant; None when all are."""
    moving = [part for part in parts if part.constant is None]
    if not moving:
        return None
    largest = max(moving, key=lambda part: part.size)
    return memory_order(largest.shape, emitter.place(largest).strides)


def tile(emitter: Emitter, node: Node) -> None:
    """Repeat an array along each dimension."""
    source, result = node.needed(0), node.output
    place = emitter.place(source)
    # Each dimension becomes two, how often and which; the target is seen the same way.
    target = emitter.define(result)
    shape: list[int] = []
    read: list[int] = []
    to: list[int] = []
    for axis, extent in enumerate(source.shape):
        shape += [result.shape[axis] // extent, extent]
        read += [0, place.strides[axis]]
        to += [target.strides[axis] * extent, target.strides[axis]]
    emitter.copy(shape, source=place.with_strides(tuple(read)), target=target.with_strides(tuple(to)))


def depth_to_space(emitter: Emitter, node: Node) -> None:
    """Move blocks of channels to pixels."""
    source, result = node.needed(0), node.output
    n, c, h, w = source.shape
    size = int(node.get("blocksize", 0))
    place = emitter.place(source)
    s = place.strides
    target = emitter.define(result, channels_last(4))
    t = target.strides
    depth = c // (size * size)
    # Dimensions: n, block row, block column, channel, h, w.
    row, column, channel = (
        (size * depth * s[1], depth * s[1], s[1])
        if node.get("mode", "DCR") == "DCR"
        else (size * s[1], s[1], size * size * s[1])
    )
    emitter.copy(
        (n, size, size, depth, h, w),
        source=place.with_strides((s[0], row, column, channel, s[2], s[3])),
        target=target.with_strides((t[0], t[2], t[3], t[1], t[2] * size, t[3] * size)),
    )
