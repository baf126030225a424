"""Factors of a Gemm are put into its weights, so that quantizers, pruners and folds take it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optimize.conftest import apply_pass, build_model, run_model

from edgedeploy.optimize.graph.linear import find_linear
from edgedeploy.optimize.simplify.fold_constants import FoldConstants

X = np.random.default_rng(5).standard_normal((5, 8)).astype(np.float32)
W = np.random.default_rng(6).standard_normal((8, 4)).astype(np.float32)
FACTORS = st.sampled_from([0.0, 0.5, 1.0, -2.0, 3.25])
BIASES = {"none": None, "row": (4,), "number": (), "matrix": (5, 4), "column": (5, 1)}


@settings(max_examples=20)
@given(alpha=FACTORS, beta=FACTORS, bias=st.sampled_from(sorted(BIASES)), transposed=st.booleans())
def test_nothing_but_the_form_changes(alpha, beta, bias, transposed):
    shape = BIASES[bias]
    weights = {"w": W.T.copy() if transposed else W}
    if shape is not None:
        weights["b"] = np.full(shape, 1.5, np.float32)
    operands = ", ".join(("x", *weights))
    model = build_model(
        f"""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[5,8] x) => (float[5,4] y) {{
            y = Gemm <alpha = {alpha:f}, beta = {beta:f}, transB = {int(transposed)}> ({operands})
        }}""",
        **weights,
    )
    result, evidence = apply_pass(FoldConstants(), model, {"x": X})
    assert evidence.refused is None
    (node,) = result.graph
    for name in ("alpha", "beta"):
        assert name not in node.attributes or node.attributes[name].as_float() == 1.0
    np.testing.assert_allclose(run_model(result, x=X)[0], run_model(model, x=X)[0], rtol=1e-5, atol=1e-5)


TWO = """
    <ir_version: 8, opset_import: ["" : 13]>
    g (float[5,8] x) => (float[5,4] y, float[5,4] z) {{ y = Gemm <alpha = 0.5> (x, w) z = {other} }}"""


@pytest.mark.parametrize(
    ("other", "folded"),
    [("Gemm <alpha = 0.5> (x, w)", 2), ("Gemm <alpha = 0.25> (x, w)", 0), ("MatMul (x, w)", 0)],
)
def test_a_weight_that_others_read_is_not_stored_twice(other, folded):
    model = build_model(TWO.format(other=other), w=W)
    result, evidence = apply_pass(FoldConstants(), model, {"x": X})
    assert evidence.facts["gemm_factors_folded"] == folded
    assert len(result.graph.initializers) == 1


def test_a_scaled_gemm_can_be_quantized():
    model = build_model(
        """
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[5,8] x) => (float[5,4] y) { y = Gemm <alpha = 0.5, beta = 2.0> (x, w, b) }""",
        w=W,
        b=np.ones(4, np.float32),
    )
    assert find_linear(model, ("Gemm",))[0] == []
    result, _ = apply_pass(FoldConstants(), model, {"x": X})
    assert len(find_linear(result, ("Gemm",))[0]) == 1


def test_a_weight_behind_identity_is_no_second_weight():
    model = build_model(
        """
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[5,8] x) => (float[5,4] y) { v = Identity (w) a = MatMul (x, w) b = MatMul (x, v) y = Add (a, b) }""",
        w=W,
    )
    result, _ = apply_pass(FoldConstants(), model, {"x": X})
    assert list(result.graph.initializers) == ["w"]


def test_a_layer_that_computes_in_halves_is_left_with_what_to_do():
    model = build_model(
        """
        <ir_version: 8, opset_import: ["" : 13]>
        g (float16[5,8] x) => (float16[5,4] y) { y = MatMul (x, w) }""",
        w=W.astype(np.float16),
    )
    assert find_linear(model, ("MatMul",))[1][0].reason == "it computes in float16: export the model in float32"
