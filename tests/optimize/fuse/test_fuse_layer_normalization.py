"""Layer normalization written out, in the ways that exporters write it."""

from __future__ import annotations

import numpy as np
import pytest

from edgedeploy.optimize.fuse.fuse_layer_normalization import FuseLayerNormalization
from edgedeploy.optimize.graph.edit import serialized
from edgedeploy.optimize.simplify.infer_shapes import InferShapes

X = (np.random.default_rng(3).standard_normal((2, 5, 8)) * 3 + 1).astype(np.float32)
SCALE, BIAS = np.random.default_rng(4).standard_normal((2, 8)).astype(np.float32)

CENTER = "m = ReduceMean <axes = [-1]> (x) d = Sub(x, m)"
FORMS = {
    "torch": f"{CENTER} q = Pow(d, two) v = ReduceMean <axes = [-1]> (q) t = Add(v, eps) r = Sqrt(t) n = Div(d, r) "
    "k = Mul(n, w) y = Add(k, b)",
    "product for square, positive axis": "m = ReduceMean <axes = [2]> (x) d = Sub(x, m) q = Mul(d, d) "
    "v = ReduceMean <axes = [2]> (q) t = Add(eps, v) r = Sqrt(t) n = Div(d, r) k = Mul(w, n) y = Add(b, k)",
    "two differences": f"{CENTER} e = Sub(x, m) q = Pow(d, two) v = ReduceMean <axes = [-1]> (q) t = Add(v, eps) "
    "r = Sqrt(t) n = Div(e, r) k = Mul(n, w) y = Add(k, b)",
    "reciprocal": f"{CENTER} q = Mul(d, d) v = ReduceMean <axes = [-1]> (q) t = Add(v, eps) r = Sqrt(t) "
    "i = Reciprocal(r) f = Mul(i, w) k = Mul(d, f) y = Add(k, b)",
    "JAX": """
        s = ReduceSum <keepdims = 0> (x, last) m0 = Mul(s, eighth)
        x2 = Mul(x, x) s2 = ReduceSum <keepdims = 0> (x2, last) p = Mul(s2, eighth)
        m2 = Mul(m0, m0) v0 = Sub(p, m2) v1 = Max(zero, v0)
        v = Unsqueeze(v1, last) m = Unsqueeze(m0, last)
        t = Add(v, eps) r = Sqrt(t) i = Reciprocal(r) f = Mul(i, w) d = Sub(x, m) k = Mul(d, f) y = Add(k, b)""",
}


def _model(build, nodes, opset=17):
    return build(
        f"""
        <ir_version: 8, opset_import: ["" : {opset}]>
        g (float[N,5,8] x) => (float[N,5,8] y)
        <float two = {{2}}, float eps = {{0.00001}}, float zero = {{0}}, float eighth = {{0.125}},
         int64[1] last = {{-1}}> {{
            {nodes}
        }}""",
        w=SCALE,
        b=BIAS,
    )


@pytest.mark.parametrize("nodes", FORMS.values(), ids=FORMS)
def test_every_way_of_writing_it_becomes_one_node(build, apply, run, operators, nodes):
    model, _ = apply(InferShapes(), _model(build, nodes))
    expected = run(model, x=X)[0]
    result, evidence = apply(FuseLayerNormalization(), model, {"x": X})
    assert evidence.refused is None and evidence.facts["fused"] == 1
    assert operators(result) == ["LayerNormalization"]
    assert len(result.graph.node(0).inputs) == 3
    np.testing.assert_allclose(run(result, x=X)[0], expected, atol=1e-5)
    _, evidence = apply(FuseLayerNormalization(), result, {"x": X})
    assert not evidence.changed


def test_without_scale_and_bias(build, apply, run, operators):
    nodes = f"{CENTER} q = Mul(d, d) v = ReduceMean <axes = [-1]> (q) t = Add(v, eps) r = Sqrt(t) y = Div(d, r)"
    model = _model(build, nodes)
    result, _ = apply(FuseLayerNormalization(), model, {"x": X})
    assert operators(result) == ["LayerNormalization"]
    np.testing.assert_allclose(run(result, x=X)[0], run(model, x=X)[0], atol=1e-5)


def test_over_two_axes(build, apply, run, operators):
    model = build("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[N,5,8] x) => (float[N,5,8] y) <float eps = {0.00001}, float[8] w = {1,2,3,4,5,6,7,8}> {
            m = ReduceMean <axes = [1,2]> (x) d = Sub(x, m) q = Mul(d, d) v = ReduceMean <axes = [-2,-1]> (q)
            t = Add(v, eps) r = Sqrt(t) n = Div(d, r) y = Mul(n, w)
        }""")
    result, _ = apply(FuseLayerNormalization(), model, {"x": X})
    assert operators(result) == ["LayerNormalization"]
    assert result.graph.node(0).attributes["axis"].as_int() == -2
    np.testing.assert_allclose(run(result, x=X)[0], run(model, x=X)[0], atol=1e-5)


@pytest.mark.parametrize(
    "nodes",
    [
        # Over an axis that is not the last; of another tensor; with another mean; not squared.
        FORMS["torch"].replace("[-1]", "[1]"),
        FORMS["torch"].replace("d = Sub(x, m)", "z = Neg(x) d = Sub(z, m)"),
        FORMS["torch"].replace("v = ReduceMean <axes = [-1]> (q)", "v = ReduceMean <axes = [1]> (q)"),
        FORMS["torch"].replace("Pow(d, two)", "Pow(d, eps)"),
        FORMS["JAX"].replace("Mul(s2, eighth)", "Mul(s2, two)"),
        FORMS["JAX"].replace("Max(zero, v0)", "Max(two, v0)"),
    ],
)
def test_what_only_looks_like_it_stays(build, apply, nodes):
    model, _ = apply(InferShapes(), _model(build, nodes))
    result, evidence = apply(FuseLayerNormalization(), model)
    assert evidence.refused is None and not evidence.changed
    assert serialized(result) == serialized(model)


def test_an_old_opset_is_refused_only_where_there_is_something_to_fuse(build, apply):
    _, evidence = apply(FuseLayerNormalization(), _model(build, FORMS["torch"], 13))
    assert "needs 17" in evidence.refused
    _, evidence = apply(FuseLayerNormalization(), _model(build, "y = Mul(x, w)", 13))
    assert evidence.refused is None and not evidence.changed
