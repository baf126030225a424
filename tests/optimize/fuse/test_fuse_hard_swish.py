from __future__ import annotations

import numpy as np
import pytest

from edgedeploy.optimize.fuse.fuse_hard_swish import FuseHardSwish

X = np.linspace(-8, 8, 33, dtype=np.float32).reshape(1, 33)
CONSTANTS = "<float three = {3.0}, float zero = {0.0}, float six = {6.0}, float sixth = {0.16666667}>"


def _model(build, body, opset=17, constants=CONSTANTS):
    return build(f"""
        <ir_version: 8, opset_import: ["" : {opset}]>
        g (float[1,33] x) => (float[1,33] y) {constants} {{ {body} }}""")


@pytest.mark.parametrize(
    "body",
    [
        "a = Add(x, three) c = Clip(a, zero, six) p = Mul(x, c) y = Div(p, six)",
        "a = Add(three, x) c = Clip(a, zero, six) p = Mul(c, x) y = Div(p, six)",
        "a = Add(x, three) c = Clip(a, zero, six) d = Div(c, six) y = Mul(x, d)",
        "a = Add(x, three) c = Clip(a, zero, six) d = Mul(sixth, c) y = Mul(d, x)",
    ],
)
def test_every_way_of_writing_it_is_recognized(build, apply, run, operators, body):
    model = _model(build, body)
    expected = run(model, x=X)[0]
    result, evidence = apply(FuseHardSwish(), model, {"x": X})
    assert operators(result) == ["HardSwish"]
    assert not {"three", "zero", "six"} & set(result.graph.initializers)
    assert evidence.facts["fused"] == 1
    np.testing.assert_allclose(run(result, x=X)[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "body",
    [
        "a = Add(x, six) c = Clip(a, zero, six) p = Mul(x, c) y = Div(p, six)",
        "a = Add(x, three) c = Clip(a, zero, three) p = Mul(x, c) y = Div(p, six)",
        "a = Add(x, three) c = Clip(a, zero, six) p = Mul(x, c) y = Div(p, three)",
        "a = Add(x, three) c = Clip(a, zero, six) p = Mul(c, c) y = Div(p, six)",
        "n = Neg(x) a = Add(x, three) c = Clip(a, zero, six) p = Mul(n, c) y = Div(p, six)",
        "a = Add(x, three) c = Clip(a, zero, six) p = Mul(x, c) d = Div(p, six) y = Add(d, c)",
        "a = Add(x, three) c = Clip(a, zero, six) p = Mul(x, c) y = Div(six, p)",
    ],
)
def test_what_is_nearly_one_is_left_alone(build, apply, body):
    _, evidence = apply(FuseHardSwish(), _model(build, body), {"x": X})
    assert not evidence.changed and evidence.refused is None


def test_before_opset_14_it_refuses(build, apply):
    model = _model(build, "a = Add(x, three) c = Clip(a, zero, six) p = Mul(x, c) y = Div(p, six)", opset=13)
    _, evidence = apply(FuseHardSwish(), model, {"x": X})
    assert evidence.refused is not None and "14" in evidence.refused
