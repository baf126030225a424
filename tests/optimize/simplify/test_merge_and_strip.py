"""merge-duplicate-initializers and strip-metadata."""

from __future__ import annotations

import numpy as np

from edgedeploy.optimize.graph.edit import serialized
from edgedeploy.optimize.simplify.infer_shapes import InferShapes
from edgedeploy.optimize.simplify.merge_duplicate_initializers import MergeDuplicateInitializers
from edgedeploy.optimize.simplify.strip_metadata import StripMetadata, short_name

X = np.array([1.0, 2.0], np.float32)


def test_equal_weights_are_stored_once(build, apply, run):
    model = build("""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[2] x) => (float[2] y)
        <float[2] a = {1.0, 2.0}, float[2] b = {1.0, 2.0}, float[2] c = {1.0, 3.0}> {
            p = Add(x, a) q = Add(p, b) y = Add(q, c)
        }""")
    result, evidence = apply(MergeDuplicateInitializers(), model, {"x": X})
    assert set(result.graph.initializers) == {"a", "c"}
    assert evidence.facts == {"initializers_merged": 1, "saved_bytes": 8}
    np.testing.assert_array_equal(run(result, x=X)[0], [4.0, 9.0])


def test_same_bytes_of_another_type_or_shape_are_not_equal(build, apply):
    model = build("""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[2] x) => (float[2] y, int32[2] z, float[1,2] t)
        <float[2] a = {0.0, 0.0}, int32[2] b = {0, 0}, float[1,2] c = {0.0, 0.0}> {
            y = Add(x, a) z = Add(b, b) t = Add(x, c)
        }""")
    _, evidence = apply(MergeDuplicateInitializers(), model, {"x": X})
    assert not evidence.changed


def test_a_weight_that_is_an_output_keeps_its_name(build, apply):
    model = build("""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[2] x) => (float[2] y, float[2] b) <float[2] a = {1.0, 2.0}, float[2] b = {1.0, 2.0}> { y = Add(x, a) }
        """)
    result, evidence = apply(MergeDuplicateInitializers(), model, {"x": X})
    assert set(result.graph.initializers) == {"a", "b"} and evidence.refused is None


MODEL = """
    <ir_version: 8, opset_import: ["" : 13]>
    a_long_graph_name (float[2] x, bool c) => (float[2] y) <float[2] weights_of_the_first_layer = {1.0, 2.0}> {
        the_first_intermediate_value = Add(x, weights_of_the_first_layer)
        y = If (c) <
            then_branch = t () => (float[2] p) { p = Neg(the_first_intermediate_value) },
            else_branch = e () => (float[2] q) {
                another_value = Abs(the_first_intermediate_value)
                q = Add(another_value, weights_of_the_first_layer)
            }
        >
    }"""
PROBES = [{"x": X, "c": np.array(True)}, {"x": X, "c": np.array(False)}]


def test_descriptions_go_and_what_programs_read_stays(build, apply):
    model = build(MODEL)
    model.metadata_props["names"] = "cat,dog"
    for node in model.graph:
        node.doc_string = "File /home/someone/train.py, line 12"
        node.metadata_props["pkg.torch.stack"] = "…"
    inferred, _ = apply(InferShapes(), model)
    result, evidence = apply(StripMetadata(), inferred, *PROBES)
    content = serialized(result)
    assert evidence.facts["removed_bytes"] > 0
    assert b"someone" not in content and b"pkg.torch" not in content
    assert b"cat,dog" in content and b"the_first_intermediate_value" in content


def test_short_names(build, apply, run):
    model = build(MODEL)
    expected = [run(model, **probe)[0] for probe in PROBES]
    result, evidence = apply(StripMetadata(shorten_names=True), model, *PROBES)
    assert evidence.refused is None
    assert b"the_first_intermediate_value" not in serialized(result)
    assert [value.name for value in (*result.graph.inputs, *result.graph.outputs)] == ["x", "c", "y"]
    for probe, wanted in zip(PROBES, expected, strict=True):
        np.testing.assert_array_equal(run(result, **probe)[0], wanted)


def test_short_names_do_not_meet_those_of_the_interface(build, apply):
    model = build("""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[2] a) => (float[2] b) { long_name_1 = Neg(a) long_name_2 = Abs(long_name_1) b = Neg(long_name_2) }""")
    result, evidence = apply(StripMetadata(shorten_names=True), model, {"a": X})
    assert evidence.refused is None
    assert [node.outputs[0].name for node in result.graph] == ["c", "d", "b"]


def test_short_names_are_distinct():
    names = [short_name(number) for number in range(50_000)]
    assert len(set(names)) == len(names)
    assert all(name[0].isalpha() for name in names)
    assert names[:2] == ["a", "b"] and names[26:28] == ["aa", "ba"]
