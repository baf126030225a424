"""New nodes and initializers in a model, under names that no value of the model has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from edgedeploy.optimize.graph.edit import remove_if_unused
from edgedeploy.optimize.graph.names import NameAuthority

Attribute = int | float | str | Sequence[int] | ir.Attr
Attributes = Mapping[str, Attribute]


class GraphBuilder:
    """Records nodes on onnx-ir's tape, and puts each where it belongs: before a given node, or at the end.

    One builder serves one pass over one model: it reads the model's names once, when it is made. A value that is named
    by other means while the builder is in use is not known to it.
    """

    def __init__(self, model: ir.Model, *, at_head: bool = False) -> None:
        """
        Args:
            model: gets the nodes and initializers; in its main graph unless a call says otherwise.
            at_head: add before all nodes that are there now, where every subgraph sees what new nodes give. Otherwise
                nodes are appended, and the graph is to be sorted afterwards.
        """
        self.names = NameAuthority(model)
        self._graph = model.graph
        self._tape = ir.tape.Tape()
        self._head = next(iter(model.graph)) if at_head else None

    def initializer(self, name: str, array: np.ndarray, *, graph: ir.Graph | None = None) -> ir.Value:
        """Add a constant of the array's shape and dtype.

        Args:
            name: what its name is like.
            array: its content; it is not copied where it lies in C order.
            graph: the graph that gets it; the main graph by default.
        """
        return self._register(self.names.new(name), array, graph or self._graph)

    def op(
        self,
        operator: str,
        inputs: Sequence[ir.Value | None],
        name: str,
        *,
        like: ir.Value | None = None,
        shape: Sequence[int] | None = None,
        dtype: ir.DataType | None = None,
        attributes: Attributes | None = None,
        domain: str = "",
        before: ir.Node | None = None,
    ) -> ir.Value:
        """Add a node with one output, and return that.

        Args:
            operator: the operator's name.
            inputs: its operands; None for an optional one that is left out.
            name: what the output's name is like.
            like: a value of the same shape and type as the output.
            shape: the output's shape, where it is known.
            dtype: the output's element type, where it is known.
            attributes: the node's attributes.
            domain: the operator's domain, which the model must import.
            before: the node in front of which, and in whose graph, it goes.
        """
        (output,) = self.op_multi_out(operator, inputs, (name,), attributes=attributes, domain=domain, before=before)
        if like is not None:
            output.shape, output.type = like.shape, like.type
        if shape is not None:
            output.shape = ir.Shape(shape)
        if dtype is not None:
            output.type = ir.TensorType(dtype)
        return output

    def op_multi_out(
        self,
        operator: str,
        inputs: Sequence[ir.Value | None],
        names: Sequence[str],
        *,
        attributes: Attributes | None = None,
        domain: str = "",
        before: ir.Node | None = None,
    ) -> tuple[ir.Value, ...]:
        """Add a node with an output for each name; the other arguments are those of `op`."""
        outputs = tuple(ir.Value(name=self.names.new(name)) for name in names)
        self._tape.op_multi_out(operator, inputs, attributes, outputs=outputs, domain=domain)
        node = outputs[0].producer()
        assert node is not None
        place = before if before is not None else self._head
        if place is None:
            self._graph.append(node)
        else:
            assert isinstance(place.graph, ir.Graph)
            place.graph.insert_before(place, node)
        return outputs

    def replace_node(
        self,
        old: ir.Node,
        operator: str,
        inputs: Sequence[ir.Value | None],
        *,
        attributes: Attributes | None = None,
        domain: str = "",
    ) -> None:
        """Put a new node in the place of `old`, and remove `old` and what was there for it alone.

        Both have one output. It keeps its name, type and shape, also where it is an output of the graph; the new node
        takes the name of the old one.
        """
        result, node_name = old.outputs[0], old.name
        output = self.op(
            operator, inputs, result.name or operator, like=result, attributes=attributes, domain=domain, before=old
        )
        node = output.producer()
        assert node is not None
        node.name = node_name
        name = result.name
        ir.convenience.replace_all_uses_with(result, output, replace_graph_outputs=True)
        remove_if_unused(old)
        output.name = name or output.name

    def replace_value(self, old: ir.Value, new: ir.Value) -> None:
        """Let all that reads `old` read `new`, which takes over its name, shape and type; graph outputs included.

        `old` and its node stay, under a name that ends in `:replaced`.
        """
        name, new.shape, new.type = old.name, old.shape, old.type
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
        old.name = self.names.new(f"{name}:replaced")
        new.name = name

    def replace_by_initializer(self, old: ir.Value, array: np.ndarray) -> ir.Value:
        """Let all that reads `old` read a constant of the main graph, which takes over its name; outputs included.

        The name gets a number where a value of another graph has it too. `old` stays, under another name.
        """
        wish = old.name or "constant"
        name = self.names.renamed(wish)
        # Out of the way first: a graph cannot have two values of one name.
        old.name = self.names.new(f"{wish}:replaced")
        new = self._register(name, array, self._graph)
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
        return new

    def _register(self, name: str, array: np.ndarray, graph: ir.Graph) -> ir.Value:
        # ascontiguousarray makes a vector of a number; asarray does not.
        value = self._tape.initializer(ir.tensor(np.asarray(array, order="C"), name=name))
        graph.register_initializer(value)
        return value
