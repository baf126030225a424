"""`If` nodes whose condition is known: the branch that is taken becomes part of the graph around it."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.optimize.graph.edit import constant, drop_if_unused, is_operator


def taken_branch(node: ir.Node) -> ir.Graph | None:
    """Return the branch of an `If` that every run takes; None when that depends on the input, or `node` is no `If`."""
    if not is_operator(node, "If"):
        return None
    condition = constant(node.inputs[0])
    if condition is None or condition.size != 1:
        return None
    attribute = node.attributes.get("then_branch" if condition.reshape(-1)[0] else "else_branch")
    return attribute.as_graph() if attribute is not None and not attribute.is_ref() else None


def branches_of(node: ir.Node) -> list[ir.Graph]:
    """Return the graphs that are among the node's attributes, such as those of `If`, `Loop` and `Scan`."""
    found: list[ir.Graph] = []
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH and not attribute.is_ref():
            found.append(attribute.as_graph())
        elif attribute.type == ir.AttributeType.GRAPHS and not attribute.is_ref():
            found += attribute.as_graphs()
    return found


def nodes_within(graph: ir.Graph) -> Iterator[ir.Node]:
    """Iterate over the nodes of the graph and of all graphs in it. The graph may be edited meanwhile."""
    return iter(list(ir.traversal.RecursiveGraphIterator(graph)))


def live_nodes(graph: ir.Graph) -> set[ir.Node]:
    """Return the nodes, of subgraphs too, that the graph's outputs depend on."""
    live: set[ir.Node] = set()
    ahead = list(graph.outputs)
    while ahead:
        node = ahead.pop().producer()
        if node is None or node in live:
            continue
        live.add(node)
        ahead += [value for value in node.inputs if value is not None]
        for branch in branches_of(node):
            ahead.extend(branch.outputs)
    return live


def release(graph: ir.Graph) -> None:
    """Let the nodes of a graph that was taken out of the model read nothing of the model any more.

    They would count as readers of the weights and values around them, which then look as if they were used.
    """
    for node in nodes_within(graph):
        for position in range(len(node.inputs)):
            node.replace_input_with(position, None)


def inline(node: ir.Node, branch: ir.Graph, builder: GraphBuilder) -> None:
    """Put the nodes of `branch` in the place of the `If` node that it belongs to."""
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    results = list(branch.outputs)
    branch.outputs.clear()
    for value in list(branch.initializers.values()):
        del branch.initializers[value.name or ""]
        # Sibling branches, and graphs that come later, may use the same names.
        value.name = builder.names.renamed(value.name or "weight")
        graph.register_initializer(value)
    for inner in list(branch):
        branch.remove(inner)
        for value in inner.outputs:
            if value.name:
                value.name = builder.names.renamed(value.name)
        graph.insert_before(node, inner)
    for value, result in zip(node.outputs, results, strict=True):
        _hand_over(builder, node, value, result)
    condition = node.inputs[0]
    graph.remove(node, safe=True)
    for other in branches_of(node):
        release(other)
    if condition is not None:
        drop_if_unused(condition)


def _hand_over(builder: GraphBuilder, node: ir.Node, value: ir.Value, result: ir.Value) -> None:
    """Let the readers of `value`, an output of the `If` node, read `result` from the branch."""
    if not value.is_graph_output():
        ir.convenience.replace_all_uses_with(value, result)
        return
    producer = result.producer()
    if producer is None or producer.graph is not node.graph or result.is_graph_output():
        # A weight, an input or an output keeps its own name.
        result = builder.op("Identity", [result], value.name or "result", before=node)
    name, kind, shape = value.name, value.type, value.shape
    ir.convenience.replace_all_uses_with(value, result, replace_graph_outputs=True)
    value.name = None
    result.name, result.type, result.shape = name, kind, shape
