"""New nodes and constants, and that their names are unused in the whole model."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest

from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.optimize.graph.edit import serialized
from edgedeploy.optimize.graph.names import NameAuthority
from edgedeploy.optimize.simplify.fold_batch_normalization import FoldBatchNormalization

# The branches use the names that folding gives to the new weight and bias of the Conv.
BRANCHED = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[1,3,8,8] x, bool c) => (float[1,4,8,8] y) {
        a = Conv(x, w)
        b = BatchNormalization(a, s, o, m, v)
        y = If (c) <
            then_branch = t () => (float[1,4,8,8] p) { w_folded = Relu(b) p = Neg(w_folded) },
            else_branch = e () => (float[1,4,8,8] q) { w_bias = Abs(b) q = Neg(w_bias) }
        >
    }"""
WITH_FUNCTION = """
    <ir_version: 8, opset_import: ["" : 17, "local" : 1]>
    g (float[4] x) => (float[4] y) { y = local.double (x) }
    <domain: "local", opset_import: ["" : 17]>
    double (given) => (result) { inside = Add(given, given) result = Identity(inside) }
"""


def test_a_folded_weight_gets_a_name_that_no_branch_uses(build, apply, run, rng):
    arrays = {"w": rng.standard_normal((4, 3, 1, 1)), "v": rng.uniform(0.5, 1, 4)}
    arrays |= {name: rng.standard_normal(4) for name in "som"}
    model = build(BRANCHED, **{name: array.astype(np.float32) for name, array in arrays.items()})
    feed = {"x": rng.standard_normal((1, 3, 8, 8)).astype(np.float32), "c": np.array(True)}
    result, evidence = apply(FoldBatchNormalization(), model, feed)
    assert evidence.changed, evidence.refused
    onnx.checker.check_model(serialized(result))
    for taken in (True, False):
        feed["c"] = np.array(taken)
        np.testing.assert_allclose(run(result, **feed)[0], run(model, **feed)[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["x", "given", "inside", "result"])
def test_names_within_functions_are_used_too(name):
    names = NameAuthority(ir.from_proto(onnx.parser.parse_model(WITH_FUNCTION)))
    assert names.new(name) == f"{name}_1"
    assert names.new(name) == f"{name}_2"


def test_a_name_is_given_up_by_its_last_value():
    names = NameAuthority(ir.from_proto(onnx.parser.parse_model(WITH_FUNCTION)))
    assert names.renamed("inside") == "inside"
    assert names.new("inside") == "inside_1"


@pytest.fixture
def chain(build):
    return build(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[2] x) => (float[2] y) { h = Relu(x) y = Mul(h, k) }',
        k=np.array([2, 3], np.float32),
    )


def test_a_node_takes_the_place_of_another_and_of_what_only_that_read(chain, run, operators):
    builder = GraphBuilder(chain)
    builder.replace_node(next(node for node in chain.graph if node.op_type == "Mul"), "Neg", [chain.graph.inputs[0]])
    assert operators(chain) == ["Neg"] and not chain.graph.initializers
    assert [value.name for value in chain.graph.outputs] == ["y"]
    np.testing.assert_array_equal(run(chain, x=np.array([1, -2], np.float32))[0], [-1, 2])


def test_nodes_at_the_head_stand_before_all_that_were_there(chain, operators):
    builder = GraphBuilder(chain, at_head=True)
    doubled = builder.op("Add", [chain.graph.inputs[0]] * 2, "h", like=chain.graph.inputs[0])
    builder.op("Neg", [doubled], "h")
    assert operators(chain) == ["Add", "Neg", "Relu", "Mul"]
    assert [node.outputs[0].name for node in chain.graph] == ["h_1", "h_2", "h", "y"]
    assert doubled.shape == chain.graph.inputs[0].shape


def test_numbers_stay_numbers(chain):
    value = GraphBuilder(chain).initializer("k", np.array(3, np.int64))
    assert value.name == "k_1" and value.shape == ir.Shape(()) and value.dtype == ir.DataType.INT64


def test_a_constant_takes_over_the_name_of_a_value(chain, run):
    relu = next(iter(chain.graph))
    value = GraphBuilder(chain).replace_by_initializer(relu.outputs[0], np.array([1, 1], np.float32))
    assert value.name == "h" and relu.outputs[0].name != "h"
    np.testing.assert_array_equal(run(chain, x=np.zeros(2, np.float32))[0], [2, 3])
