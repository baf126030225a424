"""A pass that refuses, fails or breaks its promise leaves the model as it was, and is reported."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir
import pytest

from edgedeploy.foundation.errors import DatasetError
from edgedeploy.optimize.base import Context, Pass, PassSkipped, PostconditionError, kebab_case
from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.optimize.graph.edit import serialized
from edgedeploy.optimize.recipes.pipeline import run_passes
from edgedeploy.optimize.recipes.registry import pass_types

X = np.array([1.0, 2.0], np.float32)


class Breaking(Pass, frozen=True, tag="breaking"):
    """Does something wrong to the model, in the way that `how` says."""

    tolerance: ClassVar[float | None] = 1e-6

    how: str

    def requires(self, model, context):
        return "it does not want to" if self.how == "refuses" else None

    def call(self, model, context):
        node = model.graph[0]
        match self.how:
            case "refuses half-way":
                node.op_type = "Abs"
                raise PassSkipped("it turned out so")
            case "crashes":
                node.op_type = "Abs"
                raise KeyError("someone's unusual model")
            case "changes results":
                node.op_type = "Abs"
            case "nearly the same":
                node.op_type = "Add"
                node.resize_inputs(2)
                node.replace_input_with(1, GraphBuilder(model).initializer("w", np.array(1e-7, np.float32)))
            case "renames the output":
                model.graph.outputs[0].name = "z"
            case "drops an output":
                model.graph.outputs.pop()
            case "invalid":
                node.op_type = "NoSuchOperator"
            case "does not load":
                node.domain = "com.nobody"
                model.opset_imports["com.nobody"] = 1
            case "breaks its own promise":
                node.name = "changed"
            case "the user's data":
                raise DatasetError("sample 3 is broken")
            case "interrupted":
                raise KeyboardInterrupt
        return model, {"how": self.how}

    def ensures(self, before, after, facts):
        if self.how == "breaks its own promise":
            raise PostconditionError("it promised otherwise")


MODEL = '<ir_version: 8, opset_import: ["" : 13]> g (float[2] x) => (float[2] y, float[2] v) { y = Neg(x) v = Abs(x) }'


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("refuses", "it does not want to"),
        ("refuses half-way", "it turned out so"),
        ("crashes", "KeyError"),
        ("changes results", "outputs moved by"),
        ("renames the output", "inputs and outputs changed"),
        ("drops an output", "inputs and outputs changed"),
        ("invalid", "not valid ONNX any more"),
        ("does not load", "does not load or run"),
        ("breaks its own promise", "it promised otherwise"),
    ],
)
def test_a_pass_that_goes_wrong_is_undone(build, apply, how, reason):
    model = build(MODEL)
    before = serialized(model)
    result, evidence = apply(Breaking(how=how), model, {"x": X})
    assert serialized(result) == before == serialized(model)
    assert not evidence.changed
    assert evidence.refused is not None and reason in evidence.refused
    assert evidence.facts == {} and evidence.size_bytes == len(before)


def test_a_difference_within_the_tolerance_is_let_through(build, apply):
    model = build('<ir_version: 8, opset_import: ["" : 13]> g (float[2] x) => (float[2] y) { y = Identity(x) }')
    _, evidence = apply(Breaking(how="nearly the same"), model, {"x": X})
    assert evidence.changed and evidence.refused is None


def test_what_is_the_users_to_mend_ends_the_run(build, apply):
    with pytest.raises(DatasetError, match="sample 3"):
        apply(Breaking(how="the user's data"), build(MODEL), {"x": X})
    with pytest.raises(KeyboardInterrupt):
        apply(Breaking(how="interrupted"), build(MODEL), {"x": X})


def test_the_next_pass_gets_the_model_from_before_the_failure(build):
    model = build(MODEL)
    steps = [Breaking(how="crashes"), Breaking(how="changes nothing"), Breaking(how="refuses")]
    result, evidence = run_passes(model, steps, Context(probes=[{"x": X}]))
    assert [one.refused is None for one in evidence] == [False, True, False]
    assert serialized(result) == serialized(model)


def test_a_model_that_was_never_valid_need_not_become_so(apply):
    # onnx's checker asks for a name on every graph; onnxruntime does not.
    x = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([2]))
    node = ir.node("Identity", [x])
    node.outputs[0].name, node.outputs[0].type, node.outputs[0].shape = "y", x.type, x.shape
    model = ir.Model(ir.Graph([x], [node.outputs[0]], nodes=[node], opset_imports={"": 13}, name=""), ir_version=8)
    _, evidence = apply(Breaking(how="nearly the same"), model, {"x": X})
    assert evidence.changed and evidence.refused is None


def test_every_pass_has_a_name_a_sentence_and_settings_with_defaults():
    kinds = pass_types()
    assert len({kind.title() for kind in kinds}) == len(kinds) >= 12
    for kind in kinds:
        assert kind() == kind()
        assert (kind.__doc__ or "").strip().splitlines()[0].endswith(".")
        assert kind.__module__.rpartition(".")[2] == kind.title().replace("-", "_")


def test_kebab_case():
    assert kebab_case("FoldConstants") == "fold-constants"
