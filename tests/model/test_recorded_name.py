"""A model's name is in its file, so that another name of the file makes no other model of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from support.tflite_models import small_network

from edgedeploy.model.recorded_name import METADATA_KEY, model_name, name_of_file, recorded_name, with_name
from edgedeploy.optimize.optimize import evidence_path, optimize
from edgedeploy.optimize.recipes.recipe import load_recipe

RELU = '<ir_version: 8, opset_import: ["": 17]> g (float[N,2] x) => (float[N,2] y) { y = Relu (x) }'


@pytest.fixture
def model(tmp_path: Path, rng: np.random.Generator) -> Path:
    text = '<ir_version: 8, opset_import: ["": 17]> g (float[N,64] x) => (float[N,64] y) { y = MatMul (x, w) }'
    proto = onnx.parser.parse_model(text)
    weight = rng.standard_normal((64, 64)).astype(np.float32)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    onnx.save(proto, tmp_path / "Text Direction.onnx")
    return tmp_path / "Text Direction.onnx"


@pytest.mark.parametrize(
    ("file", "name"), [("Text Direction.onnx", "text-direction"), ("ä.onnx", "model"), ("_m.v2_.tflite", "m.v2")]
)
def test_without_a_recorded_name_the_file_gives_it(tmp_path: Path, file: str, name: str) -> None:
    assert name_of_file(tmp_path / file) == model_name(tmp_path / file) == name


def test_a_name_is_added_once_and_nothing_else_changes(tmp_path: Path) -> None:
    content = onnx.parser.parse_model(RELU).SerializeToString()
    named = with_name(content, "onnx", "first")
    assert with_name(named, "onnx", "second") == named
    read = onnx.load_from_string(named)
    onnx.checker.check_model(read)
    assert {entry.key: entry.value for entry in read.metadata_props} == {METADATA_KEY: "first"}
    del read.metadata_props[:]
    assert read.SerializeToString() == content


@pytest.mark.parametrize("value", ["../../etc", "", "A", "x" * 65, "\x1b[31m"])
def test_what_cannot_be_a_name_is_not_taken(tmp_path: Path, value: str) -> None:
    (tmp_path / "m.onnx").write_bytes(with_name(onnx.parser.parse_model(RELU).SerializeToString(), "onnx", value))
    assert recorded_name(tmp_path / "m.onnx") is None
    assert model_name(tmp_path / "m.onnx") == "m"


def test_the_name_survives_optimize_a_copy_and_another_optimize(model: Path, tmp_path: Path) -> None:
    small, copy, again = tmp_path / "small.onnx", tmp_path / "copy.onnx", tmp_path / "again.onnx"
    evidence = optimize(model, load_recipe("weights-int8"), small)
    assert evidence.accepted and evidence.model_name == "text-direction"
    shutil.copy(small, copy)
    assert model_name(small) == model_name(copy) == "text-direction"
    assert optimize(copy, load_recipe("fold"), again).accepted
    assert model_name(again) == "text-direction"
    # A model that nobody optimized has no name but its file's: a copy of it is a model of its own.
    shutil.copy(model, tmp_path / "other.onnx")
    assert model_name(tmp_path / "other.onnx") == "other"


def test_a_name_makes_no_result_larger_than_its_model(tmp_path: Path) -> None:
    source = tmp_path / "relu.onnx"
    onnx.save(onnx.parser.parse_model(RELU), source)
    evidence = optimize(source, load_recipe("fold"), tmp_path / "out.onnx")
    assert evidence.accepted, evidence.reasons
    assert (tmp_path / "out.onnx").stat().st_size <= source.stat().st_size
    assert evidence.model_name == "relu" and evidence_path(tmp_path / "out.onnx").is_file()


def test_a_tensorflow_lite_file_records_it_too_and_runs_as_before(tmp_path: Path, rng: np.random.Generator) -> None:
    from edgedeploy.inference.litert import TfliteSession

    source, small, again = (tmp_path / f"{name}.tflite" for name in ("Faces", "small", "again"))
    source.write_bytes(small_network())
    assert optimize(source, load_recipe("weights-int8"), small, max_drop=0.5).accepted
    assert model_name(small) == "faces"
    named = with_name(source.read_bytes(), "tflite", "faces")
    feed = {"image": rng.random((1, 16, 16, 3)).astype(np.float32)}
    before, after = (TfliteSession(content, exact=True).run(feed) for content in (source.read_bytes(), named))
    np.testing.assert_array_equal(before[0], after[0])
    assert recorded_name(source) is None
    source.write_bytes(named)
    renamed = source.rename(tmp_path / "other.tflite")
    assert optimize(renamed, load_recipe("weights-int8"), again, max_drop=0.5).accepted
    assert model_name(again) == "faces"
