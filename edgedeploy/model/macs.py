"""Multiply-accumulate operations of one inference, counted from shapes.

Counted are the operators that multiply by weights or multiply matrices; elementwise operators, activations, pooling,
normalization and (de)quantization are not. One multiplication with its addition is one MAC, as in Sze et al. 2017,
https://arxiv.org/abs/1703.09039, section II; multiplications by zero padding count.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import onnx
import onnx.inliner
from onnx import TypeProto, helper

from edgedeploy.model.graphs import subgraphs
from edgedeploy.model.shapes import Scope, Shape
from edgedeploy.values.model import Dimension


class Unknown(Exception):
    """A shape that a formula needs is not known, or the operator has a form that is not counted."""


class _CountedNode:
    """A node with the shapes of its operands at hand; asking for one that is not known raises `Unknown`."""

    def __init__(self, node: onnx.NodeProto, scope: Scope) -> None:
        self._node = node
        self._scope = scope

    def input(self, index: int) -> Shape:
        return self._shape(self._node.input, index)

    def output(self, index: int = 0) -> Shape:
        return self._shape(self._node.output, index)

    def integer(self, name: str, default: int) -> int:
        return next((attribute.i for attribute in self._node.attribute if attribute.name == name), default)

    def text(self, name: str) -> str:
        return next((attribute.s.decode() for attribute in self._node.attribute if attribute.name == name), "")

    def inputs(self) -> int:
        return len(self._node.input)

    def _shape(self, names: Sequence[str], index: int) -> Shape:
        shape = self._scope.shape_of(names[index]) if index < len(names) else None
        if shape is None:
            raise Unknown
        return shape


def _convolution(weight: int) -> Callable[[_CountedNode], int]:
    # Each element of the output sums over the channels of its group and the window: all extents of W but the first.
    return lambda node: math.prod(node.output()) * math.prod(node.input(weight)[1:])


def _transposed_convolution(node: _CountedNode) -> int:
    # Each element of the input is multiplied into the channels of its group and the window.
    return math.prod(node.input(0)) * math.prod(node.input(1)[1:])


def _matrix_product(node: _CountedNode) -> int:
    return math.prod(node.output()) * node.input(0)[-1]


def _fused_matrix_product(node: _CountedNode) -> int:
    left = node.input(0)
    return math.prod(node.output()) * (left[-2] if node.integer("transA", 0) and len(left) > 1 else left[-1])


def _gemm(node: _CountedNode) -> int:
    rows, inner = node.input(0)[::-1] if node.integer("transA", 0) else node.input(0)
    return math.prod(node.output()) * inner if rows else 0


def _recurrent(node: _CountedNode) -> int:
    # X is (steps, batch, in) or, with layout 1, (batch, steps, in); W (directions, gates·hidden, in) and
    # R (directions, gates·hidden, hidden) are each multiplied once per step and sample.
    first, second, _ = node.input(0)
    return first * second * (math.prod(node.input(1)) + math.prod(node.input(2)))


def _einsum(node: _CountedNode) -> int:
    terms = node.text("equation").replace(" ", "").split("->")[0].split(",")
    if len(terms) != 2 or any("." in term for term in terms):
        raise Unknown
    extents: dict[str, int] = {}
    for index, term in enumerate(terms):
        if len(term) != len(node.input(index)):
            raise Unknown
        for letter, extent in zip(term, node.input(index), strict=True):
            extents[letter] = max(extent, extents.get(letter, 1))
    return math.prod(extents.values())


_FORMULAS: dict[str, Callable[[_CountedNode], int]] = {
    "Conv": _convolution(1),
    "FusedConv": _convolution(1),
    "ConvInteger": _convolution(1),
    "DeformConv": _convolution(1),
    "QLinearConv": _convolution(3),
    "ConvTranspose": _transposed_convolution,
    "MatMul": _matrix_product,
    "MatMulInteger": _matrix_product,
    "MatMulIntegerToFloat": _matrix_product,
    "MatMulNBits": _matrix_product,
    "DynamicQuantizeMatMul": _matrix_product,
    "QLinearMatMul": _matrix_product,
    "FusedMatMul": _fused_matrix_product,
    "Gemm": _gemm,
    "QGemm": _gemm,
    "Einsum": _einsum,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
}

# These multiply matrices too, in ways that depend on more than shapes.
_NOT_COUNTED = frozenset(
    "Attention MultiHeadAttention GroupQueryAttention QAttention QMoE MoE LinearAttention DFT STFT "
    "TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor LinearClassifier LinearRegressor SVMClassifier "
    "SVMRegressor".split()
)


def count_macs(model: onnx.ModelProto, shapes: Mapping[str, Sequence[Dimension]]) -> tuple[int | None, str]:
    """Count the multiply-accumulate operations (MACs) of one inference on inputs of `shapes`.

    Of the branches of an `If` the costlier one counts; the body of a `Loop` or `Scan` counts once.

    Returns:
        The MACs and what they leave out or assume; or None and why they are not determined.
    """
    if model.functions:
        try:
            model = onnx.inliner.inline_local_functions(model)
        except (onnx.checker.ValidationError, RuntimeError, ValueError) as error:
            return None, f"the model's own functions cannot be inlined: {error}"
    count = _Count()
    total = count.nodes(model.graph.node, Scope(model, shapes))
    dynamic = [
        f"{name} ({', '.join(map(str, shape))})"
        for name, shape in shapes.items()
        if any(isinstance(extent, str) for extent in shape)
    ]
    if count.unknown:
        which = _listed(count.unknown)
        if dynamic:
            return None, f"the shapes of {which} depend on the dynamic input {', '.join(dynamic)}"
        return None, f"the shapes of {which} cannot be told without running the model"
    inputs = ", ".join(f"{name} {'x'.join(map(str, shape)) or 'scalar'}" for name, shape in shapes.items())
    notes = [f"for {inputs}"] if inputs else []
    if count.omitted:
        notes.append(f"without {_listed(count.omitted)}")
    notes += sorted(count.assumptions)
    return total, "; ".join(notes)


def macs_by_output(model: onnx.ModelProto, shapes: Mapping[str, Sequence[Dimension]]) -> dict[str, int] | None:
    """Count the MACs of each node of one inference on inputs of `shapes`, by the name of its first output.

    Returns:
        Nodes that multiply by weights or multiply matrices, those in branches and bodies too; None where the shapes of
        one are not known, or it is of a form that is not counted.
    """
    count = _Count()
    count.nodes(model.graph.node, Scope(model, shapes))
    return None if count.unknown or count.omitted else count.by_output


class _Count:
    def __init__(self) -> None:
        self.by_output: dict[str, int] = {}
        self.unknown: Counter[str] = Counter()
        self.omitted: Counter[str] = Counter()
        self.assumptions: set[str] = set()

    def nodes(self, nodes: Iterable[onnx.NodeProto], scope: Scope) -> int:
        total = 0
        for node in nodes:
            scope.visit(node)
            if formula := _FORMULAS.get(node.op_type):
                try:
                    macs = formula(_CountedNode(node, scope))
                    self.by_output[node.output[0]] = macs
                    total += macs
                except (Unknown, ValueError, IndexError):
                    # The latter two: operands of a rank that the operator does not take.
                    self.unknown[node.op_type] += 1
            elif node.op_type in _NOT_COUNTED:
                self.omitted[node.op_type] += 1
            total += self._bodies(node, scope)
        return total

    def _bodies(self, node: onnx.NodeProto, scope: Scope) -> int:
        if node.op_type == "Loop":
            fixed = [helper.make_tensor_type_proto(onnx.TensorProto.INT64, []), None]
            inputs: list[TypeProto | None] = [*fixed, *(scope.type_of(name) for name in node.input[2:])]
        else:
            inputs = []
        costs = [self.nodes(graph.node, scope.inside(graph, inputs)) for graph in subgraphs(node)]
        if not any(costs):
            return 0
        if node.op_type != "If":
            self.assumptions.add(f"the body of {node.op_type} counted once")
            return sum(costs)
        if len(set(costs)) > 1:
            self.assumptions.add("the costlier branch of If")
        return max(costs)


def _listed(operators: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in operators.most_common())
