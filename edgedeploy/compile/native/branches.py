"""Compiles only the `If` branch that the golden input takes, with a guard that reports when another one is needed.

Exporters put whole models into branches, one for each sampling rate or the like; of those one input takes one. The
condition is computed on the device all the same, and a run in which it is another ends with an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.foundation.sanitize import first_line

_MOST = 1000
"""Branches to be taken in one model, those within others included."""


def take_branches(model: onnx.ModelProto, feed: Mapping[str, np.ndarray]) -> dict[str, bool]:
    """Put the nodes of the branches that `feed` takes in place of each `If`, within `model`.

    Returns:
        What each condition was, by its name; they are outputs of the model from then on.

    Raises:
        UnsupportedError: the model does not run.
    """
    guards: dict[str, bool] = {}
    wanted = [output.name for output in model.graph.output]
    for number in range(_MOST):
        position = next((at for at, node in enumerate(model.graph.node) if node.op_type == "If"), None)
        if position is None:
            break
        node = model.graph.node[position]
        condition = node.input[0]
        if condition not in guards:
            guards[condition] = _value(model, condition, feed)
        name = "then_branch" if guards[condition] else "else_branch"
        branch = onnx.GraphProto()
        branch.CopyFrom(next(each.g for each in node.attribute if each.name == name))
        _inline(model.graph, position, branch, f"branch{number}.")
    del model.graph.output[len(wanted) :]
    for name in guards:
        if name not in wanted:
            model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.BOOL, None))
    return guards


def require_same_branches(model: Path, feeds: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Check that all feeds take the same branches: a program is compiled for one way through the model.

    Args:
        model: an ONNX file.
        feeds: at least one, each with an array for every input.

    Raises:
        UnsupportedError: they do not; or the model does not run on one.
    """
    whole = onnx.load(model)
    if len(feeds) < 2 or all(node.op_type != "If" for node in whole.graph.node):
        return
    first = _conditions(whole, feeds[0])
    for number, feed in enumerate(feeds[1:], 1):
        taken = _conditions(whole, feed)
        differing = next((name for name in first if taken.get(name, first[name]) != first[name]), None)
        if differing is not None:
            raise UnsupportedError(
                "the native backend compiles one branch of an If, and the golden samples take both",
                why=f"{differing!r} is {str(first[differing]).lower()} for sample 0 and "
                f"{str(taken[differing]).lower()} for sample {number}",
                hint="if the device will never need the other branch, give --golden data that takes one",
            )


def _conditions(model: onnx.ModelProto, feed: Mapping[str, np.ndarray]) -> dict[str, bool]:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return take_branches(copy, feed)


def _value(model: onnx.ModelProto, name: str, feed: Mapping[str, np.ndarray]) -> bool:
    if name in feed:
        return bool(feed[name].item())
    for tensor in model.graph.initializer:
        if tensor.name == name:
            return bool(onnx.numpy_helper.to_array(tensor).item())
    asked = onnx.ModelProto()
    asked.CopyFrom(model)
    del asked.graph.output[:]
    asked.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.BOOL, None))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(asked.SerializeToString(), options, providers=["CPUExecutionProvider"])
        found = session.run([name], {each.name: feed[each.name] for each in session.get_inputs()})[0]
    except Exception as error:  # onnxruntime has its own exceptions, and raises many
        raise UnsupportedError(
            f"which branch the model takes at {name!r} cannot be determined", why=first_line(error)
        ) from error
    return bool(np.asarray(found).item())


def _inline(graph: onnx.GraphProto, position: int, branch: onnx.GraphProto, prefix: str) -> None:
    """Put a branch in place of the node at `position`. What it defines gets names that nothing else has."""
    mine = {tensor.name for tensor in branch.initializer}
    mine |= {name for node in branch.node for name in node.output if name}
    renamed = {name: prefix + name for name in mine}
    results = [renamed.get(output.name, output.name) for output in branch.output]
    _rename(branch.node, renamed)
    nodes = list(branch.node)
    for result, name in zip(results, graph.node[position].output, strict=True):
        if name:
            nodes.append(onnx.helper.make_node("Identity", [result], [name]))
    for tensor in branch.initializer:
        kept = graph.initializer.add()
        kept.CopyFrom(tensor)
        kept.name = renamed[tensor.name]
    after = list(graph.node)[position + 1 :]
    before = list(graph.node)[:position]
    copies = []
    for node in (*before, *nodes, *after):
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copies.append(copy)
    del graph.node[:]
    graph.node.extend(copies)


def _rename(nodes: Iterable[onnx.NodeProto], renamed: Mapping[str, str]) -> None:
    for node in nodes:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                _rename(graph.node, renamed)
                for output in graph.output:
                    output.name = renamed.get(output.name, output.name)
