"""fold-batch-normalization and fold-affine: what is put into the weights of a convolution."""

from __future__ import annotations

import numpy as np
import pytest

from edgedeploy.optimize.simplify.fold_affine import FoldAffine
from edgedeploy.optimize.simplify.fold_batch_normalization import FoldBatchNormalization
from edgedeploy.optimize.simplify.infer_shapes import InferShapes

X = np.random.default_rng(8).standard_normal((2, 4, 5, 5)).astype(np.float32)


def _normal(rng: np.random.Generator, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def _parameters(rng: np.random.Generator, channels):
    return {
        "scale": _normal(rng, channels),
        "shift": _normal(rng, channels),
        "mean": _normal(rng, channels),
        "variance": rng.uniform(0.1, 2.0, channels).astype(np.float32),
    }


@pytest.mark.parametrize(
    ("node", "shape", "channels"),
    [
        ("Conv(x, w)", (6, 4, 3, 3), 6),
        ("Conv <group = 4> (x, w)", (8, 1, 3, 3), 8),
        ("ConvTranspose(x, w)", (4, 6, 3, 3), 6),
        ("ConvTranspose <group = 2> (x, w)", (4, 3, 3, 3), 6),
    ],
)
@pytest.mark.parametrize("bias", [False, True])
def test_batch_normalization_goes_into_the_weights(build, apply, run, operators, node, shape, channels, bias, rng):
    if bias:
        node = node.replace(", w)", ", w, b)")
    model = build(
        f"""
        <ir_version: 8, opset_import: ["" : 15]>
        g (float[N,4,5,5] x) => (float[N,C,H,W] y) {{
            c = {node}
            y = BatchNormalization(c, scale, shift, mean, variance)
        }}""",
        w=_normal(rng, *shape),
        **({"b": _normal(rng, channels)} if bias else {}),
        **_parameters(rng, channels),
    )
    expected = run(model, x=X)[0]
    result, evidence = apply(FoldBatchNormalization(), model, {"x": X})
    assert evidence.refused is None
    assert operators(result) == [node.split("(")[0].split(" ")[0]]
    assert len(result.graph.initializers) == 2, "no float copy is left behind"
    np.testing.assert_allclose(run(result, x=X)[0], expected, rtol=1e-4, atol=1e-5)


def test_weights_that_another_node_reads_are_not_written_twice(build, apply, run, rng):
    model = build(
        """
        <ir_version: 8, opset_import: ["" : 15]>
        g (float[N,4,5,5] x) => (float[N,6,3,3] y, float[N,6,3,3] z) {
            c = Conv(x, w)
            y = BatchNormalization(c, scale, shift, mean, variance)
            z = Conv(x, w)
        }""",
        w=_normal(rng, 6, 4, 3, 3),
        **_parameters(rng, 6),
    )
    _, evidence = apply(FoldBatchNormalization(), model, {"x": X})
    assert not evidence.changed and evidence.facts["left"] == 1


@pytest.mark.parametrize(
    "body",
    [
        # The convolution's output is read twice.
        "c = Conv(x, w) n = BatchNormalization(c, scale, shift, mean, variance) y = Add(n, c)",
        # It is an output itself.
        "y = Conv(x, w) z = BatchNormalization(y, scale, shift, mean, variance)",
        # Nothing before it that could take it.
        "c = Relu(x) d = Conv(c, w) e = Relu(d) y = BatchNormalization(e, scale, shift, mean, variance)",
        # In training mode the statistics are those of the batch.
        "c = Conv(x, w) y, m, v = BatchNormalization <training_mode = 1> (c, scale, shift, mean, variance)",
    ],
)
def test_where_it_would_be_wrong_it_stays(build, apply, operators, body, rng):
    outputs = "float[N,6,3,3] y" + (", float[N,6,3,3] z" if " z =" in body else "")
    model = build(
        f'<ir_version: 8, opset_import: ["" : 15]> g (float[N,4,5,5] x) => ({outputs}) {{ {body} }}',
        w=_normal(rng, 6, 4, 3, 3),
        **_parameters(rng, 6),
    )
    _, evidence = apply(FoldBatchNormalization(), model, {"x": X})
    assert not evidence.changed
    assert evidence.facts["left"] == 1


MATRIX = _normal(np.random.default_rng(7), 3, 4)


@pytest.mark.parametrize(
    ("node", "weights", "operator"),
    [
        ("Gemm(m, w, b)", {"w": (4, 6), "b": (6,)}, "Gemm"),
        ("Gemm <transB = 1, alpha = 0.5, beta = 2.0> (m, w, b)", {"w": (6, 4), "b": (1, 6)}, "Gemm"),
        ("Gemm(m, w, b)", {"w": (4, 6), "b": (3, 1)}, "Gemm"),
        ("Gemm(m, w, b)", {"w": (4, 6), "b": ()}, "Gemm"),
        ("MatMul(m, w)", {"w": (4, 6)}, "Gemm"),
    ],
)
def test_batch_normalization_goes_into_matrices(build, apply, run, operators, node, weights, operator, rng):
    model = build(
        f"""
        <ir_version: 8, opset_import: ["" : 15]>
        g (float[3,4] m) => (float[3,6] y) {{ c = {node} y = BatchNormalization(c, scale, shift, mean, variance) }}""",
        **{name: _normal(rng, *shape) for name, shape in weights.items()},
        **_parameters(rng, 6),
    )
    expected = run(model, m=MATRIX)[0]
    result, evidence = apply(FoldBatchNormalization(), model, {"m": MATRIX})
    assert evidence.refused is None and operators(result) == [operator]
    assert len(result.graph.initializers) == 2
    np.testing.assert_allclose(run(result, m=MATRIX)[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("node", "weights"),
    [
        ("Conv(n, w)", {"w": (6, 4, 3, 3)}),
        ("Conv <group = 2> (n, w, b)", {"w": (6, 2, 3, 3), "b": (6,)}),
        ("Conv <group = 4> (n, w, b)", {"w": (4, 1, 3, 3), "b": (4,)}),
        ('Conv <auto_pad = "VALID"> (n, w)', {"w": (6, 4, 1, 1)}),
    ],
)
def test_batch_normalization_goes_into_a_convolution_behind_it(build, apply, run, operators, node, weights, rng):
    model = build(
        f"""
        <ir_version: 8, opset_import: ["" : 15]>
        g (float[N,4,5,5] x) => (float[N,C,H,W] y) {{
            n = BatchNormalization(x, scale, shift, mean, variance)
            y = {node}
        }}""",
        **{name: _normal(rng, *shape) for name, shape in weights.items()},
        **_parameters(rng, 4),
    )
    expected = run(model, x=X)[0]
    result, evidence = apply(FoldBatchNormalization(), model, {"x": X})
    assert evidence.refused is None and operators(result) == ["Conv"]
    np.testing.assert_allclose(run(result, x=X)[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("node", ["Gemm <transB = 1, alpha = 0.5, beta = 2.0> (n, w, b)", "MatMul(n, v)"])
def test_batch_normalization_goes_into_a_matrix_behind_it(build, apply, run, operators, node, rng):
    model = build(
        f"""
        <ir_version: 8, opset_import: ["" : 15]>
        g (float[3,4] m) => (float[3,6] y) {{ n = BatchNormalization(m, scale, shift, mean, variance) y = {node} }}""",
        w=_normal(rng, 6, 4),
        b=_normal(rng, 6),
        v=_normal(rng, 4, 6),
        **_parameters(rng, 4),
    )
    model, _ = apply(InferShapes(), model)
    expected = run(model, m=MATRIX)[0]
    result, evidence = apply(FoldBatchNormalization(), model, {"m": MATRIX})
    assert evidence.refused is None and operators(result) == ["Gemm"]
    np.testing.assert_allclose(run(result, m=MATRIX)[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "node",
    [
        # It would pad with zeros that were not normalized.
        "Conv <pads = [1,1,1,1]> (n, w)",
        'Conv <auto_pad = "SAME_UPPER"> (n, w)',
        "ConvTranspose(n, u)",
    ],
)
def test_before_a_convolution_that_pads_it_stays(build, apply, node, rng):
    model = build(
        f"""
        <ir_version: 8, opset_import: ["" : 15]>
        g (float[N,4,5,5] x) => (float[N,C,H,W] y) {{
            n = BatchNormalization(x, scale, shift, mean, variance)
            y = {node}
        }}""",
        w=_normal(rng, 6, 4, 3, 3),
        u=_normal(rng, 4, 6, 3, 3),
        **_parameters(rng, 4),
    )
    _, evidence = apply(FoldBatchNormalization(), model, {"x": X})
    assert not evidence.changed and evidence.facts["left"] == 1


@pytest.mark.parametrize(
    ("node", "shape", "operator"),
    [
        ("Add(c, k)", (1, 6), "Gemm"),
        ("Add(k, c)", (6,), "Gemm"),
        ("Mul(c, k)", (6,), "MatMul"),
        ("Sub(k, c)", (), "Gemm"),
    ],
)
def test_constants_go_into_a_product_of_matrices(build, apply, run, operators, node, shape, operator, rng):
    model = build(
        f"""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[3,4] m) => (float[3,6] y) {{ c = MatMul(m, w) y = {node} }}""",
        w=_normal(rng, 4, 6),
        k=_normal(rng, *shape) + np.float32(3),
    )
    expected = run(model, m=MATRIX)[0]
    result, evidence = apply(FoldAffine(), model, {"m": MATRIX})
    assert operators(result) == [operator] and evidence.refused is None
    np.testing.assert_allclose(run(result, m=MATRIX)[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("node", "shape"), [("Add(c, k)", (6,)), ("Mul(c, k)", (2, 1)), ("Mul(c, k)", (1, 1, 1, 6))])
def test_of_stacked_products_only_factors_of_the_last_axis_go(build, apply, node, shape, rng):
    model = build(
        f"""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[2,2,4] m) => (float y) {{ c = MatMul(m, w) a = {node} y = ReduceSum <keepdims = 0> (a) }}""",
        w=_normal(rng, 4, 6),
        k=_normal(rng, *shape),
    )
    _, evidence = apply(FoldAffine(), model)
    assert not evidence.changed


def test_weights_that_32_bits_cannot_hold_are_not_made(build, apply, rng):
    parameters = _parameters(rng, 6) | {"scale": np.full(6, 3e38, np.float32), "variance": np.full(6, 1e-6, np.float32)}
    model = build(
        """
        <ir_version: 8, opset_import: ["" : 15]>
        g (float[N,4,5,5] x) => (float[N,6,3,3] y) {
            c = Conv(x, w)
            y = BatchNormalization(c, scale, shift, mean, variance)
        }""",
        w=_normal(rng, 6, 4, 3, 3),
        **parameters,
    )
    _, evidence = apply(FoldBatchNormalization(), model)
    assert not evidence.changed


@pytest.mark.parametrize("shape", [(), (1,), (6, 1, 1), (1, 6, 1, 1)])
@pytest.mark.parametrize("node", ["Add(c, k)", "Add(k, c)", "Mul(c, k)", "Sub(c, k)", "Sub(k, c)", "Div(c, k)"])
def test_constants_per_channel_go_into_the_convolution(build, apply, run, operators, node, shape, rng):
    model = build(
        f"""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[N,4,5,5] x) => (float[N,6,3,3] y) {{ c = Conv(x, w, b) y = {node} }}""",
        w=_normal(rng, 6, 4, 3, 3),
        b=_normal(rng, 6),
        k=_normal(rng, *shape) + np.float32(3),
    )
    expected = run(model, x=X)[0]
    result, evidence = apply(FoldAffine(), model, {"x": X})
    assert operators(result) == ["Conv"] and evidence.refused is None
    np.testing.assert_allclose(run(result, x=X)[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("node", "shape"),
    [
        ("Add(c, k)", (3,)),  # along the width
        ("Add(c, k)", (6, 3, 3)),
        ("Add(c, k)", (2, 1, 1, 1)),  # along the batch
        ("Add(c, k)", (1, 1, 6, 1, 1)),  # one axis more
        ("Div(k, c)", (1,)),
    ],
)
def test_other_constants_stay(build, apply, operators, node, shape, rng):
    model = build(
        f"""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[2,4,5,5] x) => (float y) {{ c = Conv(x, w) a = {node} y = ReduceSum <keepdims = 0> (a) }}""",
        w=_normal(rng, 6, 4, 3, 3),
        k=_normal(rng, *shape),
    )
    _, evidence = apply(FoldAffine(), model, {"x": X})
    assert not evidence.changed


def test_division_by_zero_stays_where_it_is_seen(build, apply, rng):
    model = build(
        """
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[N,4,5,5] x) => (float[N,6,3,3] y) { c = Conv(x, w) y = Div(c, k) }""",
        w=_normal(rng, 6, 4, 3, 3),
        k=np.zeros((), np.float32),
    )
    _, evidence = apply(FoldAffine(), model, {"x": X})
    assert not evidence.changed and evidence.refused is None
