"""Questions about onnx-ir graphs, and edits of them, that several passes share."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnx_ir as ir

from edgedeploy.foundation.sanitize import first_line

ONNX_DOMAINS = ("", "ai.onnx")


def is_operator(node: ir.Node, *types: str) -> bool:
    """Tell whether `node` is one of these operators of the ONNX standard (not a namesake of another domain)."""
    return node.domain in ONNX_DOMAINS and node.op_type in types


def all_nodes(model: ir.Model) -> Iterator[ir.Node]:
    """Iterate over the nodes of the graph and its subgraphs, not of functions. The graph may be edited meanwhile."""
    return iter(list(ir.traversal.RecursiveGraphIterator(model.graph)))


def constant(value: ir.Value | None) -> np.ndarray | None:
    """Return the value's content when it is an initializer that nobody can override, else None."""
    if value is None or not value.is_initializer() or value.is_graph_input() or value.const_value is None:
        return None
    return value.const_value.numpy()


def replace_input(node: ir.Node, position: int, value: ir.Value) -> None:
    """Let `node` read `value`, and remove the initializer that it read when nothing else reads that."""
    old = node.inputs[position]
    node.replace_input_with(position, value)
    if old is not None:
        drop_if_unused(old)


def drop_if_unused(value: ir.Value) -> None:
    """Remove an initializer that nothing reads."""
    if value.is_initializer() and not (value.uses() or value.is_graph_output() or value.is_graph_input()):
        assert isinstance(value.graph, ir.Graph) and value.name is not None
        del value.graph.initializers[value.name]


def remove_if_unused(node: ir.Node) -> None:
    """Remove the node when nothing reads what it gives, and then what only it read."""
    graph = node.graph
    if graph is None or any(value.uses() or value.is_graph_output() for value in node.outputs):
        return
    inputs = {value: value.producer() for value in node.inputs if value is not None}
    graph.remove(node, safe=True)
    for value, producer in inputs.items():
        drop_if_unused(value)
        if producer is not None:
            remove_if_unused(producer)


def bypass(node: ir.Node) -> None:
    """Let the readers of `node` read what it reads. onnx-ir's IdentityEliminationPass takes Identity only.

    Where its output is an output of the graph, the value before takes over the name; this cannot be done when that
    value has a name of its own to keep (it is an input, a weight, an output too, or belongs to an outer graph).
    """
    source, result = node.inputs[0], node.outputs[0]
    graph = node.graph
    if source is None or graph is None:
        return
    if result.is_graph_output():
        producer = source.producer()
        if producer is None or producer.graph is not graph or source.is_graph_output():
            return
        name, shape, kind = result.name, result.shape, result.type
        ir.convenience.replace_all_uses_with(result, source, replace_graph_outputs=True)
        graph.remove(node, safe=True)
        source.name, source.shape, source.type = name, shape, kind
        return
    ir.convenience.replace_all_uses_with(result, source)
    graph.remove(node, safe=True)


def only_consumer(value: ir.Value) -> ir.Node | None:
    """Return the one node that reads `value`, once; None when there are more, or when it is an output of the graph."""
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output():
        return None
    return uses[0].node


def integers_attribute(node: ir.Node, name: str) -> tuple[int, ...] | None:
    """Return an attribute that is a list of integers, None when it is absent."""
    attribute = node.attributes.get(name)
    return None if attribute is None else tuple(attribute.as_ints())


def integer_attribute(node: ir.Node, name: str, default: int) -> int:
    """Return an attribute that is an integer, `default` when it is absent."""
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_int()


def float_attribute(node: ir.Node, name: str, default: float) -> float:
    """Return an attribute that is a float, `default` when it is absent."""
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_float()


def opset(model: ir.Model) -> int:
    """Return the version of the default operator set; 0 when the model imports none."""
    return max((model.opset_imports.get(domain, 0) for domain in ONNX_DOMAINS), default=0)


def copy_of(model: ir.Model) -> ir.Model:
    """Copy the graph into new objects; the weights, which are never changed in place, are shared."""
    return model.clone()


def serialized(model: ir.Model) -> bytes:
    """Serialize the model as it is written to a file. Equal models give equal bytes."""
    proto: onnx.ModelProto = ir.to_proto(model)
    _forget_shapes_of_weights(proto.graph)
    return bytes(proto.SerializeToString(deterministic=True))


def _forget_shapes_of_weights(graph: onnx.GraphProto) -> None:
    """Drop what onnx_ir writes of every weight beside the weight itself: it may make the file larger than it came."""
    weights = {tensor.name for tensor in graph.initializer}
    kept = [info for info in graph.value_info if info.name not in weights]
    if len(kept) < len(graph.value_info):
        del graph.value_info[:]
        graph.value_info.extend(kept)
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
                _forget_shapes_of_weights(inner)


def validation_error(content: bytes) -> str | None:
    """Return what onnx's checker has against the serialized model, or None.

    onnx-ir's CheckerPass would serialize the model a second time, and not as it is written.
    """
    try:
        onnx.checker.check_model(content)
    except Exception as error:
        # ValidationError for a wrong model; bytes that are none raise other classes.
        return first_line(error)
    return None
