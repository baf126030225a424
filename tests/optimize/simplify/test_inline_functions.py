from __future__ import annotations

import numpy as np

from edgedeploy.optimize.quantize.quantize_weights import QuantizeWeights
from edgedeploy.optimize.simplify.inline_functions import InlineFunctions

NESTED = """
    <ir_version: 8, opset_import: ["" : 17, "layers" : 1]>
    g (float[2,16] x) => (float[2,16] y) {
        a = layers.block <slope = 0.1> (x, w)
        y = layers.block <slope = 0.3> (a, w)
    }
    <opset_import: ["" : 17, "layers" : 1], domain: "layers">
    block <slope> (x, w) => (y) { m = layers.product (x, w) y = LeakyRelu <alpha: float = @slope> (m) }
    <opset_import: ["" : 17], domain: "layers">
    product (x, w) => (y) { y = MatMul (x, w) }
"""
W = np.random.default_rng(0).standard_normal((16, 16)).astype(np.float32)
X = np.random.default_rng(1).standard_normal((2, 16)).astype(np.float32)


def test_functions_within_functions_become_nodes_with_their_settings(build, apply, run, operators):
    model = build(NESTED, w=W)
    before = run(model, x=X)[0]
    result, evidence = apply(InlineFunctions(), model, {"x": X})
    assert operators(result) == ["MatMul", "LeakyRelu"] * 2
    assert evidence.facts["functions_inlined"] == 2
    np.testing.assert_array_equal(run(result, x=X)[0], before)

    quantized, evidence = apply(QuantizeWeights(), result, {"x": X})
    assert evidence.changed and "w" not in quantized.graph.initializers


def test_without_functions_nothing_changes(build, apply):
    model = build('<ir_version: 8, opset_import: ["" : 17]> g (float[2,16] x) => (float[2,16] y) { y = Relu(x) }')
    _, evidence = apply(InlineFunctions(), model, {"x": X})
    assert not evidence.changed
