"""What layers are multiplied with on calibration data, as rows of a matrix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx_ir as ir

from edgedeploy.optimize.base import Context
from edgedeploy.optimize.graph.activation_tap import ActivationTap
from edgedeploy.optimize.graph.edit import integer_attribute, is_operator
from edgedeploy.optimize.graph.im2col import conv_geometry, matrix_rows, window_rows
from edgedeploy.optimize.recover.quantized_layers import QuantizedLayer, seen_samples

_AT_ONCE = 12
"""Layers whose inputs leave the runtime together; bounds the memory."""


class Gram:
    """XᵀX of a layer's inputs, for each group of a convolution; X has a row per position that was looked at."""

    def __init__(self, layer: QuantizedLayer) -> None:
        self._layer = layer
        node = layer.original
        self.groups = integer_attribute(node, "group", 1) if is_operator(node, "Conv") else 1
        self.width = _width(layer, self.groups)
        self.products = np.zeros((self.groups, self.width, self.width))
        self.rows = 0

    def add(self, source: np.ndarray, positions: int, rng: np.random.Generator) -> None:
        """Take in one sample's input, at no more than so many positions."""
        found = layer_rows(self._layer, source, positions, rng)
        self.products += np.einsum("gnd,gne->gde", found, found, optimize=True)
        self.rows += found.shape[1]


def unsupported_reason(layer: QuantizedLayer, largest: int) -> str | None:
    """Return why the inputs of a layer are not collected, or None."""
    node = layer.original
    if is_operator(node, "Conv"):
        auto_pad = node.attributes.get("auto_pad")
        if auto_pad is not None and auto_pad.as_string() != "NOTSET":
            return "its padding depends on its input"
        if layer.weight.ndim not in (3, 4):
            return "it is no convolution in one or two dimensions"
    elif layer.weight.ndim != 2:
        return "its weight is no matrix"
    groups = integer_attribute(node, "group", 1) if is_operator(node, "Conv") else 1
    return f"each output reads more than {largest:,} numbers" if _width(layer, groups) > largest else None


def collect(
    reference: ir.Model, layers: Sequence[QuantizedLayer], context: Context, *, positions: int
) -> Iterator[tuple[QuantizedLayer, Gram]]:
    """Collect XᵀX of each layer on what the float model feeds it.

    Args:
        positions: rows that each sample may give to a layer; a convolution has many.
    """
    assert context.calibration is not None
    for begin in range(0, len(layers), _AT_ONCE):
        group = layers[begin : begin + _AT_ONCE]
        grams = [Gram(layer) for layer in group]
        rng = np.random.default_rng(0)
        tap = ActivationTap(reference, _input_names(reference, group), readout="float32")
        for sample in seen_samples(context.calibration):
            for gram, source in zip(grams, tap.run(sample.feed), strict=True):
                gram.add(source, positions, rng)
        context.progress.advance(min(begin + _AT_ONCE, len(layers)), len(layers), "layers")
        yield from zip(group, grams, strict=True)


def as_rows(layer: QuantizedLayer, weight: np.ndarray) -> np.ndarray:
    """Lay a weight of the layer out in rows: (groups, channels of a group, width), in the order of `Gram`."""
    node = layer.original
    if is_operator(node, "Conv"):
        groups = integer_attribute(node, "group", 1)
        grouped: np.ndarray = weight.reshape(groups, weight.shape[0] // groups, -1)
        return grouped
    transposed = is_operator(node, "Gemm") and integer_attribute(node, "transB", 0)
    rows: np.ndarray = (weight if transposed else weight.T)[np.newaxis]
    return rows


def from_rows(layer: QuantizedLayer, rows: np.ndarray) -> np.ndarray:
    """Give rows the weight's shape again: the inverse of `as_rows`."""
    node = layer.original
    if is_operator(node, "Conv"):
        shaped: np.ndarray = rows.reshape(layer.weight.shape)
        return shaped
    matrix: np.ndarray = rows[0]
    return matrix if is_operator(node, "Gemm") and integer_attribute(node, "transB", 0) else matrix.T


def layer_rows(layer: QuantizedLayer, source: np.ndarray, positions: int, rng: np.random.Generator) -> np.ndarray:
    """Return what a layer multiplies, in the order of `as_rows`.

    Args:
        layer: a Conv, MatMul or Gemm.
        source: its input on one sample.
        positions: at most so many rows, drawn without replacement where there are more.
        rng: draws them.

    Returns:
        Float64, shape (groups, rows, width).
    """
    if is_operator(layer.original, "Conv"):
        geometry = conv_geometry(layer.original, layer.weight.shape[2:])
        return window_rows(geometry, source, positions, rng).astype(np.float64)
    return matrix_rows(source, positions, rng).astype(np.float64)


def _width(layer: QuantizedLayer, groups: int) -> int:
    if is_operator(layer.original, "Conv"):
        return int(np.prod(layer.weight.shape[1:]))
    return int(as_rows(layer, layer.weight).shape[2])


def _input_names(reference: ir.Model, layers: Sequence[QuantizedLayer]) -> list[str]:
    nodes = {node.outputs[0].name: node for node in reference.graph if node.outputs}
    inputs = [nodes[layer.name].inputs[0] for layer in layers]
    return [value.name or "" for value in inputs if value is not None]
