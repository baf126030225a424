"""Quantized models: which products become products of integers, and that all cores compute the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from support.native_programs import RUNNERS, run_exactly, run_natively

from edgedeploy.compile.native.packing import packed_integers
from edgedeploy.compile.native.prepare import prepare
from edgedeploy.compile.native.quantize import INTEGER, quantize


class _Model:
    """ONNX text, and the initializers that it names."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.lines: list[str] = []
        self.arrays: dict[str, np.ndarray] = {}

    def scale(self, name: str, scale: float | np.ndarray, zero: int, dtype: type) -> str:
        """Names of a scale and a zero point, for a call."""
        self.arrays[f"{name}_s"] = np.asarray(scale, np.float32)
        self.arrays[f"{name}_z"] = np.full(np.shape(scale), zero, dtype)
        return f"{name}_s, {name}_z"

    def quantized(self, value: str, result: str, scale: float, zero: int, dtype: type = np.int8) -> None:
        """`result`, and `result_f`, which is dequantized again."""
        parameters = self.scale(result, scale, zero, dtype)
        self.lines.append(f"{result} = QuantizeLinear({value}, {parameters})")
        self.lines.append(f"{result}_f = DequantizeLinear({result}, {parameters})")

    def weights(self, name: str, *shape: int, axis: int | None = 0, dtype: type = np.int8, zero: int = 0) -> str:
        bounds = (-127, 128) if dtype is np.int8 else (1, 256)
        self.arrays[name] = self.rng.integers(*bounds, shape).astype(dtype)
        # 0.37 standard deviations a weight at most: sums over some dozens of products stay within the result's range.
        scale = 0.005 if axis is None else self.rng.uniform(0.002, 0.006, shape[axis])
        where = "" if axis is None else f"<axis={axis}>"
        self.lines.append(f"{name}_f = DequantizeLinear {where} ({name}, {self.scale(name, scale, zero, dtype)})")
        return f"{name}_f"

    def bias(self, name: str, of: str, source_scale: float) -> str:
        factor = self.arrays[f"{of}_s"] * np.float32(source_scale)
        columns = self.arrays[of].shape[0]
        self.arrays[name] = self.rng.integers(-3000, 3000, columns).astype(np.int32)
        self.arrays[f"{name}_s"] = np.broadcast_to(factor, (columns,)).astype(np.float32)
        self.lines.append(f"{name}_f = DequantizeLinear <axis=0> ({name}, {name}_s)")
        return f"{name}_f"

    def proto(self, inputs: str, outputs: str) -> onnx.ModelProto:
        text = f'<ir_version: 8, opset_import: ["": 17]> graph ({inputs}) => ({outputs}) {{ {" ".join(self.lines)} }}'
        model = onnx.parser.parse_model(text)
        for name, array in self.arrays.items():
            model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        onnx.checker.check_model(model)
        return model


_STEP = 0.05


def _every_product() -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """Each kernel of kernels/integers.h, with extents that fill no tile, step or block."""
    rng = np.random.default_rng(11)
    made = _Model(rng)
    write = made.lines.append
    made.quantized("image", "u", 0.02, 131, np.uint8)
    # Signed, a bias of integers, per channel; what comes out is an output as it is.
    point, bias = made.weights("w_p", 21, 19, 1, 1), made.bias("b_p", "w_p", 0.02)
    write(f"p = Conv(u_f, {point}, {bias})")
    made.quantized("p", "point", _STEP, -3)
    # Windows, padding with a zero point that is not 0, a Relu in between, weights that are uint8 around 128.
    window = made.weights("w_c", 10, 19, 3, 3, axis=None, dtype=np.uint8, zero=128)
    write(f"c = Conv <pads=[1,1,0,2], strides=[2,1]> (u_f, {window}) c_r = Relu(c)")
    made.quantized("c_r", "conv", _STEP, -128)
    # Groups and dilation, bounds in between.
    write(f"g = Conv <group=3, dilations=[2,1]> (point_f, {made.weights('w_g', 15, 7, 3, 2)})")
    write("low = Constant <value_float=-0.7> () high = Constant <value_float=1.3> () g_c = Clip(g, low, high)")
    made.quantized("g_c", "grouped", _STEP, 5)
    # A result in float, with an activation.
    write(f"f = Conv(point_f, {made.weights('w_f', 6, 21, 1, 1)}, float_bias) floats = Sigmoid(f)")
    # Depthwise: 16 channels fill registers and 21 do not; neighbours at once, by one and by two; another window.
    write(f"w = Conv(point_f, {made.weights('w_w', 16, 21, 1, 1)})")
    made.quantized("w", "wide", _STEP, 7, np.uint8)
    for name, source, channels, size, rest in (
        ("d1", "wide_f", 16, 3, "<group=16, pads=[1,1,1,1]>"),
        ("d2", "wide_f", 16, 3, "<group=16, pads=[1,1,1,1], strides=[2,2]>"),
        ("d3", "point_f", 21, 3, "<group=21, pads=[1,1,1,1]>"),
        ("d5", "wide_f", 16, 5, "<group=16, pads=[2,2,2,2], dilations=[2,1]>"),
    ):
        write(f"{name}_y = Conv {rest} ({source}, {made.weights(f'w_{name}', channels, 1, size, size)})")
        made.quantized(f"{name}_y", name, _STEP, 1)
    # Matrices.
    write("r = Reshape(point_f, rows)")
    made.quantized("r", "flat", _STEP, 0)
    write(f"m = MatMul(flat_f, {made.weights('w_m', 33, 5, axis=1)})")
    made.quantized("m", "matmul", _STEP, 2)
    gemm, gemm_bias = made.weights("w_h", 9, 33), made.bias("b_h", "w_h", _STEP)
    write(f"h = Gemm <transB=1> (flat_f, {gemm}, {gemm_bias})")
    made.quantized("h", "gemm", _STEP, 0)
    made.arrays["float_bias"] = rng.standard_normal(6).astype(np.float32)
    made.arrays["rows"] = np.array([-1, 33])
    # 2 * 21 * 11 * 13 = 182 * 33
    outputs = (
        "int8[2,21,11,13] point, int8[2,10,5,13] conv, int8[2,15,7,12] grouped, float[2,6,11,13] floats, "
        "int8[2,16,11,13] d1, int8[2,16,6,7] d2, int8[2,21,11,13] d3, int8[2,16,7,13] d5, int8[182,5] matmul, "
        "int8[182,9] gemm"
    )
    model = made.proto("float[2,19,11,13] image", outputs)
    return model, {"image": (rng.standard_normal((2, 19, 11, 13)) * 0.8).astype(np.float32)}


@pytest.fixture(scope="module")
def every_product() -> tuple[onnx.ModelProto, dict[str, np.ndarray], list[np.ndarray]]:
    model, feed = _every_product()
    return model, feed, run_exactly(model, feed)


def test_every_product_of_quantized_values_becomes_one_of_integers(tmp_path: Path) -> None:
    model, feed = _every_product()
    onnx.save(model, tmp_path / "model.onnx")
    graph = prepare(tmp_path / "model.onnx", feed)
    quantize(graph)
    products = [node.op for node in graph.nodes if "Conv" in node.op or "MatMul" in node.op or "Gemm" in node.op]
    assert len(products) == 11
    assert [op for op in products if not op.startswith(INTEGER)] == []


@pytest.fixture(scope="module")
def integers_here(
    every_product: tuple[onnx.ModelProto, dict[str, np.ndarray], list[np.ndarray]],
    tmp_path_factory: pytest.TempPathFactory,
) -> list[np.ndarray]:
    """The outputs of the program for x86-64."""
    model, feed, _ = every_product
    return run_natively(model, feed, "x86-64", tmp_path_factory.mktemp("here"))


@pytest.mark.keeps_cache
@pytest.mark.parametrize("target", RUNNERS)
def test_every_core_computes_the_same_integers(
    every_product: tuple[onnx.ModelProto, dict[str, np.ndarray], list[np.ndarray]],
    integers_here: list[np.ndarray],
    target: str,
    tmp_path: Path,
) -> None:
    model, feed, wanted = every_product
    found = run_natively(model, feed, target, tmp_path)
    for output, ours, theirs, others in zip(model.graph.output, found, wanted, integers_here, strict=True):
        if ours.dtype == np.int8:
            # Exact arithmetic rounds a float that is never quite the same: one step, and seldom.
            difference = np.abs(ours.astype(int) - theirs.astype(int))
            assert difference.max() <= 1, (output.name, target)
            assert np.mean(difference != 0) < 0.01, (output.name, target)
            assert len(np.unique(ours)) > 20, f"{output.name} says little: most of it is cut off"
            np.testing.assert_array_equal(ours, others, err_msg=f"{output.name} on {target}")
        else:
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=2e-3, err_msg=f"{output.name} on {target}")


def _quantized_conv(weights: np.ndarray, rng: np.random.Generator, zero: int = 0) -> onnx.ModelProto:
    made = _Model(rng)
    made.arrays["w"] = weights
    made.lines.append(f"q = QuantizeLinear(x, {made.scale('q', 0.1, 0, np.int8)}) f = DequantizeLinear(q, q_s, q_z)")
    made.lines.append(f"v = DequantizeLinear(w, {made.scale('w', 0.01, zero, np.int8)}) y = Conv(f, v)")
    return made.proto("float[1,2,3,3] x", "float[1,1,3,3] y")


@pytest.mark.parametrize(("least", "zero", "integer"), [(-127, 0, True), (-128, 0, False), (-127, 3, False)])
def test_weights_whose_products_do_not_fit_stay_in_float(
    least: int, zero: int, integer: bool, tmp_path: Path, rng: np.random.Generator
) -> None:
    """Two products of -128 with -128 do not fit into 16 bits, and zero points of weights into no kernel."""
    model = _quantized_conv(np.array([[[[least]], [[5]]]], np.int8), rng, zero)
    onnx.save(model, tmp_path / "model.onnx")
    graph = prepare(tmp_path / "model.onnx", {"x": np.zeros((1, 2, 3, 3), np.float32)})
    quantize(graph)
    assert [node.op for node in graph.nodes if "Conv" in node.op] == [INTEGER + "Conv" if integer else "Conv"]
    if not integer:
        weights = next(node for node in graph.nodes if node.op == "Conv").constant(1)
        assert weights is not None
        np.testing.assert_allclose(weights.ravel(), (np.array([least, 5]) - zero) * np.float32(0.01))


@pytest.mark.parametrize("dot_product", [False, True])
def test_packed_weights_are_where_the_kernels_read_them(dot_product: bool, rng: np.random.Generator) -> None:
    weights = rng.integers(-127, 128, (37, 11)).astype(np.int8)
    packed = packed_integers(weights, dot_product)
    width, step = (8, 4) if dot_product else (4, 16)
    assert packed.shape == (-(-11 // width), 48 // step, width, step)
    for row in range(48):
        for column in range(packed.shape[0] * width):
            expected = weights[row, column] if row < 37 and column < 11 else 0
            assert packed[column // width, row // step, column % width, row % step] == expected
