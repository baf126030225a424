"""What passes that recover accuracy share: the quantized layers beside their float originals, and whether it helped.

Whether it helped is measured on calibration samples that the pass did not look at, every fourth one, as the squared
error of all outputs against the model before it was quantized, in exact arithmetic. Evaluation data are not touched.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import onnx
import onnx_ir as ir
from msgspec import Struct

from edgedeploy.datasets.dataset import Dataset, Sample
from edgedeploy.inference.onnxruntime import HostSession
from edgedeploy.metrics.agreement import AgreementAccumulator
from edgedeploy.optimize.base import Context, PassSkipped
from edgedeploy.optimize.graph.edit import constant, integer_attribute, is_operator, serialized

_HELD_OUT_EVERY = 4
_MOST_HELD_OUT = 32
_MOST_SEEN = 128
_EQUAL_DB = 300.0


class InputQuantParams(Struct, frozen=True):
    """Where a layer's input is put before it is multiplied; as constants of the graph."""

    scale: np.ndarray
    zero_point: np.ndarray


class QuantizedLayer(Struct, frozen=True, eq=False):
    """A Conv, MatMul or Gemm whose weight has fewer bits, and the same layer in float."""

    node: ir.Node
    """In the quantized graph."""
    original: ir.Node
    """In the reference."""
    weight: np.ndarray
    """As it is computed with, float32, of the original's shape."""
    input_params: InputQuantParams | None
    """Of the input; None where it stays in float."""

    @property
    def name(self) -> str:
        return self.original.outputs[0].name or ""


def reference_of(context: Context) -> ir.Model:
    """Load the model as it was before it was quantized.

    Raises:
        PassSkipped: nothing was quantized before.
    """
    if context.reference is None:
        raise PassSkipped("nothing was quantized before it, so there is nothing to recover")
    return ir.from_proto(onnx.load_from_string(context.reference))


def quantized_layers(model: ir.Model, reference: ir.Model) -> list[QuantizedLayer]:
    """Find the layers that were quantized, in the order they are computed."""
    originals = {node.outputs[0].name: node for node in reference.graph if node.outputs}
    found = []
    for node in model.graph:
        if not is_operator(node, "Conv", "MatMul", "Gemm"):
            continue
        original = originals.get((node.outputs[0].name or "").removesuffix(":replaced"))
        if original is None or original.op_type != node.op_type:
            continue
        weight, dequantized = constant(original.inputs[1]), known(node.inputs[1])
        if weight is None or dequantized is None or dequantized.shape != weight.shape or weight.dtype != np.float32:
            continue
        if constant(node.inputs[1]) is not None:
            continue  # it was left in float
        found.append(QuantizedLayer(node, original, dequantized.astype(np.float32), _input_params(node.inputs[0])))
    return found


def known(value: ir.Value | None) -> np.ndarray | None:
    """Compute what DequantizeLinear, or Cast and Mul, give from constants; None for any other value."""
    if value is None:
        return None
    if (array := constant(value)) is not None:
        return array
    node = value.producer()
    if node is None:
        return None
    inputs = [known(operand) for operand in node.inputs]
    if any(operand is None for operand in inputs):
        return None
    if is_operator(node, "DequantizeLinear") and len(inputs) >= 2:
        integers, scale = inputs[0], inputs[1]
        zero = inputs[2] if len(inputs) > 2 else None
        assert integers is not None and scale is not None
        shape = [1] * integers.ndim
        if scale.ndim == 1 and integers.ndim:
            shape[integer_attribute(node, "axis", 1)] = -1
        shifted = integers.astype(np.float64) - (0 if zero is None else zero.astype(np.float64).reshape(shape))
        return (shifted * scale.astype(np.float64).reshape(shape)).astype(scale.dtype)
    if is_operator(node, "Cast") and inputs[0] is not None:
        dtype = ir.DataType(integer_attribute(node, "to", 1))
        return inputs[0].astype(dtype.numpy())
    if is_operator(node, "Mul") and inputs[0] is not None and inputs[1] is not None:
        product: np.ndarray = inputs[0] * inputs[1]
        return product
    return None


def seen_samples(dataset: Dataset) -> Iterator[Sample]:
    """Iterate over what a pass may look at: three of four calibration samples, 128 at most."""
    samples = (
        sample for index, sample in enumerate(dataset.batches(1)) if index % _HELD_OUT_EVERY != _HELD_OUT_EVERY - 1
    )
    return itertools.islice(samples, _MOST_SEEN)


def held_out_samples(dataset: Dataset) -> Iterator[Sample]:
    """Iterate over what a pass is judged on: the others, or all where there are too few to divide."""
    if dataset.count is not None and dataset.count < _HELD_OUT_EVERY:
        return dataset.batches(1)
    samples = (
        sample for index, sample in enumerate(dataset.batches(1)) if index % _HELD_OUT_EVERY == _HELD_OUT_EVERY - 1
    )
    return itertools.islice(samples, _MOST_HELD_OUT)


class HeldOut:
    """The reference's answers to the samples that are held out, for as many comparisons as are wanted."""

    def __init__(self, context: Context) -> None:
        """
        Raises:
            PassSkipped: there is no calibration data, or nothing was quantized before.
        """
        if context.calibration is None:
            raise PassSkipped("it needs calibration data")
        if context.reference is None:
            raise PassSkipped("nothing was quantized before it, so there is nothing to recover")
        self._dataset = context.calibration
        self._reference = HostSession(context.reference, exact=True)

    def sqnr_db(self, model: ir.Model) -> float:
        """Return the SQNR in dB of the model's outputs against the reference's; 300 where they are equal."""
        session = HostSession(serialized(model), exact=True)
        agreement = AgreementAccumulator()
        for sample in held_out_samples(self._dataset):
            agreement.add(session.run(sample.feed), self._reference.run(sample.feed))
        found = agreement.figure().sqnr_db
        return _EQUAL_DB if found is None else found

    def require_improvement(self, model: ir.Model, before_db: float) -> float:
        """Return the SQNR in dB of a model that was changed.

        Args:
            model: as it is now.
            before_db: its SQNR before.

        Raises:
            PassSkipped: it is not above `before_db`.
        """
        after_db = self.sqnr_db(model)
        if not after_db > before_db:
            raise PassSkipped(
                f"it does not help: SQNR on samples held out is {before_db:.2f} dB without it, {after_db:.2f} with it"
            )
        return after_db


def _input_params(value: ir.Value | None) -> InputQuantParams | None:
    """The parameters of a value that comes out of a QuantizeLinear and a DequantizeLinear."""
    node = value.producer() if value is not None else None
    if node is None or not is_operator(node, "DequantizeLinear"):
        return None
    before = node.inputs[0].producer() if node.inputs[0] is not None else None
    if before is None or not is_operator(before, "QuantizeLinear"):
        return None
    scale = constant(before.inputs[1])
    zero_point = constant(before.inputs[2]) if len(before.inputs) > 2 else None
    if scale is None or scale.size != 1 or zero_point is None:
        return None
    return InputQuantParams(scale, zero_point)
