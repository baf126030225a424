"""GELU written out, in the ways that exporters write it."""

from __future__ import annotations

import numpy as np
import pytest

from edgedeploy.optimize.base import Context
from edgedeploy.optimize.fuse.fuse_gelu import FuseGelu
from edgedeploy.optimize.graph.edit import serialized
from edgedeploy.targets.load import load_target

X = np.linspace(-6, 6, 24, dtype=np.float32).reshape(3, 8)
ERF = {
    "torch": "d = Div(x, sqrt2) e = Erf(d) a = Add(e, one) m = Mul(x, a) y = Mul(m, half)",
    "half first": "d = Mul(x, rsqrt2) e = Erf(d) a = Add(one, e) h = Mul(half, x) y = Mul(h, a)",
    "half inside": "d = Div(x, sqrt2) e = Erf(d) a = Add(e, one) h = Mul(a, half) y = Mul(x, h)",
    "divided by two": "d = Div(x, sqrt2) e = Erf(d) a = Add(e, one) m = Mul(x, a) y = Div(m, two)",
}
TANH = {
    "cube by Pow": "c = Pow(x, three) k = Mul(c, cube) s = Add(x, k) u = Mul(s, slope) t = Tanh(u) a = Add(t, one) "
    "h = Mul(x, half) y = Mul(h, a)",
    "products, as JAX has it": "k = Mul(cube, x) l = Mul(x, k) m = Mul(x, l) s = Add(x, m) u = Mul(slope, s) "
    "t = Tanh(u) a = Add(one, t) h = Mul(half, a) y = Mul(x, h)",
    "factored": "q = Mul(x, x) k = Mul(q, cube) p = Add(k, one) v = Mul(x, slope) u = Mul(v, p) t = Tanh(u) "
    "a = Add(t, one) m = Mul(x, a) y = Mul(half, m)",
}
NOT = {
    "another slope": "d = Mul(x, half) e = Erf(d) a = Add(e, one) m = Mul(x, a) y = Mul(m, half)",
    "another gate": "n = Neg(x) d = Div(n, sqrt2) e = Erf(d) a = Add(e, one) m = Mul(x, a) y = Mul(m, half)",
    "twice as much": "d = Div(x, sqrt2) e = Erf(d) a = Add(e, one) y = Mul(x, a)",
    "the gate is read elsewhere": "d = Div(x, sqrt2) e = Erf(d) a = Add(e, one) m = Mul(x, a) h = Mul(m, half) "
    "y = Sub(h, e)",
    "no cube": "u = Mul(x, slope) t = Tanh(u) a = Add(t, one) m = Mul(x, a) y = Mul(m, half)",
}


def _model(build, nodes, opset=20):
    return build(f"""
        <ir_version: 9, opset_import: ["" : {opset}]>
        g (float[N,8] x) => (float[N,8] y)
        <float sqrt2 = {{1.4142135}}, float rsqrt2 = {{0.70710678}}, float one = {{1}}, float half = {{0.5}},
         float two = {{2}}, float[1] three = {{3}}, float cube = {{0.044715}}, float slope = {{0.7978845}}> {{
            {nodes}
        }}""")


@pytest.mark.parametrize("nodes", [*ERF.values(), *TANH.values()], ids=[*ERF, *TANH])
@pytest.mark.parametrize("form", ["onnx", "onnxruntime"])
def test_every_way_of_writing_it_becomes_one_node(build, apply, run, operators, nodes, form):
    model = _model(build, nodes)
    expected = run(model, x=X)[0]
    result, evidence = apply(FuseGelu(form=form), model, {"x": X})
    assert evidence.refused is None
    kind = "erf" if "Erf" in nodes else "tanh"
    assert evidence.facts[f"fused_{kind}"] == 1
    assert operators(result) == ["FastGelu" if form == "onnxruntime" and kind == "tanh" else "Gelu"]
    left = {name for name in result.graph.initializers if f" {name})" in nodes or f"({name}," in nodes}
    assert not left, "nothing reads the constants any more"
    np.testing.assert_allclose(run(result, x=X)[0], expected, atol=1e-5)


@pytest.mark.parametrize("nodes", NOT.values(), ids=NOT)
def test_what_only_looks_like_it_stays(build, apply, nodes):
    model = _model(build, nodes)
    result, evidence = apply(FuseGelu(), model, {"x": X})
    assert evidence.refused is None and not evidence.changed
    assert serialized(result) == serialized(model)


def test_which_operator_it_becomes(build, apply, operators):
    old = _model(build, ERF["torch"], 17)
    _, evidence = apply(FuseGelu(), old, {"x": X})
    assert "needs 20" in evidence.refused
    result, evidence = apply(FuseGelu(), old, context=Context(target=load_target("rpi4"), probes=[{"x": X}]))
    assert evidence.refused is None and operators(result) == ["Gelu"]
    assert result.opset_imports["com.microsoft"] == 1
    # Where there is none, there is nothing to refuse.
    _, evidence = apply(FuseGelu(), _model(build, "y = Relu(x)", 17), {"x": X})
    assert evidence.refused is None and not evidence.changed
