"""What a product is finished with while its results are in registers: an addition, an activation, found by `fuse`."""

from __future__ import annotations

from edgedeploy.compile.native.formulas import literal
from edgedeploy.compile.native.graph import Node

ACTIVATION = "_activation"
"""Attribute of a node: the name in `enum activation` (kernels/base.h) with its alpha and beta."""

ADDED = "_added"
"""Attribute of a node: the value that is added to its result before the activation."""

BIAS = "_bias"
"""Attribute of a MatMul: one float32 for each column, which is added to its result."""

UNFINISHED = "&(const struct finish){ACTIVATION_NONE, 0, 0}"
"""The C argument of a product that is left as it is."""


def finish_of(node: Node) -> str:
    """Write the C argument that says how the node's result is finished."""
    name, alpha, beta = node.get(ACTIVATION, ("NONE", 0.0, 0.0))
    return f"&(const struct finish){{ACTIVATION_{name}, {literal(alpha)}, {literal(beta)}}}"
