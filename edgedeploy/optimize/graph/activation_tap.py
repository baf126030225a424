"""Intermediate values of a model, or facts about them, as samples run through it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import onnx_ir as ir

from edgedeploy.inference.onnxruntime import HostSession
from edgedeploy.inference.session import Feed
from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.optimize.graph.constant_if import branches_of
from edgedeploy.optimize.graph.edit import serialized

Readout = Literal["value", "float32", "shape", "size"]
"""What leaves the runtime of each tapped value:

- `value`: the value as it is; one of unknown element type is taken for float32.
- `float32`: the value, cast.
- `shape`: its extents, int64, shape (rank,).
- `size`: how many elements it has, int64, shape ().
"""


class ActivationTap:
    """The part of a model that some of its values depend on, with these as outputs.

    Memory: the session holds that part of the model once. Of the values, those of one feed leave the runtime at a time,
    and the tap keeps none of them, so memory does not grow with the number of feeds. With many or large values, tap
    them in groups (`groups_within`). With the readouts `shape` and `size` no value leaves the runtime.
    """

    def __init__(
        self, model: ir.Model, names: Sequence[str], *, readout: Readout = "value", exact: bool = False
    ) -> None:
        """
        Args:
            model: its nodes in an order in which they can run. It is not changed.
            names: values of the main graph; inputs, initializers and repeated names are allowed.
            readout: what of them `run` returns.
            exact: without the runtime's graph optimizations. For a single run, these would take longer than they save.

        Raises:
            KeyError: the main graph has no value of such a name.
            UnsupportedError: onnxruntime does not load the part.
        """
        part = model.clone()
        values = ir.convenience.create_value_mapping(part.graph, include_subgraphs=False)
        tapped = [values[name] for name in names]
        part.graph.outputs.clear()
        _remove_all_but(part.graph, set(tapped))
        builder = GraphBuilder(part)
        part.graph.outputs.extend(_read_out(builder, value, readout) for value in tapped)
        self._session = HostSession(serialized(part), exact=exact, plan_memory=False)

    def run(self, feed: Feed) -> list[np.ndarray]:
        """Return what is read out of the values on one feed, in the order of the names.

        Raises:
            DatasetError: the model does not take the feed.
            UnsupportedError: the model fails while it runs.
        """
        return self._session.run(feed)


def shapes_on(model: ir.Model, names: Sequence[str], feed: Feed) -> list[tuple[int, ...]]:
    """Return the shape of each value on a feed; arguments and errors are those of `ActivationTap`."""
    shapes = ActivationTap(model, names, readout="shape", exact=True).run(feed)
    return [tuple(int(extent) for extent in shape) for shape in shapes]


def groups_within(names: Sequence[str], sizes_bytes: Sequence[int], limit_bytes: int) -> list[list[str]]:
    """Divide values into as few groups, in their order, as keep each group within a limit.

    Args:
        names: of the values.
        sizes_bytes: what each takes in memory.
        limit_bytes: what a group may take. A value that is larger gets a group of its own.
    """
    groups: list[list[str]] = []
    room = 0
    for name, size in zip(names, sizes_bytes, strict=True):
        if not groups or size > room:
            groups.append([])
            room = limit_bytes
        groups[-1].append(name)
        room -= size
    return groups


def _remove_all_but(graph: ir.Graph, needed: set[ir.Value]) -> None:
    """Remove the nodes and initializers that the `needed` values, which grow on the way, do not depend on.

    onnx-ir's RemoveUnusedNodesPass takes what only the branches of a removed `If` read for needed.
    """
    for node in reversed(list(graph)):
        if needed.isdisjoint(node.outputs):
            graph.remove(node)
            continue
        needed.update(value for value in node.inputs if value is not None)
        for branch in branches_of(node):
            inner = ir.traversal.RecursiveGraphIterator(branch)
            needed.update(value for inner_node in inner for value in inner_node.inputs if value is not None)
            needed.update(branch.outputs)
            needed.update(value for subgraph in branch.subgraphs() for value in subgraph.outputs)
    for name, value in list(graph.initializers.items()):
        if value not in needed and not value.is_graph_input():
            del graph.initializers[name]


def _read_out(builder: GraphBuilder, value: ir.Value, readout: Readout) -> ir.Value:
    """Add the node that gives the output. Even an input or an initializer can be one behind a node."""
    name = "edgedeploy:tap"
    match readout:
        case "value":
            output = builder.op("Identity", [value], name)
            output.type = value.type or ir.TensorType(ir.DataType.FLOAT)
            return output
        case "float32":
            to = {"to": int(ir.DataType.FLOAT)}
            return builder.op("Cast", [value], name, dtype=ir.DataType.FLOAT, attributes=to)
        case "shape":
            return builder.op("Shape", [value], name, dtype=ir.DataType.INT64)
        case "size":
            return builder.op("Size", [value], name, dtype=ir.DataType.INT64)
