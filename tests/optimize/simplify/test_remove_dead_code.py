from __future__ import annotations

import numpy as np
import pytest

from edgedeploy.optimize.simplify.infer_shapes import InferShapes
from edgedeploy.optimize.simplify.remove_dead_code import RemoveDeadCode

X = np.array([1.0, -2.0], np.float32)


def test_what_nothing_reads_goes(build, apply, operators):
    model = build("""
        <ir_version: 8, opset_import: ["" : 13, "com.example" : 1]>
        g (float[2] x) => (float[2] y) <float[2] w = {1.0, 2.0}, float[2] unused = {1.0, 2.0}> {
            y = Neg(x)
            a = Add(x, w)
            b = Neg(a)
        }""")
    result, evidence = apply(RemoveDeadCode(), model, {"x": X})
    assert operators(result) == ["Neg"]
    assert not result.graph.initializers
    assert "com.example" not in result.opset_imports
    assert evidence.facts == {"nodes_removed": 2, "initializers_removed": 2}


@pytest.mark.parametrize(
    "node",
    ["b = Identity(a)", "b = Dropout <seed = 1> (a)", "b, mask = Dropout(a)", "b = Cast <to = 1> (a)"],
)
def test_nodes_that_do_nothing_go(build, apply, run, operators, node):
    model = build(f"""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[2] x) => (float[2] y) {{ a = Neg(x) {node} y = Abs(b) }}""")
    inferred, _ = apply(InferShapes(), model)
    result, _ = apply(RemoveDeadCode(), inferred, {"x": X})
    assert operators(result) == ["Neg", "Abs"]


@pytest.mark.parametrize(
    "node",
    [
        "b = Cast <to = 11> (a) c = Cast <to = 1> (b)",
        "t = Constant <value = bool {1}> () r = Constant <value = float {0.5}> () c = Dropout(a, r, t)",
        "c, mask = Dropout(a) n = Not(mask) f = Cast <to = 1> (n) c1 = Add(c, f)",
    ],
)
def test_nodes_that_do_something_stay(build, apply, operators, node):
    last = "c1" if "c1" in node else "c"
    model = build(f"""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[2] x) => (float[2] y) {{ a = Neg(x) {node} y = Abs({last}) }}""")
    inferred, _ = apply(InferShapes(), model)
    result, _ = apply(RemoveDeadCode(), inferred)
    assert operators(result) == operators(model)


def test_an_identity_before_an_output_hands_its_name_on(build, apply, run, operators):
    model = build("""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[2] x) => (float[2] y) { a = Neg(x) b = Abs(a) y = Identity(b) }""")
    result, _ = apply(RemoveDeadCode(), model, {"x": X})
    assert operators(result) == ["Neg", "Abs"]
    assert result.graph.outputs[0].name == "y"
    np.testing.assert_array_equal(run(result, x=X)[0], [1.0, 2.0])


@pytest.mark.parametrize(
    "body",
    [
        "(float[2] x) => (float[2] y) { y = Identity(x) }",
        "(float[2] x) => (float[2] y) <float[2] w = {1.0, 2.0}> { y = Identity(w) }",
        "(float[2] x) => (float[2] a, float[2] y) { a = Neg(x) y = Identity(a) }",
    ],
)
def test_an_identity_that_joins_two_names_stays(build, apply, operators, body):
    model = build(f'<ir_version: 8, opset_import: ["" : 13]> g {body}')
    result, evidence = apply(RemoveDeadCode(), model, {"x": X})
    assert "Identity" in operators(result)
    assert evidence.refused is None


def test_a_branch_that_hands_on_an_outer_value_keeps_its_identity(build, apply, run):
    # A branch must make its output itself. onnx_ir's own pass lets it name the outer value, which no runtime loads.
    model = build("""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[2] x, bool c) => (float[2] y) {
            a = Neg(x)
            y = If (c) <
                then_branch = t () => (float[2] p) { p = Identity(a) },
                else_branch = e () => (float[2] q) { q = Abs(a) }
            >
        }""")
    probes = [{"x": X, "c": np.array(True)}, {"x": X, "c": np.array(False)}]
    result, evidence = apply(RemoveDeadCode(), model, *probes)
    assert evidence.refused is None
    np.testing.assert_array_equal(run(result, **probes[0])[0], [-1.0, 2.0])
