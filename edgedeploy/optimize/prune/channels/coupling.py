"""Which channels of a graph go together, which must stay and why, and what changes when some go.

The graph is walked once, in order. For each value the walk knows along which axis it has channels, and the id of
each place along that axis. An operator that is not known here keeps the channels that come in, with its name as the
reason; so does the model's output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir
from msgspec import Struct

from edgedeploy.optimize.graph.edit import all_nodes
from edgedeploy.optimize.prune.channels.channel_sets import ChannelSets
from edgedeploy.optimize.prune.channels.edits import Edit
from edgedeploy.optimize.prune.channels.rules.registry import apply_rule
from edgedeploy.optimize.prune.channels.walk import Layer, Walk


class Coupling(Struct, frozen=True, kw_only=True, eq=False):
    """What the walk found."""

    sets: ChannelSets
    layers: tuple[Layer, ...]
    edits: tuple[Edit, ...]


def find_coupling(model: ir.Model, shapes: Mapping[str, tuple[int, ...]], keep: Sequence[str] = ()) -> Coupling:
    """Walk the graph and note which channels go together, which must stay, and what to edit.

    Args:
        model: its nodes in an order in which they can run.
        shapes: extents of every value on a sample, by name.
        keep: names of layers (of their first outputs) whose output channels all stay.
    """
    walk = Walk(model, shapes)
    captured = _captured(model)
    wanted = set(keep)
    for node in model.graph:
        first_layer = len(walk.layers)
        apply_rule(walk, node)
        for layer in walk.layers[first_layer:]:
            if layer.outputs is None:
                continue
            if layer.name in wanted:
                walk.sets.pin(layer.outputs, "the settings keep it")
            elif layer.kind != "depthwise" and len(layer.outputs) == 1:
                walk.sets.pin(layer.outputs, "a layer has a single channel")
        for value in node.outputs:
            channels = walk.channels(value)
            if channels is None:
                continue
            if value.is_graph_output():
                walk.sets.pin(channels.ids, "they are the model's output")
            if value in captured:
                walk.sets.pin(channels.ids, "a branch or loop reads them")
    return Coupling(sets=walk.sets, layers=tuple(walk.layers), edits=tuple(walk.edits))


def _captured(model: ir.Model) -> set[ir.Value]:
    """Values of the main graph that nodes in subgraphs read, or that subgraphs give as their own."""
    inner = {value for node in all_nodes(model) if node.graph is not model.graph for value in node.inputs if value}
    inner.update(value for graph in model.graphs() if graph is not model.graph for value in graph.outputs)
    return inner
