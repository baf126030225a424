"""A pass that moves outliers of activations into the weights that follow (SmoothQuant)."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

import numpy as np
import onnx_ir as ir
from msgspec import Struct

from edgedeploy.optimize.base import Context, Facts, Pass, PassSkipped
from edgedeploy.optimize.graph.activation_tap import ActivationTap
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
from edgedeploy.optimize.recover.quantized_layers import seen_samples

_ROWS = 256
"""Of each source's activations, so many in all are kept to try strengths on."""
_SMALLEST, _LARGEST = 1e-2, 1e2
_LEVELS = 255


class BalanceActivations(Pass, frozen=True):
    """Divide features with wide ranges where a normalization scales them, and multiply the weights behind by as much.

    In transformers a few features of what LayerNormalization gives are a hundred times the others, so that a grid for
    all of them leaves few levels to most; weights are even, and have room. Feature j is divided by s = max|x|^α /
    max|w|^(1 - α), the row j of each weight multiplied by it: no result changes (SmoothQuant, Xiao et al. 2022,
    https://arxiv.org/abs/2211.10438, equation 4). For each normalization the α is taken that brings the layers behind
    it closest to float in 8 bits on calibration data; where none helps, it stays. The scale goes into the weight and
    bias of LayerNormalization, or into the constants of the Mul and Add that end one that is written out. Put it before
    the quantizer.
    """

    tolerance: ClassVar[float | None] = 1e-3
    needs_calibration: ClassVar[bool] = True

    strengths: tuple[float, ...] = (0.3, 0.5, 0.7, 0.85)
    """The α that are tried: how much of the difficulty moves to the weights."""

    def __post_init__(self) -> None:
        if not self.strengths or not all(0 < strength <= 1 for strength in self.strengths):
            raise ValueError("strengths must be above 0 and at most 1")

    def requires(self, model: ir.Model, context: Context) -> str | None:
        return None if context.calibration is not None else "it needs calibration data"

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        sources = _sources(model)
        if not sources:
            raise PassSkipped("no normalization or scale is read by MatMul or Gemm alone")
        rows = _rows(model, sources, context)
        builder = GraphBuilder(model)
        chosen: Counter[float] = Counter()
        before = after = 0.0
        for source in sources:
            seen = rows[source.name]
            if not len(seen):
                continue
            errors = {0.0: _error(seen, source, np.ones(seen.shape[1]))}
            scales = {strength: _scales(seen, source, strength) for strength in self.strengths}
            errors |= {strength: _error(seen, source, scale) for strength, scale in scales.items()}
            best = min(errors, key=lambda strength: errors[strength])
            before, after = before + errors[0.0], after + errors[best]
            chosen[best] += 1
            if best:
                source.divide(builder, scales[best])
        changed = sum(count for strength, count in chosen.items() if strength)
        if not changed:
            raise PassSkipped("activations are even enough: no strength brings a layer closer to float in 8 bits")
        return model, {
            "normalizations_balanced": changed,
            "normalizations_left": chosen[0.0],
            "strengths": ", ".join(f"{strength:g}: {count}" for strength, count in sorted(chosen.items()) if strength),
            "layer_error_ratio": round(after / before, 4) if before else 1.0,
        }


class _Source(Struct, frozen=True, eq=False):
    """Where features can be scaled for free, and the layers that read them."""

    value: ir.Value
    scaled: tuple[tuple[ir.Node, int], ...]
    """Node and input that hold a constant per feature, each to be divided."""
    readers: tuple[Linear, ...]

    @property
    def name(self) -> str:
        return self.value.name or ""

    def weights(self) -> list[np.ndarray]:
        """Return the weight of each reader; float64, shape (features, channels)."""
        found = []
        for layer in self.readers:
            weight = constant(layer.weight)
            assert weight is not None
            transposed = is_operator(layer.node, "Gemm") and integer_attribute(layer.node, "transB", 0)
            found.append((weight.T if transposed else weight).astype(np.float64))
        return found

    def divide(self, builder: GraphBuilder, scales: np.ndarray) -> None:
        for node, position in self.scaled:
            array = constant(node.inputs[position])
            assert array is not None
            divided = (array.astype(np.float64) / scales).astype(np.float32)
            replace_input(node, position, builder.initializer(f"{self.name}:balanced", divided))
        for layer, weight in zip(self.readers, self.weights(), strict=True):
            multiplied = (weight * scales[:, np.newaxis]).astype(np.float32)
            if is_operator(layer.node, "Gemm") and integer_attribute(layer.node, "transB", 0):
                multiplied = np.ascontiguousarray(multiplied.T)
            replace_input(
                layer.node, 1, builder.initializer(f"{layer.node.outputs[0].name}:balanced_weight", multiplied)
            )


def _sources(model: ir.Model) -> list[_Source]:
    layers = {layer.node: layer for layer in find_linear(model, ("MatMul", "Gemm"))[0]}
    shared = Counter(value for node in all_nodes(model) for value in node.inputs if value is not None)
    found = []
    for node in model.graph:
        scaled = _scaled(node)
        value = scaled[-1][0].outputs[0] if scaled else None
        if value is None or value.is_graph_output():
            continue
        readers = [layers.get(use.node) for use in value.uses() if use.idx == 0]
        if not readers or len(readers) != len(list(value.uses())):
            continue
        known = [layer for layer in readers if layer is not None]
        if len(known) != len(readers) or any(shared[layer.weight] > 1 for layer in known):
            continue
        features = {
            weight.shape[1 if is_operator(layer.node, "Gemm") and integer_attribute(layer.node, "transB", 0) else 0]
            for layer in known
            if (weight := constant(layer.weight)) is not None and weight.ndim == 2
        }
        sizes = {array.size for holder, position in scaled if (array := constant(holder.inputs[position])) is not None}
        if len(features) == 1 and features == sizes and all(constant(layer.weight).ndim == 2 for layer in known):  # type: ignore[union-attr]
            found.append(_Source(value, tuple(scaled), tuple(known)))
    return found


def _scaled(node: ir.Node) -> list[tuple[ir.Node, int]]:
    """The constants per feature that a node, and the Add right behind it, scale and shift by; nothing for others."""
    if is_operator(node, "LayerNormalization"):
        positions = [
            position for position in (1, 2) if position < len(node.inputs) and node.inputs[position] is not None
        ]
        return [(node, position) for position in positions] if _all_vectors(node, positions) else []
    if not is_operator(node, "Mul"):
        return []
    position = next((i for i in (0, 1) if _is_vector(node.inputs[i])), None)
    if position is None:
        return []
    following = only_consumer(node.outputs[0])
    if following is not None and is_operator(following, "Add"):
        other = next((i for i in (0, 1) if _is_vector(following.inputs[i])), None)
        if other is not None:
            return [(node, position), (following, other)]
    return [(node, position)]


def _all_vectors(node: ir.Node, positions: list[int]) -> bool:
    return all(_is_vector(node.inputs[position]) for position in positions)


def _is_vector(value: ir.Value | None) -> bool:
    array = constant(value)
    return array is not None and array.dtype == np.float32 and array.size > 1 and array.shape[-1] == array.size


def _rows(model: ir.Model, sources: list[_Source], context: Context) -> dict[str, np.ndarray]:
    """Some of the activations of each source: float64, shape (rows, features)."""
    assert context.calibration is not None
    tap = ActivationTap(model, [source.name for source in sources])
    rng = np.random.default_rng(0)
    kept: list[list[np.ndarray]] = [[] for _ in sources]
    for samples, sample in enumerate(seen_samples(context.calibration), start=1):
        for rows, output in zip(kept, tap.run(sample.feed), strict=True):
            flat = output.reshape(-1, output.shape[-1])
            # As many of each sample, so that all of them count.
            wanted = min(len(flat), 8)
            rows.append(flat[rng.choice(len(flat), wanted, replace=False)].astype(np.float64))
        context.progress.advance(samples, context.calibration.count, "samples")
    found = {}
    for source, rows in zip(sources, kept, strict=True):
        joined = np.concatenate(rows) if rows else np.empty((0, 1))
        found[source.name] = joined[rng.permutation(len(joined))[:_ROWS]]
    return found


def _scales(rows: np.ndarray, source: _Source, strength: float) -> np.ndarray:
    activations = np.abs(rows).max(axis=0)
    weights = np.max([np.abs(weight).max(axis=1) for weight in source.weights()], axis=0)
    known = (activations > 0) & (weights > 0)
    scales = np.where(known, activations, 1.0) ** strength / np.where(known, weights, 1.0) ** (1 - strength)
    # What all features have in common balances nothing.
    scales /= np.exp(np.log(scales).mean())
    clipped: np.ndarray = np.clip(np.where(known, scales, 1.0), _SMALLEST, _LARGEST)
    return clipped


def _error(rows: np.ndarray, source: _Source, scales: np.ndarray) -> float:
    """Squared error of the layers behind when both operands are in 8 bits, relative to the signal's power."""
    low, high = min(0.0, float((rows / scales).min())), max(0.0, float((rows / scales).max()))
    step = (high - low) / _LEVELS or 1.0
    activations = np.rint(rows / scales / step) * step
    total = 0.0
    for weight in source.weights():
        balanced = weight * scales[:, np.newaxis]
        steps = np.abs(balanced).max(axis=0) / 127
        steps = np.where(steps > 0, steps, 1.0)
        exact = rows @ weight
        quantized = activations @ (np.rint(balanced / steps) * steps)
        total += float(((quantized - exact) ** 2).sum()) / max(float((exact**2).sum()), 1e-30)
    return total
