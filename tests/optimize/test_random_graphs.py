"""Recipes on graphs that nobody wrote: results stay, or the result loads and agrees."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgedeploy.dataset import open_dataset
from edgedeploy.host_run import HostSession
from edgedeploy.optimize.contract import Context
from edgedeploy.optimize.graph import serialized
from edgedeploy.optimize.pipeline import run_passes
from edgedeploy.optimize.recipe import load_recipe
from edgedeploy.values.model import TensorFacts

CHANNELS, SIDE = 4, 5
SHAPE = (CHANNELS, SIDE, SIDE)
_CONSTANT_SHAPES: list[tuple[int, ...]] = [(), (1,), (SIDE,), (CHANNELS, 1, 1), (1, CHANNELS, 1, 1), SHAPE]


class _Drawn:
    """A graph while it is drawn. Every value of it has the shape (N, CHANNELS, SIDE, SIDE)."""

    def __init__(self, draw: st.DrawFn, version: int) -> None:
        self.draw = draw
        self.version = version
        self.chance = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.values = ["x"]
        self.count = 0

    def name(self, kind: str) -> str:
        self.count += 1
        return f"{kind}_{self.count}"

    def any_value(self) -> str:
        return self.draw(st.sampled_from(self.values))

    def add(self, operator: str, inputs: list[str], **attributes: object) -> str:
        output = self.name(operator.lower())
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def weight(self, array: np.ndarray) -> str:
        """An initializer, a Constant node, or something that is computed from one."""
        name = self.name("weight")
        how = self.draw(st.sampled_from(["initializer", "constant", "computed", "shared"]))
        same = [w.name for w in self.initializers if list(w.dims) == list(array.shape)]
        # A variance must not be shared with what may be negative.
        if how == "shared" and same and not (array > 0).all():
            return same[0]
        if how == "initializer" or how == "shared":
            self.initializers.append(numpy_helper.from_array(array, name))
        elif how == "constant":
            self.nodes.append(helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array)))
        else:
            self.initializers.append(numpy_helper.from_array(-array, name))
            name = self.add("Neg", [name])
        return name

    def normal(self, *shape: int) -> np.ndarray:
        return self.chance.standard_normal(shape).astype(np.float32)

    def step(self) -> None:
        kind = self.draw(st.sampled_from(sorted(_STEPS)))
        self.values.append(_STEPS[kind](self))


def _conv(graph: _Drawn) -> str:
    group = graph.draw(st.sampled_from([1, 2, CHANNELS]))
    weight = graph.weight(graph.normal(CHANNELS, CHANNELS // group, 3, 3) / 3)
    bias = [graph.weight(graph.normal(CHANNELS))] if graph.draw(st.booleans()) else []
    return graph.add("Conv", [graph.any_value(), weight, *bias], group=group, pads=[1, 1, 1, 1])


def _normalization(graph: _Drawn) -> str:
    parameters = [graph.normal(CHANNELS) for _ in range(3)]
    parameters += [graph.chance.uniform(0.5, 2, CHANNELS).astype(np.float32)]
    return graph.add("BatchNormalization", [graph.any_value(), *(graph.weight(array) for array in parameters)])


def _with_constant(graph: _Drawn) -> str:
    shape = graph.draw(st.sampled_from(_CONSTANT_SHAPES))
    operands = [graph.any_value(), graph.weight(graph.normal(*shape) + np.float32(2.5))]
    if graph.draw(st.booleans()):
        operands.reverse()
    return graph.add(graph.draw(st.sampled_from(["Add", "Sub", "Mul"])), operands)


def _hard_swish(graph: _Drawn) -> str:
    x = graph.any_value()
    three, zero, six = (graph.weight(np.array(number, np.float32)) for number in (3.0, 0.0, 6.0))
    clipped = graph.add("Clip", [graph.add("Add", [x, three]), zero, six])
    return graph.add("Div", [graph.add("Mul", [x, clipped]), six])


def _round_trip(graph: _Drawn) -> str:
    """Through (N, ·) and back by shapes that the graph computes."""
    x = graph.any_value()
    flat = graph.add("Flatten", [x], axis=1)
    return graph.add("Reshape", [flat, graph.add("Shape", [x])])


def _matrix(graph: _Drawn) -> str:
    return graph.add("MatMul", [graph.any_value(), graph.weight(graph.normal(SIDE, SIDE) / 2)])


def _dead(graph: _Drawn) -> str:
    x = graph.any_value()
    graph.add("Exp", [graph.add("Neg", [x])])
    return x


_STEPS = {
    "conv": _conv,
    "normalization": _normalization,
    "constant": _with_constant,
    "hard swish": _hard_swish,
    "round trip": _round_trip,
    "matrix": _matrix,
    "dead": _dead,
    "relu": lambda graph: graph.add("Relu", [graph.any_value()]),
    "sum": lambda graph: graph.add("Add", [graph.any_value(), graph.any_value()]),
    "identity": lambda graph: graph.add("Identity", [graph.any_value()]),
    "cast": lambda graph: graph.add("Cast", [graph.any_value()], to=TensorProto.FLOAT),
    "dropout": lambda graph: graph.add("Dropout", [graph.any_value()]),
}


@st.composite
def _models(draw: st.DrawFn) -> onnx.ModelProto:
    version = draw(st.sampled_from([11, 13, 17]))
    graph = _Drawn(draw, version)
    for _ in range(draw(st.integers(1, 12))):
        graph.step()
    graph.nodes.append(helper.make_node("Identity", [graph.values[-1]], ["y"]))
    outputs = ["y"]
    # A value inside may be an output too.
    inner = graph.draw(st.sampled_from(graph.values))
    if inner != "x" and graph.draw(st.booleans()):
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
        ir_version=8,
    )
    onnx.checker.check_model(proto)
    return proto


X = np.random.default_rng(9).standard_normal((3, *SHAPE)).astype(np.float32)


def _apart(proto: onnx.ModelProto) -> ir.Model:
    """In objects of its own: passes rename weights in the proto that they were read from."""
    return ir.from_proto(onnx.load_from_string(proto.SerializeToString()))


_settings = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@_settings
@given(proto=_models())
def test_fold_keeps_every_result(proto):
    recipe = load_recipe("fold")
    model = _apart(proto)
    # Checked here, not by the pipeline, which would undo a pass that is wrong.
    result, evidence = run_passes(model, recipe.passes, Context())
    assert [step.refused for step in evidence if step.refused] == []
    content = serialized(result)
    before, after = (HostSession(b, exact=True) for b in (proto.SerializeToString(), content))
    for expected, got in zip(before.run({"x": X}), after.run({"x": X}), strict=True):
        np.testing.assert_array_equal(got, expected)
    assert len(content) <= len(serialized(model))
    again, _ = run_passes(ir.from_proto(onnx.load_from_string(content)), recipe.passes, Context())
    assert serialized(again) == content, "a second time there is nothing left to do"


@_settings
@given(proto=_models())
def test_int8_loads_and_agrees_or_says_why_not(proto, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "int8-samples.npz"
    if not path.exists():
        np.savez(path, x=X)
    inputs = (TensorFacts(name="x", dtype="float32", shape=("N", *SHAPE)),)
    context = Context(calibration=open_dataset(str(path), inputs), probes=[{"x": X}])
    result, evidence = run_passes(_apart(proto), load_recipe("int8").passes, context)
    for step in evidence:
        assert step.refused is None or "there is no Conv or MatMul or Gemm" in step.refused, step
    before = HostSession(proto.SerializeToString(), exact=True).run({"x": X})
    for exact in (True, False):
        after = HostSession(serialized(result), exact=exact).run({"x": X})
        for expected, got in zip(before, after, strict=True):
            assert got.shape == expected.shape and np.isfinite(got).all()
            power, error = float((expected**2).sum()), float(((expected - got) ** 2).sum())
            # A sum of values that cancel keeps little; what is left must still be the same signal.
            assert error <= 0.1 * power + 1e-3 * expected.size, (power, error)
