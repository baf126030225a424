"""Pad: the source is copied into the middle, then what is around it is filled in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgedeploy.compile.native.emit import Emitter
from edgedeploy.compile.native.formulas import literal
from edgedeploy.compile.native.graph import Node, Value
from edgedeploy.compile.native.layout import Place, memory_order


@dataclass(frozen=True)
class _Amounts:
    """Elements that are added at both ends of each dimension; negative ones are cut off."""

    before: Sequence[int]
    after: Sequence[int]


def pad(emitter: Emitter, node: Node) -> None:
    """Write a Pad.

    Raises:
        UnsupportedError: its mode is none of constant, reflect and edge, or one of the latter two cuts off.
    """
    source, result = node.needed(0), node.output
    mode = node.get("mode", "constant")
    amounts = _amounts(node, len(source.shape))
    place = emitter.place(source)
    target = emitter.define(result, memory_order(source.shape, place.strides))
    if mode == "constant":
        filling = _filling(node)
        emitter.loops(result.shape, target, [], lambda _: literal(filling, result.dtype))
    middle = _copy_into_middle(emitter, source, place, target, amounts)
    if mode == "constant":
        return
    if min(*amounts.before, *amounts.after) < 0 or mode not in ("reflect", "edge"):
        raise node.refused(f"its mode is {mode!r}")
    _fill_around(emitter, source.shape, result.shape, middle, amounts, mirrored=mode == "reflect")


def _amounts(node: Node, rank: int) -> _Amounts:
    given, axes = node.constant(1), node.constant(3)
    listed = node.get("pads", None) if given is None else given.tolist()
    before, after = [0] * rank, [0] * rank
    dimensions = list(range(rank)) if axes is None else [int(axis) % rank for axis in axes.tolist()]
    for number, axis in enumerate(dimensions):
        before[axis], after[axis] = int(listed[number]), int(listed[number + len(dimensions)])
    return _Amounts(before, after)


def _filling(node: Node) -> float:
    given = node.constant(2)
    if given is None or not given.size:
        return float(node.get("value", 0.0))
    value: float = given.item()
    return value


def _copy_into_middle(emitter: Emitter, source: Value, place: Place, target: Place, amounts: _Amounts) -> Place:
    """Copy what stays of the source; where it lies in the target."""
    offset, skip, inside = 0, 0, list(source.shape)
    for axis, (before, after) in enumerate(zip(amounts.before, amounts.after, strict=True)):
        offset += max(0, before) * target.strides[axis]
        skip += max(0, -before) * place.strides[axis]
        inside[axis] += min(0, before) + min(0, after)
    middle = Place(target.buffer, offset, target.strides)
    emitter.copy(inside, source=Place(place.buffer, place.offset + skip, place.strides), target=middle)
    return middle


def _fill_around(
    emitter: Emitter, shape: Sequence[int], padded: Sequence[int], middle: Place, amounts: _Amounts, *, mirrored: bool
) -> None:
    """Fill in one dimension after the other: what was filled in along one is source for the next."""
    extents, offset = list(shape), middle.offset
    for axis, step in enumerate(middle.strides):
        before, after = amounts.before[axis], amounts.after[axis]
        base = offset - before * step
        for amount, edge, away in ((before, before, -1), (after, before + shape[axis] - 1, 1)):
            if not amount:
                continue
            region = list(extents)
            region[axis] = amount
            to, read = list(middle.strides), list(middle.strides)
            to[axis] = away * step
            read[axis] = -away * step if mirrored else 0
            first = base + (edge - away) * step if mirrored else base + edge * step
            emitter.copy_within(
                region,
                source=Place(middle.buffer, first, tuple(read)),
                target=Place(middle.buffer, base + (edge + away) * step, tuple(to)),
            )
        extents[axis] = padded[axis]
        offset = base
