"""Ranges of channels made alike across two layers, so that one grid fits them all."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgedeploy.optimize.base import Context, Facts, Pass, PassSkipped
from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.optimize.graph.edit import (
    all_nodes,
    constant,
    integer_attribute,
    is_operator,
    only_consumer,
    replace_input,
)
from edgedeploy.optimize.graph.linear import Linear, find_linear

_HOMOGENEOUS = ("Relu", "LeakyRelu", "Identity", "Dropout")
"""f(s·x) = s·f(x) for every s > 0: a scale may be moved through them. Not so Clip, HardSwish or Sigmoid."""
_ROUNDS = 20
_CONVERGED = 1e-3
_LARGEST_SCALE = 1e3
"""Channels that differ by more are left so: their weights would come near the ends of what a float holds exactly."""


class EqualizeRanges(Pass, frozen=True):
    """Move scale from each output channel of a layer to the layer behind it until both have the same range.

    Where channels differ much, as in networks of depthwise convolutions, a grid that fits the widest leaves few levels
    to the others. For layers A and B with nothing between but what commutes with a positive scale, row i of A is
    divided by s and column i of B multiplied by it, s = √(range of row / range of column): both have the same range
    then, and no result changes (Nagel et al. 2019, Data-Free Quantization Through Weight Equalization and Bias
    Correction, https://arxiv.org/abs/1906.04721, section 4.1, equation 11). Put it before the quantizer.
    """

    tolerance: ClassVar[float | None] = 1e-3

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        pairs, left = _pairs(model)
        if not pairs:
            raise PassSkipped("no two layers follow each other directly" + (f" ({_summary(left)})" if left else ""))
        weights = {layer.node: _Weights(layer) for pair in pairs for layer in pair}
        before = _unevenness([(weights[a.node], weights[b.node]) for a, b in pairs])
        for _ in range(_ROUNDS):
            moved = max(_equalize(weights[a.node], weights[b.node]) for a, b in pairs)
            if moved < _CONVERGED:
                break
        after = _unevenness([(weights[a.node], weights[b.node]) for a, b in pairs])
        builder = GraphBuilder(model)
        for layer in weights.values():
            layer.write(builder)
        return model, {
            "pairs_equalized": len(pairs),
            "pairs_left": sum(left.values()),
            "left": _summary(left),
            # Of channels in a layer, the widest to the median one; the mean over all pairs.
            "unevenness_before": round(before, 2),
            "unevenness_after": round(after, 2),
        }


class _Weights:
    """A layer's weight and bias while they change."""

    def __init__(self, layer: Linear) -> None:
        weight = constant(layer.weight)
        assert weight is not None
        self.node = layer.node
        self.weight = weight.astype(np.float64)
        self.bias = None if layer.bias is None else layer.bias.astype(np.float64)
        self._rows = layer.channel_axis or 0
        self.depthwise = is_operator(layer.node, "Conv") and integer_attribute(layer.node, "group", 1) > 1
        self._columns = self._rows if self.depthwise else 1 - self._rows
        self._changed = False

    def row_ranges(self) -> np.ndarray:
        """Return the largest magnitude in the weights of each output channel; float64, shape (channels,)."""
        return _ranges(self.weight, self._rows)

    def column_ranges(self) -> np.ndarray:
        """Return the largest magnitude that each input channel is multiplied by; float64, shape (channels,)."""
        return _ranges(self.weight, self._columns)

    def scale_rows(self, factors: np.ndarray) -> None:
        self.weight *= _along(factors, self.weight.ndim, self._rows)
        if self.bias is not None:
            self.bias *= factors
        self._changed = True

    def scale_columns(self, factors: np.ndarray) -> None:
        self.weight *= _along(factors, self.weight.ndim, self._columns)
        self._changed = True

    def write(self, builder: GraphBuilder) -> None:
        if not self._changed:
            return
        name = self.node.outputs[0].name or "layer"
        replace_input(self.node, 1, builder.initializer(f"{name}:equalized_weight", self.weight.astype(np.float32)))
        if self.bias is not None:
            replace_input(self.node, 2, builder.initializer(f"{name}:equalized_bias", self.bias.astype(np.float32)))


def _pairs(model: ir.Model) -> tuple[list[tuple[Linear, Linear]], Counter[str]]:
    """Layers that follow each other, and why others do not."""
    layers = {layer.node: layer for layer in find_linear(model, ("Conv", "MatMul", "Gemm"))[0]}
    readers = Counter(value for node in all_nodes(model) for value in set(node.inputs) if value is not None)
    pairs, left = [], Counter[str]()
    for first in layers.values():
        if first.channel_axis is None or readers[first.weight] > 1:
            left["its weight is shared, or has no channels"] += 1
            continue
        value, blocked = first.node.outputs[0], ""
        reader = only_consumer(value)
        while reader is not None and reader not in layers and is_operator(reader, *_HOMOGENEOUS):
            value = reader.outputs[0]
            reader = only_consumer(value)
        if reader is None:
            blocked = "several read its output"
        elif reader not in layers:
            blocked = f"{reader.op_type} comes behind it"
        elif reader.inputs[0] is not value:
            blocked = "its output is a weight"
        else:
            second = layers[reader]
            blocked = _mismatch(first, second, readers)
            if not blocked:
                pairs.append((first, second))
        if blocked:
            left[blocked] += 1
    return pairs, left


def _mismatch(first: Linear, second: Linear, readers: Counter[ir.Value]) -> str:
    """Why scale cannot be moved between two layers, or nothing."""
    if second.channel_axis is None or readers[second.weight] > 1:
        return "the weight of the layer behind is shared, or has no channels"
    if is_operator(first.node, "Conv") != is_operator(second.node, "Conv"):
        return "a convolution and a matrix follow each other"
    weight, next_weight = constant(first.weight), constant(second.weight)
    assert weight is not None and next_weight is not None
    group = integer_attribute(second.node, "group", 1) if is_operator(second.node, "Conv") else 1
    channels = weight.shape[first.channel_axis or 0]
    if group not in (1, channels) or (group == channels > 1 and next_weight.shape[0] != channels):
        return "the layer behind has groups of channels"
    columns = channels if group > 1 else next_weight.shape[1 - (second.channel_axis or 0)]
    return "" if columns == channels else "channels are regrouped between the layers"


def _equalize(first: _Weights, second: _Weights) -> float:
    """Move scale between two layers; by how much the most, 0 where they were even."""
    rows, columns = first.row_ranges(), second.column_ranges()
    known = (rows > 0) & (columns > 0)
    safe_rows, safe_columns = np.where(known, rows, 1.0), np.where(known, columns, 1.0)
    scales = np.where(known, np.sqrt(safe_rows / safe_columns), 1.0)
    # What all channels have in common is no unevenness, and stays where it is.
    scales /= np.exp(np.log(scales).mean())
    scales = np.clip(np.where(known, scales, 1.0), 1 / _LARGEST_SCALE, _LARGEST_SCALE)
    first.scale_rows(1 / scales)
    second.scale_columns(scales)
    return float(np.abs(np.log(scales)).max())


def _unevenness(pairs: list[tuple[_Weights, _Weights]]) -> float:
    ratios = []
    for first, second in pairs:
        for ranges in (first.row_ranges(), second.column_ranges()):
            middle = float(np.median(ranges))
            if middle > 0:
                ratios.append(float(ranges.max()) / middle)
    return float(np.mean(ratios)) if ratios else 1.0


def _ranges(weight: np.ndarray, axis: int) -> np.ndarray:
    others = tuple(i for i in range(weight.ndim) if i != axis)
    largest: np.ndarray = np.abs(weight).max(axis=others, initial=0.0)
    return largest


def _along(factors: np.ndarray, rank: int, axis: int) -> np.ndarray:
    shape = [1] * rank
    shape[axis] = -1
    return factors.reshape(shape)


def _summary(left: Counter[str]) -> str:
    return "; ".join(f"{count}: {reason}" for reason, count in left.most_common())
