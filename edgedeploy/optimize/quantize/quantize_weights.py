"""Weights in fewer bits, computed with in float: smaller files at the speed and nearly the accuracy of float."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
import onnx_ir as ir

from edgedeploy.optimize.base import Context, Facts, Pass, PassSkipped, PostconditionError
from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.optimize.graph.edit import is_operator, opset, replace_input
from edgedeploy.optimize.graph.layer_filter import LayerFilter
from edgedeploy.optimize.graph.linear import KeptFloat, summary
from edgedeploy.optimize.quantize.weight_encodings import (
    Int4Weight,
    Stored,
    sqnr_db,
    store_float16,
    store_int4,
    store_int8,
    store_int16,
)
from edgedeploy.optimize.quantize.weight_finder import StoredWeight, find_weights

_KERNEL_BLOCKS = (16, 32, 64, 128, 256)


class QuantizeWeights(Pass, frozen=True):
    """Store the weights of any operator in 8 or 16 bits per channel, 4 bits per block or in float16; compute in float.

    Weights are given back to float by Cast and Mul, which onnxruntime computes once, when it loads the model (it keeps
    DequantizeLinear): inference then runs as that of the float model does, and takes the same memory. Other runtimes
    may compute them in each run. Weights in branches and loop bodies, shared ones and those of LSTM and GRU are taken
    too. What is small, or no matrix of weights, stays as it is.
    """

    essential: ClassVar[bool] = True
    reaches: ClassVar[Literal["work", "weights"] | None] = "weights"
    quantizes: ClassVar[bool] = True

    weights: Literal["int8", "int16", "float16", "int4"] = "int8"
    """`int8` and `int16` are symmetric with a scale per output channel; `float16` takes any constant, not only weights;
    `int4` has a scale per block, and is `int8` for weights that get no smaller so."""
    block: int = 32
    """How many numbers of a row share a scale in `int4`."""
    products: Literal["float", "integer"] = "float"
    """How MatMul multiplies by weights in `int4`: as in the float model, or with onnxruntime's MatMulNBits. That leaves
    them packed in memory, and takes a fraction of float's time for a single row at a time, but more for many."""
    smallest: int = 256
    """Weights of fewer elements stay in float: they save less than the nodes that give them back take."""
    keep_float: tuple[str, ...] = ()
    """Layers, by the name of their first output, whose weights stay in float."""
    only: tuple[str, ...] = ()
    """If not empty, just these layers' weights are stored in fewer bits."""

    def __post_init__(self) -> None:
        if self.smallest < 0:
            raise ValueError("smallest must not be negative")
        if self.block < 2 or self.block % 2:
            raise ValueError("block must be even, and 2 at least")
        if self.products == "integer" and (self.weights != "int4" or self.block not in _KERNEL_BLOCKS):
            raise ValueError(f"integer products need weights in int4, and a block of {_KERNEL_BLOCKS}")

    def requires(self, model: ir.Model, context: Context) -> str | None:
        # Mul broadcasts in both directions since 7, Slice takes bounds as inputs since 10.
        needed = 10 if self.weights == "int4" else 7
        if opset(model) < needed:
            return f"the model's operator set is {opset(model)}, and it needs {needed} (put upgrade-opset before it)"
        return None

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        layer_filter = LayerFilter(self.keep_float, self.only)
        weights = find_weights(model)
        taken: list[tuple[StoredWeight, Stored]] = []
        left: list[KeptFloat] = []
        left_bytes = 0
        for number, weight in enumerate(weights, start=1):
            context.progress.advance(number, len(weights), "weights")
            outcome = layer_filter.exclusion_reason(weight.layers) or self._stored(weight)
            if isinstance(outcome, Stored):
                taken.append((weight, outcome))
            else:
                left.append(KeptFloat(weight.readers[0].op_type, outcome))
                left_bytes += weight.size_bytes
        if not taken and self.essential:
            raise PassSkipped("there is no weight to store in fewer bits" + (f" ({summary(left)})" if left else ""))
        facts: Facts = _stored_facts(taken) | {
            "weights_left_in_float": len(left),
            "left_in_float_bytes": left_bytes,
            "left_in_float": summary(left),
            "unknown_layers": layer_filter.unknown(model),
        }
        # Of a weight that the form holds exactly, such as zeros, there is no ratio.
        ratios = [sqnr_db(weight.array, stored) for weight, stored in taken]
        if finite := [ratio for ratio in ratios if math.isfinite(ratio)]:
            facts["least_weight_sqnr_db"] = round(min(finite), 1)
        if taken:
            self._replace(model, taken)
        return model, facts

    def _replace(self, model: ir.Model, taken: list[tuple[StoredWeight, Stored]]) -> None:
        """Let what reads the weights read them as they are stored."""
        builder = GraphBuilder(model, at_head=True)
        multiplying: list[tuple[StoredWeight, Int4Weight]] = []
        for weight, stored in taken:
            if self.products == "integer" and isinstance(stored, Int4Weight) and _multiplies(weight):
                multiplying.append((weight, stored))
                continue
            restored = stored.restore(builder, weight.value.name or "weight")
            for use in list(weight.value.uses()):
                replace_input(use.node, use.idx, restored)
        # Last, since they replace nodes, and what was added stands before the first of these.
        for weight, stored in multiplying:
            operands: dict[str, ir.Value] = {}
            for node in weight.readers:
                stored.multiply(builder, node, weight.value.name or "weight", operands)
            model.opset_imports["com.microsoft"] = 1

    def ensures(self, before: ir.Model, after: ir.Model, facts: Facts) -> None:
        bytes_before, bytes_after = (
            sum(weight.size_bytes for weight in find_weights(model)) for model in (before, after)
        )
        # Scales are floats too, but not as many.
        if bytes_before - bytes_after <= 0:
            raise PostconditionError(f"there are {bytes_after} bytes of float weights, and there were {bytes_before}")

    def _stored(self, weight: StoredWeight) -> Stored | str:
        """The weight in fewer bits, or why it stays as it is."""
        array = weight.array
        if array.size < max(self.smallest, 1):
            return "it is small"
        if self.weights == "float16":
            outcome: Stored | str = store_float16(array)
        elif weight.row_axes is None:
            return "it is no matrix of weights"
        else:
            outcome = (store_int16 if self.weights == "int16" else store_int8)(array, weight.row_axes)
            if self.weights == "int4" and isinstance(outcome, Stored):
                smaller = store_int4(array, weight.row_axes, self.block)
                if isinstance(smaller, Stored) and smaller.size_bytes < outcome.size_bytes:
                    outcome = smaller
        if isinstance(outcome, Stored) and outcome.size_bytes >= array.nbytes:
            return "it would not become smaller"
        return outcome


def _stored_facts(taken: list[tuple[StoredWeight, Stored]]) -> Facts:
    return {
        "weights_stored": len(taken),
        "weights_in_int4": sum(isinstance(stored, Int4Weight) for _, stored in taken),
        "weight_bytes_before": sum(weight.size_bytes for weight, _ in taken),
        "weight_bytes_after": sum(stored.size_bytes for _, stored in taken),
    }


def _multiplies(weight: StoredWeight) -> bool:
    """Whether all that reads the weight multiplies float32 rows by it."""
    return (
        weight.array.ndim == 2
        and weight.array.dtype == np.float32
        and all(use.idx == 1 and is_operator(use.node, "MatMul") for use in weight.value.uses())
    )
