"""A layer as a matrix product: rows of what it multiplies, and its weights as matrices.

A transposed convolution is taken before its overlapping windows are summed.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
from msgspec import Struct

from edgedeploy.optimize.graph.edit import constant
from edgedeploy.optimize.graph.im2col import ConvGeometry, conv_geometry, element_rows, matrix_rows, window_rows
from edgedeploy.optimize.prune.channels.walk import Layer


class Form(Struct, frozen=True, kw_only=True):
    """How a layer's node is laid out."""

    operator: str
    geometry: ConvGeometry
    """Of a Conv; others multiply single elements, and have no kernel."""
    transposed_weight: bool
    """Whether a matrix of weights is (out, in)."""

    @property
    def groups(self) -> int:
        """Groups of channels; 1 for a matrix."""
        return self.geometry.groups


def form_of(node: ir.Node, layer: Layer) -> Form:
    """Read a layer's form from its node."""
    weight = constant(node.inputs[1])
    assert weight is not None
    kernel = tuple(weight.shape[2:]) if layer.operator == "Conv" else ()
    return Form(
        operator=layer.operator,
        geometry=conv_geometry(node, kernel),
        transposed_weight=layer.operator == "Gemm" and layer.input_axis == 1,
    )


def matrices(form: Form, weight: np.ndarray) -> np.ndarray:
    """Lay the weights out as one matrix per group.

    Returns:
        Shape (groups, in per group · kernel, columns), in the dtype of `weight`. Rows are in the order of input
        channels, each with its window; columns are the output channels of a group, of a ConvTranspose each with its
        window.
    """
    if form.operator == "Conv":
        out = weight.shape[0] // form.groups
        stacked = weight.reshape(form.groups, out, -1)
        return np.ascontiguousarray(stacked.transpose(0, 2, 1))
    if form.operator == "ConvTranspose":
        return weight.reshape(form.groups, weight.shape[0] // form.groups, -1)
    return (weight.T if form.transposed_weight else weight)[None]


def weights_from(form: Form, stacked: np.ndarray, like: tuple[int, ...]) -> np.ndarray:
    """Give stacked matrices the shape of the weight again: the inverse of `matrices`.

    Args:
        like: the shape of the weight.
    """
    if form.operator == "Conv":
        return np.ascontiguousarray(stacked.transpose(0, 2, 1)).reshape(like)
    if form.operator == "ConvTranspose":
        return stacked.reshape(like)
    return np.ascontiguousarray(stacked[0].T if form.transposed_weight else stacked[0])


def rows_by_root(form: Form, inputs: np.ndarray) -> dict[int, np.ndarray]:
    """Return, for each set of channels, the rows of `matrices` that go with it.

    Args:
        inputs: roots along the weight's input axis; of all groups for a ConvTranspose.
    """
    roots = inputs.reshape(form.groups, -1)[0] if form.operator == "ConvTranspose" else inputs
    window = math.prod(form.geometry.kernel)
    found: dict[int, list[int]] = {}
    for place, root in enumerate(roots.tolist()):
        found.setdefault(root, []).extend(range(place * window, (place + 1) * window))
    return {root: np.array(rows) for root, rows in found.items()}


def rows_of(form: Form, value: np.ndarray, limit: int, rng: np.random.Generator) -> np.ndarray:
    """Return rows that the layer multiplies, at places drawn without replacement.

    Args:
        form: of the layer.
        value: the layer's input; (batch, channels, …) for convolutions, (…, in) for matrices.
        limit: at most so many rows.
        rng: draws them. The same state draws the same places of values of the same extents, whatever their channels.

    Returns:
        Shape (groups, rows, in per group · kernel), float32.
    """
    if form.operator in ("MatMul", "Gemm"):
        rows = matrix_rows(value, limit, rng)
    elif form.operator == "ConvTranspose":
        rows = element_rows(value, form.groups, limit, rng)
    else:
        rows = window_rows(form.geometry, value, limit, rng)
    return np.asarray(rows, dtype=np.float32)
