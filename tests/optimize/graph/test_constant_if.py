"""`If` nodes whose condition is known, and what is known of shape arithmetic."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from edgedeploy.optimize.base import Context
from edgedeploy.optimize.graph.edit import serialized
from edgedeploy.optimize.graph.shapes import infer_shapes, known_integers
from edgedeploy.optimize.recipes.pipeline import run_passes
from edgedeploy.optimize.simplify.fold_constants import FoldConstants
from edgedeploy.optimize.simplify.infer_shapes import InferShapes
from edgedeploy.optimize.simplify.lift_constants import LiftConstants
from edgedeploy.optimize.simplify.remove_dead_code import RemoveDeadCode
from edgedeploy.optimize.simplify.strip_metadata import StripMetadata

X = np.array([[-1.0, 2.0], [3.0, -4.0]], np.float32)
PASSES = [LiftConstants(), InferShapes(), FoldConstants(), RemoveDeadCode()]


def _prepare(model, *probes):
    result, evidence = run_passes(model, PASSES, Context(probes=probes))
    assert [one.refused for one in evidence] == [None] * len(PASSES)
    return result


def test_branches_within_branches_that_depend_on_ranks(build, run, operators):
    # What exporters of squeeze write: is it a vector, and is its extent one?
    model = build("""
        <ir_version: 8, opset_import: ["" : 16]>
        g (float[N,2] x) => (float[N,2] y) <int64 two = {2}, int64 zero = {0}, int64 wide = {7}> {
            s = Shape(x)
            rank = Size(s)
            flat = Equal(rank, two)
            y = If (flat) <
                then_branch = t () => (float[N,2] p) {
                    k = Constant <value = float[1] {0.5}> ()
                    n = Gather(s, zero)
                    m = Equal(n, wide)
                    p = If (m) <
                        then_branch = a () => (float[N,2] r) { r = Mul(x, k) },
                        else_branch = b () => (float[N,2] r) { i = Neg(x) r = Add(i, k) }
                    >
                },
                else_branch = e () => (float[N,2] p) { k = Neg(x) p = Neg(k) }
            >
        }""")
    expected = run(model, x=X)[0]
    result = _prepare(model, {"x": X})
    # The batch is dynamic, so that question has to be asked; the rank is not.
    assert operators(result) == ["Shape", "Gather", "Equal", "If"]
    np.testing.assert_array_equal(run(result, x=X)[0], expected)
    seven = np.ones((7, 2), np.float32)
    np.testing.assert_array_equal(run(result, x=seven)[0], run(model, x=seven)[0])


def test_both_branches_use_the_same_names(build, run, operators):
    model = build("""
        <ir_version: 8, opset_import: ["" : 16]>
        g (float[2,2] x) => (float[2,2] y, float[2,2] z) <bool yes = {1}, bool no = {0}> {
            y, u = If (yes) <
                then_branch = t () => (float[2,2] a, float[2,2] b) { a = Relu(x) b = Neg(a) },
                else_branch = e () => (float[2,2] a, float[2,2] b) { a = Neg(x) b = Neg(a) }
            >
            z = If (no) <
                then_branch = t () => (float[2,2] a) { a = Exp(u) },
                else_branch = e () => (float[2,2] a) { b = Neg(u) a = Neg(b) }
            >
        }""")
    expected = run(model, x=X)
    result = _prepare(model, {"x": X})
    assert "If" not in operators(result)
    names = [value.name for node in result.graph for value in node.outputs]
    assert len(names) == len(set(names))
    for one, other in zip(run(result, x=X), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_branch_that_hands_out_one_value_twice_or_a_weight(build, run):
    model = build("""
        <ir_version: 8, opset_import: ["" : 16]>
        g (float[2,2] x) => (float[2,2] y, float[2,2] z, float[1] w) <bool yes = {1}> {
            y, z, w = If (yes) <
                then_branch = t () => (float[2,2] a, float[2,2] a, float[1] k) {
                    k = Constant <value = float[1] {0.5}> ()
                    a = Relu(x)
                },
                else_branch = e () => (float[2,2] a, float[2,2] b, float[1] k) {
                    k = Constant <value = float[1] {0.5}> ()
                    a = Neg(x)
                    b = Neg(a)
                }
            >
        }""")
    # No probes: onnxruntime 1.32 leaves the second one of equal outputs of a branch empty.
    result = _prepare(model)
    assert [value.name for value in result.graph.outputs] == ["y", "z", "w"]
    y, z, w = run(result, x=X)
    np.testing.assert_array_equal(y, np.maximum(X, 0))
    np.testing.assert_array_equal(z, y)
    np.testing.assert_array_equal(w, [0.5])


def test_what_depends_on_the_input_stays(build, operators):
    model = build("""
        <ir_version: 8, opset_import: ["" : 16]>
        g (float[2,2] x, bool c) => (float[2,2] y) {
            y = If (c) <
                then_branch = t () => (float[2,2] a) { a = Relu(x) },
                else_branch = e () => (float[2,2] a) { a = Neg(x) }
            >
        }""")
    assert operators(_prepare(model)) == ["If"]


def test_what_branches_give_is_not_described(build, apply, run):
    # Inference makes up names for extents, other ones each time, so a second run would never find nothing to do.
    model = build("""
        <ir_version: 8, opset_import: ["" : 16]>
        g (float[N,2] x, bool c) => (float[M] y) {
            y = If (c) <
                then_branch = t () => (float[M] a) { a = ReduceSum <keepdims = 0> (x) },
                else_branch = e () => (float[M] b) { n = Relu(x) b = ReduceMax <keepdims = 0> (n) }
            >
        }""")
    stripped, evidence = apply(StripMetadata(), _prepare(model), {"x": X, "c": np.array(True)})
    assert evidence.refused is None
    assert [value.shape for graph in stripped.graph.subgraphs() for value in graph.outputs] == [None, None]
    for c in (True, False):
        feed = {"x": X, "c": np.array(c)}
        np.testing.assert_array_equal(run(stripped, **feed)[0], run(model, **feed)[0])


def test_bodies_of_loops_are_not_given_shapes(build, run):
    # The carried tensor grows by one row in each iteration.
    model = build("""
        <ir_version: 8, opset_import: ["" : 16]>
        g (float[1,2] x, int64 n) => (float[M,2] y) <bool yes = {1}> {
            y = Loop (n, yes, x) <
                body = b (int64 i, bool c, float[1,2] v) => (bool d, float[M,2] w) {
                    d = Identity(c)
                    s = Shape(v)
                    o = Expand(x, s)
                    w = Concat <axis = 0> (o, x)
                }
            >
        }""")
    feed = {"x": np.ones((1, 2), np.float32), "n": np.array(3)}
    expected = run(model, **feed)[0]
    result = _prepare(model, feed)
    np.testing.assert_array_equal(run(result, **feed)[0], expected)


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ("o = Shape(x)", [None, 3, 4]),
        ("o = Shape <start = 1> (x)", [3, 4]),
        ("s = Shape(x) o = Gather(s, one)", 3),
        ("s = Shape(x) o = Gather(s, minus)", [4]),
        ("s = Shape(x) o = Slice(s, minus, big)", [4]),
        ("s = Shape(x) o = Slice(s, row, big, zero, two)", [3]),
        ("s = Shape(x) n = Gather(s, one) r = Unsqueeze(n, zero) o = Concat <axis = 0> (r, minus)", [3, -1]),
        ("s = Shape(x) i = Identity(s) o = Cast <to = 6> (i)", [None, 3, 4]),
        ("s = Shape(x) n = Gather(s, minus) o = Squeeze(n, zero)", 4),
    ],
)
def test_arithmetic_on_shapes(build, nodes, expected):
    model = build(f"""
        <ir_version: 8, opset_import: ["" : 16]>
        g (float[N,3,4] x) => (int64[K] y)
        <int64 one = {{1}}, int64[1] row = {{1}}, int64[1] minus = {{-1}}, int64[1] big = {{99}}, int64[1] zero = {{0}},
         int64[1] two = {{2}}> {{ {nodes} y = Identity(o) }}""")
    assert infer_shapes(model) is None
    values = ir.convenience.create_value_mapping(model.graph)
    known = known_integers(values["o"])
    assert known is not None and known.tolist() == expected


def test_large_weights_keep_their_content(build):
    model = build(
        '<ir_version: 8, opset_import: ["" : 16]> g (float[N,64] x) => (float[N,64] y) { a = MatMul(x, w) y = Neg(a) }',
        w=np.ones((64, 64), np.float32),
    )
    before = serialized(model)
    assert infer_shapes(model) is None
    assert model.graph.node(0).outputs[0].shape == ir.Shape(["N", 64])
    assert "w" in model.graph.initializers and len(serialized(model)) > len(before)
