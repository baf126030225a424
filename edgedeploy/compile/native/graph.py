"""The graph that the passes of this package work on: an ONNX model with every shape known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgedeploy.foundation.errors import UnsupportedError

Attribute = Any
"""int, float, str, list of these, or numpy array: `onnx.helper.get_attribute_value`, decoded."""


@dataclass(eq=False)
class Value:
    """A tensor: what a node makes, an input, or (with `constant`) what is known already."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    constant: np.ndarray | None = None

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(eq=False)
class Node:
    op: str
    """Of the default domain; `"com.microsoft:…"` and the like otherwise."""
    name: str
    inputs: list[Value | None]
    """None for an optional input that was left out."""
    outputs: list[Value | None]
    attributes: dict[str, Attribute] = field(default_factory=dict)

    @property
    def output(self) -> Value:
        """The only output, or the first."""
        found = self.outputs[0]
        assert found is not None, self.name
        return found

    def input(self, index: int) -> Value | None:
        """Return an input; None when it was left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def needed(self, index: int) -> Value:
        """Return an input that the operator cannot be without."""
        found = self.input(index)
        assert found is not None, f"{self.op} {self.name} lacks input {index}"
        return found

    def constant(self, index: int) -> np.ndarray | None:
        """Return an input's constant value; None when there is no such input.

        Raises:
            UnsupportedError: it is not known before the model runs.
        """
        found = self.input(index)
        if found is None:
            return None
        if found.constant is None:
            raise self.refused(f"its input {found.name!r} is not known before the model runs")
        return found.constant

    def get(self, name: str, default: Attribute) -> Attribute:
        """Return an attribute, or `default` where the node has none of this name."""
        return self.attributes.get(name, default)

    def refused(self, why: str) -> UnsupportedError:
        """Make an error that names the operator and the node."""
        return UnsupportedError(
            f"the native backend cannot compile {self.op} (node {self.name!r})",
            why=why,
        )


@dataclass(eq=False)
class Graph:
    inputs: list[Value]
    outputs: list[Value]
    """May be inputs or constants too."""
    nodes: list[Node]
    """Each after what it takes."""
    opset: int
    guards: list[tuple[Value, bool]] = field(default_factory=list)
    """Truth values that the model computes, and what they must be: it was compiled for that alone (`branches`)."""

    def consumers(self) -> dict[Value, list[Node]]:
        """List the nodes that take each value, each node once."""
        found: dict[Value, list[Node]] = {}
        for node in self.nodes:
            for value in dict.fromkeys(each for each in node.inputs if each is not None):
                found.setdefault(value, []).append(node)
        return found

    def producers(self) -> dict[Value, Node]:
        """Map each value to the node that makes it."""
        return {value: node for node in self.nodes for value in node.outputs if value is not None}

    def drop_unused(self) -> None:
        """Remove nodes that no output depends on."""
        wanted: set[Value] = {*self.outputs, *(value for value, _ in self.guards)}
        kept: list[Node] = []
        for node in reversed(self.nodes):
            if any(value in wanted for value in node.outputs if value is not None):
                kept.append(node)
                wanted.update(value for value in node.inputs if value is not None)
                node.outputs = [value if value in wanted else None for value in node.outputs]
                while node.outputs and node.outputs[-1] is None:
                    node.outputs.pop()
        self.nodes = kept[::-1]

    def values(self) -> Iterator[Value]:
        """Iterate over every value once: inputs, what nodes take and make, outputs."""
        seen: set[Value] = set()
        for value in (*self.inputs, *(v for n in self.nodes for v in (*n.inputs, *n.outputs)), *self.outputs):
            if value is not None and value not in seen:
                seen.add(value)
                yield value
