"""Weights that are stored in fewer bits than they are computed with: behind Cast, or dequantized."""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir

from edgedeploy.optimize.base import Context, Facts, Pass
from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.optimize.graph.edit import ONNX_DOMAINS, all_nodes, constant, is_operator, remove_if_unused
from edgedeploy.optimize.simplify.constants import ConstantNode
from edgedeploy.optimize.simplify.gemm_factors import fold_gemm_factors

STORED_AS = "edgedeploy.weights_stored_as"
"""Key of the metadata in which a model says in which types its weights came, until they are stored so again."""

_READERS = ("Conv", "ConvTranspose", "MatMul", "Gemm", "Gather", "Einsum", "LSTM", "GRU", "RNN")
# What exporters and other tools put between a weight as it is stored and as it is computed with.
_BETWEEN = frozenset(
    "Cast DequantizeLinear Identity Transpose Reshape Flatten Squeeze Unsqueeze Concat Mul Sub Add Div".split()
)
_HALVES = frozenset({ir.DataType.FLOAT16, ir.DataType.BFLOAT16})
_BYTES = frozenset(
    {
        ir.DataType.INT8,
        ir.DataType.UINT8,
        ir.DataType.FLOAT8E4M3FN,
        ir.DataType.FLOAT8E4M3FNUZ,
        ir.DataType.FLOAT8E5M2,
        ir.DataType.FLOAT8E5M2FNUZ,
    }
)
_MOST_TIMES = 5
"""How much larger a weight may become: four times from 8 bits, and some for scales of few elements."""
_FREE_BYTES = 1024


class WidenWeights(Pass, frozen=True):
    """Give weights that are stored in fewer bits back to float32, so that passes behind this one know them.

    Converters to mixed precision store weights in half precision, with a Cast before the operator that reads them;
    other tools store them in 8 bits, with a DequantizeLinear. A quantizer or a pruner takes both for computed values.
    The file becomes larger; `narrow-weights` stores what is still float32 at the end as it came.
    """

    # As FoldConstants: a runtime packs weights that it knows for kernels that sum in another order.
    tolerance: ClassVar[float | None] = 1e-4

    integers: bool = False
    """Whether weights that are stored in 8 bits are given back too, for a pass that stores them in 8 bits again. Those
    of layers whose input is dequantized as well are left: these compute with integers."""

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        taken = _HALVES | (_BYTES if self.integers else frozenset())
        builder, widened, added_bytes = GraphBuilder(model), 0, 0
        types: set[str] = set()
        for node in all_nodes(model):
            if not is_operator(node, *_READERS) or _reads_dequantized(node):
                continue
            for position in range(len(node.inputs)):
                value = node.inputs[position]
                stored = None if value is None else _stored(value)
                if value is None or stored is None or stored.dtype not in taken:
                    continue
                if not _compute(value, model, builder, stored.nbytes * _MOST_TIMES + _FREE_BYTES):
                    continue
                known = node.inputs[position]
                assert known is not None and known.const_value is not None
                widened += 1
                added_bytes += known.const_value.nbytes - stored.nbytes
                types |= {stored.dtype.name} if stored.dtype in _HALVES else set()
        if types:
            model.metadata_props[STORED_AS] = " ".join(sorted(types, reverse=True))
        # Of weights that were not known before.
        factors = fold_gemm_factors(model, GraphBuilder(model)) if widened else 0
        return model, {"weights_widened": widened, "added_bytes": added_bytes, "gemm_factors_folded": factors}


def _reads_dequantized(node: ir.Node) -> bool:
    source = node.inputs[0] if node.inputs else None
    producer = source.producer() if source is not None else None
    return producer is not None and is_operator(producer, "DequantizeLinear") and constant(producer.inputs[0]) is None


def _stored(value: ir.Value) -> ir.TensorProtocol | None:
    """The largest constant that a value is made of, where it is made of constants only and is not one itself."""
    found: list[ir.TensorProtocol] = []
    if value.producer() is None or not _gather(value, found, depth=0):
        return None
    return max(found, key=lambda tensor: tensor.size, default=None)


def _gather(value: ir.Value, found: list[ir.TensorProtocol], depth: int) -> bool:
    if constant(value) is not None:
        assert value.const_value is not None
        found.append(value.const_value)
        return True
    node = value.producer()
    if node is None or node.domain not in ONNX_DOMAINS or node.op_type not in _BETWEEN or depth > 8:
        return False
    return all(source is None or _gather(source, found, depth + 1) for source in node.inputs)


def _compute(value: ir.Value, model: ir.Model, builder: GraphBuilder, limit_bytes: int) -> bool:
    """Put a constant in the place of `value`, and of all that it is made of; False where it cannot be computed here."""
    node = value.producer()
    if node is None:
        return True
    if value.is_graph_output() or not all(
        source is None or _compute(source, model, builder, limit_bytes) for source in node.inputs
    ):
        return False
    alone = ConstantNode(node, model)
    if alone.result_bytes is None or alone.result_bytes > limit_bytes:
        return False
    results = alone.results()
    if results is None or len(results) != 1:
        return False
    builder.replace_by_initializer(value, results[0])
    remove_if_unused(node)
    return True
