"""A pass that removes metadata, and optionally shortens names."""

from __future__ import annotations

import itertools
import string
from typing import ClassVar

import onnx_ir as ir
from onnx_ir.passes import common

from edgedeploy.optimize.base import Context, Facts, Pass
from edgedeploy.optimize.graph.edit import all_nodes, serialized

_DIGITS = string.ascii_lowercase + string.digits


class StripMetadata(Pass, frozen=True):
    """Remove doc strings, stack traces and the shapes of intermediate values; optionally shorten names.

    The model's own metadata (class names, strides, authors) stays: programs read it.
    """

    tolerance: ClassVar[float | None] = 0.0
    renames: ClassVar[bool] = True

    shorten_names: bool = False
    """Give intermediate values and weights names of a few letters, and nodes none. Profiles are then harder to read."""

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        before = len(serialized(model))
        model.doc_string = None
        common.ClearMetadataAndDocStringPass()(model)
        _clear_values(model)
        if self.shorten_names:
            _shorten_names(model)
        return model, {"removed_bytes": before - len(serialized(model))}


def _clear_values(model: ir.Model) -> None:
    """Clear what onnx-ir's pass leaves: values, and graphs and functions without nodes."""
    interface = set(model.graph.outputs)
    for function in model.functions.values():
        function.doc_string = None
        function.metadata_props.clear()
    for graph in model.graphs():
        graph.doc_string = None
        graph.metadata_props.clear()
        for value in graph.initializers.values():
            value.metadata_props.clear()
            value.doc_string = None
    for node in all_nodes(model):
        for value in node.outputs:
            value.metadata_props.clear()
            value.doc_string = None
            # Runtimes infer these again when they load the model, those of branches' outputs too.
            if value not in interface:
                value.shape, value.type = None, None


def _shorten_names(model: ir.Model) -> None:
    """Rename all values but the inputs and outputs of the graph, the most read first, and drop nodes' names.

    Names are unique over the graph and its subgraphs, since a subgraph sees the names of the graph around it.
    """
    interface = {*model.graph.inputs, *model.graph.outputs}
    taken = {value.name for value in interface}
    values: dict[ir.Value, None] = {}
    for graph in model.graphs():
        values.update(dict.fromkeys((*graph.inputs, *graph.initializers.values())))
        for node in graph:
            node.name = None
            values.update(dict.fromkeys(value for value in node.outputs if value.name))
    ordered = sorted((value for value in values if value not in interface), key=lambda value: -len(value.uses()))
    unused = (name for number in itertools.count() if (name := short_name(number)) not in taken)
    names = list(itertools.islice(unused, len(ordered)))
    ir.convenience.rename_values(ordered, names)


def short_name(number: int) -> str:
    """Return the name of a number: 0 → `a`, 25 → `z`, 26 → `aa`; a letter, then letters and digits."""
    name = string.ascii_lowercase[number % 26]
    number //= 26
    while number:
        number -= 1
        name += _DIGITS[number % 36]
        number //= 36
    return name
