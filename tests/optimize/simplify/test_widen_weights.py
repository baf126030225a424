"""Weights that other tools store in fewer bits are known to passes that look for weights."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgedeploy.optimize.optimize import optimize
from edgedeploy.optimize.recipes.recipe import load_recipe
from edgedeploy.optimize.simplify.narrow_weights import NarrowWeights
from edgedeploy.optimize.simplify.widen_weights import STORED_AS, WidenWeights

X = np.random.default_rng(5).standard_normal((8, 16)).astype(np.float32)
W = (np.random.default_rng(6).standard_normal((16, 32)) * 0.3).astype(np.float32)
BYTES = np.clip(np.round(W / 0.01), -127, 127).astype(np.int8)
FORMS = {
    "Cast": ("w = Cast <to = 1> (s)", {"s": W.astype(np.float16)}),
    "Cast and Transpose": ("c = Cast <to = 1> (s) w = Transpose (c)", {"s": W.T.astype(np.float16)}),
    "Identity and Cast": ("c = Identity (s) w = Cast <to = 1> (c)", {"s": W.astype(np.float16)}),
    "bfloat16": ("w = Cast <to = 1> (s)", {"s": W.astype(ml_dtypes.bfloat16)}),
    "float8": ("w = Cast <to = 1> (s)", {"s": W.astype(ml_dtypes.float8_e4m3fn)}),
    "DequantizeLinear": ("w = DequantizeLinear (s, k)", {"s": BYTES, "k": np.float32(0.01)}),
    "DequantizeLinear by channel": (
        "w = DequantizeLinear <axis = 1> (s, k)",
        {"s": BYTES, "k": np.full(32, 0.01, np.float32)},
    ),
    "Cast and Mul": ("c = Cast <to = 1> (s) w = Mul (c, k)", {"s": BYTES, "k": np.full(32, 0.01, np.float32)}),
}


def stored(build, form):
    nodes, weights = FORMS[form]
    return build(
        f"""
        <ir_version: 10, opset_import: ["" : 21]>
        g (float[N,16] x) => (float[N,32] y) {{ {nodes} y = MatMul(x, w) }}""",
        **weights,
    )


@pytest.mark.parametrize("form", FORMS)
def test_a_weight_is_given_back(build, apply, run, operators, form):
    model = stored(build, form)
    expected = run(model, x=X)
    result, evidence = apply(WidenWeights(integers=True), model, {"x": X})
    assert operators(result) == ["MatMul"]
    assert evidence.facts["weights_widened"] == 1
    np.testing.assert_allclose(run(result, x=X)[0], expected[0], rtol=1e-5, atol=1e-5)


def test_bytes_stay_where_the_pass_behind_needs_floats(build, apply):
    _, evidence = apply(WidenWeights(), stored(build, "DequantizeLinear"), {"x": X})
    assert not evidence.changed


def test_a_layer_that_computes_with_integers_is_left(build, apply):
    model = build(
        """
        <ir_version: 10, opset_import: ["" : 21]>
        g (float[N,16] x) => (float[N,32] y) {
            q = QuantizeLinear (x, k) a = DequantizeLinear (q, k) w = DequantizeLinear (s, k) y = MatMul(a, w)
        }""",
        s=BYTES.astype(np.uint8),
        k=np.float32(0.01),
    )
    _, evidence = apply(WidenWeights(integers=True), model, {"x": X})
    assert not evidence.changed


def test_weights_of_a_few_bits_stay(build, apply):
    model = build(
        """
        <ir_version: 10, opset_import: ["" : 21]>
        g (float[N,16] x) => (float[N,32] y) { w = DequantizeLinear (s, k) y = MatMul(x, w) }""",
        s=np.clip(np.round(W / 0.1), -7, 7).astype(ml_dtypes.int4),
        k=np.float32(0.1),
    )
    _, evidence = apply(WidenWeights(integers=True), model, {"x": X})
    assert not evidence.changed


def test_a_value_that_only_looks_small_does_not_fill_the_memory(build, apply):
    model = build(
        """
        <ir_version: 10, opset_import: ["" : 21]>
        g (float[N,16] x) => (float[N,1,1,4000000] y) {
            c = Cast <to = 1> (s) w = Mul (c, k) y = Conv <strides = [1, 1]> (z, w) i = Identity (x)
        }""".replace("=> (float[N,1,1,4000000] y)", "=> (float[N,16] i)"),
        s=np.ones((1, 1, 1, 100), np.float16),
        k=np.ones((40000, 1, 100, 1), np.float32),
        z=np.ones((1, 1, 200, 200), np.float32),
    )
    _, evidence = apply(WidenWeights(), model)
    assert evidence.facts["weights_widened"] == 0


@pytest.mark.parametrize("form", ["Cast", "bfloat16"])
def test_what_is_still_float_at_the_end_is_stored_as_it_came(build, apply, run, operators, form):
    model = stored(build, form)
    expected = run(model, x=X)
    wide, _ = apply(WidenWeights(), model, {"x": X})
    assert wide.metadata_props[STORED_AS] == ("FLOAT16" if form == "Cast" else "BFLOAT16")
    result, evidence = apply(NarrowWeights(), wide, {"x": X})
    assert operators(result) == ["Cast", "MatMul"]
    assert evidence.facts == {"weights_narrowed": 1, "saved_bytes": 1024}
    assert STORED_AS not in result.metadata_props
    np.testing.assert_array_equal(run(result, x=X)[0], expected[0])


def test_weights_that_a_pass_changed_are_rounded_where_it_is_asked_for(build, apply):
    model = build(
        """
        <ir_version: 10, opset_import: ["" : 21]>
        g (float[N,16] x) => (float[N,32] y) { y = MatMul(x, w) }""",
        w=W,
    )
    for step in (NarrowWeights(), NarrowWeights(round=True)):
        _, evidence = apply(step, model, {"x": X})
        assert not evidence.changed
    model.metadata_props[STORED_AS] = "FLOAT16"
    assert apply(NarrowWeights(), model, {"x": X})[1].facts["weights_narrowed"] == 0
    assert apply(NarrowWeights(round=True), model, {"x": X})[1].facts["weights_narrowed"] == 1


def mixed_precision() -> onnx.ModelProto:
    """Two convolutions whose weights are halves behind Casts, as converters to mixed precision write them."""
    rng = np.random.default_rng(3)
    weights = {
        "w1": rng.standard_normal((32, 3, 3, 3)).astype(np.float16) * np.float16(0.2),
        "w2": rng.standard_normal((32, 32, 3, 3)).astype(np.float16) * np.float16(0.06),
    }
    nodes = [
        helper.make_node("Cast", ["w1"], ["w1f"], to=1),
        helper.make_node("Cast", ["w2"], ["w2f"], to=1),
        helper.make_node("Conv", ["x", "w1f"], ["a"], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Conv", ["r", "w2f"], ["c"], kernel_shape=[3, 3]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 10, 10])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 32])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "worker", "most"),
    [("int8", "quantize-static", 0.75), ("weights-int8", "quantize-weights", 0.75), ("prune", "prune-channels", 1.0)],
)
def test_recipes_see_through_casts(tmp_path, recipe, worker, most):
    path = tmp_path / "m.onnx"
    path.write_bytes(mixed_precision().SerializeToString())
    x = np.random.default_rng(4).standard_normal((24, 3, 10, 10)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x)
    data = str(tmp_path / "data.npz")
    evidence = optimize(
        path,
        load_recipe(recipe),
        tmp_path / "q.onnx",
        calibration=data,
        evaluation=data,
        max_drop=1.0,
        allowed=("accuracy",),
    )
    assert next(step for step in evidence.passes if step.name == worker).changed, evidence.passes
    assert evidence.result is not None
    assert evidence.result.size_bytes < most * evidence.source.size_bytes
