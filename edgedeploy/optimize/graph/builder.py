"""New nodes and weights in the main graph, under names that no value of the model has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import onnx_ir as ir

from edgedeploy.optimize.graph.edit import NameAuthority

Attributes = Mapping[str, int | float | str | tuple[int, ...]]


class Additions:
    """Adds nodes before one that is there, or at the end."""

    def __init__(self, model: ir.Model, *, at_head: bool = False) -> None:
        """
        Args:
            model: whose main graph grows.
            at_head: add before all nodes that are there now, where also every subgraph sees what new nodes give.
                Otherwise nodes are appended, and the graph is to be sorted afterwards.
        """
        self._graph = model.graph
        self._names = NameAuthority(model)
        self._head = next(iter(model.graph)) if at_head else None

    def weight(self, name: str, array: np.ndarray) -> ir.Value:
        """A new initializer, with a name like `name`."""
        # ascontiguousarray makes a vector of a number.
        tensor = ir.tensor(np.ascontiguousarray(array).reshape(array.shape), name=self._names.new(name))
        value = ir.Value(
            name=tensor.name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor
        )
        self._graph.register_initializer(value)
        return value

    def nodes(
        self,
        operator: str,
        inputs: Iterable[ir.Value | None],
        names: Iterable[str],
        *,
        attributes: Attributes | None = None,
        domain: str = "",
    ) -> tuple[ir.Value, ...]:
        """The outputs of a new node, with names like `names`."""
        wanted = tuple(names)
        node = ir.node(operator, list(inputs), attributes or {}, domain=domain, num_outputs=len(wanted))
        for output, name in zip(node.outputs, wanted, strict=True):
            output.name = self._names.new(name)
        if self._head is None:
            self._graph.append(node)
        else:
            self._graph.insert_before(self._head, node)
        return tuple(node.outputs)

    def node(
        self,
        operator: str,
        inputs: Iterable[ir.Value | None],
        name: str,
        *,
        like: ir.Value | None = None,
        shape: tuple[int, ...] | None = None,
        dtype: ir.DataType | None = None,
        attributes: Attributes | None = None,
        domain: str = "",
    ) -> ir.Value:
        """The one output of a new node.

        Args:
            like: a value of the same shape and type.
            shape, dtype: what is known of the output otherwise.
        """
        (output,) = self.nodes(operator, inputs, (name,), attributes=attributes, domain=domain)
        if like is not None:
            output.shape, output.type = like.shape, like.type
        if shape is not None:
            output.shape = ir.Shape(shape)
        if dtype is not None:
            output.type = ir.TensorType(dtype)
        return output

    def take_place(self, old: ir.Value, new: ir.Value) -> None:
        """Let all that reads `old` read `new`, which gets its name too; outputs of graphs included."""
        name, new.shape, new.type = old.name, old.shape, old.type
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
        old.name = self._names.new(f"{name}:replaced")
        new.name = name
