"""Making a graph without some of its channels: really smaller tensors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.optimize.graph.edit import all_nodes, constant, copy_of, replace_input
from edgedeploy.optimize.graph.shapes import forget_shapes, infer_shapes
from edgedeploy.optimize.prune.channels.coupling import Coupling
from edgedeploy.optimize.prune.channels.edits import Cut, Edit, Extent, GroupCount, Selection, SliceBounds, SplitSizes

Operand = tuple[int, int]
"""Place of a node in the main graph, and of an operand among its inputs."""


class Kept:
    """Which channels stay."""

    def __init__(self, coupling: Coupling, removed: frozenset[int]) -> None:
        """
        Args:
            removed: the sets of ids that go, by their roots.
        """
        self._sets = coupling.sets
        self._removed = np.array(sorted(removed), dtype=np.int64)

    def mask(self, ids: np.ndarray) -> np.ndarray:
        """Return whether each channel stays; bool, the same shape."""
        return ~np.isin(self._sets.roots(ids), self._removed)

    def count(self, ids: np.ndarray) -> int:
        """Count the channels that stay."""
        return int(self.mask(ids).sum())


def rewrite(
    model: ir.Model,
    coupling: Coupling,
    removed: frozenset[int],
    replacements: Mapping[Operand, np.ndarray] | None = None,
    *,
    tell_shapes: bool = True,
) -> ir.Model:
    """Return a copy of `model` without the removed channels.

    Args:
        model: the one that `coupling` was found in.
        removed: sets of channels, by their roots; none of them pinned.
        replacements: constants that take the place of cut ones, in their new shape; a third operand that was absent
            is added (a bias).
        tell_shapes: whether to infer the shapes of the smaller values, which are unknown otherwise.
    """
    result = copy_of(model)
    builder = GraphBuilder(result)
    nodes = list(result.graph)
    kept = Kept(coupling, removed)
    cuts: dict[Operand, list[Cut]] = {}
    for edit in coupling.edits:
        if isinstance(edit, Cut):
            cuts.setdefault((edit.node, edit.position), []).append(edit)
        else:
            _apply(builder, nodes[edit.node], edit, kept)
    made: dict[tuple[ir.Value, bytes], ir.Value] = {}
    new_constants = replacements or {}
    for (place, position), several in cuts.items():
        if (place, position) not in new_constants:
            _cut(builder, nodes[place], position, several, kept, made)
    for (place, position), array in new_constants.items():
        node = nodes[place]
        old = node.inputs[position] if len(node.inputs) > position else None
        if len(node.inputs) <= position:
            node.resize_inputs(position + 1)
        name = (old.name if old is not None else None) or f"{node.outputs[0].name}:bias"
        replace_input(node, position, builder.initializer(f"{name}:pruned", array))
    if tell_shapes:
        forget_shapes(result)
        infer_shapes(result)
    else:
        _clear_shapes(result)
    return result


def _clear_shapes(model: ir.Model) -> None:
    """Drop the shapes of intermediate values, and keep their types."""
    interface = set(model.graph.outputs)
    for node in all_nodes(model):
        for value in node.outputs:
            if value not in interface:
                value.shape = None


def _cut(
    builder: GraphBuilder,
    node: ir.Node,
    position: int,
    cuts: list[Cut],
    kept: Kept,
    made: dict[tuple[ir.Value, bytes], ir.Value],
) -> None:
    old = node.inputs[position]
    array = constant(old)
    assert old is not None and array is not None
    key = b""
    for cut in cuts:
        mask = kept.mask(cut.ids)
        if not mask.all():
            array = np.compress(mask, array, axis=cut.axis)
            key += bytes([cut.axis]) + np.packbits(mask).tobytes()
    if not key:
        return
    # Layers that share a weight and lose the same go on sharing it.
    new = made.get((old, key))
    if new is None:
        new = made[old, key] = builder.initializer(f"{old.name}:pruned", array)
    replace_input(node, position, new)


def _apply(builder: GraphBuilder, node: ir.Node, edit: Edit, kept: Kept) -> None:
    match edit:
        case GroupCount(ids=ids):
            node.attributes["group"] = ir.AttrInt64("group", kept.count(ids))
        case Extent(position=position, element=element, ids=ids):
            _set_element(builder, node, position, element, kept.count(ids))
        case SplitSizes(parts=parts):
            _set_split(builder, node, [kept.count(part) for part in parts])
        case SliceBounds(entry=entry, before=before, inside=inside):
            begin = kept.count(before)
            _set_bounds(builder, node, entry, begin, begin + kept.count(inside))
        case Selection(indices=indices, ids=ids):
            mask = kept.mask(ids)
            new_place = np.cumsum(mask) - 1
            old = constant(node.inputs[1])
            assert old is not None
            _set(builder, node, 1, new_place[indices[mask[indices]]].astype(old.dtype))


def _set_split(builder: GraphBuilder, node: ir.Node, sizes: list[int]) -> None:
    if len(node.inputs) > 1:
        _set(builder, node, 1, np.array(sizes, dtype=np.int64))
    elif "split" in node.attributes or not _splits_by_input(node):
        node.attributes["split"] = ir.AttrInt64s("split", sizes)
    else:
        # Equal parts may not be equal any more.
        node.attributes.pop("num_outputs", None)
        node.resize_inputs(2)
        _set(builder, node, 1, np.array(sizes, dtype=np.int64))


def _set_bounds(builder: GraphBuilder, node: ir.Node, entry: int, begin: int, end: int) -> None:
    for position, name, bound in ((1, "starts", begin), (2, "ends", end)):
        if len(node.inputs) > 1:
            _set_element(builder, node, position, entry, bound)
        else:
            values = list(node.attributes[name].as_ints())
            values[entry] = bound
            node.attributes[name] = ir.AttrInt64s(name, values)


def _set_element(builder: GraphBuilder, node: ir.Node, position: int, element: int, number: int) -> None:
    """Change one element of a constant operand."""
    array = constant(node.inputs[position])
    assert array is not None
    changed = array.copy()
    changed.reshape(-1)[element] = number
    _set(builder, node, position, changed)


def _set(builder: GraphBuilder, node: ir.Node, position: int, array: np.ndarray) -> None:
    """A new constant where it differs from the old one."""
    old = node.inputs[position]
    known = constant(old)
    if known is not None and np.array_equal(known, array):
        return
    name = (old.name if old is not None else None) or f"{node.outputs[0].name}:sizes"
    replace_input(node, position, builder.initializer(f"{name}:pruned", array))


def _splits_by_input(node: ir.Node) -> bool:
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    return graph.opset_imports.get("", 0) >= 13
