"""x · Φ(x), written out with Erf or with Tanh, is one operator."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import onnx_ir as ir
from msgspec import Struct

from edgedeploy.optimize.base import Context, Facts, Pass
from edgedeploy.optimize.fuse.polynomials import is_close, polynomial, product, scalar
from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.optimize.graph.edit import all_nodes, is_operator, only_consumer, opset
from edgedeploy.targets.backends import runs_onnxruntime_operators

_MICROSOFT = "com.microsoft"
_TANH_SLOPE = math.sqrt(2.0 / math.pi)
_CUBE = 0.044715


class FuseGelu(Pass, frozen=True):
    """Recognize GELU written out, exactly with Erf or approximated with Tanh, and make it one node.

    GELU is from Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415: x · (1 + erf(x/√2)) / 2, or
    x · (1 + tanh(√(2/π) · (x + 0.044715 x³))) / 2. Up to nine passes over the tensor become one. ONNX has it since
    opset 20; onnxruntime has operators of its own for models that are older.
    """

    tolerance: ClassVar[float | None] = 1e-4

    form: Literal["auto", "onnx", "onnxruntime"] = "auto"
    """ONNX's `Gelu`, or onnxruntime's `Gelu` and `FastGelu`. `auto` takes ONNX's where the opset has it, and
    onnxruntime's where it has not and the target runs nothing else."""

    def requires(self, model: ir.Model, context: Context) -> str | None:
        if self._domain(model, context) is None and any(_match(node) for node in all_nodes(model)):
            return (
                f"the model's operator set is {opset(model)}, and Gelu needs 20 (or a target that is sure to run "
                "onnxruntime, which has a Gelu of its own)"
            )
        return None

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        domain = self._domain(model, context)
        builder = GraphBuilder(model)
        fused = {"erf": 0, "tanh": 0}
        for node in all_nodes(model):
            if (match := _match(node)) is None:
                continue
            assert domain is not None
            if domain:
                name = "Gelu" if match.kind == "erf" else "FastGelu"
                builder.replace_node(match.result, name, [match.x], domain=domain)
                model.opset_imports.setdefault(domain, 1)
            else:
                exact = {} if match.kind == "erf" else {"approximate": "tanh"}
                builder.replace_node(match.result, "Gelu", [match.x], attributes=exact)
            fused[match.kind] += 1
        return model, {"fused_erf": fused["erf"], "fused_tanh": fused["tanh"]}

    def _domain(self, model: ir.Model, context: Context) -> str | None:
        """Of the operator to use; None when there is none to use."""
        if self.form != "onnxruntime" and opset(model) >= 20:
            return ""
        onnxruntime = context.target is not None and runs_onnxruntime_operators(context.target)
        if self.form == "onnxruntime" or (self.form == "auto" and onnxruntime):
            return _MICROSOFT
        return None


class _GeluMatch(Struct, frozen=True, kw_only=True, eq=False):
    x: ir.Value
    result: ir.Node
    """The node that gives the GELU of x."""
    kind: Literal["erf", "tanh"]


def _match(gate: ir.Node) -> _GeluMatch | None:
    """The GELU that the Erf or Tanh `gate` is in the middle of."""
    if not is_operator(gate, "Erf", "Tanh"):
        return None
    kind: Literal["erf", "tanh"] = "erf" if is_operator(gate, "Erf") else "tanh"
    inner = {1: math.sqrt(0.5)} if kind == "erf" else {1: _TANH_SLOPE, 3: _TANH_SLOPE * _CUBE}
    shifted = only_consumer(gate.outputs[0])
    if shifted is None or not is_operator(shifted, "Add") or shifted.graph is not gate.graph:
        return None
    if not any(scalar(value) == 1.0 for value in shifted.inputs):
        return None
    for x in _bases(gate.inputs[0]):
        if not is_close(polynomial(gate.inputs[0], x), inner):
            continue
        # The product of (1 + gate), x and 1/2 in any order.
        rest = {0: 1.0}
        current = shifted
        while (after := only_consumer(current.outputs[0])) is not None and after.graph is gate.graph:
            position = 0 if after.inputs[0] is current.outputs[0] else 1
            if is_operator(after, "Mul"):
                factor = polynomial(after.inputs[1 - position], x)
            elif is_operator(after, "Div") and position == 0 and (divisor := scalar(after.inputs[1])):
                factor = {0: 1.0 / divisor}
            else:
                break
            larger = None if factor is None else product(rest, factor)
            if larger is None:
                break
            rest, current = larger, after
            if is_close(rest, {1: 0.5}):
                return _GeluMatch(x=x, result=current, kind=kind)
    return None


def _bases(value: ir.Value | None) -> list[ir.Value]:
    """What `value` may be a polynomial of: every value that sums and products lead back to."""
    found: dict[ir.Value, None] = {}
    ahead = [(value, 0)]
    while ahead:
        value, depth = ahead.pop()
        if value is None or scalar(value) is not None or value in found or depth > 8:
            continue
        found[value] = None
        node = value.producer()
        if node is not None and is_operator(node, "Add", "Mul", "Div", "Pow"):
            ahead += [(source, depth + 1) for source in node.inputs]
    return list(found)
