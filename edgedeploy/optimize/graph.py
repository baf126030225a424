"""Questions about onnx-ir graphs, and edits of them, that several passes share."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnx_ir as ir

ONNX_DOMAINS = ("", "ai.onnx")


def is_operator(node: ir.Node, *types: str) -> bool:
    """Whether `node` is one of these operators of the ONNX standard (not a namesake of another domain)."""
    return node.domain in ONNX_DOMAINS and node.op_type in types


def all_nodes(model: ir.Model) -> Iterator[ir.Node]:
    """Every node of the graph and of its subgraphs; not those of functions. The graph may be edited meanwhile."""
    return iter(list(ir.traversal.RecursiveGraphIterator(model.graph)))


def constant(value: ir.Value | None) -> np.ndarray | None:
    """The value's content when it is an initializer that nobody can override, else None."""
    if value is None or not value.is_initializer() or value.is_graph_input() or value.const_value is None:
        return None
    return value.const_value.numpy()


def add_initializer(graph: ir.Graph, name: str, array: np.ndarray) -> ir.Value:
    """A new initializer with a name like `name` that nothing in the graph has."""
    free = unused_name(graph, name)
    tensor = ir.tensor(np.asarray(array, order="C"), name=free)
    value = ir.Value(name=free, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(value)
    return value


def unused_name(graph: ir.Graph, wish: str) -> str:
    """`wish`, or `wish` with a number behind it, such that no initializer of `graph` has it."""
    name, number = wish, 0
    while name in graph.initializers:
        number += 1
        name = f"{wish}_{number}"
    return name


def replace_input(node: ir.Node, position: int, value: ir.Value) -> None:
    """Let `node` read `value`; an initializer that nothing reads any more goes, so that no dead copy stays behind."""
    old = node.inputs[position]
    node.replace_input_with(position, value)
    if old is not None:
        drop_if_unused(old)


def drop_if_unused(value: ir.Value) -> None:
    """Remove an initializer that nothing reads."""
    if value.is_initializer() and not (value.uses() or value.is_graph_output() or value.is_graph_input()):
        assert isinstance(value.graph, ir.Graph) and value.name is not None
        del value.graph.initializers[value.name]


def only_consumer(value: ir.Value) -> ir.Node | None:
    """The one node that reads `value`, once; None when there are more, or when it is an output of the graph."""
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output():
        return None
    return uses[0].node


def integers_attribute(node: ir.Node, name: str) -> tuple[int, ...] | None:
    """An attribute that is a list of integers, None when it is absent."""
    attribute = node.attributes.get(name)
    return None if attribute is None else tuple(attribute.as_ints())


def integer_attribute(node: ir.Node, name: str, default: int) -> int:
    """An attribute that is an integer."""
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_int()


def float_attribute(node: ir.Node, name: str, default: float) -> float:
    """An attribute that is a float."""
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_float()


def opset(model: ir.Model) -> int:
    """Version of the default operator set; 0 when the model imports none."""
    return max((model.opset_imports.get(domain, 0) for domain in ONNX_DOMAINS), default=0)


def copy_of(model: ir.Model) -> ir.Model:
    """The same graph in new objects; the weights, which are never changed in place, are shared."""
    return model.clone()


def serialized(model: ir.Model) -> bytes:
    """The model as it is written to a file. Equal models give equal bytes."""
    proto: onnx.ModelProto = ir.to_proto(model)
    return bytes(proto.SerializeToString(deterministic=True))


def complaint(content: bytes) -> str | None:
    """What onnx's checker has against the serialized model, or None."""
    try:
        onnx.checker.check_model(content)
    except Exception as error:
        # ValidationError for a wrong model; bytes that are none raise other classes.
        lines = str(error).strip().splitlines()
        return lines[0] if lines else type(error).__name__
    return None
