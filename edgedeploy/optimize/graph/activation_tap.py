"""Intermediate values of a model as samples run through it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from edgedeploy.inference.onnxruntime import HostSession
from edgedeploy.optimize.graph.constant_if import branches_of
from edgedeploy.optimize.graph.edit import serialized


class Watcher:
    """The part of a model that some of its values depend on, with these as outputs."""

    def __init__(self, model: ir.Model, names: Sequence[str]) -> None:
        """
        Args:
            names: of values of the main graph.

        Raises:
            UnsupportedError: onnxruntime does not load it.
        """
        watched = model.clone()
        values = ir.convenience.create_value_mapping(watched.graph, include_subgraphs=False)
        watched.graph.outputs.clear()
        needed = {values[name] for name in names}
        for node in reversed(list(watched.graph)):
            if needed.isdisjoint(node.outputs):
                watched.graph.remove(node)
                continue
            needed.update(value for value in node.inputs if value is not None)
            for graph in branches_of(node):
                inner = list(ir.traversal.RecursiveGraphIterator(graph))
                needed.update(value for one in inner for value in one.inputs if value is not None)
                needed.update(graph.outputs)
        for number, name in enumerate(names):
            node = ir.node("Identity", [values[name]])
            node.outputs[0].name = f"edgedeploy:watched:{number}"
            node.outputs[0].type = values[name].type or ir.TensorType(ir.DataType.FLOAT)
            watched.graph.append(node)
            watched.graph.outputs.append(node.outputs[0])
        self._session = HostSession(serialized(watched), exact=False, plan_memory=False)

    def run(self, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The values on one feed, in the order of the names."""
        return self._session.run(feed)
