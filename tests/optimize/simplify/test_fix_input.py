"""fix-input: inputs and dimensions that become constants."""

from __future__ import annotations

import numpy as np
import pytest

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.foundation.errors import DatasetError
from edgedeploy.inference.onnxruntime import HostSession
from edgedeploy.optimize.base import Context
from edgedeploy.optimize.graph.edit import serialized
from edgedeploy.optimize.optimize import optimize
from edgedeploy.optimize.recipes.pipeline import run_passes
from edgedeploy.optimize.recipes.recipe import load_recipe
from edgedeploy.optimize.simplify.fix_input import FixInput
from edgedeploy.optimize.simplify.fold_constants import FoldConstants
from edgedeploy.optimize.simplify.infer_shapes import InferShapes
from edgedeploy.optimize.simplify.remove_dead_code import RemoveDeadCode
from edgedeploy.optimize.simplify.strip_metadata import StripMetadata
from edgedeploy.values.model import TensorFacts

TWO_RATES = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[N,4] x, int64 sr) => (float[N,4] y) <int64 wide = {16000}> {
        c = Equal(sr, wide)
        y = If (c) <
            then_branch = t () => (float[N,4] p) { p = Relu(x) },
            else_branch = e () => (float[N,4] q) { q = Neg(x) }
        >
    }"""
X = np.array([[-1.0, 2.0, 3.0, -4.0]], np.float32)


def _feed(rate):
    return {"x": X, "sr": np.array(rate, np.int64)}


def test_the_branch_of_the_bound_rate_stays(build, apply, run, operators):
    model = build(TWO_RATES)
    fixed, evidence = apply(FixInput(inputs={"sr": 16000}), model, _feed(16000))
    assert evidence.refused is None and evidence.facts["inputs_bound"] == 1
    assert [value.name for value in fixed.graph.inputs] == ["x"]
    folded, evidence = apply(FoldConstants(), fixed, _feed(16000))
    assert operators(folded) == ["Relu"]
    assert evidence.facts["branches_taken"] == 1
    np.testing.assert_array_equal(run(folded, x=X)[0], np.maximum(X, 0))


def test_data_with_another_value_is_refused_with_the_values(build, apply, tmp_path):
    model = build(TWO_RATES)
    with pytest.raises(DatasetError, match="8000 for input 'sr', and the model was bound to 16000"):
        apply(FixInput(inputs={"sr": 16000}), model, _feed(8000))
    # Not only the first samples are looked at.
    np.savez(tmp_path / "c.npz", x=np.zeros((3, 1, 4), np.float32), sr=np.array([16000, 16000, 8000]))
    facts = [TensorFacts(name="x", dtype="float32", shape=("N", 4)), TensorFacts(name="sr", dtype="int64", shape=())]
    context = Context(calibration=open_dataset(str(tmp_path / "c.npz"), facts))
    with pytest.raises(DatasetError, match="8000"):
        apply(FixInput(inputs={"sr": 16000}), model, context=context)


def test_the_fixed_model_takes_data_that_was_made_for_the_model_as_it_came(build, apply):
    fixed, _ = apply(FixInput(inputs={"sr": 16000}), build(TWO_RATES), _feed(16000))
    stripped, _ = apply(StripMetadata(shorten_names=True), fixed, _feed(16000))
    session = HostSession(serialized(stripped), exact=True)
    np.testing.assert_array_equal(session.run(_feed(16000))[0], np.maximum(X, 0))
    np.testing.assert_array_equal(session.run({"x": X})[0], np.maximum(X, 0))
    with pytest.raises(DatasetError, match="bound to 16000"):
        session.run(_feed(8000))
    with pytest.raises(DatasetError, match="nobody"):
        session.run({**_feed(16000), "nobody": X})


def test_a_recipe_with_it_is_judged_on_data_of_the_model_as_it_came(build, tmp_path):
    source, recipe, data = tmp_path / "model.onnx", tmp_path / "fixed.toml", tmp_path / "data.npz"
    source.write_bytes(serialized(build(TWO_RATES)))
    recipe.write_text(
        'title = "Fixed"\ndescription = "At 16 kHz."\n[[passes]]\nname = "fix-input"\ninputs = { sr = 16000 }\n'
        '[[passes]]\nname = "fold-constants"\n[[passes]]\nname = "remove-dead-code"\n'
    )
    samples = np.random.default_rng(2).standard_normal((5, 1, 4)).astype(np.float32)
    np.savez(data, x=samples, sr=np.full(5, 16000))
    output = tmp_path / "fixed.onnx"
    evidence = optimize(source, load_recipe(str(recipe)), output, evaluation=str(data))
    assert evidence.accepted, evidence.reasons
    assert evidence.result is not None and [one.name for one in evidence.result.inputs] == ["x"]
    assert evidence.executions[0].agreement.max_abs_error == 0.0
    # One sample of another rate, late in the data: no result.
    np.savez(data, x=samples, sr=np.array([16000] * 4 + [8000]))
    with pytest.raises(DatasetError, match="8000 for input 'sr'"):
        optimize(source, load_recipe(str(recipe)), tmp_path / "other.onnx", calibration=str(data))
    evidence = optimize(source, load_recipe(str(recipe)), tmp_path / "other.onnx", evaluation=str(data))
    assert not evidence.accepted and "8000 for input 'sr', which is bound to 16000" in " ".join(evidence.reasons)


def test_metadata_of_that_name_never_hides_an_input_that_the_model_has(build):
    model = build(TWO_RATES)
    model.metadata_props["edgedeploy.bound_inputs"] = '{"sr": 8000}'
    session = HostSession(serialized(model), exact=True)
    np.testing.assert_array_equal(session.run(_feed(16000))[0], np.maximum(X, 0))
    model.metadata_props["edgedeploy.bound_inputs"] = "[not json"
    assert HostSession(serialized(model), exact=True).run(_feed(16000))


def test_a_second_time_there_is_nothing_left_to_do(build, apply):
    step = FixInput(inputs={"sr": 16000}, dimensions={"N": 1})
    once, _ = apply(step, build(TWO_RATES), _feed(16000))
    twice, evidence = apply(step, once, _feed(16000))
    assert evidence.refused is None and not evidence.changed
    assert serialized(twice) == serialized(once)
    _, evidence = apply(FixInput(inputs={"sr": 8000}), once)
    assert "bound before, to 16000" in evidence.refused
    _, evidence = apply(FixInput(dimensions={"N": 2}), once)
    assert "bound before, to 1" in evidence.refused


SHAPES = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[N,C,S] x, float[N] w) => (float[N,M] y) <int64[1] tail = {-1}, int64 k = {0}, int64[1] zero = {0}> {
        s = Shape(x)
        n = Gather(s, k)
        row = Unsqueeze(n, zero)
        target = Concat <axis = 0> (row, tail)
        y = Reshape(x, target)
    }"""


@pytest.mark.parametrize("dimensions", [{"N": 2}, {"x:0": 2}, {"N": 2, "x:1": 3, "S": 4}])
def test_dimensions_by_name_and_by_axis(build, run, operators, dimensions):
    probe = {"x": np.arange(24, dtype=np.float32).reshape(2, 3, 4), "w": np.zeros(2, np.float32)}
    passes = [FixInput(dimensions=dimensions), InferShapes(), FoldConstants(), RemoveDeadCode()]
    result, evidence = run_passes(build(SHAPES), passes, Context(probes=[probe]))
    assert [one.refused for one in evidence] == [None] * 4
    assert operators(result) == ["Reshape"], "the shape that it reshapes to is known"
    assert result.graph.inputs[0].shape[0] == 2
    if "N" in dimensions:
        assert result.graph.inputs[1].shape[0] == 2 and result.graph.outputs[0].shape[0] == 2
    np.testing.assert_array_equal(run(result, **probe)[0], probe["x"].reshape(2, 12))


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (FixInput(), "name no input"),
        (FixInput(inputs={"rate": 1}), "no input 'rate'"),
        (FixInput(inputs={"srr": 1}), "there is 'sr'"),
        (FixInput(inputs={"sr": 0.5}), "0.5 is nothing that input 'sr'"),
        (FixInput(inputs={"sr": [1, 2]}), "shape"),
        (FixInput(inputs={"x": 1.0}), "dynamic dimensions"),
        (FixInput(dimensions={"M": 1}), "there is 'N'"),
        (FixInput(dimensions={"x:5": 1}), "no axis 5"),
        (FixInput(dimensions={"z:0": 1}), "no input 'z'"),
        (FixInput(dimensions={"x:1": 5}), "has the extent 4 already"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(build, apply, step, reason):
    model = build(TWO_RATES)
    result, evidence = apply(step, model)
    assert reason in evidence.refused
    assert serialized(result) == serialized(model)


def test_a_number_fills_an_input_of_known_shape(build, apply, run):
    model = build(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[N,2] x, float[1,2] b, bool[1] c) => (float[N,2] y) '
        "{ s = Add(x, b) y = Where(c, s, x) }"
    )
    probe = {"x": np.ones((3, 2), np.float32), "b": np.full((1, 2), 0.1, np.float32), "c": np.array([True])}
    fixed, evidence = apply(FixInput(inputs={"b": 0.1, "c": True}), model, probe)
    assert evidence.refused is None
    np.testing.assert_allclose(run(fixed, x=probe["x"])[0], 1.1, rtol=1e-6)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="at least 1"):
        FixInput(dimensions={"N": 0})


def test_text_is_not_bound_to_a_number(build, apply):
    text = '<ir_version: 8, opset_import: ["" : 17]> g (string[1] kind) => (string[1] y) { y = Identity(kind) }'
    feed = {"kind": np.array(["a"], object)}
    fixed, evidence = apply(FixInput(inputs={"kind": 1}), build(text), feed)
    assert evidence.refused is not None and "is text, and this pass binds numbers" in evidence.refused
    assert [value.name for value in fixed.graph.inputs] == ["kind"]
