"""Operators that move elements and compute nothing. Most become another way of looking at the same memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgedeploy.compile.native.elementwise import literal
from edgedeploy.compile.native.emit import Emitter, Place, broadcast, channels_last, dense, memory_order
from edgedeploy.compile.native.graph import Node, Value


def _axis(node: Node, default: int, rank: int) -> int:
    axis = int(node.get("axis", default))
    return axis + rank if axis < 0 else axis


def reshape(emitter: Emitter, node: Node) -> None:
    """Reshape, Flatten, Squeeze, Unsqueeze, Identity, Dropout: the elements stay in C's order."""
    source, result = node.needed(0), node.output
    place = emitter.place(source)
    strides = _reshaped(source.shape, place.strides, result.shape)
    if strides is None:
        pointer = emitter.ordered(source)
        emitter.alias(result, emitter.at(pointer, dense(result.shape)))
    else:
        emitter.alias(result, Place(place.buffer, place.offset, strides))


def _reshaped(shape: Sequence[int], strides: Sequence[int], to: Sequence[int]) -> tuple[int, ...] | None:
    """Strides with which the same memory has the other shape, or None: then it must be copied. As NumPy does it."""
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
    source = node.needed(0)
    order = node.get("perm", list(range(len(source.shape)))[::-1])
    place = emitter.place(source)
    emitter.alias(node.output, Place(place.buffer, place.offset, tuple(place.strides[axis] for axis in order)))


def expand(emitter: Emitter, node: Node) -> None:
    source = node.needed(0)
    emitter.alias(node.output, broadcast(emitter.place(source), source.shape, node.output.shape))


_SLICE = ("starts", "ends", "axes", "steps")


def _integers(node: Node, which: int, name: str) -> list[int] | None:
    """An input, or in older opsets an attribute."""
    given = node.constant(which)
    if given is None:
        listed = node.get(name, None)
        return None if listed is None else [int(each) for each in listed]
    return [int(each) for each in np.ravel(given)]


def slice_(emitter: Emitter, node: Node) -> None:
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
    source = node.needed(0)
    axis = _axis(node, 0, len(source.shape))
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


def gather(emitter: Emitter, node: Node) -> None:
    source, indices, result = node.needed(0), node.needed(1), node.output
    axis = _axis(node, 0, len(source.shape))
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

    def value(names: list[str]) -> str:
        # The first operand is only there for its place: x0[e] becomes x0[e + which * step].
        which = f"(int32_t){names[1]}"
        return f"{names[0][:-1]} + bounded({which}, {extent}) * {step}]"

    sources = [Place(place.buffer, place.offset, strides), Place(chosen.buffer, chosen.offset, index_strides)]
    emitter.loops(result.shape, target, sources, value)


def gather_elements(emitter: Emitter, node: Node) -> None:
    source, indices, result = node.needed(0), node.needed(1), node.output
    axis = _axis(node, 0, len(source.shape))
    place = emitter.place(source)
    strides = tuple(0 if each == axis else stride for each, stride in enumerate(place.strides))
    extent, step = source.shape[axis], place.strides[axis]
    emitter.loops(
        result.shape,
        emitter.define(result),
        [Place(place.buffer, place.offset, strides), emitter.place(indices)],
        lambda names: f"{names[0][:-1]} + bounded((int32_t){names[1]}, {extent}) * {step}]",
    )


def concat(emitter: Emitter, node: Node) -> None:
    parts = [value for value in node.inputs if value is not None]
    result = node.output
    axis = _axis(node, 0, len(result.shape))
    order = _shared_order(emitter, parts)
    target = emitter.define(result, order)
    offset = 0
    for part in parts:
        if part.size:
            emitter.copy(part.shape, emitter.place(part), Place(target.buffer, offset, target.strides))
        offset += part.shape[axis] * target.strides[axis]


def _shared_order(emitter: Emitter, parts: Sequence[Value]) -> tuple[int, ...] | None:
    """As the largest part lies that is no constant."""
    moving = [part for part in parts if part.constant is None]
    if not moving:
        return None
    largest = max(moving, key=lambda part: part.size)
    return memory_order(largest.shape, emitter.place(largest).strides)


def pad(emitter: Emitter, node: Node) -> None:
    source, result = node.needed(0), node.output
    mode = node.get("mode", "constant")
    rank = len(source.shape)
    given = node.constant(1)
    amounts = node.get("pads", None) if given is None else given.tolist()
    axes = node.constant(3)
    before, after = [0] * rank, [0] * rank
    listed = list(range(rank)) if axes is None else [int(axis) % rank for axis in axes.tolist()]
    for number, axis in enumerate(listed):
        before[axis], after[axis] = int(amounts[number]), int(amounts[number + len(listed)])
    place = emitter.place(source)
    target = emitter.define(result, memory_order(source.shape, place.strides))
    if mode == "constant":
        fill = node.constant(2)
        filling: float = float(node.get("value", 0.0)) if fill is None or not fill.size else fill.item()
        emitter.loops(result.shape, target, [], lambda _: literal(filling, result.dtype))
    offset, skip, inside = 0, 0, list(source.shape)
    for axis in range(rank):
        offset += max(0, before[axis]) * target.strides[axis]
        skip += max(0, -before[axis]) * place.strides[axis]
        inside[axis] += min(0, before[axis]) + min(0, after[axis])
    emitter.copy(
        inside, Place(place.buffer, place.offset + skip, place.strides), Place(target.buffer, offset, target.strides)
    )
    if mode == "constant":
        return
    if min(*before, *after) < 0 or mode not in ("reflect", "edge"):
        raise node.refused(f"its mode is {mode!r}")
    # One dimension after the other: what was filled in along one is source for the next.
    extents = list(source.shape)
    for axis in range(rank):
        step = target.strides[axis]
        base = offset - before[axis] * step
        for amount, edge, away in (
            (before[axis], before[axis], -1),
            (after[axis], before[axis] + source.shape[axis] - 1, 1),
        ):
            if not amount:
                continue
            region = list(extents)
            region[axis] = amount
            to, read = list(target.strides), list(target.strides)
            to[axis] = away * step
            read[axis] = -away * step if mode == "reflect" else 0
            first = base + (edge - away) * step if mode == "reflect" else base + edge * step
            emitter.fill(
                region,
                Place(target.buffer, base + (edge + away) * step, tuple(to)),
                Place(target.buffer, first, tuple(read)),
            )
        extents[axis] = result.shape[axis]
        offset = base


def tile(emitter: Emitter, node: Node) -> None:
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
    emitter.copy(shape, Place(place.buffer, place.offset, tuple(read)), Place(target.buffer, 0, tuple(to)))


def depth_to_space(emitter: Emitter, node: Node) -> None:
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
        Place(place.buffer, place.offset, (s[0], row, column, channel, s[2], s[3])),
        Place(target.buffer, 0, (t[0], t[2], t[3], t[1], t[2] * size, t[3] * size)),
    )


def resize(emitter: Emitter, node: Node) -> bool:
    """Nearest and linear along each dimension; False when it is another kind."""
    source, result = node.needed(0), node.output
    if source.dtype.name != "float32":
        return False
    mode = node.get("mode", "nearest")
    transform = node.get("coordinate_transformation_mode", "half_pixel")
    if node.op == "Upsample":
        transform = "asymmetric"
    if (
        mode not in ("nearest", "linear")
        or node.get("antialias", 0)
        or transform not in ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
        or node.get("axes", None)
        or node.get("keep_aspect_ratio_policy", "stretch") != "stretch"
    ):
        return False
    scales = _scales(node)
    place, value = emitter.place(source), source
    for axis in range(len(source.shape)):
        if source.shape[axis] == result.shape[axis] and scales[axis] == 1:
            continue
        shape = (*value.shape[:axis], result.shape[axis], *value.shape[axis + 1 :])
        made = result if shape == result.shape else Value(f"{result.name}.{axis}", result.dtype, shape)
        target = emitter.define(made, memory_order(value.shape, place.strides))
        at = _coordinates(transform, scales[axis], value.shape[axis], shape[axis])
        _resize_axis(emitter, node, mode, axis, at, value, place, made, target)
        place, value = target, made
    if value is source:
        emitter.alias(result, place)
    return True


def _scales(node: Node) -> list[float]:
    source, result = node.needed(0).shape, node.output.shape
    given = node.constant(1 if node.op == "Upsample" or len(node.inputs) == 2 else 2)
    if given is not None and given.size == len(source):
        return [float(each) for each in given]
    listed = node.get("scales", None)
    return [float(e) for e in listed] if listed else [b / a for a, b in zip(source, result, strict=True)]


def _coordinates(transform: str, scale: float, before: int, after: int) -> np.ndarray:
    at = np.arange(after, dtype=np.float64)
    if transform == "asymmetric":
        return at / scale
    if transform == "align_corners":
        return at * ((before - 1) / (after - 1)) if after > 1 else at * 0
    if transform == "pytorch_half_pixel" and after == 1:
        return at * 0
    return (at + 0.5) / scale - 0.5


def _resize_axis(
    emitter: Emitter,
    node: Node,
    mode: str,
    axis: int,
    at: np.ndarray,
    value: Value,
    place: Place,
    made: Value,
    target: Place,
) -> None:
    last, step = value.shape[axis] - 1, place.strides[axis]
    still = tuple(0 if each == axis else stride for each, stride in enumerate(place.strides))
    along = tuple(1 if each == axis else 0 for each in range(len(made.shape)))
    source = Place(place.buffer, place.offset, still)

    def table(array: np.ndarray) -> Place:
        return Place(emitter.weight(array), 0, along)

    if mode == "nearest":
        rounding = node.get("nearest_mode", "floor" if node.op == "Upsample" else "round_prefer_floor")
        which = {
            "floor": lambda x: np.floor(x),
            "ceil": lambda x: np.ceil(x),
            "round_prefer_floor": lambda x: np.ceil(x - 0.5),
            "round_prefer_ceil": lambda x: np.floor(x + 0.5),
        }[rounding](at)
        offsets = np.clip(which, 0, last).astype(np.int32) * step
        emitter.loops(made.shape, target, [source, table(offsets.astype(np.int32))], lambda x: f"{x[0][:-1]} + {x[1]}]")
        return
    bounded = np.clip(at, 0, last)
    low = np.minimum(np.floor(bounded), last).astype(np.int32)
    high = np.minimum(low + 1, last)
    share = (bounded - low).astype(np.float32)
    tables = [table((low * step).astype(np.int32)), table((high * step).astype(np.int32)), table(share)]
    emitter.loops(
        made.shape,
        target,
        [source, *tables],
        lambda x: f"{x[0][:-1]} + {x[1]}] * (1.0f - {x[3]}) + {x[0][:-1]} + {x[2]}] * {x[3]}",
    )
