"""quantize-static and quantize-dynamic."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.inference.onnxruntime import HostSession
from edgedeploy.optimize.base import Context
from edgedeploy.optimize.graph.edit import constant, serialized
from edgedeploy.optimize.quantize.quantize_dynamic import QuantizeDynamic
from edgedeploy.optimize.quantize.quantize_static import QuantizeStatic
from edgedeploy.values.model import TensorFacts


def _normal(rng: np.random.Generator, *shape, scale=1.0):
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def _drawn(rng: np.random.Generator, weights):
    """Arrays as they are given, and random ones of the shapes that are given instead."""
    return {name: _normal(rng, *given) if isinstance(given, tuple) else given for name, given in weights.items()}


@pytest.fixture
def calibrated(tmp_path):
    """A context whose calibration data are these samples of `x`; they are its probes too."""

    def make(x):
        np.savez(tmp_path / "c.npz", x=x)
        inputs = (TensorFacts(name="x", dtype="float32", shape=("N", *x.shape[1:])),)
        return Context(calibration=open_dataset(str(tmp_path / "c.npz"), inputs), probes=[{"x": x[:2]}])

    return make


def _sqnr_db(outputs, expected):
    return 10 * np.log10((expected**2).sum() / ((outputs - expected) ** 2).sum())


def _fused(model, tmp_path, *, int8=True):
    """Operators that onnxruntime makes of the model; `int8` as it does on Arm."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    if int8:
        options.add_session_config_entry("session.qdqisint8allowed", "1")
    onnxruntime.InferenceSession(serialized(model), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(tmp_path / "fused.onnx").graph.node)


IMAGES = _normal(np.random.default_rng(12), 16, 4, 6, 6)
CONVOLUTIONS = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[N,4,6,6] x) => (float[N,3] y) {
        c = Conv <pads = [1,1,1,1]> (x, w, b)
        r = Relu(c)
        m = MaxPool <kernel_shape = [2,2], strides = [2,2]> (r)
        d = Conv <group = 8, pads = [1,1,1,1]> (m, v)
        s = Add(d, m)
        p = GlobalAveragePool(s)
        f = Flatten(p)
        y = Gemm <transB = 1> (f, k, l)
    }"""


def _convolutions(rng: np.random.Generator, build):
    return build(
        CONVOLUTIONS,
        w=_normal(rng, 8, 4, 3, 3),
        b=_normal(rng, 8),
        v=_normal(rng, 8, 1, 3, 3),
        k=_normal(rng, 3, 8),
        l=_normal(rng, 1, 3),
    )


@pytest.mark.parametrize("activations", ["s8", "u8"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_a_network_of_convolutions(build, apply, run, calibrated, tmp_path, activations, per_channel, rng):
    model = _convolutions(rng, build)
    expected = run(model, x=IMAGES)[0]
    step = QuantizeStatic(activations=activations, per_channel=per_channel)
    result, evidence = apply(step, model, context=calibrated(IMAGES))
    assert evidence.refused is None
    assert evidence.facts["nodes_quantized"] == 3
    assert evidence.facts["activation_type"] == activations
    assert not {"w", "b", "v", "k", "l"} & set(result.graph.initializers), "no float copy stays behind"
    assert _sqnr_db(run(result, x=IMAGES)[0], expected) > (30 if per_channel else 25)
    # What an integer kernel can take is taken by one.
    fused = _fused(result, tmp_path)
    assert fused["QLinearConv"] == 2 and fused["QGemm"] == 1
    assert fused["Conv"] == fused["Gemm"] == 0


def test_weights_are_symmetric_and_signed_per_channel(build, apply, calibrated, rng):
    result, _ = apply(QuantizeStatic(), _convolutions(rng, build), context=calibrated(IMAGES))
    weights = [
        node for node in result.graph if node.op_type == "DequantizeLinear" and constant(node.inputs[0]) is not None
    ]
    integers = [node for node in weights if constant(node.inputs[0]).dtype == np.int8]
    assert len(integers) == 3
    for node in integers:
        assert not constant(node.inputs[2]).any()
        assert constant(node.inputs[1]).shape == (constant(node.inputs[0]).shape[0],)
        assert constant(node.inputs[0]).min() >= -127


def test_values_that_are_only_moved_keep_their_grid(build, apply, calibrated, rng):
    result, _ = apply(QuantizeStatic(), _convolutions(rng, build), context=calibrated(IMAGES))
    scales = {
        node.inputs[0].name: float(constant(node.inputs[1]))
        for node in result.graph
        if node.op_type == "QuantizeLinear"
    }
    # The grid cuts off what Relu would have; nothing computes `r` any more.
    assert scales["m"] == scales["c"]


def test_an_output_keeps_its_name(build, apply, run, calibrated, rng):
    model = build(
        '<ir_version: 8, opset_import: ["" : 13]> g (float[N,4,6,6] x) => (float[N,8,4,4] y) { y = Conv(x, w) }',
        w=_normal(rng, 8, 4, 3, 3),
    )
    expected = run(model, x=IMAGES)[0]
    result, evidence = apply(QuantizeStatic(), model, context=calibrated(IMAGES))
    assert evidence.refused is None
    assert result.graph.outputs[0].name == "y"
    assert _sqnr_db(run(result, x=IMAGES)[0], expected) > 30


def _moved_into_branch(between: str) -> str:
    """A convolution, `between` that makes `v` of `c`, and an If whose branches read `v` as a Reshape gives it."""
    return f"""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[N,4,6,6] x) => (float[N,3] y)
        <int64[2] shape = {{-1, 288}}, int64[1] axis = {{1}}, float half = {{0.5}}> {{
            c = Conv <pads = [1,1,1,1]> (x, w, b)
            {between}
            r = Reshape(v, shape)
            f = Flatten(r)
            g = Gemm (f, k)
            m = ReduceMax <keepdims = 0> (g)
            is_above = Greater(m, half)
            y = If(is_above) <
                then_branch = t () => (float[N,3] p) {{ q = Tanh(r) p = MatMul(q, l) }},
                else_branch = e () => (float[N,3] s) {{ s = Identity(g) }}
            >
        }}"""


@pytest.mark.parametrize(
    "between",
    [
        "v = Relu(c)",
        "v = HardSigmoid(c)",
        "t = Transpose <perm = [0, 1, 3, 2]> (c) v = Unsqueeze(t, axis)",
    ],
)
def test_what_is_moved_into_a_branch_stays_in_float(build, apply, run, calibrated, rng, between):
    """onnxruntime ends the process over a grid that it would have to carry on into a subgraph."""
    weights = {
        "w": _normal(rng, 8, 4, 3, 3, scale=0.1),
        "b": _normal(rng, 8, scale=0.1),
        "k": _normal(rng, 288, 3, scale=0.1),
        "l": _normal(rng, 288, 3, scale=0.1),
    }
    model = build(_moved_into_branch(between), **weights)
    expected = run(model, x=IMAGES)[0]
    result, evidence = apply(QuantizeStatic(), model, context=calibrated(IMAGES))
    assert evidence.refused is None and evidence.facts["nodes_quantized"] == 2
    outputs = HostSession(serialized(result), exact=False).run({"x": IMAGES})[0]
    assert _sqnr_db(outputs, expected) > 25


RESIDUAL = """
    <ir_version: 8, opset_import: ["" : 14]>
    g (float[N,4,6,6] x) => (float[N,8,6,6] y) {
        c = Conv <pads = [1,1,1,1]> (x, w)
        r = Clip(c, zero, six)
        d = Conv <pads = [1,1,1,1]> (r, v)
        a = Add(d, r)
        h = HardSwish(a)
        p = GlobalAveragePool(h)
        e = Conv(p, u)
        k = HardSigmoid <alpha = 0.25> (e)
        m = Mul(h, k)
        j = Concat <axis = 1> (m, r)
        y = Conv(j, t)
    }"""


def _residual(rng: np.random.Generator, build):
    return build(
        RESIDUAL,
        w=_normal(rng, 8, 4, 3, 3),
        v=_normal(rng, 8, 8, 3, 3),
        u=_normal(rng, 8, 8, 1, 1),
        t=_normal(rng, 8, 16, 1, 1),
        zero=np.float32(0),
        six=np.float32(6),
    )


@pytest.mark.parametrize("activations", ["s8", "u8"])
def test_what_lies_between_computes_in_integers(build, apply, run, calibrated, tmp_path, activations, rng):
    model = _residual(rng, build)
    expected = run(model, x=IMAGES)[0]
    result, evidence = apply(QuantizeStatic(activations=activations), model, context=calibrated(IMAGES))
    assert evidence.refused is None
    assert evidence.facts["nodes_between_in_integers"] == 6
    assert _sqnr_db(run(result, x=IMAGES)[0], expected) > 25
    fused = _fused(result, tmp_path, int8=activations == "s8")
    # Two shifts stand for HardSwish and HardSigmoid; one pair of nodes is left, at the ends of the graph.
    assert fused["QLinearConv"] == 4 and fused["QLinearAdd"] == 3 and fused["QLinearMul"] == 2
    assert fused["QLinearConcat"] == fused["QLinearGlobalAveragePool"] == 1
    assert fused["QuantizeLinear"] == fused["DequantizeLinear"] == 1
    for exact in (True, False):
        assert _sqnr_db(run(result, x=IMAGES, exact=exact)[0], expected) > 25


def test_what_lies_between_can_stay_in_float(build, apply, run, calibrated, rng):
    model = _residual(rng, build)
    context = calibrated(IMAGES)
    result, evidence = apply(QuantizeStatic(between=()), model, context=context)
    assert evidence.facts["nodes_between_in_integers"] == 0
    assert "HardSwish" in {node.op_type for node in result.graph}
    # Without the Add there are floats from there on, and nothing behind it is worth a grid.
    _, evidence = apply(QuantizeStatic(keep_float=("a",)), model, context=context)
    assert evidence.facts["nodes_between_in_integers"] < 6


def test_a_float_neighbour_keeps_a_node_in_float(build, apply, calibrated, rng):
    model = build(
        """
        <ir_version: 8, opset_import: ["" : 14]>
        g (float[N,4,6,6] x) => (float[N,4,6,6] y) {
            c = Conv <pads = [1,1,1,1]> (x, w)
            e = Exp(x)
            a = Add(c, e)
            d = Conv <pads = [1,1,1,1]> (a, w)
            y = Add(d, x)
        }""",
        w=_normal(rng, 4, 4, 3, 3),
    )
    _, evidence = apply(QuantizeStatic(), model, context=calibrated(IMAGES))
    # `a` reads a float, `y` is one.
    assert evidence.facts["nodes_between_in_integers"] == 0


@pytest.mark.parametrize("scale", [1.0, -3.0, 0.0])
@pytest.mark.parametrize("activations", ["s8", "u8"])
def test_a_number_between_layers(build, apply, run, calibrated, tmp_path, scale, activations, rng):
    model = build(
        """
        <ir_version: 8, opset_import: ["" : 14]>
        g (float[N,4,6,6] x) => (float[N,4,6,6] y) {
            c = Conv <pads = [1,1,1,1]> (x, w)
            a = Add(c, s)
            y = Conv <pads = [1,1,1,1]> (a, w)
        }""",
        w=_normal(rng, 4, 4, 3, 3),
        s=np.float32(scale),
    )
    expected = run(model, x=IMAGES)[0]
    result, evidence = apply(QuantizeStatic(activations=activations), model, context=calibrated(IMAGES))
    assert evidence.facts["nodes_between_in_integers"] == 1
    assert _fused(result, tmp_path, int8=activations == "s8")["QLinearAdd"] == 1
    assert _sqnr_db(run(result, x=IMAGES)[0], expected) > 25


ROWS = _normal(np.random.default_rng(11), 32, 8)


@pytest.mark.parametrize(
    ("node", "weights"),
    [
        ("y = MatMul(x, w)", {"w": (8, 5)}),
        ("y = Gemm(x, w, b)", {"w": (8, 5), "b": (5,)}),
        ("y = Gemm <transB = 1> (x, w, b)", {"w": (5, 8), "b": (1, 5)}),
        ("y = Gemm(x, w, b)", {"w": (8, 5), "b": ()}),
        ("y = Gemm(x, w)", {"w": (8, 5)}),
        ("a = MatMul(x, w) y = MatMul(a, v)", {"w": (8, 8), "v": (8, 5)}),
        ("a = MatMul(x, w) c = MatMul(x, w) y = Add(a, c)", {"w": (8, 5)}),
    ],
)
@pytest.mark.parametrize("step", [QuantizeStatic(), QuantizeDynamic()])
def test_matrices(build, apply, run, calibrated, step, node, weights, rng):
    model = build(
        f'<ir_version: 8, opset_import: ["" : 13]> g (float[N,8] x) => (float[N,5] y) {{ {node} }}',
        **_drawn(rng, weights),
    )
    expected = run(model, x=ROWS)[0]
    result, evidence = apply(step, model, context=calibrated(ROWS))
    assert evidence.refused is None and evidence.facts["nodes_left_in_float"] == 0
    assert not any(
        constant(value).dtype == np.float32 and constant(value).ndim == 2
        for value in result.graph.initializers.values()
    )
    for exact in (True, False):
        assert _sqnr_db(run(result, x=ROWS, exact=exact)[0], expected) > 30


@pytest.mark.parametrize(
    ("node", "weights", "reason"),
    [
        ("x2 = Transpose(x) y = MatMul(x, x2)", {}, "computed"),
        (
            "h = MatMul(x, w) t = ReduceSum <keepdims = 0> (w) y = Add(h, t)",
            {"w": (8, 8)},
            "also read in float",
        ),
        ("y = Gemm <alpha = 0.5> (x, w)", {"w": (8, 8)}, "scales its input"),
        ("y = Gemm <transA = 1> (x, w)", {"w": (8, 8)}, "transposes"),
        ("y = Gemm <beta = 0.5> (x, w, b)", {"w": (8, 8), "b": (8,)}, "scales its bias"),
        ("b = ReduceSum <keepdims = 0> (x) y = Gemm(x, w, b)", {"w": (8, 8)}, "bias is computed"),
        ("y = Gemm(x, w, b)", {"w": (8, 8), "b": (8, 1)}, "row to row"),
        ("y = MatMul(x, w)", {"w": np.full((8, 8), np.inf, np.float32)}, "not finite"),
    ],
)
@pytest.mark.parametrize("step", [QuantizeStatic(), QuantizeDynamic()])
def test_what_cannot_be_quantized_is_left_and_said(build, apply, calibrated, step, node, weights, reason, rng):
    model = build(
        f'<ir_version: 8, opset_import: ["" : 13]> g (float[8,8] x) => (float[8,8] y) {{ {node} }}',
        **_drawn(rng, weights),
    )
    context = calibrated(_normal(rng, 4, 8, 8)[:, 0])
    _, evidence = apply(step, model, context=Context(calibration=context.calibration))
    assert evidence.refused is not None and reason in evidence.refused
    assert not evidence.changed


def test_layers_of_the_same_model_may_differ(build, apply, run, calibrated, rng):
    model = build(
        """
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[N,8] x) => (float[N,5] y) { h = Gemm <alpha = 0.5> (x, v) y = MatMul(h, w) }""",
        v=_normal(rng, 8, 8),
        w=_normal(rng, 8, 5),
    )
    _, evidence = apply(QuantizeStatic(), model, context=calibrated(ROWS))
    assert evidence.facts["nodes_quantized"] == 1
    assert evidence.facts["left_in_float"] == "1 Gemm: it transposes or scales its input"


@pytest.mark.parametrize("step", [QuantizeStatic, QuantizeDynamic])
def test_layers_can_be_kept_in_float(build, apply, calibrated, step, rng):
    model = build(
        """
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[N,8] x) => (float[N,8] y) { h = MatMul(x, v) k = MatMul(h, w) y = MatMul(k, w) }""",
        v=_normal(rng, 8, 8),
        w=_normal(rng, 8, 8),
    )
    context = calibrated(ROWS)
    result, evidence = apply(step(keep_float=("h", "gone")), model, context=context)
    assert evidence.facts["nodes_quantized"] == 2 and evidence.facts["unknown_layers"] == 1
    assert evidence.facts["left_in_float"] == "1 MatMul: the settings keep it in float"
    assert "v" in result.graph.initializers and "w" not in result.graph.initializers
    result, evidence = apply(step(only=("h",)), model, context=context)
    assert evidence.facts["nodes_quantized"] == 1
    assert "w" in result.graph.initializers and "v" not in result.graph.initializers
    # Its weight would be in the file twice.
    _, evidence = apply(step(keep_float=("h", "k")), model, context=context)
    assert "its weight is also read in float" in evidence.refused


def test_static_refuses_what_it_cannot_take(build, apply, calibrated, rng):
    old = build(
        '<ir_version: 8, opset_import: ["" : 11]> g (float[N,8] x) => (float[N,5] y) { y = MatMul(x, w) }',
        w=_normal(rng, 8, 5),
    )
    _, evidence = apply(QuantizeStatic(), old, context=calibrated(ROWS))
    assert "needs 13" in evidence.refused

    new = build(
        '<ir_version: 8, opset_import: ["" : 13]> g (float[N,8] x) => (float[N,5] y) { y = MatMul(x, w) }',
        w=_normal(rng, 8, 5),
    )
    _, evidence = apply(QuantizeStatic(), new)
    assert "calibration data" in evidence.refused
    once, _ = apply(QuantizeStatic(), new, context=calibrated(ROWS))
    _, evidence = apply(QuantizeStatic(), once, context=calibrated(ROWS))
    assert "quantized already" in evidence.refused


def test_nodes_in_branches_stay_in_float(build, apply, run, rng):
    model = build(
        """
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[N,8] x, bool c) => (float[N,5] y) {
            y = If (c) <
                then_branch = t () => (float[N,5] p) { p = MatMul(x, w) },
                else_branch = e () => (float[N,5] q) { q = MatMul(x, w) }
            >
        }""",
        w=_normal(rng, 8, 5),
    )
    _, evidence = apply(QuantizeDynamic(), model)
    assert "2 MatMul: it is inside a subgraph" in evidence.refused


def test_dynamic_never_touches_a_convolution(build, apply, rng):
    _, evidence = apply(
        QuantizeDynamic(),
        build(
            '<ir_version: 8, opset_import: ["" : 13]> g (float[N,4,6,6] x) => (float[N,8,4,4] y) { y = Conv(x, w) }',
            w=_normal(rng, 8, 4, 3, 3),
        ),
    )
    assert evidence.refused == "there is no MatMul or Gemm or LSTM that can be quantized"


def test_dynamic_does_not_saturate(build, apply, run):
    # The largest inputs times the largest weights: pairs of such products do not fit in 16 signed bits.
    x = np.full((4, 64), 3.0, np.float32)
    model = build(
        '<ir_version: 8, opset_import: ["" : 13]> g (float[N,64] x) => (float[N,3] y) { y = MatMul(x, w) }',
        w=np.full((64, 3), 2.0, np.float32),
    )
    result, _ = apply(QuantizeDynamic(), model, {"x": x})
    for exact in (True, False):
        np.testing.assert_allclose(run(result, x=x, exact=exact)[0], 384.0, rtol=1e-5)


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_dynamic_takes_an_lstm_with_all_that_it_reads_and_gives(build, apply, run, direction, rng):
    ways = 2 if direction == "bidirectional" else 1
    model = build(
        f"""
        <ir_version: 8, opset_import: ["" : 14]>
        g (float[6,2,16] x, float[{ways},2,8] h, float[{ways},2,8] c)
            => (float[6,{ways},2,8] y, float[{ways},2,8] hn, float[{ways},2,8] cn) {{
            y, hn, cn = LSTM <hidden_size = 8, direction = "{direction}"> (x, w, r, b, , h, c)
        }}""",
        w=0.3 * _normal(rng, ways, 32, 16),
        r=0.3 * _normal(rng, ways, 32, 8),
        b=_normal(rng, ways, 64),
    )
    feed = {"x": _normal(rng, 6, 2, 16), "h": _normal(rng, ways, 2, 8), "c": _normal(rng, ways, 2, 8)}
    result, evidence = apply(QuantizeDynamic(), model, feed)
    assert evidence.facts["nodes_quantized"] == 1
    assert [node.op_type for node in result.graph] == ["DynamicQuantizeLSTM"]
    assert {value.name for value in result.graph.initializers.values()}.isdisjoint({"w", "r"}), "no float copy is left"
    for found, wanted in zip(run(result, **feed), run(model, **feed), strict=True):
        assert 20 * np.log10(np.linalg.norm(wanted) / np.linalg.norm(found - wanted)) > 30


def test_dynamic_leaves_an_lstm_that_it_cannot_take(build, apply, rng):
    text = """
        <ir_version: 8, opset_import: ["" : 14]>
        g (float[2,6,16] x) => (float[2,6,1,8] y) { y = LSTM <hidden_size = 8, layout = 1> (x, w, r) }"""
    _, evidence = apply(QuantizeDynamic(), build(text, w=_normal(rng, 1, 32, 16), r=_normal(rng, 1, 32, 8)))
    assert "1 LSTM: it has the batch first" in evidence.refused
    plain = build(
        text.replace("[2,6,16]", "[6,2,16]").replace("[2,6,1,8]", "[6,1,2,8]").replace(", layout = 1", ""),
        w=_normal(rng, 1, 32, 16),
        r=_normal(rng, 1, 32, 8),
    )
    _, evidence = apply(QuantizeDynamic(keep_float=("y",)), plain)
    assert "1 LSTM: the settings keep it in float" in evidence.refused


@pytest.mark.parametrize("settings", [{"operators": ()}, {"calibration_samples": -1}])
def test_settings_are_checked(settings):
    with pytest.raises(ValueError):
        QuantizeStatic(**settings)


DETECTOR_HEAD = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[N,4,6,6] x) => (float[N,7,36] y) <int64[3] boxes_as = {0, 4, -1}, int64[3] scores_as = {0, 3, -1}> {
        c = Conv <pads = [1,1,1,1]> (x, w)
        r = Relu(c)
        b = Conv (r, w_boxes)
        s = Conv (r, w_scores)
        boxes = Reshape(b, boxes_as)
        logits = Reshape(s, scores_as)
        scores = Sigmoid(logits)
        y = Concat <axis = 1> (boxes, scores)
    }"""


def test_boxes_and_scores_that_are_joined_at_the_end_have_no_grid_in_common(build, apply, run, calibrated, rng):
    weights = _drawn(
        rng, {"w": (8, 4, 3, 3), "w_boxes": _normal(rng, 4, 8, 1, 1, scale=40.0), "w_scores": (3, 8, 1, 1)}
    )
    model = build(DETECTOR_HEAD, **weights)
    result, _ = apply(QuantizeStatic(), model, context=calibrated(IMAGES))
    joined = next(node for node in result.graph if node.op_type == "Concat")
    assert joined.outputs[0].is_graph_output()
    expected, found = run(model, x=IMAGES)[0], run(result, x=IMAGES)[0]
    # One grid for both would have steps of several whole numbers: nothing would be left of scores.
    assert np.ptp(expected[:, :4]) / 255 > 1
    assert _sqnr_db(found[:, 4:], expected[:, 4:]) > 20 and _sqnr_db(found[:, :4], expected[:, :4]) > 20
