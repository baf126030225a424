from __future__ import annotations

import numpy as np
import pytest

from edgedeploy.optimize.graph import opset
from edgedeploy.optimize.passes.upgrade_opset import UpgradeOpset

X = np.array([[1.0, 5.0, 2.0]], np.float32)


def test_a_model_whose_operators_changed_is_converted(build, apply, run):
    # The axes of Squeeze were an attribute until 13, and Softmax flattened.
    model = build("""
        <ir_version: 6, opset_import: ["" : 11]>
        g (float[N,3] x) => (float[N,3] y) {
            u = Unsqueeze <axes = [0]> (x)
            s = Squeeze <axes = [0]> (u)
            y = Softmax <axis = 1> (s)
        }""")
    expected = run(model, x=X)[0]
    result, evidence = apply(UpgradeOpset(to=17), model, {"x": X})
    assert evidence.refused is None and evidence.changed
    assert opset(result) == 17
    assert result.ir_version >= 8
    np.testing.assert_allclose(run(result, x=X)[0], expected, rtol=1e-6)


def test_a_model_whose_operators_mean_the_same_only_gets_the_number(build, apply, operators):
    model = build("""
        <ir_version: 7, opset_import: ["" : 13]>
        g (float[N,3] x) => (float[N,3] y) { a = Softmax(x) y = Add(a, x) }""")
    result, _ = apply(UpgradeOpset(to=14), model, {"x": X})
    assert opset(result) == 14
    assert operators(result) == operators(model)


def test_a_newer_model_stays(build, apply):
    model = build('<ir_version: 9, opset_import: ["" : 19]> g (float[N,3] x) => (float[N,3] y) { y = Softmax(x) }')
    result, evidence = apply(UpgradeOpset(to=17), model, {"x": X})
    assert not evidence.changed and opset(result) == 19


def test_metadata_and_interface_survive(build, apply):
    model = build("""
        <ir_version: 6, opset_import: ["" : 11], producer_name: "someone">
        g (float[N,3] x) => (float[N,3] y) { y = Softmax <axis = 1> (x) }""")
    model.metadata_props["names"] = "cat,dog"
    result, _ = apply(UpgradeOpset(to=17), model, {"x": X})
    assert result.metadata_props["names"] == "cat,dog"
    assert result.producer_name == "someone"
    assert [str(value.shape) for value in result.graph.inputs] == [str(value.shape) for value in model.graph.inputs]


def test_a_model_with_functions_is_refused(build, apply):
    model = build("""
        <ir_version: 8, opset_import: ["" : 11, "local" : 1]>
        g (float[N,3] x) => (float[N,3] y) { y = local.twice(x) }
        <domain: "local", opset_import: ["" : 11]>
        twice (a) => (b) { b = Add(a, a) }""")
    _, evidence = apply(UpgradeOpset(to=17), model)
    assert evidence.refused is not None and "functions" in evidence.refused


@pytest.mark.parametrize("to", [3, 1000])
def test_settings_are_checked(to):
    with pytest.raises(ValueError, match="to must lie between"):
        UpgradeOpset(to=to)
