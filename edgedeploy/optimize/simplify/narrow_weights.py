"""Weights that came in half precision, and go so again where they are still float32."""

from __future__ import annotations

from typing import ClassVar

import ml_dtypes
import numpy as np
import onnx_ir as ir

from edgedeploy.optimize.base import Context, Facts, Pass
from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.optimize.graph.edit import replace_input
from edgedeploy.optimize.quantize.weight_finder import find_weights
from edgedeploy.optimize.simplify.widen_weights import STORED_AS

_TYPES: dict[str, np.dtype[np.generic]] = {
    "FLOAT16": np.dtype(np.float16),
    "BFLOAT16": np.dtype(ml_dtypes.bfloat16),
}
_SMALLEST = 64
"""Elements of a weight. A Cast node costs about as many bytes as so many halves save."""


class NarrowWeights(Pass, frozen=True):
    """Store float32 weights in half precision behind a Cast, where `widen-weights` took them from there.

    Of a model that came otherwise, nothing is changed.
    """

    tolerance: ClassVar[float | None] = None

    round: bool = False
    """Whether weights that half precision does not hold exactly are rounded to it: those that a pass has changed."""

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        types = [_TYPES[name] for name in model.metadata_props.pop(STORED_AS, "").split() if name in _TYPES]
        narrowed = saved_bytes = 0
        if not types:
            return model, {"weights_narrowed": 0, "saved_bytes": 0}
        builder = GraphBuilder(model, at_head=True)
        for weight in find_weights(model):
            half = self._half(weight.array, types)
            if half is None:
                continue
            stored = builder.initializer(f"{weight.value.name}_half", half)
            wide = builder.op(
                "Cast", [stored], weight.value.name or "weight", like=weight.value, attributes={"to": _FLOAT}
            )
            for use in list(weight.value.uses()):
                replace_input(use.node, use.idx, wide)
            narrowed += 1
            saved_bytes += half.nbytes
        return model, {"weights_narrowed": narrowed, "saved_bytes": saved_bytes}

    def _half(self, array: np.ndarray, types: list[np.dtype[np.generic]]) -> np.ndarray | None:
        if array.dtype != np.float32 or array.size < _SMALLEST:
            return None
        rounded: np.ndarray | None = None
        for kind in types:
            with np.errstate(over="ignore", invalid="ignore"):
                half = array.astype(kind)
            back = half.astype(np.float32)
            if (back == array).all():
                return half
            if rounded is None and np.isfinite(back).all():
                rounded = half
        return rounded if self.round else None


_FLOAT = int(ir.DataType.FLOAT)
