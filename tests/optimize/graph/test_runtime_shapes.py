"""Ranks and extents that running the model tells, and those that it must not be believed."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from edgedeploy.optimize.base import Context
from edgedeploy.optimize.recipes.pipeline import run_passes
from edgedeploy.optimize.simplify import infer_shapes as module
from edgedeploy.optimize.simplify.fold_constants import FoldConstants
from edgedeploy.optimize.simplify.infer_shapes import InferShapes

PROBES = [{"x": np.ones((2, 12), np.float32)}]


def _model(build, nodes, extents="N,12"):
    # onnx's inference does not follow a shape through Mod and Gather, nor through what is not known of it.
    return build(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[{extents}] x) => (float[A,B] y)
        <int64 zero = {{0}}, int64[1] row = {{0}}, int64[1] ones = {{1}}, int64[1] all = {{-1}},
         int64[2] flat = {{0, -1}}, int64[1] big = {{100}}> {{
            s = Shape(x)
            n = Gather(s, row)
            m = Mod(n, big)
            {nodes}
        }}""")


def _shapes(result):
    shapes = {value.name: value.shape for node in result.graph for value in node.outputs}
    return {
        name: None if shape is None else [extent if isinstance(extent, int) else "?" for extent in shape]
        for name, shape in shapes.items()
    }


@pytest.fixture
def blind(monkeypatch):
    """onnx's inference gives up."""

    def fail(*_, **__):
        raise RuntimeError("inference gave up")

    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", fail)


NODES = "t = Concat <axis = 0> (m, ones, all) r = Reshape(x, t) a = Relu(r) y = Reshape(a, flat)"


def test_a_rank_that_cannot_be_another_is_written_down_and_no_extent(build, apply):
    result, evidence = apply(InferShapes(), _model(build, NODES), *PROBES)
    assert evidence.refused is None
    shapes = _shapes(result)
    assert len(shapes["r"]) == len(shapes["a"]) == 3
    assert shapes["a"][0] == "?", "the batch is dynamic"


def test_extents_are_written_down_where_all_inputs_are_of_fixed_size(build, apply):
    model = _model(build, NODES, "2,12")
    result, _ = apply(InferShapes(), model, *PROBES)
    assert _shapes(result)["a"] == [2, 1, 12]


@pytest.mark.parametrize(
    "nodes",
    [
        # Whether the axis goes depends on its extent.
        "q = Squeeze(x) a = Relu(q) y = Reshape(a, flat)",
        "z = NonZero(x) c = Cast <to = 1> (z) a = Relu(c) y = Reshape(a, flat)",
        # The content of the input shapes it.
        "h = ReduceMax <keepdims = 0> (x) i = Cast <to = 7> (h) k = Unsqueeze(i, row) t = Concat <axis = 0> (k, all) "
        "a = Reshape(x, t) y = Reshape(a, flat)",
    ],
)
def test_what_content_or_extents_can_change_is_not_believed(build, apply, nodes, monkeypatch):
    monkeypatch.setattr("edgedeploy.optimize.graph.runtime_shapes.infer_shapes", lambda model: None)
    result, _ = apply(InferShapes(), _model(build, nodes, "2,12"), *PROBES)
    assert _shapes(result)["a"] is None


def test_without_inference_nothing_is_told(build, apply, blind):
    # Not even types are known then, and an operator that gives no tensor cannot be watched.
    _, evidence = apply(InferShapes(), _model(build, NODES), *PROBES)
    assert "gave up" in evidence.refused


def test_the_result_holds_for_other_batches(build, run):
    model = _model(build, NODES)
    result, evidence = run_passes(model, [InferShapes(), FoldConstants()], Context(probes=PROBES))
    assert [one.refused for one in evidence] == [None, None]
    for batch in (1, 3, 5):
        x = np.ones((batch, 12), np.float32)
        np.testing.assert_array_equal(run(result, x=x)[0], run(model, x=x)[0])


def test_the_pass_says_how_many_it_observed(build, apply):
    _, evidence = apply(module.InferShapes(), _model(build, NODES), *PROBES)
    assert {"values", "values_with_shape", "values_observed"} == set(evidence.facts)
