"""ONNX graphs that nobody wrote: random topologies of the operators that real exports are made of.

Every value of a drawn graph has the shape (N, CHANNELS, SIDE, SIDE), so that any step can follow any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from hypothesis import assume
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgedeploy.inference.onnxruntime import HostSession

CHANNELS, SIDE = 4, 5
SHAPE = (CHANNELS, SIDE, SIDE)
PIXELS = SIDE * SIDE
OPSETS = (9, 10, 11, 12, 13, 15, 16, 17, 18, 20, 21)
X = np.random.default_rng(9).standard_normal((3, *SHAPE)).astype(np.float32)
"""What drawn models are run on."""

_LARGEST = 1e6
"""Of any output on `X`. Sums of such sums leave float32 no digits to agree in."""
_CONSTANT_SHAPES: list[tuple[int, ...]] = [(), (1,), (SIDE,), (CHANNELS, 1, 1), (1, CHANNELS, 1, 1), SHAPE]


class Drawn:
    """A graph while it is drawn. `nodes` are those of the graph, or of the subgraph that is being drawn."""

    def __init__(self, draw: st.DrawFn, version: int) -> None:
        self.draw = draw
        self.version = version
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.values = ["x"]
        self.count = 0
        self.depth = 0

    def flag(self) -> bool:
        return self.draw(st.booleans())

    def name(self, kind: str) -> str:
        self.count += 1
        return f"{kind}_{self.count}"

    def any_value(self) -> str:
        return self.draw(st.sampled_from(self.values))

    def add(self, operator: str, inputs: Sequence[str], **attributes: object) -> str:
        return self.add_many(operator, inputs, 1, **attributes)[0]

    def add_many(self, operator: str, inputs: Sequence[str], outputs: int, **attributes: object) -> list[str]:
        names = [self.name(operator.lower()) for _ in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, **attributes))
        return names

    def number(self, value: float) -> str:
        return self.weight(np.array(value, np.float32))

    def weight(self, array: np.ndarray) -> str:
        """An initializer, a Constant node, or something that is computed from one."""
        name = self.name("weight")
        how = self.draw(st.sampled_from(["initializer", "constant", "computed", "shared"]))
        same = [w.name for w in self.initializers if list(w.dims) == list(array.shape) and w.data_type == 1]
        # A variance must not be shared with what may be negative, nor a number with another.
        if how == "shared" and same and array.dtype == np.float32 and array.ndim and not (array > 0).all():
            return same[0]
        if how == "constant" or self.depth:
            self.nodes.append(helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array)))
        elif how == "computed" and array.dtype == np.float32:
            self.initializers.append(numpy_helper.from_array(-array, name))
            name = self.add("Neg", [name])
        else:
            self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def integers(self, *values: int) -> str:
        return self.weight(np.array(values, np.int64))

    def normal(self, *shape: int) -> np.ndarray:
        return self.rng.standard_normal(shape).astype(np.float32)

    def step(self) -> None:
        kinds = [kind for kind in sorted(STEPS) if not (self.depth and kind in _WITH_SUBGRAPHS)]
        self.values.append(STEPS[self.draw(st.sampled_from(kinds))](self))

    def subgraph(
        self, name: str, inputs: Sequence[onnx.ValueInfoProto], steps: Callable[[], list[str]]
    ) -> onnx.GraphProto:
        """A body whose nodes may read what is drawn so far; its outputs are of any type."""
        outer, values = self.nodes, list(self.values)
        self.nodes, self.depth = [], self.depth + 1
        results = steps()
        nodes, self.nodes, self.values = self.nodes, outer, values
        self.depth -= 1
        return helper.make_graph(nodes, name, inputs, [onnx.ValueInfoProto(name=one) for one in results])

    # What later versions of the operator set write in another way.

    def reduce(self, operator: str, value: str, axes: Sequence[int]) -> str:
        if self.version >= (13 if operator == "ReduceSum" else 18):
            return self.add(operator, [value, self.integers(*axes)])
        return self.add(operator, [value], axes=list(axes))

    def squeeze(self, operator: str, value: str, *axes: int) -> str:
        if self.version >= 13:
            return self.add(operator, [value, self.integers(*axes)])
        return self.add(operator, [value], axes=list(axes))

    def slice(self, value: str, axis: int, start: int, end: int) -> str:
        if self.version >= 10:
            return self.add("Slice", [value, self.integers(start), self.integers(end), self.integers(axis)])
        return self.add("Slice", [value], axes=[axis], starts=[start], ends=[end])

    def pad(self, value: str, pads: Sequence[int]) -> str:
        if self.version >= 11:
            return self.add("Pad", [value, self.integers(*pads)])
        return self.add("Pad", [value], pads=list(pads))

    def split(self, value: str, sizes: Sequence[int]) -> list[str]:
        if self.version >= 13:
            return self.add_many("Split", [value, self.integers(*sizes)], len(sizes), axis=1)
        return self.add_many("Split", [value], len(sizes), axis=1, split=list(sizes))

    def clip(self, value: str, low: float | None, high: float | None) -> str:
        if self.version >= 11:
            bounds = ["" if bound is None else self.number(bound) for bound in (low, high)]
            return self.add("Clip", [value, *bounds] if bounds[1] else [value, *bounds[:1]])
        given = {"min": low, "max": high}
        return self.add("Clip", [value], **{name: bound for name, bound in given.items() if bound is not None})


def _conv(graph: Drawn) -> str:
    group = graph.draw(st.sampled_from([1, 2, CHANNELS]))
    weight = graph.weight(graph.normal(CHANNELS, CHANNELS // group, 3, 3) / 3)
    bias = [graph.weight(graph.normal(CHANNELS))] if graph.flag() else []
    return graph.add("Conv", [graph.any_value(), weight, *bias], group=group, pads=[1, 1, 1, 1])


def _conv_with_bias_from_data(graph: Drawn) -> str:
    x = graph.any_value()
    mean = graph.reduce("ReduceMean", x, [0, 2, 3])
    bias = graph.add("Reshape", [mean, graph.integers(CHANNELS)])
    weight = graph.weight(graph.normal(CHANNELS, CHANNELS, 1, 1) / 2)
    return graph.add("Conv", [x, weight, bias])


def _conv_transpose(graph: Drawn) -> str:
    group = graph.draw(st.sampled_from([1, 2]))
    weight = graph.weight(graph.normal(CHANNELS, CHANNELS // group, 3, 3) / 3)
    bias = [graph.weight(graph.normal(CHANNELS))] if graph.flag() else []
    return graph.add("ConvTranspose", [graph.any_value(), weight, *bias], group=group, pads=[1, 1, 1, 1])


def _pad_and_conv(graph: Drawn) -> str:
    padded = graph.pad(graph.any_value(), [0, 0, 1, 1, 0, 0, 1, 1])
    return graph.add("Conv", [padded, graph.weight(graph.normal(CHANNELS, CHANNELS, 3, 3) / 4)])


def _concat_and_conv(graph: Drawn) -> str:
    both = graph.add("Concat", [graph.any_value(), graph.any_value()], axis=1)
    return graph.add("Conv", [both, graph.weight(graph.normal(CHANNELS, 2 * CHANNELS, 1, 1) / 3)])


def _split_and_swap(graph: Drawn) -> str:
    first, second = graph.split(graph.any_value(), [1, CHANNELS - 1])
    return graph.add("Concat", [second, first], axis=1)


def _squeeze_and_excite(graph: Drawn) -> str:
    x = graph.any_value()
    pooled = graph.add("GlobalAveragePool", [x])
    hidden = graph.add("Relu", [graph.add("Conv", [pooled, graph.weight(graph.normal(2, CHANNELS, 1, 1))])])
    gate = graph.add("Sigmoid", [graph.add("Conv", [hidden, graph.weight(graph.normal(CHANNELS, 2, 1, 1))])])
    return graph.add("Mul", [x, gate])


def _normalization(graph: Drawn) -> str:
    parameters = [graph.normal(CHANNELS) for _ in range(3)]
    parameters += [graph.rng.uniform(0.5, 2, CHANNELS).astype(np.float32)]
    return graph.add("BatchNormalization", [graph.any_value(), *(graph.weight(array) for array in parameters)])


def _with_constant(graph: Drawn) -> str:
    shape = graph.draw(st.sampled_from(_CONSTANT_SHAPES))
    operands = [graph.any_value(), graph.weight(graph.normal(*shape) + np.float32(2.5))]
    if graph.flag():
        operands.reverse()
    return graph.add(graph.draw(st.sampled_from(["Add", "Sub", "Mul"])), operands)


def _hard_swish(graph: Drawn) -> str:
    x = graph.any_value()
    three, six = graph.number(3.0), graph.number(6.0)
    clipped = graph.clip(graph.add("Add", [x, three]), 0.0, 6.0)
    return graph.add("Div", [graph.add("Mul", [x, clipped]), six])


def _half_clipped(graph: Drawn) -> str:
    """One bound is left out: an empty optional input."""
    bounds = (None, 1.5) if graph.flag() else (-1.5, None)
    return graph.clip(graph.any_value(), *bounds)


def _layer_normalization(graph: Drawn) -> str:
    x = graph.any_value()
    centered = graph.add("Sub", [x, graph.reduce("ReduceMean", x, [-1])])
    square = graph.add("Mul", [centered, centered]) if graph.flag() else graph.add("Pow", [centered, graph.number(2.0)])
    deviation = graph.add("Sqrt", [graph.add("Add", [graph.reduce("ReduceMean", square, [-1]), graph.number(1e-5)])])
    scaled = graph.add("Mul", [graph.add("Div", [centered, deviation]), graph.weight(graph.normal(SIDE))])
    return graph.add("Add", [scaled, graph.weight(graph.normal(SIDE))])


def _gelu(graph: Drawn) -> str:
    x = graph.any_value()
    if graph.flag():
        gate = graph.add("Erf", [graph.add("Div", [x, graph.number(np.sqrt(2))])])
    else:
        cube = graph.add("Mul", [graph.add("Mul", [graph.add("Mul", [x, x]), x]), graph.number(0.044715)])
        gate = graph.add("Tanh", [graph.add("Mul", [graph.add("Add", [x, cube]), graph.number(np.sqrt(2 / np.pi))])])
    gated = graph.add("Mul", [x, graph.add("Add", [gate, graph.number(1.0)])])
    return graph.add("Mul", [gated, graph.number(0.5)])


def _round_trip(graph: Drawn) -> str:
    """Through (N, ·) and back by shapes that the graph computes."""
    x = graph.any_value()
    flat = graph.add("Flatten", [x], axis=1)
    return graph.add("Reshape", [flat, graph.add("Shape", [x])])


def _matrix(graph: Drawn) -> str:
    return graph.add("MatMul", [graph.any_value(), graph.weight(graph.normal(SIDE, SIDE) / 2)])


def _gemm(graph: Drawn) -> str:
    x = graph.any_value()
    attributes: dict[str, object] = {"transB": int(graph.flag())}
    if graph.draw(st.integers(0, 3)) == 0:
        attributes["alpha"] = 0.5
    size = CHANNELS * PIXELS
    inputs = [graph.add("Flatten", [x], axis=1), graph.weight(graph.normal(size, size) / 10)]
    inputs += [graph.weight(graph.normal(*graph.draw(st.sampled_from([(size,), (1, size), (1,)]))))]
    return graph.add("Reshape", [graph.add("Gemm", inputs, **attributes), graph.add("Shape", [x])])


def _recurrent(graph: Drawn) -> str:
    """Channels as time: (N, C, H·W) → (C, N, H·W) through an LSTM or GRU and back; optional inputs are left out."""
    x = graph.any_value()
    operator, gates = graph.draw(st.sampled_from([("LSTM", 4), ("GRU", 3)]))
    rows = graph.add("Reshape", [x, graph.integers(0, CHANNELS, PIXELS)])
    steps = graph.add("Transpose", [rows], perm=[1, 0, 2])
    inputs = [steps, graph.weight(graph.normal(1, gates * PIXELS, PIXELS) / 5)]
    inputs += [graph.weight(graph.normal(1, gates * PIXELS, PIXELS) / 5)]
    if graph.flag():
        inputs += [graph.weight(graph.normal(1, 2 * gates * PIXELS) / 5)]
    elif graph.flag():
        inputs += ["", ""]
    hidden = graph.add(operator, inputs, hidden_size=PIXELS)
    back = graph.add("Transpose", [graph.squeeze("Squeeze", hidden, 1)], perm=[1, 0, 2])
    return graph.add("Reshape", [back, graph.add("Shape", [x])])


def _branch(graph: Drawn) -> str:
    x = graph.any_value()
    known = graph.draw(st.sampled_from(["from data", "constant", "from a rank"]))
    if known == "constant":
        condition = graph.name("condition")
        graph.initializers.append(numpy_helper.from_array(np.array(graph.flag()), condition))
    elif known == "from a rank":
        rank = graph.add("Size", [graph.add("Shape", [x])])
        wanted = graph.weight(np.array(graph.draw(st.sampled_from([3, 4])), np.int64))
        condition = graph.add("Equal", [rank, wanted])
    else:
        total = graph.add("Reshape", [graph.reduce("ReduceSum", x, [0, 1, 2, 3]), graph.integers()])
        condition = graph.add("Greater", [total, graph.number(0.0)])

    def steps() -> list[str]:
        graph.values = [x]
        for _ in range(graph.draw(st.integers(1, 3))):
            graph.step()
        return [graph.add("Relu", [graph.values[-1]])]

    then_branch, else_branch = (graph.subgraph(name, [], steps) for name in ("then", "otherwise"))
    return graph.add("If", [condition], then_branch=then_branch, else_branch=else_branch)


def _loop(graph: Drawn) -> str:
    x = graph.any_value()
    value, going = graph.name("carried"), graph.name("going")
    inputs = [
        helper.make_tensor_value_info(graph.name("iteration"), TensorProto.INT64, []),
        helper.make_tensor_value_info(going, TensorProto.BOOL, []),
        helper.make_tensor_value_info(value, TensorProto.FLOAT, ["N", *SHAPE]),
    ]

    def steps() -> list[str]:
        graph.values = [value]
        for _ in range(graph.draw(st.integers(1, 2))):
            graph.step()
        return [graph.add("Identity", [going]), graph.add("Tanh", [graph.values[-1]])]

    body = graph.subgraph("body", inputs, steps)
    count, start = graph.name("count"), graph.name("start")
    graph.initializers.append(numpy_helper.from_array(np.array(2, np.int64), count))
    graph.initializers.append(numpy_helper.from_array(np.array(True), start))
    return graph.add("Loop", [count, start, x], body=body)


def _scan(graph: Drawn) -> str:
    """Row by row, with a weight inside the body."""
    x = graph.any_value()
    row = graph.name("row")

    def steps() -> list[str]:
        return [graph.add("Tanh", [graph.add("MatMul", [row, graph.weight(graph.normal(SIDE, SIDE) / 2)])])]

    slice_of = helper.make_tensor_value_info(row, TensorProto.FLOAT, ["N", CHANNELS, SIDE])
    body = graph.subgraph("body", [slice_of], steps)
    axes = {"scan_input_axes": [2], "scan_output_axes": [2]}
    return graph.add("Scan", [x], body=body, num_scan_inputs=1, **axes)


def _with_nothing(graph: Drawn) -> str:
    """A tensor without elements takes part."""
    x = graph.any_value()
    empty = graph.slice(x, 2, 0, 0)
    return graph.add("Concat", [x, graph.add("Relu", [empty])], axis=2)


def _identities(graph: Drawn) -> str:
    value = graph.any_value()
    for _ in range(graph.draw(st.integers(1, 3))):
        value = graph.add("Identity", [value])
    return value


def _doubled(graph: Drawn) -> str:
    """Each pixel four times, and the largest of these."""
    x = graph.any_value()
    if graph.version < 10:
        large = graph.add("Upsample", [x, graph.weight(np.array([1, 1, 2, 2], np.float32))], mode="nearest")
    else:
        # The region of interest was not optional until 13: a tensor without elements.
        region = graph.weight(np.zeros(0, np.float32)) if graph.version < 13 else ""
        inputs = [x] if graph.version == 10 else [x, region]
        large = graph.add("Resize", [*inputs, graph.weight(np.array([1, 1, 2, 2], np.float32))], mode="nearest")
    return graph.add("MaxPool", [large], kernel_shape=[2, 2], strides=[2, 2])


def _dead(graph: Drawn) -> str:
    x = graph.any_value()
    graph.add("Exp", [graph.add("Neg", [x])])
    return x


STEPS: dict[str, Callable[[Drawn], str]] = {
    "branch": _branch,
    "concat and conv": _concat_and_conv,
    "constant": _with_constant,
    "conv": _conv,
    "conv, bias from data": _conv_with_bias_from_data,
    "conv transpose": _conv_transpose,
    "dead": _dead,
    "doubled": _doubled,
    "gelu": _gelu,
    "gemm": _gemm,
    "half clipped": _half_clipped,
    "hard swish": _hard_swish,
    "identities": _identities,
    "layer normalization": _layer_normalization,
    "loop": _loop,
    "matrix": _matrix,
    "normalization": _normalization,
    "nothing": _with_nothing,
    "pad and conv": _pad_and_conv,
    "recurrent": _recurrent,
    "round trip": _round_trip,
    "scan": _scan,
    "split and swap": _split_and_swap,
    "squeeze and excite": _squeeze_and_excite,
    "relu": lambda graph: graph.add("Relu", [graph.any_value()]),
    "softmax": lambda graph: graph.add("Softmax", [graph.any_value()], axis=graph.draw(st.sampled_from([1, 3]))),
    "sum": lambda graph: graph.add("Add", [graph.any_value(), graph.any_value()]),
    "cast": lambda graph: graph.add("Cast", [graph.any_value()], to=TensorProto.FLOAT),
    "dropout": lambda graph: graph.add("Dropout", [graph.any_value()]),
}
_WITH_SUBGRAPHS = ("branch", "loop", "scan")


@st.composite
def models(draw: st.DrawFn, most_steps: int = 12) -> onnx.ModelProto:
    """A valid model that takes `x` of shape (N, *SHAPE), and answers `X` with numbers."""
    version = draw(st.sampled_from(OPSETS))
    graph = Drawn(draw, version)
    for _ in range(draw(st.integers(1, most_steps))):
        graph.step()
    graph.nodes.append(helper.make_node("Identity", [graph.values[-1]], ["y"]))
    outputs = ["y"]
    # A value inside may be an output too.
    inner = graph.any_value()
    if inner != "x" and graph.flag():
        outputs.append(inner)
    proto = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "drawn",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *SHAPE])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *SHAPE]) for name in outputs],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", version)],
        ir_version=max(4, helper.find_min_ir_version_for([helper.make_opsetid("", version)])),
    )
    onnx.checker.check_model(proto)
    answers = HostSession(proto.SerializeToString(), exact=True).run({"x": X})
    assume(all(np.isfinite(answer).all() and np.abs(answer).max() < _LARGEST for answer in answers))
    return proto
