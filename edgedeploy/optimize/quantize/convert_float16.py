"""A pass that converts convolutions and matrix products to half precision."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar, Literal

import numpy as np
import onnx_ir as ir

from edgedeploy.optimize.base import Context, Facts, Pass, PassSkipped, PostconditionError
from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.optimize.graph.edit import all_nodes, constant, drop_if_unused, is_operator, only_consumer, opset
from edgedeploy.optimize.graph.layer_filter import LayerFilter
from edgedeploy.optimize.graph.linear import KeptFloat, summary
from edgedeploy.optimize.quantize.weight_encodings import FLOAT16_MAX
from edgedeploy.values.target import Target

_FEATURES = frozenset({"fphp", "asimdhp", "fp16"})
_LAYERS = ("Conv", "MatMul", "Gemm")
# onnxruntime has kernels for halves of these on every core; of others it computes in float between two casts.
_MOVES = ("Concat", "Flatten", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
_POOLS = ("AveragePool", "GlobalAveragePool", "MaxPool")
_HALF, _FLOAT = ir.DataType.FLOAT16, ir.DataType.FLOAT


class ConvertFloat16(Pass, frozen=True):
    """Compute Conv, MatMul and Gemm in half precision, and what lies between them where kernels exist.

    For cores with arithmetic on halves (Armv8.2 FP16: `fphp`, `asimdhp`), where onnxruntime has kernels for just these
    (onnxruntime/core/providers/cpu/cpu_execution_provider.cc, RegisterFp16Kernels); everything else stays in float
    behind casts. Inputs and outputs keep their types. Other machines compute the result in float between casts: right,
    but slower than the float model.
    """

    essential: ClassVar[bool] = True
    reaches: ClassVar[Literal["work", "weights"] | None] = "work"
    quantizes: ClassVar[bool] = True

    keep_float: tuple[str, ...] = ()
    """Layers, by the name of their first output, that stay in float."""
    only: tuple[str, ...] = ()
    """If not empty, just these layers are computed in half precision."""

    def requires(self, model: ir.Model, context: Context) -> str | None:
        if not _computes_halves(context.target):
            where = "no target was named" if context.target is None else f"{context.target.title} does not"
            return (
                f"it needs a target whose core computes in half precision ({', '.join(sorted(_FEATURES))} among its "
                f"features), and {where}; the recipe weights-float16 halves the size for any"
            )
        if opset(model) < 11:
            return f"the model's operator set is {opset(model)}, and it needs 11 (put upgrade-opset before it)"
        return None

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        taken, left = self._choose(model)
        layers = sum(is_operator(node, *_LAYERS) for node in taken)
        if not layers:
            raise PassSkipped("there is no Conv, MatMul or Gemm to convert" + (f" ({summary(left)})" if left else ""))
        unknown = LayerFilter(self.keep_float, self.only).unknown(model)
        casts = _Conversion(model, taken).run()
        return model, {
            "layers_converted": layers,
            "other_nodes_converted": len(taken) - layers,
            "casts_added": casts,
            "layers_left_in_float": len(left),
            "left_in_float": summary(left),
            "unknown_layers": unknown,
        }

    def ensures(self, before: ir.Model, after: ir.Model, facts: Facts) -> None:
        for value in after.graph.initializers.values():
            array = constant(value)
            if array is not None and array.dtype == np.float16 and not np.isfinite(array).all():
                raise PostconditionError(f"weight {value.name!r} is beyond what float16 holds")

    def _choose(self, model: ir.Model) -> tuple[list[ir.Node], list[KeptFloat]]:
        """The nodes to convert, in the graph's order, and layers that cannot be."""
        layer_filter = LayerFilter(self.keep_float, self.only)
        taken: dict[ir.Node, None] = {}
        left: list[KeptFloat] = []
        for node in all_nodes(model):
            if is_operator(node, *_LAYERS):
                reason = layer_filter.exclusion_reason((node.outputs[0].name or "",)) or _unsupported_reason(
                    node, model, taken
                )
                if reason is None:
                    taken[node] = None
                else:
                    left.append(KeptFloat(node.op_type, reason))
            elif node.graph is model.graph and _follows(node, taken):
                taken[node] = None
        return list(taken), left


class _Conversion:
    """Rewires one model's main graph."""

    def __init__(self, model: ir.Model, taken: list[ir.Node]) -> None:
        self._graph = model.graph
        self._builder = GraphBuilder(model)
        self._taken = taken
        self._halves: dict[ir.Value, ir.Value] = {}
        """Of values that are floats elsewhere."""
        self._casts = 0

    def run(self) -> int:
        """Returns how many casts were added."""
        inside = set(self._taken)
        results = {node.outputs[0] for node in self._taken}
        for node in self._taken:
            for position, value in enumerate(node.inputs):
                if value is not None and value not in results and _is_float_operand(node, position):
                    node.replace_input_with(position, self._half(value))
                    drop_if_unused(value)
        for value in results:
            self._give_back(value, inside)
        self._graph.sort()
        return self._casts

    def _half(self, value: ir.Value) -> ir.Value:
        if value not in self._halves:
            known = constant(value)
            name = f"{value.name}:float16"
            if known is not None:
                self._halves[value] = self._builder.initializer(name, known.astype(np.float16))
            else:
                to = {"to": int(_HALF)}
                half = self._builder.op("Cast", [value], name, like=value, dtype=_HALF, attributes=to)
                self._halves[value] = half
                self._casts += 1
        return self._halves[value]

    def _give_back(self, value: ir.Value, inside: set[ir.Node]) -> None:
        """Let what is not converted read floats; `value` becomes halves."""
        users = [(use.node, use.idx) for use in value.uses()]
        others = [(node, position) for node, position in users if node not in inside]
        if others or value.is_graph_output():
            name, to = f"{value.name}:float", {"to": int(_FLOAT)}
            floats = self._builder.op("Cast", [value], name, like=value, dtype=_FLOAT, attributes=to)
            self._casts += 1
            cast = floats.producer()
            assert cast is not None
            if value.is_graph_output():
                self._builder.replace_value(value, floats)
                for node, position in [(cast, 0), *((node, position) for node, position in users if node in inside)]:
                    node.replace_input_with(position, value)
            else:
                for node, position in others:
                    node.replace_input_with(position, floats)
        value.type = ir.TensorType(_HALF)


def _computes_halves(target: Target | None) -> bool:
    return target is not None and not _FEATURES.isdisjoint(target.cpu.features)


def _unsupported_reason(node: ir.Node, model: ir.Model, taken: Collection[ir.Node]) -> str | None:
    """Why a layer stays in float."""
    if node.graph is not model.graph:
        return "it is inside a subgraph"
    for value in node.inputs:
        if value is None:
            continue
        known = constant(value)
        if known is None:
            if value.dtype not in (None, _FLOAT):
                return f"it reads {value.dtype}"
        elif known.dtype != np.float32:
            return f"it reads {known.dtype}"
        elif not np.isfinite(known).all() or float(np.abs(known).max(initial=0.0)) > FLOAT16_MAX:
            return "it has weights beyond what float16 holds (65504)"
    if node.outputs[0].dtype not in (None, _FLOAT) or all(constant(value) is not None for value in node.inputs[:1]):
        return "it does not compute with floats"
    if not any(_is_float(value, taken) for value in node.inputs if value is not None):
        return "the type that it computes with is not known (put infer-shapes before it)"
    return None


def _is_float(value: ir.Value, taken: Collection[ir.Node]) -> bool:
    return value.dtype == _FLOAT or constant(value) is not None or value.producer() in taken


def _follows(node: ir.Node, taken: Collection[ir.Node]) -> bool:
    """Whether a node that is no layer is best computed in halves: its inputs are, and a kernel exists."""
    if len(node.outputs) != 1:
        return False
    operands = [
        value for position, value in enumerate(node.inputs) if value is not None and _is_float_operand(node, position)
    ]
    if not operands or not all(value.producer() in taken for value in operands):
        return False
    if is_operator(node, "Relu"):
        # Part of the Conv before it, when nothing else reads that; on its own it has no kernel.
        producer = operands[0].producer()
        return producer is not None and is_operator(producer, "Conv") and only_consumer(operands[0]) is node
    return is_operator(node, *_MOVES, *_POOLS)


def _is_float_operand(node: ir.Node, position: int) -> bool:
    """Whether this input is what is computed with, and not a shape or axes."""
    return is_operator(node, *_LAYERS, "Concat") or position == 0
