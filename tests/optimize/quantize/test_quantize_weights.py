"""quantize-weights, and how weights are stored in fewer bits."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgedeploy.optimize.graph.edit import serialized
from edgedeploy.optimize.quantize.quantize_dynamic import QuantizeDynamic
from edgedeploy.optimize.quantize.quantize_remaining_weights import QuantizeRemainingWeights
from edgedeploy.optimize.quantize.quantize_weights import QuantizeWeights
from edgedeploy.optimize.quantize.weight_encodings import (
    Int4Weight,
    IntegerWeight,
    store_float16,
    store_int4,
    store_int8,
    store_int16,
)


def _normal(rng: np.random.Generator, *shape, scale=1.0, dtype=np.float32):
    return (rng.standard_normal(shape) * scale).astype(dtype)


def _drawn(rng: np.random.Generator, weights):
    """Arrays as they are given, and random ones of the shapes that are given instead."""
    return {name: _normal(rng, *given) if isinstance(given, tuple) else given for name, given in weights.items()}


def _sqnr_db(outputs, expected):
    return 10 * np.log10((expected**2).sum() / ((outputs - expected) ** 2).sum())


def _loaded_operators(model, tmp_path):
    """Operators that are left when onnxruntime has loaded the model, subgraphs included."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    onnxruntime.InferenceSession(serialized(model), options, providers=["CPUExecutionProvider"])

    def operators(graph):
        for node in graph.node:
            yield node.op_type
            for attribute in node.attribute:
                yield from operators(attribute.g)

    return set(operators(onnx.load(tmp_path / "loaded.onnx").graph))


# Channels of very different sizes: one scale for all would lose the small ones.
SPREAD = np.logspace(-3, 1, 16).astype(np.float32)


def _cases(rng: np.random.Generator):
    return {
        "Conv": ("(float[1,16,8,8] x) => (float[1,16,6,6] y) { y = Conv(x, w) }", {"w": _normal(rng, 16, 16, 3, 3)}, 1),
        "ConvTranspose": (
            "(float[1,16,8,8] x) => (float[1,16,10,10] y) { y = ConvTranspose(x, w) }",
            {"w": _normal(rng, 16, 16, 3, 3)},
            1,
        ),
        "grouped ConvTranspose": (
            "(float[1,16,8,8] x) => (float[1,16,10,10] y) { y = ConvTranspose <group = 4> (x, w) }",
            {"w": _normal(rng, 16, 4, 3, 3)},
            1,
        ),
        "MatMul": ("(float[4,16] x) => (float[4,16] y) { y = MatMul(x, w) }", {"w": _normal(rng, 16, 16) * SPREAD}, 1),
        "weights on the left": (
            "(float[16,4] x) => (float[16,4] y) { y = MatMul(w, x) }",
            {"w": _normal(rng, 16, 16) * SPREAD[:, None]},
            1,
        ),
        "stacked": ("(float[2,4,16] x) => (float[2,4,16] y) { y = MatMul(x, w) }", {"w": _normal(rng, 2, 16, 16)}, 1),
        "Gemm": (
            "(float[4,16] x) => (float[4,16] y) { y = Gemm(x, w, b) }",
            {"w": _normal(rng, 16, 16), "b": _normal(rng, 16)},
            1,
        ),
        "transposed Gemm": (
            "(float[4,16] x) => (float[4,16] y) { y = Gemm <transB = 1> (x, w) }",
            {"w": _normal(rng, 16, 16) * SPREAD[:, None]},
            1,
        ),
        "embedding": (
            "(int64[4] x) => (float[4,16] y) { y = Gather(w, x) }",
            {"w": _normal(rng, 16, 16) * SPREAD[:, None]},
            1,
        ),
        "LSTM": (
            "(float[5,1,16] x) => (float[5,2,1,8] y) {"
            " y = LSTM <hidden_size = 8, direction = 'bidirectional'> (x, w, r) }",
            {"w": _normal(rng, 2, 32, 16), "r": _normal(rng, 2, 32, 8)},
            2,
        ),
        "GRU": (
            "(float[5,1,16] x) => (float[5,1,1,8] y) { y = GRU <hidden_size = 8> (x, w, r) }",
            {"w": _normal(rng, 1, 24, 16), "r": _normal(rng, 1, 24, 8)},
            2,
        ),
        "shared": (
            "(float[4,16] x) => (float[4,16] y) { h = MatMul(x, w) y = Gemm(h, w) }",
            {"w": _normal(rng, 16, 16)},
            1,
        ),
        "branches": (
            """(float[4,16] x) => (float[4,16] y) {
                s = ReduceSum <keepdims = 0> (x)
                z = Constant <value = float {0.0}> ()
                c = Greater(s, z)
                y = If (c) <
                    then_branch = t () => (float[4,16] p) { p = MatMul(x, w) },
                    else_branch = e () => (float[4,16] q) { n = Neg(x) q = MatMul(n, w) }
                >
            }""",
            {"w": _normal(rng, 16, 16)},
            1,
        ),
        "a loop": (
            """(float[4,16] x) => (float[4,16] y) {
                n = Constant <value = int64 {3}> ()
                t = Constant <value = bool {1}> ()
                y = Loop (n, t, x) <body = b (int64 i, bool go, float[4,16] h) => (bool on, float[4,16] k) {
                    on = Identity(go)
                    k = MatMul(h, w)
                }>
            }""",
            {"w": _normal(rng, 16, 16, scale=0.2)},
            1,
        ),
    }


CASES = _cases(np.random.default_rng(5))


LEAST_SQNR_DB = {"int8": 30, "int16": 78, "float16": 50, "int4": 12}


def _feed(rng: np.random.Generator, text):
    if "int64[4] x" in text:
        return {"x": np.array([0, 3, 15, 7])}
    extents = text[text.index("[") + 1 : text.index("]")]
    return {"x": _normal(rng, *(int(extent) for extent in extents.split(",")))}


@pytest.mark.parametrize("form", ["int8", "int16", "float16", "int4"])
@pytest.mark.parametrize("case", CASES)
def test_weights_of_any_operator(build, apply, run, tmp_path, case, form, rng):
    text, weights, count = CASES[case]
    model = build(f'<ir_version: 8, opset_import: ["" : 13]> g {text.replace(chr(39), chr(34))}', **weights)
    feed = _feed(rng, text)
    expected = run(model, **feed)[0]
    before = _loaded_operators(model, tmp_path)
    result, evidence = apply(QuantizeWeights(weights=form, smallest=100), model, feed)
    assert evidence.refused is None
    assert evidence.facts["weights_stored"] == count
    assert all(array.const_value.size < 100 or array.dtype.itemsize < 4 for array in result.graph.initializers.values())
    for exact in (True, False):
        assert _sqnr_db(run(result, **feed, exact=exact)[0], expected) > LEAST_SQNR_DB[form]
    # What runs is the float model: nothing gives weights back in each run.
    assert _loaded_operators(result, tmp_path) == before


def test_weights_within_branches_and_equal_names(build, apply, run, tmp_path, rng):
    model = build(
        """
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[4,16] x, bool c) => (float[4,16] y) {
            w = Identity(x)
            y = If (c) <
                then_branch = t () => (float[4,16] p) { p = MatMul(w, v) },
                else_branch = e () => (float[4,16] q) { q = MatMul(w, v) }
            >
        }""",
        v=_normal(rng, 16, 16),
    )
    # The weight moves into each branch, as exporters write it: two values of one name.
    for branch in list(model.graphs())[1:]:
        (node,) = branch
        weight = model.graph.initializers["v"]
        tensor = ir.tensor(weight.const_value.numpy() * 2, name="v:int8")
        inner = ir.Value(name="v:int8", shape=weight.shape, type=weight.type, const_value=tensor)
        branch.register_initializer(inner)
        node.replace_input_with(1, inner)
    del model.graph.initializers["v"]
    x = _normal(rng, 4, 16)
    for condition in (True, False):
        feed = {"x": x, "c": np.array(condition)}
        expected = run(model, **feed)[0]
        result, evidence = apply(QuantizeWeights(), model, feed)
        assert evidence.facts["weights_stored"] == 2
        assert _sqnr_db(run(result, **feed)[0], expected) > 30
    assert not {"Cast", "Mul"} & _loaded_operators(result, tmp_path)


def test_weights_in_float16_become_smaller_too(build, apply, run, tmp_path, rng):
    text = '<ir_version: 8, opset_import: ["" : 13]> g (float16[4,16] x) => (float16[4,16] y) { y = MatMul(x, w) }'
    model = build(text, w=_normal(rng, 16, 16, dtype=np.float16))
    x = _normal(rng, 4, 16, dtype=np.float16)
    expected = run(model, x=x)[0].astype(np.float64)
    result, evidence = apply(QuantizeWeights(), model, {"x": x})
    assert evidence.facts["weights_stored"] == 1
    assert _sqnr_db(run(result, x=x)[0], expected) > 30
    assert "Mul" not in _loaded_operators(result, tmp_path)
    _, evidence = apply(QuantizeWeights(weights="float16"), model, {"x": x})
    assert "16 bits already" in evidence.refused


TWO_LAYERS = """
    <ir_version: 8, opset_import: ["" : 13]>
    g (float[4,32] x) => (float[4,32] y) { h = MatMul(x, w) y = MatMul(h, v) }"""


def test_layers_can_stay_in_float(build, apply, rng):
    model = build(TWO_LAYERS, w=_normal(rng, 32, 32), v=_normal(rng, 32, 32))
    result, evidence = apply(QuantizeWeights(keep_float=("h", "gone")), model)
    assert "w" in result.graph.initializers and "v" not in result.graph.initializers
    assert evidence.facts["unknown_layers"] == 1
    assert evidence.facts["left_in_float"] == "1 MatMul: the settings keep it in float"
    result, _ = apply(QuantizeWeights(only=("h",)), model)
    assert "v" in result.graph.initializers and "w" not in result.graph.initializers
    _, evidence = apply(QuantizeWeights(only=("gone",)), model)
    assert "the settings name other layers only" in evidence.refused


@pytest.mark.parametrize(
    ("node", "weights", "reason"),
    [
        ("y = MatMul(x, w)", {"w": (8, 8)}, "1 MatMul: it is small"),
        ("y = Add(x, w)", {"w": (64, 8)}, "1 Add: it is no matrix of weights"),
        ("y = MatMul(x, w)", {"w": np.full((8, 64), np.nan, np.float32)}, "1 MatMul: it is not finite"),
        ("y = MatMul(x, x)", {}, "there is no weight to store in fewer bits"),
    ],
)
def test_what_is_left_is_said(build, apply, node, weights, reason, rng):
    model = build(
        f'<ir_version: 8, opset_import: ["" : 13]> g (float[8,8] x) => (float[a,b] y) {{ {node} }}',
        **_drawn(rng, weights),
    )
    _, evidence = apply(QuantizeWeights(), model)
    assert reason in evidence.refused


def test_what_a_quantizer_left_becomes_smaller(build, apply, run, rng):
    model = build(TWO_LAYERS, w=_normal(rng, 32, 32), v=_normal(rng, 32, 32))
    x = _normal(rng, 4, 32)
    expected = run(model, x=x)[0]
    half, _ = apply(QuantizeDynamic(keep_float=("h",)), model, {"x": x})
    result, evidence = apply(QuantizeRemainingWeights(), half, {"x": x})
    assert evidence.facts["weights_stored"] == 1
    assert _sqnr_db(run(result, x=x)[0], expected) > 30
    _, evidence = apply(QuantizeRemainingWeights(), result, {"x": x})
    assert evidence.refused is None and not evidence.changed


def test_numbers_beyond_float16_stay(build, apply, rng):
    model = build(TWO_LAYERS, w=_normal(rng, 32, 32, scale=1e5), v=_normal(rng, 32, 32))
    _, evidence = apply(QuantizeWeights(weights="float16"), model)
    assert evidence.facts["weights_stored"] == 1 and "65504" in evidence.facts["left_in_float"]


@settings(deadline=None)
@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=4, max_side=5),
        elements=st.floats(-(2.0**100), 2.0**100, width=32),
    ),
    st.sampled_from([store_int8, store_int16]),
    st.data(),
)
def test_the_error_is_half_a_step_at_most(weight, store, data):
    axes = tuple(data.draw(st.sets(st.integers(0, weight.ndim - 1))))
    stored = store(weight, axes)
    assert isinstance(stored, IntegerWeight)
    assert stored.scales.shape == tuple(extent if axis in axes else 1 for axis, extent in enumerate(weight.shape))
    step = stored.scales.astype(np.float64)
    assert (np.abs(stored.array - weight) <= step * 0.5001).all()


def test_half_precision_is_exact_where_it_can_be():
    weight = np.array([[1.0, -65504.0], [0.5, 2.0**-14]], np.float32)
    np.testing.assert_array_equal(store_float16(weight).array, weight)


@pytest.mark.parametrize("block", [2, 32])
@pytest.mark.parametrize(
    ("node", "weights"),
    [
        ("(float[3,64] x) => (float[3,96] y) { y = MatMul(x, w) }", (64, 96)),
        ("(float[3,64] x) => (float[3,96] y) { y = Gemm <transB = 1> (x, w) }", (96, 64)),
        # Rows of 45 do not fill their blocks.
        ("(float[1,5,8,8] x) => (float[1,96,6,6] y) { y = Conv(x, w) }", (96, 5, 3, 3)),
        ("(float[1,64,8] x) => (float[1,70,10] y) { y = ConvTranspose(x, w) }", (64, 70, 3)),
    ],
)
def test_four_bits(build, apply, run, tmp_path, node, weights, block, rng):
    model = build(f'<ir_version: 8, opset_import: ["" : 13]> g {node}', w=_normal(rng, *weights))
    feed = _feed(rng, node)
    expected = run(model, **feed)[0]
    result, evidence = apply(QuantizeWeights(weights="int4", block=block), model, feed)
    # A scale for every two numbers takes as much as the numbers.
    assert evidence.facts["weights_in_int4"] == (block > 2)
    assert _sqnr_db(run(result, **feed)[0], expected) > 18
    assert _loaded_operators(result, tmp_path) == _loaded_operators(model, tmp_path)
    size = len(serialized(result))
    assert size < len(serialized(model)) * (0.3 if block > 2 else 0.4)


@settings(deadline=None)
@given(hnp.arrays(np.float32, (3, 11), elements=st.floats(-1000, 1000, width=32)), st.sampled_from([(0,), (1,), ()]))
def test_four_bits_lose_a_step_at_most(weight, axes):
    stored = store_int4(weight, axes, 4)
    assert isinstance(stored, Int4Weight) and stored.array.shape == weight.shape
    assert stored.integers.min() >= -8 and stored.integers.max() <= 7
    error = np.abs(stored.array - weight)
    # The largest of a block is cut off by a step and a half; numbers below what float16 resolves are lost.
    assert (error <= 1.6 * np.abs(stored.scales.astype(np.float64)).max() + 1e-6).all()


def test_products_in_integers(build, apply, run, rng):
    model = build(
        """
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[3,70] x, bool c) => (float[3,96] y) {
            h = MatMul(x, w)
            y = If (c) <
                then_branch = t () => (float[3,96] p) { p = MatMul(h, v) },
                else_branch = e () => (float[3,96] q) { k = MatMul(h, v) q = Gemm(k, v) }
            >
        }""",
        w=_normal(rng, 70, 96),
        v=_normal(rng, 96, 96, scale=0.1),
    )
    x = _normal(rng, 3, 70)
    for condition in (True, False):
        feed = {"x": x, "c": np.array(condition)}
        expected = run(model, **feed)[0]
        result, evidence = apply(QuantizeWeights(weights="int4", products="integer"), model, feed)
        assert evidence.refused is None and evidence.facts["weights_in_int4"] == 2
        # `v` is also read by a Gemm, so both of its readers take it as floats.
        assert sum(node.op_type == "MatMulNBits" for node in result.graph) == 1
        assert _sqnr_db(run(result, **feed)[0], expected) > 15


@pytest.mark.parametrize("settings", [{"smallest": -1}, {"block": 3}, {"products": "integer"}])
def test_settings_are_checked(settings):
    with pytest.raises(ValueError):
        QuantizeWeights(**settings)
