"""A pass that stores equal weights only once.

onnx-ir's DeduplicateHashedInitializersPass counts no bytes, hashes strings by address, and warns about each output.
"""

from __future__ import annotations

import hashlib
from typing import ClassVar

import onnx_ir as ir

from edgedeploy.optimize.base import Context, Facts, Pass


class MergeDuplicateInitializers(Pass, frozen=True):
    """Store weights of the same type, shape and content once.

    Exporters write shared weights and small constants once per use, and quantizers a zero point per tensor.
    """

    tolerance: ClassVar[float | None] = 0.0

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        merged = saved_bytes = 0
        for graph in model.graphs():
            kept: dict[tuple[ir.DataType, tuple[int, ...], bytes], ir.Value] = {}
            for name, value in list(graph.initializers.items()):
                tensor = value.const_value
                if (
                    tensor is None
                    or tensor.dtype == ir.DataType.STRING
                    or value.is_graph_input()
                    or value.is_graph_output()
                ):
                    continue
                # A digest, so that the weights of a large model are not held a second time.
                digest = hashlib.sha256(tensor.tobytes()).digest()
                first = kept.setdefault((tensor.dtype, tuple(tensor.shape.numpy()), digest), value)
                if first is not value:
                    ir.convenience.replace_all_uses_with(value, first)
                    del graph.initializers[name]
                    merged += 1
                    saved_bytes += tensor.nbytes
        return model, {"initializers_merged": merged, "saved_bytes": saved_bytes}
