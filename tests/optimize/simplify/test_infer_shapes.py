from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgedeploy.optimize.simplify.fold_constants import FoldConstants
from edgedeploy.optimize.simplify.infer_shapes import InferShapes


def _shape(model, name):
    for node in model.graph:
        for value in node.outputs:
            if value.name == name:
                return None if value.shape is None else [d if isinstance(d, int) else d.value for d in value.shape]
    raise KeyError(name)


def test_shapes_follow_from_the_inputs(build, apply):
    model = build("""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[N,3,8,8] x) => (float[N,3,4,4] y) {
            a = Relu(x)
            y = MaxPool <kernel_shape = [2,2], strides = [2,2]> (a)
        }""")
    result, evidence = apply(InferShapes(), model)
    assert _shape(result, "a") == ["N", 3, 8, 8]
    assert evidence.facts["values_with_shape"] == 2


def test_a_wrong_shape_in_the_file_is_not_believed(build, apply, run):
    # Exporters write the shapes of the batch that they traced. Folding this one would answer 1 for every batch.
    model = build("""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[N,2] x) => (int64[2] y) <float[1,2] a> { a = Relu(x) y0 = Shape(a) y = Identity(y0) }""")
    inferred, _ = apply(InferShapes(), model)
    folded, _ = apply(FoldConstants(), inferred)
    assert _shape(inferred, "a") == ["N", 2]
    np.testing.assert_array_equal(run(folded, x=np.zeros((5, 2), np.float32))[0], [5, 2])


def test_minus_one_is_dynamic(build, apply):
    model = build("""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[N,2] x) => (float[N,2] y) { a = Relu(x) y = Neg(a) }""")
    model.graph.inputs[0].shape = ir.Shape([-1, 2])
    result, evidence = apply(InferShapes(), model, {"x": np.ones((3, 2), np.float32)})
    assert evidence.refused is None
    assert -1 not in _shape(result, "a")


def test_an_unknown_operator_does_not_stop_the_others(build, apply):
    model = build("""
        <ir_version: 8, opset_import: ["" : 13, "com.example" : 1]>
        g (float[2,3] x) => (float[2,3] y, float[2,3] z) {
            a = com.example.Mystery(x)
            y = Neg(a)
            b = Relu(x)
            z = Neg(b)
        }""")
    result, evidence = apply(InferShapes(), model)
    assert evidence.refused is None
    assert _shape(result, "a") is None
    assert _shape(result, "b") == [2, 3]
