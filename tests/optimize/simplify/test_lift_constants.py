from __future__ import annotations

import numpy as np

from edgedeploy.optimize.simplify.lift_constants import LiftConstants

X = np.array([[1.0, 2.0]], dtype=np.float32)


def test_weights_in_constant_nodes_become_initializers(build, apply, run, operators):
    model = build("""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[1,2] x) => (float[1,2] y) {
            w = Constant <value = float[2,2] {1.0, 2.0, 3.0, 4.0}> ()
            b = Constant <value_floats = [10.0, 20.0]> ()
            p = MatMul(x, w)
            y = Add(p, b)
        }""")
    result, evidence = apply(LiftConstants(), model, {"x": X})
    assert operators(result) == ["MatMul", "Add"]
    assert set(result.graph.initializers) == {"w", "b"}
    assert evidence.facts["constants_lifted"] == 2
    np.testing.assert_array_equal(run(result, x=X)[0], [[17.0, 30.0]])


def test_initializers_listed_as_inputs_are_inputs_no_more(build, apply):
    model = build("""
        <ir_version: 3, opset_import: ["" : 11]>
        g (float[1,2] x, float[2] b = {1.0, 2.0}) => (float[1,2] y) { y = Add(x, b) }""")
    result, evidence = apply(LiftConstants(), model, {"x": X})
    assert [value.name for value in result.graph.inputs] == ["x"]
    assert evidence.facts["inputs_removed"] == 1
    assert result.ir_version >= 4


def test_constants_of_subgraphs_are_lifted_too(build, apply, run):
    model = build("""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[1,2] x, bool c) => (float[1,2] y) {
            y = If (c) <
                then_branch = t () => (float[1,2] a) { k = Constant <value = float {3.0}> () a = Add(x, k) },
                else_branch = e () => (float[1,2] b) { b = Neg(x) }
            >
        }""")
    probes = [{"x": X, "c": np.array(True)}, {"x": X, "c": np.array(False)}]
    result, evidence = apply(LiftConstants(), model, *probes)
    assert evidence.refused is None
    assert evidence.facts["constants_lifted"] == 1
    np.testing.assert_array_equal(run(result, **probes[0])[0], X + 3)


def test_a_constant_that_is_an_output_stays(build, apply, operators):
    model = build("""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[1,2] x) => (float[1] k, float[1,2] y) {
            k = Constant <value = float[1] {3.0}> ()
            y = Add(x, k)
        }""")
    result, evidence = apply(LiftConstants(), model, {"x": X})
    assert "Constant" in operators(result)
    assert not evidence.changed


def test_nothing_to_lift_is_no_change(build, apply):
    model = build('<ir_version: 8, opset_import: ["" : 13]> g (float[1,2] x) => (float[1,2] y) { y = Neg(x) }')
    _, evidence = apply(LiftConstants(), model, {"x": X})
    assert not evidence.changed and evidence.refused is None


def test_equal_names_in_two_branches_become_two_weights(build, apply, run):
    model = build("""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[1,2] x, bool c) => (float[1,2] y) {
            y = If (c) <
                then_branch = t () => (float[1,2] a) { k = Constant <value = float {3.0}> () a = Add(x, k) },
                else_branch = e () => (float[1,2] b) { k = Constant <value = float {5.0}> () b = Add(x, k) }
            >
        }""")
    probes = [{"x": X, "c": np.array(True)}, {"x": X, "c": np.array(False)}]
    result, evidence = apply(LiftConstants(), model, *probes)
    assert evidence.refused is None
    assert sorted(result.graph.initializers) == ["k", "k_1"]
    np.testing.assert_array_equal(run(result, **probes[0])[0], X + 3)
    np.testing.assert_array_equal(run(result, **probes[1])[0], X + 5)
