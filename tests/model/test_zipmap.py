"""Classifiers of scikit-learn answer tables: a `ZipMap` at their end is left out where the model is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgedeploy import api
from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.inference.session import open_session
from edgedeploy.model.inspect import inspect_model
from edgedeploy.model.load import load_onnx, read_in_one_piece

ML = "ai.onnx.ml"
INTEGERS = {"classlabels_int64s": [3, 1, 2]}
WORDS = {"classlabels_strings": ["cat", "dog", "fish"]}


def write(path: Path, classes: dict[str, list[int]] | dict[str, list[str]], *, between: bool = False) -> Path:
    """Write a classifier as skl2onnx does: labels, and probabilities as a sequence of maps."""
    of_words = "classlabels_strings" in classes
    labels = classes if of_words else {"classlabels_ints": classes["classlabels_int64s"]}
    maps = "maps" if between else "probabilities"
    nodes = [
        helper.make_node(
            "LinearClassifier",
            ["x"],
            ["label", "scores"],
            domain=ML,
            coefficients=[0.5, -1.0, 0.25, 2.0, 1.5, -0.5],
            intercepts=[0.0, 0.5, -0.5],
            post_transform="SOFTMAX",
            **labels,
        ),
        helper.make_node("ZipMap", ["scores"], [maps], domain=ML, **classes),
    ]
    if between:
        nodes.append(helper.make_node("Identity", [maps], ["probabilities"]))
    key = TensorProto.STRING if of_words else TensorProto.INT64
    kind = helper.make_map_type_proto(key, helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [
            helper.make_tensor_value_info("label", key, [None]),
            helper.make_value_info("probabilities", helper.make_sequence_type_proto(kind)),
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(ML, 1)]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
    return path


@pytest.mark.parametrize(("classes", "order"), [(INTEGERS, "3, 1, 2"), (WORDS, "cat, dog, fish")])
def test_the_table_is_answered_under_the_name_of_the_maps(tmp_path, rng, classes, order):
    path = write(tmp_path / "m.onnx", classes)
    facts = inspect_model(path)
    table = facts.outputs[1]
    assert (table.name, table.dtype, table.shape) == ("probabilities", "float32", ("N", 3))
    assert len(facts.notes) == 1
    assert "ZipMap" in facts.notes[0]
    assert order in facts.notes[0]
    _, found = open_session(read_in_one_piece(path), "onnx", exact=True).run(
        {"x": rng.standard_normal((4, 2)).astype(np.float32)}
    )
    assert found.shape == (4, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)


def test_many_classes_are_counted_in_the_note(tmp_path):
    classes = {"classlabels_int64s": list(range(10))}
    model = onnx.load(write(tmp_path / "m.onnx", INTEGERS))
    model.graph.node[1].CopyFrom(helper.make_node("ZipMap", ["scores"], ["probabilities"], domain=ML, **classes))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    assert "10 classes in order, 0 to 9" in inspect_model(tmp_path / "m.onnx").notes[0]


def test_maps_that_something_else_takes_are_refused_in_words(tmp_path):
    path = write(tmp_path / "m.onnx", WORDS, between=True)
    with pytest.raises(UnsupportedError, match="sequence of maps"):
        inspect_model(path)


def test_a_model_without_maps_is_read_as_it_is(tmp_path):
    path = write(tmp_path / "m.onnx", WORDS)
    model = load_onnx(path)
    (tmp_path / "plain.onnx").write_bytes(content := model.SerializeToString())
    assert inspect_model(tmp_path / "plain.onnx").notes == ()
    assert read_in_one_piece(tmp_path / "plain.onnx") == content


@pytest.mark.slow
def test_a_classifier_is_optimized_and_says_what_it_answers(tmp_path):
    result = api.optimize(write(tmp_path / "m.onnx", WORDS), api.load_recipe("fold"), tmp_path / "small.onnx")
    assert any("cat, dog, fish" in note for note in result.reasons)
