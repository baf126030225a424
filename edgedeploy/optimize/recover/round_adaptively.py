"""A pass that rounds weights so that the error of the layer's output is smallest."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

import numpy as np
import onnx_ir as ir
from msgspec import Struct

from edgedeploy.optimize.base import Context, Facts, Pass, PassSkipped
from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.optimize.graph.edit import constant, integer_attribute, is_operator, replace_input
from edgedeploy.optimize.recover.layer_inputs import as_rows, collect, from_rows, unsupported_reason
from edgedeploy.optimize.recover.quantized_layers import HeldOut, QuantizedLayer, known, quantized_layers, reference_of


class RoundAdaptively(Pass, frozen=True):
    """Round each quantized weight up or down such that the layer's output, not the weight, comes closest to float.

    The columns of a layer's weight are rounded one after the other, and the error of each is made up for by those that
    are still to come, as far as the layer's inputs go together on calibration data: the second-order rule of Optimal
    Brain Surgeon in the order and with the Cholesky factors of GPTQ (Frantar et al. 2022,
    https://arxiv.org/abs/2210.17323, algorithm 1), which needs no training, as AdaRound does (Nagel et al. 2020,
    https://arxiv.org/abs/2004.10568), for the same objective: the squared error of the layer's output. Scales, size and
    speed stay. Put it behind the quantizer. A layer whose error does not fall keeps its rounding, and all of it is
    undone when the outputs on samples that are held out do not come closer to the float model's.
    """

    needs_calibration: ClassVar[bool] = True

    positions: int = 64
    """Of each sample's positions in a convolution, so many are looked at."""
    largest: int = 2048
    """Layers whose outputs read more numbers than that keep their rounding: the work grows with the cube."""
    damping: float = 0.01
    """Added to the diagonal of XᵀX, as a share of its mean: inputs that hardly ever move must not decide."""

    def __post_init__(self) -> None:
        if self.positions < 1 or self.largest < 1:
            raise ValueError("positions and largest must be at least 1")
        if not self.damping > 0:
            raise ValueError("damping must be above 0")

    def requires(self, model: ir.Model, context: Context) -> str | None:
        if context.calibration is None:
            return "it needs calibration data"
        if context.reference is None:
            return "nothing was quantized before it (put it behind a quantizer)"
        return None

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        reference = reference_of(context)
        stored, left = self._find(model, reference)
        if not stored:
            raise PassSkipped("there is no quantized weight that it could round anew")
        held_out = HeldOut(context)
        before_db = held_out.sqnr_db(model)
        builder = GraphBuilder(model)
        changed = weights = 0
        error_before = error_after = 0.0
        for layer, gram in collect(reference, list(stored), context, positions=self.positions):
            outcome = _round_layer(layer, stored[layer], gram.products, self.damping)
            error_before += outcome.error_before
            error_after += outcome.error_after
            if outcome.moved:
                name = f"{layer.name}:rounded"
                replace_input(stored[layer].holder, 0, builder.initializer(name, outcome.integers))
                changed += 1
                weights += outcome.moved
        after_db = held_out.require_improvement(model, before_db)
        return model, {
            "layers_rounded": changed,
            "weights_moved": weights,
            "layers_left": sum(left.values()),
            "left": "; ".join(f"{count}: {reason}" for reason, count in left.most_common()),
            "layer_error_ratio": round(error_after / error_before, 4) if error_before else 1.0,
            "sqnr_before_db": round(before_db, 2),
            "sqnr_after_db": round(after_db, 2),
        }

    def _find(self, model: ir.Model, reference: ir.Model) -> tuple[dict[QuantizedLayer, _StoredIntegers], Counter[str]]:
        """The layers to round, in the order they are computed, and why others keep their rounding."""
        stored: dict[QuantizedLayer, _StoredIntegers] = {}
        left: Counter[str] = Counter()
        for layer in quantized_layers(model, reference):
            integers = _stored_integers(layer.node.inputs[1])
            if integers is None:
                left["its weight is not in 8-bit integers"] += 1
            elif (reason := unsupported_reason(layer, self.largest)) is not None:
                left[reason] += 1
            else:
                stored[layer] = integers
        return stored, left


class _Rounding(Struct, frozen=True, eq=False):
    """A layer's integers as they are now, and what that does."""

    integers: np.ndarray
    """int8, of the weight's shape."""
    moved: int
    """How many differ from before."""
    error_before: float
    """Squared error of the layer's output on the inputs seen."""
    error_after: float


def _round_layer(layer: QuantizedLayer, integers: _StoredIntegers, products: np.ndarray, damping: float) -> _Rounding:
    """Round a layer's weight anew; a channel whose error does not fall keeps its integers.

    Args:
        integers: what its weight is made from.
        products: XᵀX of its inputs; float64, shape (groups, width, width).
        damping: see `RoundAdaptively`.
    """
    original = known(layer.original.inputs[1])
    assert original is not None
    target = as_rows(layer, original.astype(np.float64))
    scales = as_rows(layer, np.broadcast_to(integers.scales, original.shape).astype(np.float64))
    before = as_rows(layer, integers.array.astype(np.float64))
    rounded = _rounded(target, scales, products, integers.largest, damping)
    errors_before, errors = (_error(target, scales * rounding, products) for rounding in (before, rounded))
    rounded = np.where((errors < errors_before)[:, :, np.newaxis], rounded, before)
    return _Rounding(
        integers=from_rows(layer, rounded).astype(integers.array.dtype),
        moved=int((rounded != before).sum()),
        error_before=float(errors_before.sum()),
        error_after=float(np.minimum(errors_before, errors).sum()),
    )


class _StoredIntegers(Struct, frozen=True, eq=False):
    """A weight's integers where they are stored."""

    holder: ir.Node
    """Its first input holds them."""
    array: np.ndarray
    scales: np.ndarray
    """Broadcasts to the weight's shape."""
    largest: int
    """The largest magnitude in use."""


def _stored_integers(value: ir.Value | None) -> _StoredIntegers | None:
    """The 8-bit integers that a weight is computed from, when only this weight is; None for any other."""
    node = value.producer() if value is not None else None
    if node is None or value is None or len(list(value.uses())) != 1:
        return None
    if is_operator(node, "DequantizeLinear"):
        array, scales = constant(node.inputs[0]), constant(node.inputs[1])
        zero = constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else None
        if array is None or scales is None or array.dtype != np.int8 or (zero is not None and zero.any()):
            return None
        if scales.ndim == 1:
            shape = [1] * array.ndim
            shape[integer_attribute(node, "axis", 1)] = -1
            scales = scales.reshape(shape)
        return _StoredIntegers(node, array, scales, _largest(array))
    if is_operator(node, "Mul"):
        cast = node.inputs[0].producer() if node.inputs[0] is not None else None
        scales = constant(node.inputs[1])
        if cast is None or scales is None or not is_operator(cast, "Cast") or len(list(cast.outputs[0].uses())) != 1:
            return None
        array = constant(cast.inputs[0])
        if array is None or array.dtype != np.int8:
            return None
        return _StoredIntegers(cast, array, scales, _largest(array))
    return None


def _largest(integers: np.ndarray) -> int:
    return int(np.abs(integers.astype(np.int16)).max(initial=1))


def _rounded(weight: np.ndarray, scales: np.ndarray, products: np.ndarray, largest: int, damping: float) -> np.ndarray:
    """Integers, as float64, of shape (groups, channels, width), each in [-largest, largest]."""
    result = np.empty_like(weight)
    for group in range(len(weight)):
        result[group] = _rounded_group(weight[group].copy(), scales[group], products[group], largest, damping)
    return result


def _rounded_group(
    rows: np.ndarray, scales: np.ndarray, product: np.ndarray, largest: int, damping: float
) -> np.ndarray:
    width = rows.shape[1]
    mean = float(np.trace(product)) / width
    nearest: np.ndarray = np.clip(np.rint(rows / scales), -largest, largest)
    if not np.isfinite(mean) or mean <= 0:
        return nearest
    try:
        inverse = np.linalg.inv(product + damping * mean * np.eye(width))
        factor = np.linalg.cholesky((inverse + inverse.T) / 2).T
    except np.linalg.LinAlgError:
        return nearest
    result = np.empty_like(rows)
    for column in range(width):
        result[:, column] = np.clip(np.rint(rows[:, column] / scales[:, column]), -largest, largest)
        error = (rows[:, column] - result[:, column] * scales[:, column]) / factor[column, column]
        rows[:, column + 1 :] -= np.outer(error, factor[column, column + 1 :])
    return result


def _error(target: np.ndarray, weight: np.ndarray, products: np.ndarray) -> np.ndarray:
    """Squared error of each channel's output on the inputs seen; float64, shape (groups, channels)."""
    difference = weight - target
    errors: np.ndarray = np.einsum("gcd,gde,gce->gc", difference, products, difference, optimize=True)
    return errors
