"""Operators that look at the same memory in another way. Nothing is written for them, but where memory is copied."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgedeploy.compile.native.emit import Emitter
from edgedeploy.compile.native.graph import Node
from edgedeploy.compile.native.layout import Place, broadcast, dense


def axis_of(node: Node, default: int, rank: int) -> int:
    """Return the node's attribute `axis`, counted from the first dimension."""
    axis = int(node.get("axis", default))
    return axis + rank if axis < 0 else axis


def reshape(emitter: Emitter, node: Node) -> None:
    """Change the shape and keep C's order: Reshape, Flatten, Squeeze, Unsqueeze, Identity, Dropout."""
    source, result = node.needed(0), node.output
    place = emitter.place(source)
    strides = _reshaped(source.shape, place.strides, result.shape)
    if strides is None:
        emitter.alias(result, emitter.ordered(source).with_strides(dense(result.shape)))
    else:
        emitter.alias(result, place.with_strides(strides))


def _reshaped(shape: Sequence[int], strides: Sequence[int], to: Sequence[int]) -> tuple[int, ...] | None:
    """Find strides with which the same memory has the other shape, as NumPy does; None where it must be copied."""
    olds = [(extent, stride) for extent, stride in zip(shape, strides, strict=True) if extent != 1]
    found = [1] * len(to)
    news = [axis for axis, extent in enumerate(to) if extent != 1]
    i = j = 0
    while i < len(olds) and j < len(news):
        first_old, first_new = i, j
        have, want = olds[i][0], to[news[j]]
        while have != want:
            if have < want:
                i += 1
                have *= olds[i][0]
            else:
                j += 1
                want *= to[news[j]]
        for a, b in zip(olds[first_old:i], olds[first_old + 1 : i + 1], strict=True):
            if a[1] != b[1] * b[0]:
                return None
        step = olds[i][1]
        for axis in reversed(news[first_new : j + 1]):
            found[axis] = step
            step *= to[axis]
        i, j = i + 1, j + 1
    return tuple(found)


def transpose(emitter: Emitter, node: Node) -> None:
    """Permute the strides."""
    source = node.needed(0)
    order = node.get("perm", list(range(len(source.shape)))[::-1])
    place = emitter.place(source)
    emitter.alias(node.output, place.with_strides(tuple(place.strides[axis] for axis in order)))


def expand(emitter: Emitter, node: Node) -> None:
    """Repeat dimensions, with strides of 0."""
    source = node.needed(0)
    emitter.alias(node.output, broadcast(emitter.place(source), source.shape, node.output.shape))


_SLICE = ("starts", "ends", "axes", "steps")


def _integers(node: Node, which: int, name: str) -> list[int] | None:
    """Read an input, or in older opsets an attribute."""
    given = node.constant(which)
    if given is None:
        listed = node.get(name, None)
        return None if listed is None else [int(each) for each in listed]
    return [int(each) for each in np.ravel(given)]


def slice_(emitter: Emitter, node: Node) -> None:
    """Begin somewhere else and take larger steps, or negative ones."""
    source = node.needed(0)
    starts, ends, axes, steps = (_integers(node, which, name) for which, name in enumerate(_SLICE, 1))
    assert starts is not None and ends is not None, node.name
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    place = emitter.place(source)
    offset, strides = place.offset, list(place.strides)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        first, _, step = slice(start, end, step).indices(source.shape[axis])
        offset += first * place.strides[axis]
        strides[axis] *= step
    emitter.alias(node.output, Place(place.buffer, offset, tuple(strides)))


def split(emitter: Emitter, node: Node) -> None:
    """Give each output its part."""
    source = node.needed(0)
    axis = axis_of(node, 0, len(source.shape))
    place = emitter.place(source)
    sizes = node.constant(1)
    listed = node.get("split", None) if sizes is None else sizes.tolist()
    if listed is None:
        whole = next(value for value in node.outputs if value is not None).shape[axis]
        listed = [whole] * len(node.outputs)
    offset = place.offset
    for value, size in zip(node.outputs, listed, strict=False):
        if value is not None:
            emitter.alias(value, Place(place.buffer, offset, place.strides))
        offset += int(size) * place.strides[axis]
