"""A layer as a matrix product: rows of what it multiplies, and its weights as matrices.

A convolution multiplies, at each place of its output, a window of its input (im2col). Of all places a sample of a fixed
number is taken. A transposed convolution is taken before its overlapping windows are summed.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
from msgspec import Struct

from edgedeploy.optimize.graph.edit import constant, integer_attribute, integers_attribute
from edgedeploy.optimize.prune.channels.walk import Layer


class Form(Struct, frozen=True, kw_only=True):
    """How a layer's node is laid out."""

    operator: str
    groups: int
    window: tuple[int, ...]
    """Extents of a Conv's kernel; () for others: they multiply single elements."""
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    auto_pad: str
    transposed_weight: bool
    """Whether a matrix of weights is (out, in)."""


def form_of(node: ir.Node, layer: Layer) -> Form:
    """Read it from the node."""
    weight = constant(node.inputs[1])
    assert weight is not None
    window = tuple(weight.shape[2:]) if layer.operator == "Conv" else ()
    ones = (1,) * len(window)
    auto_pad = node.attributes.get("auto_pad")
    return Form(
        operator=layer.operator,
        groups=integer_attribute(node, "group", 1),
        window=window,
        strides=integers_attribute(node, "strides") or ones,
        dilations=integers_attribute(node, "dilations") or ones,
        pads=integers_attribute(node, "pads") or (0,) * (2 * len(window)),
        auto_pad="NOTSET" if auto_pad is None else str(auto_pad.as_string()),
        transposed_weight=layer.operator == "Gemm" and layer.input_axis == 1,
    )


def matrices(form: Form, weight: np.ndarray) -> np.ndarray:
    """The weights as one matrix per group; shape (groups, in per group · window, columns).

    Rows are in the order of input channels, each with its window.
    """
    if form.operator == "Conv":
        out = weight.shape[0] // form.groups
        stacked = weight.reshape(form.groups, out, -1)
        return np.ascontiguousarray(stacked.transpose(0, 2, 1))
    if form.operator == "ConvTranspose":
        return weight.reshape(form.groups, weight.shape[0] // form.groups, -1)
    return (weight.T if form.transposed_weight else weight)[None]


def weights_from(form: Form, stacked: np.ndarray, like: tuple[int, ...]) -> np.ndarray:
    """The inverse of `matrices`.

    Args:
        like: the shape of the weight.
    """
    if form.operator == "Conv":
        return np.ascontiguousarray(stacked.transpose(0, 2, 1)).reshape(like)
    if form.operator == "ConvTranspose":
        return stacked.reshape(like)
    return np.ascontiguousarray(stacked[0].T if form.transposed_weight else stacked[0])


def rows_by_root(form: Form, inputs: np.ndarray) -> dict[int, np.ndarray]:
    """For each set of atoms, the rows of `matrices` that go with it.

    Args:
        inputs: roots along the weight's input axis; of all groups for a ConvTranspose.
    """
    roots = inputs.reshape(form.groups, -1)[0] if form.operator == "ConvTranspose" else inputs
    window = math.prod(form.window)
    found: dict[int, list[int]] = {}
    for place, root in enumerate(roots.tolist()):
        found.setdefault(root, []).extend(range(place * window, (place + 1) * window))
    return {root: np.array(rows) for root, rows in found.items()}


def rows_of(form: Form, value: np.ndarray, wanted: int, rng: np.random.Generator) -> np.ndarray:
    """Rows that the layer multiplies, at places drawn without replacement.

    Args:
        value: the layer's input; (batch, channels, …) for convolutions, (…, in) for matrices.
        wanted: how many; fewer where there are fewer places.
        chance: draws them. The same state draws the same places of values of the same extents, whatever their channels.

    Returns:
        Shape (groups, rows, in per group · window), float32.
    """
    if form.operator in ("MatMul", "Gemm"):
        flat = value.reshape(-1, value.shape[-1])
        return np.asarray(flat[_places(len(flat), wanted, rng)][None], dtype=np.float32)
    if form.operator == "ConvTranspose":
        flat = np.moveaxis(value, 1, -1).reshape(-1, value.shape[1])
        chosen = flat[_places(len(flat), wanted, rng)]
        return np.ascontiguousarray(chosen.reshape(len(chosen), form.groups, -1).transpose(1, 0, 2), dtype=np.float32)
    return _windows(form, value, wanted, rng)


def _places(count: int, wanted: int, rng: np.random.Generator) -> np.ndarray:
    return np.arange(count) if count <= wanted else rng.choice(count, wanted, replace=False)


def _windows(form: Form, value: np.ndarray, wanted: int, rng: np.random.Generator) -> np.ndarray:
    extents, rank = value.shape[2:], len(form.window)
    sizes: list[int] = []
    begins: list[int] = []
    for axis in range(rank):
        reach = (form.window[axis] - 1) * form.dilations[axis] + 1
        if form.auto_pad.startswith("SAME"):
            size = -(-extents[axis] // form.strides[axis])
            pad = max((size - 1) * form.strides[axis] + reach - extents[axis], 0)
            begin = pad // 2 if form.auto_pad == "SAME_UPPER" else -(-pad // 2)
        else:
            begin, end = (0, 0) if form.auto_pad == "VALID" else (form.pads[axis], form.pads[axis + rank])
            size = (extents[axis] + begin + end - reach) // form.strides[axis] + 1
        sizes.append(size)
        begins.append(begin)
    places = _places(value.shape[0] * math.prod(sizes), wanted, rng)
    batch, *at = np.unravel_index(places, (value.shape[0], *sizes))
    index: list[np.ndarray] = []
    inside = np.ones((len(places), *form.window), dtype=bool)
    for axis in range(rank):
        taps = at[axis][:, None] * form.strides[axis] + np.arange(form.window[axis]) * form.dilations[axis]
        taps = (taps - begins[axis]).reshape(len(places), *(form.window[axis] if a == axis else 1 for a in range(rank)))
        inside &= (taps >= 0) & (taps < extents[axis])
        index.append(np.clip(taps, 0, extents[axis] - 1))
    sample = batch.reshape(-1, *(1,) * rank)
    # The channels' slice between indices moves them behind: (rows, window…, channels).
    rows = np.moveaxis(value, 1, -1)[(sample, *index)] * inside[..., None]
    rows = np.moveaxis(rows, -1, 1).reshape(len(places), form.groups, -1)
    return np.ascontiguousarray(rows.transpose(1, 0, 2), dtype=np.float32)
