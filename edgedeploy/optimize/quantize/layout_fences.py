"""Make safe what onnxruntime moves the layout of 8-bit convolutions through.

Its kernels for 8-bit Conv take channels last, so it puts a Transpose on both sides of them, and moves those through the
nodes between (onnxruntime/core/optimizer/transpose_optimization). Two kinds of nodes come out wrong: Pad and Resize
whose `axes` name some dimensions, and a Resize that has no kernel for channels last. For the first, all dimensions are
written out, which means the same; in front of what is left goes a fence that no Transpose passes.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.optimize.graph.edit import (
    all_nodes,
    constant,
    drop_if_unused,
    integers_attribute,
    is_operator,
    replace_input,
)


def write_out_axes(model: ir.Model) -> int:
    """Write out all dimensions of Pad and Resize nodes that name some of them; return of how many nodes.

    Nodes stay as they are where a rank, an extent or what is given for the dimensions is known only at run time.
    """
    builder = GraphBuilder(model)
    return sum(_write_out_pad(node, builder) or _write_out_resize(node, builder) for node in all_nodes(model))


def fence(model: ir.Model) -> int:
    """Put a fence in front of each node that must not be turned to channels last; return how many there are now.

    A fence is a Flatten and the Reshape back: they copy nothing, and onnxruntime moves no Transpose through a Flatten.
    """
    builder = GraphBuilder(model)
    fenced = [node for node in all_nodes(model) if _needs_fence(node)]
    for node in fenced:
        source = node.inputs[0]
        assert source is not None
        name = node.outputs[0].name or "fenced"
        shape = builder.op("Shape", [source], f"{name}:shape", before=node)
        flat = builder.op("Flatten", [source], f"{name}:flat", attributes={"axis": 1}, before=node)
        replace_input(node, 0, builder.op("Reshape", [flat, shape], f"{name}:fenced", like=source, before=node))
    return len(fenced)


def _needs_fence(node: ir.Node) -> bool:
    source = node.inputs[0] if node.inputs else None
    if source is None or (source.shape is not None and len(source.shape) < 3):
        return False
    if is_operator(node, "Pad"):
        return _input(node, 3) is not None
    if is_operator(node, "Resize"):
        mode = node.attributes.get("mode")
        return "axes" in node.attributes or (mode is not None and mode.as_string() == "cubic")
    return is_operator(node, "CenterCropPad")


def _write_out_pad(node: ir.Node, builder: GraphBuilder) -> bool:
    """Write all dimensions of a Pad out: `pads` holds what goes before each of `axes`, then what goes behind them."""
    if not is_operator(node, "Pad"):
        return False
    pads, axes, source = constant(_input(node, 1)), constant(_input(node, 3)), node.inputs[0]
    if pads is None or axes is None or source is None or source.shape is None:
        return False
    whole = np.zeros((2, len(source.shape)), np.int64)
    whole[:, _positive(axes, len(source.shape))] = pads.reshape(2, -1)
    value = _input(node, 2)
    _set_inputs(node, builder, [source, whole.reshape(-1), value])
    return True


def _write_out_resize(node: ir.Node, builder: GraphBuilder) -> bool:
    """Write all dimensions of a Resize out: the others are scaled by 1, or keep their extents."""
    if not is_operator(node, "Resize") or "axes" not in node.attributes:
        return False
    source, policy = node.inputs[0], node.attributes.get("keep_aspect_ratio_policy")
    if source is None or source.shape is None or (policy is not None and policy.as_string() != "stretch"):
        return False
    rank = len(source.shape)
    axes = _positive(np.array(integers_attribute(node, "axes")), rank)
    roi, scales, sizes = (_input(node, position) for position in (1, 2, 3))
    given = [constant(value) for value in (roi, scales, sizes)]
    if any(value is not None and array is None for value, array in zip((roi, scales, sizes), given, strict=True)):
        return False
    whole: list[ir.Value | np.ndarray | None] = [source, None, None, None]
    if given[0] is not None and given[0].size:
        regions = np.stack([np.zeros(rank), np.ones(rank)]).astype(given[0].dtype)
        regions[:, axes] = given[0].reshape(2, -1)
        whole[1] = regions.reshape(-1)
    if given[1] is not None and given[1].size:
        factors = np.ones(rank, np.float32)
        factors[axes] = given[1]
        whole[2] = factors
    elif given[2] is not None:
        whole[3] = _sizes(node, source, axes, given[2], builder)
    _set_inputs(node, builder, whole)
    node.attributes.pop("axes")
    return True


def _sizes(
    node: ir.Node, source: ir.Value, axes: np.ndarray, sizes: np.ndarray, builder: GraphBuilder
) -> ir.Value | np.ndarray:
    """Return all extents of a Resize's result; of those that are open, what the model computes for them."""
    assert source.shape is not None
    extents = [extent if isinstance(extent, int) else None for extent in source.shape]
    for axis, size in zip(axes.tolist(), sizes.tolist(), strict=True):
        extents[axis] = size
    if None not in extents:
        return np.array(extents, np.int64)
    name = node.outputs[0].name or "resized"
    shape = builder.op("Shape", [source], f"{name}:shape", before=node)
    parts = [
        builder.initializer(f"{name}:extent", np.array([extent], np.int64))
        if extent is not None
        else builder.op(
            "Gather",
            [shape, builder.initializer(f"{name}:axis", np.array([axis], np.int64))],
            f"{name}:open",
            attributes={"axis": 0},
            before=node,
        )
        for axis, extent in enumerate(extents)
    ]
    return builder.op("Concat", parts, f"{name}:sizes", attributes={"axis": 0}, before=node)


def _set_inputs(node: ir.Node, builder: GraphBuilder, inputs: list[ir.Value | np.ndarray | None]) -> None:
    """Give a node these inputs; arrays become initializers. Where it has more, those are left out."""
    name = node.outputs[0].name or "node"
    for position in range(len(node.inputs)):
        given = inputs[position] if position < len(inputs) else None
        value = builder.initializer(f"{name}:all", given) if isinstance(given, np.ndarray) else given
        old = node.inputs[position]
        node.replace_input_with(position, value)
        if old is not None:
            drop_if_unused(old)
    while node.inputs and node.inputs[-1] is None:
        node.resize_inputs(len(node.inputs) - 1)


def _input(node: ir.Node, position: int) -> ir.Value | None:
    return node.inputs[position] if position < len(node.inputs) else None


def _positive(axes: np.ndarray, rank: int) -> np.ndarray:
    found: np.ndarray = axes.astype(np.int64).reshape(-1) % rank
    return found
