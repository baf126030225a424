"""Names that are unused in a whole model: its graph, all subgraphs, and its functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import onnx_ir as ir

# onnx-ir's own name authority is private, names what has no name yet (`val_0`), and neither looks into subgraphs nor
# gives names that resemble a wish.


class NameAuthority:
    """Gives names to values that no value of the model has.

    A name must be unused in subgraphs too, since a subgraph sees the names of the graph around it (ONNX IR, «Names
    Within a Graph»), and in functions, whose bodies become part of the graph when they are inlined.
    """

    def __init__(self, model: ir.Model) -> None:
        """
        Args:
            model: every named value that it has now counts as used.
        """
        self._uses = Counter(value.name for value in _values(model) if value.name)

    def new(self, wish: str) -> str:
        """Return `wish`, or `wish` with a number behind it, and count it as used from now on."""
        name, number = wish, 0
        while self._uses[name] > 0:
            number += 1
            name = f"{wish}_{number}"
        self._uses[name] = 1
        return name

    def renamed(self, name: str) -> str:
        """Return a name for the value that gives up the name `name`: the same where no other value has it."""
        self._uses[name] = max(self._uses[name] - 1, 0)
        return self.new(name)


def _values(model: ir.Model) -> Iterator[ir.Value]:
    for graph in model.graphs():
        yield from graph.initializers.values()
        yield from _inputs_and_results(graph)
    for function in model.functions.values():
        yield from _inputs_and_results(function)
        for graph in function.subgraphs():
            yield from graph.initializers.values()
            yield from _inputs_and_results(graph)


def _inputs_and_results(graph: ir.Graph | ir.Function) -> Iterator[ir.Value]:
    yield from graph.inputs
    for node in graph:
        yield from node.outputs
