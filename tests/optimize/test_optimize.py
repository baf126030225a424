"""The whole way: recipe, guard, evidence, files written or not."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnx.parser
import pytest

from edgedeploy.foundation.errors import DatasetError, InvalidFileError, UnknownNameError, UnsupportedError
from edgedeploy.inference.onnxruntime import HostSession
from edgedeploy.optimize.optimize import evidence_path, optimize
from edgedeploy.optimize.recipes.recipe import load_recipe
from edgedeploy.values.evidence import Evidence

TEXT = """
    <ir_version: 6, opset_import: ["" : 11], producer_name: "tests">
    g (float[N,3,16,16] x) => (float[N,10] y) {
        c = Conv <pads = [1,1,1,1], strides = [2,2]> (x, w)
        b = BatchNormalization(c, scale, shift, mean, variance)
        r = Relu(b)
        d = Conv <group = 16, pads = [1,1,1,1]> (r, v)
        a = Add(d, k)
        p = GlobalAveragePool(a)
        f = Flatten(p)
        h = MatMul(f, m)
        i = Identity(h)
        y = Softmax <axis = 1> (i)
    }"""


def _weights(rng):
    shapes = {"w": (16, 3, 3, 3), "scale": (16,), "shift": (16,), "mean": (16,), "v": (16, 1, 3, 3), "k": (1, 16, 1, 1)}
    weights = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return weights | {
        "variance": rng.uniform(0.5, 2, 16).astype(np.float32),
        "m": (rng.standard_normal((16, 10)) * 3).astype(np.float32),
    }


@pytest.fixture
def model(tmp_path, rng):
    proto = onnx.parser.parse_model(TEXT)
    # As PaddlePaddle's exporter has it: every weight in a Constant node.
    constants = [
        onnx.helper.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(array))
        for name, array in _weights(rng).items()
    ]
    nodes = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend(constants + nodes)
    path = tmp_path / "model.onnx"
    onnx.save(proto, path)
    return path


@pytest.fixture
def evaluation(tmp_path, model, rng):
    x = rng.standard_normal((200, 3, 16, 16)).astype(np.float32)
    labels = HostSession(model, exact=True).run({"x": x})[0].argmax(axis=1).astype(np.int64)
    np.savez(tmp_path / "evaluation.npz", x=x, labels=labels)
    return str(tmp_path / "evaluation.npz")


@pytest.fixture
def calibration(tmp_path, rng):
    np.savez(tmp_path / "calibration.npz", x=rng.standard_normal((32, 3, 16, 16)).astype(np.float32))
    return str(tmp_path / "calibration.npz")


def test_int8(model, tmp_path, evaluation, calibration):
    out = tmp_path / "out" / "small.onnx"
    evidence = optimize(model, load_recipe("int8"), out, calibration=calibration, evaluation=evaluation, max_drop=0.05)
    assert evidence.accepted, evidence.reasons
    assert evidence.result is not None and out.stat().st_size == evidence.result.size_bytes
    assert evidence.result.parameters < evidence.source.parameters
    assert evidence.calibration_samples == 32
    assert evidence.source_metric is not None and evidence.source_metric.value == 1.0
    assert evidence.executions[0].arithmetic == "exact"
    assert evidence.executions[0].metric.value >= 0.95
    assert all(step.refused is None for step in evidence.passes)
    facts = {step.name: step.facts for step in evidence.passes}
    assert facts["quantize-static"]["nodes_quantized"] == 3
    # By the float model's names, though the file has shorter ones: what batch normalization was folded into, and so on.
    assert [(one.layer, one.operator) for one in evidence.layers] == [("b", "Conv"), ("a", "Conv"), ("h", "MatMul")]
    assert all(10 < one.sqnr_db < 80 for one in evidence.layers)
    # What is written beside it is the same evidence, and it names the bytes that were written.
    written = json.loads(evidence_path(out).read_bytes())
    import msgspec

    assert msgspec.convert(written, Evidence, strict=False) == evidence
    assert {one.name for one in out.parent.iterdir()} == {"small.onnx", "small.onnx.evidence.json"}


def test_fold_keeps_every_result(model, tmp_path, evaluation, rng):
    out = tmp_path / "folded.onnx"
    evidence = optimize(model, load_recipe("fold"), out, evaluation=evaluation)
    assert evidence.accepted, evidence.reasons
    assert out.stat().st_size < model.stat().st_size
    x = rng.standard_normal((4, 3, 16, 16)).astype(np.float32)
    for got, wanted in zip(
        HostSession(out, exact=True).run({"x": x}), HostSession(model, exact=True).run({"x": x}), strict=True
    ):
        np.testing.assert_allclose(got, wanted, atol=1e-5)
    again = optimize(out, load_recipe("fold"), tmp_path / "again.onnx", evaluation=evaluation)
    assert again.accepted and any("nothing to do" in reason for reason in again.reasons)
    assert (tmp_path / "again.onnx").read_bytes() == out.read_bytes()


def test_a_refused_result_leaves_no_file_and_touches_none(model, tmp_path, evaluation, calibration):
    out = tmp_path / "out" / "small.onnx"
    out.parent.mkdir()
    out.write_bytes(b"what was here before")
    # Uncalibrated ranges: one tiny sample, so that everything saturates.
    np.savez(tmp_path / "tiny.npz", x=np.full((1, 3, 16, 16), 1e-3, np.float32))
    evidence = optimize(model, load_recipe("int8"), out, calibration=str(tmp_path / "tiny.npz"), evaluation=evaluation)
    assert not evidence.accepted
    assert "top1 fell from 1.0000" in evidence.reasons[0]
    assert evidence.result is not None and evidence.executions
    assert [one.name for one in out.parent.iterdir()] == ["small.onnx"]
    assert out.read_bytes() == b"what was here before"


def test_a_recipe_that_found_nothing_to_do_its_work_on_has_failed(tmp_path):
    path = tmp_path / "m.onnx"
    text = '<ir_version: 8, opset_import: ["" : 13]> g (float[N,4] x) => (float[N,4] y) { y = Exp(x) }'
    onnx.save(onnx.parser.parse_model(text), path)
    evidence = optimize(path, load_recipe("int8-dynamic"), tmp_path / "out.onnx")
    assert not evidence.accepted
    assert "quantize-dynamic, which the recipe is for, did nothing" in evidence.reasons[0]
    assert not (tmp_path / "out.onnx").exists()


def test_without_evaluation_data_it_says_what_was_not_judged(model, tmp_path, calibration):
    evidence = optimize(model, load_recipe("int8"), tmp_path / "out.onnx", calibration=calibration)
    assert evidence.accepted
    assert evidence.source_metric is None and evidence.evaluation_sha256 is None
    assert any("accuracy was not judged" in reason and "calibration data" in reason for reason in evidence.reasons)


def test_without_any_data_inputs_are_made_up(model, tmp_path):
    evidence = optimize(model, load_recipe("fold"), tmp_path / "out.onnx")
    assert evidence.accepted
    assert any("generated inputs" in reason for reason in evidence.reasons)


@pytest.mark.slow
def test_one_dataset_for_both_is_noticed(model, tmp_path, evaluation):
    evidence = optimize(
        model, load_recipe("int8"), tmp_path / "o.onnx", calibration=evaluation, evaluation=evaluation, max_drop=0.05
    )
    assert any("are the same" in reason for reason in evidence.reasons)


def test_calibration_data_that_nothing_was_made_with_speaks_against_nothing(model, tmp_path, evaluation):
    evidence = optimize(
        model, load_recipe("weights-int8"), tmp_path / "o.onnx", calibration=evaluation, evaluation=evaluation,
        max_drop=0.05,
    )  # fmt: skip
    assert not any("are the same" in reason for reason in evidence.reasons)


def test_mistakes_are_named(model, tmp_path, evaluation, calibration):
    int8, fold, out = load_recipe("int8"), load_recipe("fold"), tmp_path / "out.onnx"
    with pytest.raises(DatasetError, match="needs calibration data") as caught:
        optimize(model, int8, out)
    assert "--calibration" in caught.value.hint
    with pytest.raises(InvalidFileError, match="does not exist"):
        optimize(tmp_path / "nothing.onnx", fold, out)
    with pytest.raises(UnknownNameError, match="top7"):
        optimize(model, fold, out, evaluation=evaluation, metric="top7")
    with pytest.raises(UnsupportedError, match="max_drop"):
        optimize(model, fold, out, max_drop=float("nan"))
    with pytest.raises(UnsupportedError, match="is the model itself"):
        optimize(model, fold, model)
    np.savez(tmp_path / "wrong.npz", image=np.zeros((2, 3, 16, 16), np.float32))
    with pytest.raises(DatasetError, match="'x'"):
        optimize(model, fold, out, evaluation=str(tmp_path / "wrong.npz"))
    assert not out.exists()


def test_the_same_inputs_give_the_same_bytes(model, tmp_path, calibration):
    for name in ("a.onnx", "b.onnx"):
        optimize(model, load_recipe("int8"), tmp_path / name, calibration=calibration)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_an_interruption_leaves_nothing(model, tmp_path, calibration):
    class Interrupting:
        def step(self, text):
            if text.startswith("comparing"):
                raise KeyboardInterrupt

        def advance(self, done, total, unit):
            pass

        def note(self, text):
            pass

    out = tmp_path / "out" / "small.onnx"
    with pytest.raises(KeyboardInterrupt):
        optimize(model, load_recipe("int8"), out, calibration=calibration, progress=Interrupting())
    assert not out.parent.exists() or not list(out.parent.iterdir())


def test_external_data_becomes_one_file(model, tmp_path, rng):
    folder = tmp_path / "external"
    folder.mkdir()
    proto = onnx.load(optimize_first(model, tmp_path))
    onnx.save(proto, folder / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    evidence = optimize(folder / "m.onnx", load_recipe("fold"), tmp_path / "one.onnx")
    assert evidence.accepted
    x = rng.standard_normal((1, 3, 16, 16)).astype(np.float32)
    np.testing.assert_allclose(
        HostSession(tmp_path / "one.onnx", exact=True).run({"x": x})[0],
        HostSession(model, exact=True).run({"x": x})[0],
        atol=1e-5,
    )


def optimize_first(model, tmp_path):
    path = tmp_path / "first.onnx"
    optimize(model, load_recipe("fold"), path)
    return path


def test_a_model_that_no_runtime_loads_is_the_users_to_mend(tmp_path):
    text = """
        <ir_version: 8, opset_import: ["" : 13, "com.nobody" : 1]>
        g (float[N,4] x) => (float[N,4] y) { y = com.nobody.Mystery(x) }"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "m.onnx")
    with pytest.raises(UnsupportedError, match="does not load"):
        optimize(tmp_path / "m.onnx", load_recipe("fold"), tmp_path / "out.onnx")


def test_a_model_that_takes_no_made_up_input_is_not_accepted_unseen(tmp_path):
    # Seven columns, and a first dimension that has to be five: nothing generated fits.
    text = """
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[N,M] x) => (float[5,7] y) <int64[2] shape = {5, 7}> { y = Reshape(x, shape) }"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "m.onnx")
    evidence = optimize(tmp_path / "m.onnx", load_recipe("fold"), tmp_path / "out.onnx")
    assert not evidence.accepted and "could not be run" in evidence.reasons[0]
