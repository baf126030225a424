"""Whole models as programs, on this machine and, under QEMU's user mode, on every Arm they are compiled for."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from support import drawn_graphs
from support.native_programs import RUNNERS, run_exactly, run_natively, sources_of

from edgedeploy.foundation.errors import UnsupportedError

pytestmark = pytest.mark.keeps_cache


def _model(text: str, initializers: dict[str, np.ndarray], opset: int = 17) -> onnx.ModelProto:
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> graph {text}')
    for name, array in initializers.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    return model


def _every_kernel() -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """One model that needs every kernel there is, with extents that fill no block and no register."""
    rng = np.random.default_rng(7)

    def array(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    model = _model(
        """(float[2,3,13,11] image, float[7,2,10] sequence, int64[5] which)
        => (float[N] conv, float[N] grouped, float[N] finished, float[N] added, float[N] depthwise,
            float[N] strided, float[N] five, float[N] transposed, float[N] point, float[N] product,
            float[N] pairs, float[N] pooled, float[N] greatest, float[N] mean, float[N] unary,
            float[N] moved, float[N] chosen, float[N] padded, float[N] larger, float[N] linear,
            float[N] soft, float[N] normal, float[N] lstm, float[N] gru, float[N] joined, float[N] reduced,
            bool[N] compared, float[N] leaking, float[N] running)
        {
            conv = Conv <pads=[1,1,0,0], strides=[2,2]> (image, w_conv, b_conv)
            finished = HardSwish(conv)
            again = Conv <pads=[1,1,1,1], dilations=[1,1]> (finished, w_again)
            added_sum = Add(again, conv)
            added = Relu(added_sum)
            wide = Conv(conv, w_wide, b_wide)
            grouped = Conv <group=3, dilations=[1,1]> (wide, w_grouped)
            depthwise_sum = Conv <group=12, pads=[1,1,1,1]> (wide, w_depthwise, b_wide)
            six = Constant <value_float=0.6> ()
            none = Constant <value_float=-0.5> ()
            depthwise = Clip(depthwise_sum, none, six)
            leaky_sum = Conv <group=12, pads=[2,4,2,4], dilations=[2,4]> (wide, w_depthwise)
            leaking = LeakyRelu <alpha=0.2> (leaky_sum)
            eight = Conv(image, w_eight)
            strided_sum = Conv <group=8, pads=[2,2,2,2], strides=[4,4]> (eight, w_five)
            strided = Sigmoid(strided_sum)
            five = Conv <pads=[1,1,0,0], strides=[2,2], kernel_shape=[1,1]> (image, w_three)
            transposed = ConvTranspose <strides=[2,2], pads=[1,1,1,1], output_padding=[1,1]> (image, w_transposed)
            point_sum = Conv(image, w_point, b_point)
            point_gate = Sigmoid(point_sum)
            point = Mul(point_sum, point_gate)
            rows = Reshape(sequence, to_rows)
            product = Gemm <transB=1> (rows, w_gemm, b_gemm)
            swapped = Transpose <perm=[0,2,1]> (sequence)
            pairs = MatMul(sequence, swapped)
            pooled_image = GlobalAveragePool(conv)
            pooled = Flatten(pooled_image)
            greatest = MaxPool <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (conv)
            mean = AveragePool <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (conv)
            e = Erf(image)
            x = Exp(e)
            t = Tanh(x)
            m = Mul(t, channel)
            unary = Sub(m, image)
            turned = Transpose <perm=[0,2,1,3]> (image)
            moved = Neg(turned)
            picked = Gather <axis=3> (image, which)
            chosen = Transpose <perm=[0,1,3,2]> (picked)
            padded = Pad <mode="reflect"> (image, pads)
            larger = Resize <mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor">
                (image, , scales)
            linear = Resize <mode="linear"> (image, , , sizes)
            soft = Softmax <axis=1> (image)
            normal = LayerNormalization(sequence, gain, shift)
            lstm = LSTM <hidden_size=9, direction="bidirectional"> (sequence, w_lstm, r_lstm, b_lstm)
            gru = GRU <hidden_size=4, linear_before_reset=1> (sequence, w_gru, r_gru, b_gru)
            joined = Concat <axis=1> (image, unary)
            reduced = ReduceMean <axes=[1,2], keepdims=0> (image)
            zero = Constant <value_float=0.1> ()
            compared = Greater(image, zero)
            along = Constant <value_int=0> ()
            running = CumSum(sequence, along)
        }""",
        {
            "w_conv": array(13, 3, 3, 3) * 0.3,
            "b_conv": array(13),
            "w_again": array(13, 13, 3, 3) * 0.1,
            "w_wide": array(12, 13, 1, 1) * 0.3,
            "b_wide": array(12),
            "w_grouped": array(12, 4, 3, 3) * 0.2,
            "w_depthwise": array(12, 1, 3, 3) * 0.5,
            "w_eight": array(8, 3, 1, 1),
            "w_five": array(8, 1, 5, 5) * 0.2,
            "w_three": array(3, 3, 1, 1),
            "w_transposed": array(3, 6, 3, 3) * 0.3,
            "w_point": array(9, 3, 1, 1),
            "b_point": array(9),
            "to_rows": np.array([14, 10]),
            "w_gemm": array(5, 10),
            "b_gemm": array(5),
            "channel": array(3, 1, 1),
            "pads": np.array([0, 0, 1, 2, 0, 0, 3, 3]),
            "scales": np.array([1, 1, 2, 3], np.float32),
            "sizes": np.array([2, 3, 19, 15]),
            "gain": array(10),
            "shift": array(10),
            "w_lstm": array(2, 36, 10) * 0.3,
            "r_lstm": array(2, 36, 9) * 0.3,
            "b_lstm": array(2, 72) * 0.3,
            "w_gru": array(1, 12, 10) * 0.3,
            "r_gru": array(1, 12, 4) * 0.3,
            "b_gru": array(1, 24) * 0.3,
        },
    )
    feed = {"image": array(2, 3, 13, 11), "sequence": array(7, 2, 10), "which": np.array([4, -1, 0, 10, 4])}
    return model, feed


@pytest.fixture(scope="module")
def every_kernel() -> tuple[onnx.ModelProto, dict[str, np.ndarray], list[np.ndarray]]:
    model, feed = _every_kernel()
    return model, feed, run_exactly(model, feed)


# zig takes a minute of a core for the C library of each; of those with 32 bits, the oldest has the fewest instructions.
_LONG = ("rpi2", "generic-armv7")


@pytest.mark.parametrize(
    "target", [pytest.param(name, marks=[pytest.mark.long] if name in _LONG else []) for name in RUNNERS]
)
def test_every_kernel_agrees_with_onnxruntime(
    every_kernel: tuple[onnx.ModelProto, dict[str, np.ndarray], list[np.ndarray]], target: str, tmp_path: Path
) -> None:
    model, feed, wanted = every_kernel
    found = run_natively(model, feed, target, tmp_path)
    for output, ours, theirs in zip(model.graph.output, found, wanted, strict=True):
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype, output.name
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5, err_msg=f"{output.name} on {target}")


@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
@pytest.mark.parametrize("transform", ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"])
def test_nearest_elements_where_two_are_as_near(transform: str, rounding: str, tmp_path: Path) -> None:
    words = f'mode="nearest", coordinate_transformation_mode="{transform}", nearest_mode="{rounding}"'
    text = "(float[1,2,5,6] x) => (float[N] a, float[N] b, float[N] c) {"
    for name in ("a", "b", "c"):
        text += f" {name} = Resize <{words}> (x, , scales_{name})"
    scales = {"a": (1, 1, 1.7, 1.3), "b": (1, 1, 2.5, 0.6), "c": (1, 1, 3.3, 1.5)}
    model = _model(text + " }", {f"scales_{name}": np.array(each, np.float32) for name, each in scales.items()})
    feed = {"x": np.arange(60, dtype=np.float32).reshape(1, 2, 5, 6)}
    for ours, theirs in zip(run_natively(model, feed, "x86-64", tmp_path), run_exactly(model, feed), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("opset", [9, 12, 13])
@pytest.mark.parametrize("operator", ["Hardmax", "Softmax", "LogSoftmax"])
def test_what_earlier_opsets_did_over_several_dimensions(operator: str, opset: int, tmp_path: Path) -> None:
    model = _model(f"(float[2,4,5,6] x) => (float[N] y) {{ y = {operator} <axis=2> (x) }}", {}, opset)
    feed = {"x": np.random.default_rng(0).standard_normal((2, 4, 5, 6)).astype(np.float32)}
    np.testing.assert_allclose(run_natively(model, feed, "x86-64", tmp_path)[0], run_exactly(model, feed)[0], rtol=1e-4)


def test_the_same_model_gives_the_same_files() -> None:
    model, feed = _every_kernel()
    assert sources_of(model, feed)[1].files == sources_of(model, feed)[1].files


def test_functions_of_one_number_are_as_good_as_the_c_library(tmp_path: Path) -> None:
    model = _model("(float[N] x) => (float[N] e, float[N] s, float[N] t, float[N] f) "
                   "{ e = Exp(x) s = Sigmoid(x) t = Tanh(x) f = Erf(x) }", {})  # fmt: skip
    x = np.concatenate(
        [
            np.linspace(-120, 120, 4801),
            np.linspace(-1, 1, 2001),
            np.logspace(-30, 0, 301),
            [np.nan, np.inf, -np.inf, 0.0, -0.0],
        ]
    ).astype(np.float32)
    exact = x.astype(np.float64)
    with np.errstate(over="ignore"):
        wanted = [
            np.exp(exact).astype(np.float32),
            1 / (1 + np.exp(-exact)),
            np.tanh(exact),
            np.array([math.erf(each) for each in exact]),
        ]
    found = run_natively(model, {"x": x}, "x86-64", tmp_path)
    for name, ours, theirs in zip(("Exp", "Sigmoid", "Tanh", "Erf"), found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=3e-38, err_msg=name)


def test_graphs_that_nobody_wrote(tmp_path_factory: pytest.TempPathFactory) -> None:
    refused: list[str] = []
    compared: list[str] = []

    @settings(max_examples=12, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    @given(drawn_graphs.models())
    def compare(model: onnx.ModelProto) -> None:
        feed = {"x": drawn_graphs.X}
        try:
            found = run_natively(model, feed, "x86-64", tmp_path_factory.mktemp("drawn"))
        except UnsupportedError as error:
            # Subgraphs, mostly; a mistake of ours is no refusal.
            assert "mistake" not in error.why
            refused.append(error.what)
            return
        for output, ours, theirs in zip(model.graph.output, found, run_exactly(model, feed), strict=True):
            least = 1e-4 * max(1.0, float(np.abs(np.nan_to_num(theirs)).max(initial=0)))
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=least, err_msg=output.name)
        compared.append(model.graph.name)

    compare()
    assert len(compared) >= 4, refused


_WEIGHTS_3D = "float[2,2,1,1,1] w = {1, -2, 3, -4}"

_GENERATED = {
    "two ScatterND": (
        """(float[4,3] x) => (float[4,3] y, float[4,3] z)
        <int64[2,1] i = {0, 2}, float[2,3] u = {1, 2, 3, 4, 5, 6},
         int64[2,1] j = {1, 3}, float[2,3] v = {7, 8, 9, 1, 2, 3}>
        { y = ScatterND(x, i, u) z = ScatterND(x, j, v) }""",
        (4, 3),
    ),
    "two CumSum": (
        """(float[4,3] x) => (float[4,3] y, float[4,3] z) <int64 i = {0}, int64 j = {1}>
        { y = CumSum(x, i) z = CumSum(x, j) }""",
        (4, 3),
    ),
    "two cubic Resize": (
        """(float[1,1,4,4] x) => (float[1,1,N,M] y, float[1,1,N,M] z)
        <float[4] a = {1, 1, 2, 2}, float[4] b = {1, 1, 0.5, 0.5}>
        { y = Resize<mode="cubic">(x, , a) z = Resize<mode="cubic">(x, , b) }""",
        (1, 1, 4, 4),
    ),
    "two MatMulInteger": (
        """(float[4,3] x) => (int32[4,2] y, int32[4,2] z)
        <uint8[3,2] a = {1, 1, 2, 2, 3, 3}, uint8[3,2] b = {1, 1, 5, 5, 6, 6}, uint8 c = {3}, uint8 d = {4}>
        { q = Cast<to=2>(x) y = MatMulInteger(q, a, c, d) z = MatMulInteger(q, b, d, c) }""",
        (4, 3),
    ),
    "Conv in three dimensions, activated": (
        f"(float[1,2,3,4,5] x) => (float[N] y) <{_WEIGHTS_3D}> {{ c = Conv(x, w) y = Relu(c) }}",
        (1, 2, 3, 4, 5),
    ),
    "Conv in three dimensions, added": (
        f"(float[1,2,3,4,5] x) => (float[N] y) <{_WEIGHTS_3D}> {{ c = Conv(x, w) s = Add(c, x) y = HardSwish(s) }}",
        (1, 2, 3, 4, 5),
    ),
    "ConvTranspose in three dimensions, activated": (
        f"(float[1,2,3,4,5] x) => (float[N] y) <{_WEIGHTS_3D}> {{ c = ConvTranspose(x, w) y = Relu(c) }}",
        (1, 2, 3, 4, 5),
    ),
    "Gemm of two inputs, scaled": (
        "(float[4,3] x) => (float[4,4] y) { c = Gemm<alpha=0.5, transB=1>(x, x) y = Relu(c) }",
        (4, 3),
    ),
    "Gemm whose bias counts for nothing": (
        """(float[4,4] x) => (float[4,4] y, float[4,4] z)
        {
            w = Constant<value = float[4,4] {1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7}>()
            k = Constant<value = float[4] {-1,-1,-1,-1}>()
            b = Sqrt(k)
            y = Gemm<beta=0.0>(x, w, b)
            n = Neg(x)
            c = Sqrt(n)
            z = Gemm<beta=0.0>(x, w, c)
        }""",
        (4, 4),
    ),
    "Gemm with a column of biases and an addition": (
        """(float[4,4] x) => (float[4,4] y) <float[4,1] b = {1, 2, 3, 4}>
        {
            w = Constant<value = float[4,4] {1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7}>()
            c = Gemm(x, w, b) s = Add(c, x) y = Relu(s)
        }""",
        (4, 4),
    ),
}


@pytest.mark.parametrize("name", _GENERATED)
def test_what_the_generator_writes_links_and_agrees(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    text, shape = _GENERATED[name]
    model = _model(text, {})
    feed = {"x": np.abs(rng.standard_normal(shape)).astype(np.float32) * 3}
    found = run_natively(model, feed, "x86-64", tmp_path)
    for ours, theirs in zip(found, run_exactly(model, feed), strict=True):
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["INT4", "UINT4", "INT8", "FLOAT8E4M3FN"])
@pytest.mark.parametrize("block", [0, 2])
def test_weights_of_types_that_c_does_not_have(kind: str, block: int, tmp_path: Path, rng: np.random.Generator) -> None:
    scale = rng.uniform(0.1, 1, (16, 8) if block else ()).astype(np.float32)
    values = [1, 2, 3, 0.5 if kind.startswith("FLOAT") else -1 if kind.startswith("INT") else 7] * 64
    helper, blocked = onnx.helper, {"axis": 0, "block_size": block} if block else {}
    graph = helper.make_graph(
        [
            helper.make_node("DequantizeLinear", ["w", "s"], ["wf"], **blocked),
            helper.make_node("Mul", ["x", "wf"], ["y"]),
        ],
        "weights",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [32, 8])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [32, 8])],
        [
            helper.make_tensor("w", getattr(onnx.TensorProto, kind), [32, 8], values),
            onnx.numpy_helper.from_array(scale, "s"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    feed = {"x": rng.standard_normal((32, 8)).astype(np.float32)}
    (ours,), (theirs,) = run_natively(model, feed, "x86-64", tmp_path), run_exactly(model, feed)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
