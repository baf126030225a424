from __future__ import annotations

import numpy as np
import pytest

from edgedeploy.optimize.graph.edit import serialized
from edgedeploy.optimize.simplify.fold_constants import FoldConstants
from edgedeploy.optimize.simplify.infer_shapes import InferShapes

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_a_chain_of_known_nodes_becomes_one_weight(build, apply, run, operators):
    model = build("""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[2,3] x) => (float[2,2] y) <float[2,3] w = {1.0,2.0,3.0,4.0,5.0,6.0}> {
            a = Transpose(w)
            b = Neg(a)
            y = MatMul(x, b)
        }""")
    expected = run(model, x=X)
    result, evidence = apply(FoldConstants(), model, {"x": X})
    assert operators(result) == ["MatMul"]
    assert evidence.facts["nodes_folded"] == 2
    np.testing.assert_array_equal(run(result, x=X)[0], expected[0])


def test_a_shape_that_holds_for_every_input_is_folded(build, apply, operators):
    model = build("""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[2,3] x) => (float[6] y) {
            a = Relu(x)
            s = Shape(a)
            p = ReduceProd <keepdims = 1> (s)
            y = Reshape(a, p)
        }""")
    inferred, _ = apply(InferShapes(), model)
    result, evidence = apply(FoldConstants(), inferred, {"x": X})
    assert operators(result) == ["Relu", "Reshape"]
    assert evidence.facts["shapes_folded"] == 1


def test_part_of_a_shape(build, apply, run):
    model = build("""
        <ir_version: 8, opset_import: ["" : 15]>
        g (float[N,3,4] x) => (int64[2] y) { s = Shape <start = -2> (x) y = Neg(s) }""")
    inferred, _ = apply(InferShapes(), model)
    feed = {"x": np.zeros((7, 3, 4), np.float32)}
    result, evidence = apply(FoldConstants(), inferred, feed)
    assert evidence.facts["shapes_folded"] == 1
    np.testing.assert_array_equal(run(result, **feed)[0], [-3, -4])


@pytest.mark.parametrize(
    "node",
    [
        "c = ConstantOfShape <value = float[1] {1.0}> (big)",
        "c = Expand(one, big)",
    ],
)
def test_what_would_grow_the_file_stays_a_node(build, apply, operators, node):
    # Four billion elements: computing it to find out its size would end the process.
    model = build(f"""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[1] x) => (float[65536,65536] y) <int64[2] big = {{65536, 65536}}, float[1] one = {{1.0}}> {{
            {node}
            y = Add(x, c)
        }}""")
    result, evidence = apply(FoldConstants(), model)
    assert operators(result) == operators(model)
    assert not evidence.changed


def test_what_is_made_from_a_weight_that_is_needed_all_the_same_stays(build, apply, operators):
    model = build(
        '<ir_version: 8, opset_import: ["" : 13]> g (float[N,32] x) => (float[N,32] y) '
        "{ t = Transpose(w) a = MatMul(x, w) y = MatMul(a, t) }",
        w=np.eye(32, dtype=np.float32),
    )
    result, evidence = apply(FoldConstants(), model)
    assert operators(result) == operators(model) and not evidence.changed


def test_pieces_that_a_weight_is_cut_into_replace_it(build, apply, run, operators):
    # PyTorch's exporter writes the gates of an LSTM in another order like this.
    model = build(
        """
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[N,32] x) => (float[N,32] y) <int64[1] zero = {0}, int64[1] half = {16}, int64[1] end = {32}> {
            a = Slice(w, zero, half, zero)
            b = Slice(w, half, end, zero)
            c = Concat <axis = 0> (b, a)
            y = MatMul(x, c)
        }""",
        w=np.arange(1024, dtype=np.float32).reshape(32, 32),
    )
    x = np.ones((2, 32), np.float32)
    result, evidence = apply(FoldConstants(), model, {"x": x})
    assert operators(result) == ["MatMul"] and evidence.facts["nodes_folded"] == 3
    assert len(serialized(result)) < len(serialized(model))
    np.testing.assert_array_equal(run(result, x=x)[0], run(model, x=x)[0])


def test_random_and_dequantized_values_stay(build, apply, operators):
    model = build("""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[2] x) => (float[2] y)
        <int8[2] w = {1, 2}, float s = {0.5}, float[2] r = {0.0, 0.0}> {
            d = DequantizeLinear(w, s)
            n = RandomNormalLike(r)
            a = Add(x, d)
            y = Add(a, n)
        }""")
    result, _ = apply(FoldConstants(), model)
    assert operators(result) == operators(model)


def test_what_no_kernel_computes_stays(build, apply, operators):
    # Its divisor is zero and the node is never reached; folding must not raise.
    model = build("""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[1,2] x) => (float[1,2] y) <int64[2] shape = {3, 3}, float[2] w = {1.0, 2.0}> {
            y = Neg(x)
            dead = Reshape(w, shape)
        }""")
    result, evidence = apply(FoldConstants(), model)
    assert evidence.refused is None
    assert operators(result) == ["Neg", "Reshape"]


def test_branches_are_folded(build, apply, run):
    model = build("""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[2] x, bool c) => (float[2] y) <float[2] w = {1.0, 2.0}> {
            y = If (c) <
                then_branch = t () => (float[2] a) { k = Neg(w) a = Add(x, k) },
                else_branch = e () => (float[2] b) { b = Neg(x) }
            >
        }""")
    x = np.array([5.0, 5.0], np.float32)
    result, evidence = apply(FoldConstants(), model, {"x": x, "c": np.array(True)}, {"x": x, "c": np.array(False)})
    assert evidence.facts["nodes_folded"] == 1 and evidence.refused is None
    np.testing.assert_array_equal(run(result, x=x, c=np.array(True))[0], [4.0, 3.0])


def test_settings_are_checked():
    with pytest.raises(ValueError, match="growth_limit_bytes"):
        FoldConstants(growth_limit_bytes=-1)
