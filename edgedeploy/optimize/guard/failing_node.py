"""Find the node of the user's model from which on a result fails in onnxruntime, whose own words name others.

onnxruntime rewrites a graph before it runs it; what fails is often a node that it added, of a name that no user knows.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.inference.onnxruntime import HostSession
from edgedeploy.inference.session import Feed
from edgedeploy.model.graphs import subgraphs

_GRIDS = ("QuantizeLinear", "DequantizeLinear")
_MOST_NAMES = 4


def failing_node_in_words(result: bytes, feed: Feed) -> str:
    """Return which nodes a quantized ONNX model may fail at, and what keeps it from that; empty where it is none.

    Args:
        result: with the names that the user's model has, each node after those that it reads.
        feed: what it fails on.
    """
    model = onnx.load_from_string(result)
    nodes = list(model.graph.node)
    if _runs(model, feed, exact=False) or not _runs(model, feed, exact=True):
        return ""  # it fails for another reason than how onnxruntime rewrites it
    most, least = len(nodes), 0
    while most - least > 1:
        middle = (most + least) // 2
        if _runs(_first(model, middle), feed, exact=False):
            least = middle
        else:
            most = middle
    between, layer = _behind_convolution(nodes, most - 1)
    if layer is None or not between:
        return ""
    names = " or ".join(f"{node.output[0]!r} ({node.op_type})" for node in between[:_MOST_NAMES])
    return (
        f"onnxruntime's optimized form of the result fails at {names}, behind the 8-bit layer {layer!r}: "
        f"keep_float = [{layer!r}] in the recipe leaves that layer in float"
    )


def _runs(model: onnx.ModelProto, feed: Feed, *, exact: bool) -> bool:
    try:
        session = HostSession(model.SerializeToString(), exact=exact, threads=1)
        session.run({name: array for name, array in feed.items() if name in session.input_names})
    except EdgedeployError:
        return False
    return True


def _first(model: onnx.ModelProto, count: int) -> onnx.ModelProto:
    """Return the model that ends after its first `count` nodes: its outputs are what later ones would read."""
    whole = model.graph
    part = onnx.ModelProto()
    part.CopyFrom(model)
    del part.graph.node[count:]
    made = [name for node in whole.node[:count] for name in node.output if name]
    wanted = {output.name for output in whole.output}
    for node in whole.node[count:]:
        wanted |= _reads(node)
    del part.graph.output[:]
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made if name in wanted)
    return part


def _reads(node: onnx.NodeProto) -> set[str]:
    return set(node.input).union(*(_reads(inner) for graph in subgraphs(node) for inner in graph.node))


def _behind_convolution(nodes: Sequence[onnx.NodeProto], position: int) -> tuple[list[onnx.NodeProto], str | None]:
    """Return the nodes from a node back to the nearest Conv that it depends on, grids and other Conv left out.

    Returns:
        The nodes, the last one first; and the Conv's name, None without any.
    """
    producers = {name: each for each in nodes[:position] for name in each.output}
    last = nodes[position]
    # A Conv becomes one of 8 bits with the grid behind it, and takes part in what happens before it from there on.
    while last.op_type in _GRIDS and last.input[0] in producers:
        last = producers[last.input[0]]
    found, layer = [last], None
    seen: set[str] = set()
    for node in found:
        for name in node.input:
            producer = producers.get(name)
            if producer is None or name in seen:
                continue
            seen.add(name)
            if producer.op_type == "Conv":
                layer = layer or str(producer.output[0])
            else:
                found.append(producer)
    return [node for node in found if node.op_type not in (*_GRIDS, "Conv")], layer
