"""Writes operators that compute each element from those at the same place. Chains of them become one loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from edgedeploy.compile.native.emit import Emitter
from edgedeploy.compile.native.formulas import formula_of, literal, quantized_axis
from edgedeploy.compile.native.graph import Node, Value
from edgedeploy.compile.native.layout import Place, broadcast, memory_order, same_strides
from edgedeploy.compile.native.loops import Element

Leaf = tuple[Value, int | None]
"""What a loop reads: a value, and the dimension that it goes along where it is a scale or zero point per channel."""

_HEAVY = 24
"""Operators in one loop at most: a longer one no longer fits into registers."""


def elementwise(emitter: Emitter, node: Node) -> None:
    """Write the loop now, or leave it to the one operator that takes the result."""
    result = node.output
    takers = emitter.consumers.get(result, [])
    if (
        len(takers) == 1
        and result not in emitter.graph.outputs
        and formula_of(takers[0]) is not None
        and takers[0].output.shape == result.shape
        and _weight(emitter, node) < _HEAVY
        and (takers[0].op != "Pow" or takers[0].inputs[1] is not result)
    ):
        emitter.deferred[result] = node
        return
    write(emitter, node)


def _weight(emitter: Emitter, node: Node) -> int:
    return 1 + sum(_weight(emitter, emitter.deferred[each]) for each in node.inputs if each in emitter.deferred)


def write(emitter: Emitter, node: Node) -> None:
    """Write one loop for an operator and all that was left to it."""
    result = node.output
    leaves: dict[Leaf, Place] = {}
    steps: list[tuple[Node, list[Leaf]]] = []
    _visit(emitter, node, result, leaves, steps)
    order = _order(result, leaves)
    target = emitter.define(result, order)
    sources = list(leaves)

    def value_of(elements: list[Element]) -> str:
        known = {leaf: str(element) for leaf, element in zip(sources, elements, strict=True)}
        for step, inputs in steps:
            formula = formula_of(step)
            assert formula is not None
            known[step.output, None] = formula(step, [_operand(leaf[0], known[leaf]) for leaf in inputs])
        return known[result, None]

    if not _look_up(emitter, result, target, leaves, value_of):
        emitter.loops(result.shape, target, list(leaves.values()), value_of)


def _visit(
    emitter: Emitter, node: Node, result: Value, leaves: dict[Leaf, Place], steps: list[tuple[Node, list[Leaf]]]
) -> None:
    """Collect what the loop for `result` reads, and the nodes that it computes, each after what it takes."""
    taken: list[Leaf] = []
    for position, value in enumerate(node.inputs):
        if value is None or (node.op == "Clip" and position):
            continue
        if value in emitter.deferred:
            if all(done is not emitter.deferred[value] for done, _ in steps):
                _visit(emitter, emitter.deferred[value], result, leaves, steps)
            taken.append((value, None))
            continue
        axis = quantized_axis(node, position, value)
        if (value, axis) not in leaves:
            leaves[value, axis] = _spread(emitter.place(value), value, axis, result.shape)
        taken.append((value, axis))
    steps.append((node, taken))


_BYTE = 256
_TABLE_PAYS = 4 * _BYTE
"""Elements from which on making a table costs less than it saves."""


def _look_up(
    emitter: Emitter,
    result: Value,
    target: Place,
    leaves: Mapping[Leaf, Place],
    value_of: Callable[[list[Element]], str],
) -> bool:
    """Look the result up in a table of each byte, where it is a function of one byte; False where it is none."""
    varying = [leaf for leaf in leaves if leaf[0].constant is None or leaf[0].size > 1]
    if len(varying) != 1 or result.size < _TABLE_PAYS or result.dtype.name not in ("int8", "uint8", "float32"):
        return False
    (source, axis), place = varying[0], leaves[varying[0]]
    if axis is not None or source.dtype.name not in ("int8", "uint8") or source.shape != result.shape:
        return False
    is_dense = place.buffer.size >= result.size and same_strides(result.shape, place.strides, target.strides)
    if not is_dense or source.constant is not None:
        return False
    every = emitter.weight(np.arange(_BYTE, dtype=np.uint8).view(source.dtype))
    table = emitter.buffer(result.dtype, _BYTE)
    places = [
        Place(every, 0, (1,)) if leaf == varying[0] else constant.with_strides((0,))
        for leaf, constant in leaves.items()
    ]
    emitter.loops((_BYTE,), Place(table, 0, (1,)), places, value_of)
    function = "lookup_floats" if result.dtype.name == "float32" else "lookup"
    emitter.emit(f"{function}({place.pointer}, {table.token}, {target.pointer}, {result.size});")
    return True


def _operand(value: Value, element: str) -> str:
    if value.constant is not None and value.size == 1:
        return literal(value.constant.item(), value.dtype)
    return element


def _spread(place: Place, value: Value, axis: int | None, shape: tuple[int, ...]) -> Place:
    if axis is None:
        return broadcast(place, value.shape, shape)
    strides = [0] * len(shape)
    strides[axis] = place.strides[0]
    return place.with_strides(tuple(strides))


def _order(result: Value, leaves: Mapping[Leaf, Place]) -> tuple[int, ...] | None:
    """Return the order of the first operand that has all elements, so that nothing is reordered; None when none has."""
    for (value, _), place in leaves.items():
        if value.shape == result.shape and value.constant is None:
            return memory_order(value.shape, place.strides)
    return None
