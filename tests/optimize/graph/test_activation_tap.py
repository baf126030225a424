"""Intermediate values read out of a model, against those that numpy computes."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.optimize.graph.activation_tap import ActivationTap, groups_within, shapes_on
from edgedeploy.optimize.graph.edit import serialized
from edgedeploy.optimize.graph.shapes import infer_shapes

MODEL = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[N,3] x, bool c) => (float[N,3] y) <float[3] k = {1.0, 2.0, 3.0}, float[3] unread = {0.0, 0.0, 0.0}> {
        a = Mul(x, k)
        i = Cast <to = 7> (a)
        b = Neg(a)
        branched = If (c) <
            then_branch = t () => (float[N,3] p) {
                p = If (c) <
                    then_branch = u () => (float[N,3] r) { r = Identity(a) },
                    else_branch = v () => (float[N,3] s) { s = Identity(b) }
                >
            },
            else_branch = e () => (float[N,3] q) { q = Exp(b) }
        >
        y = Add(branched, unread)
    }"""
K = np.array([1, 2, 3], np.float32)


@pytest.fixture
def feed(rng):
    return {"x": rng.standard_normal((2, 3)).astype(np.float32), "c": np.array(True)}


@pytest.mark.parametrize("exact", [True, False])
def test_values_of_any_kind_and_twice(build, feed, exact):
    model = build(MODEL)
    infer_shapes(model)
    tap = ActivationTap(model, ["x", "a", "k", "a", "i", "branched", "y"], exact=exact)
    x, a, k, again, i, branched, y = tap.run(feed)
    np.testing.assert_array_equal(x, feed["x"])
    np.testing.assert_array_equal(k, K)
    for value in (a, again, branched, y):
        np.testing.assert_allclose(value, feed["x"] * K, rtol=1e-6)
    assert i.dtype == np.int64
    np.testing.assert_array_equal(i, np.trunc(feed["x"] * K))


def test_other_readouts(build, feed):
    model = build(MODEL)
    (integers,) = ActivationTap(model, ["i"], readout="float32").run(feed)
    assert integers.dtype == np.float32
    np.testing.assert_array_equal(integers, np.trunc(feed["x"] * K))
    assert shapes_on(model, ["branched", "k", "x"], feed) == [(2, 3), (3,), (2, 3)]
    assert [int(size) for size in ActivationTap(model, ["y", "k"], readout="size").run(feed)] == [6, 3]


def test_the_model_stays_and_what_a_value_does_not_need_is_not_run(build, feed):
    text = MODEL.replace("y = Add(branched, unread)", "z = MatMul(a, a) y = Add(branched, unread)")
    model = build(text)
    before = serialized(model)
    np.testing.assert_allclose(ActivationTap(model, ["b"]).run(feed)[0], -feed["x"] * K, rtol=1e-6)
    assert serialized(model) == before
    with pytest.raises(UnsupportedError, match="fails while it runs"):
        ActivationTap(model, ["z"]).run(feed)


def test_names_of_the_model_do_not_collide_with_those_of_the_tap(build, feed):
    model = build(MODEL.replace("b = Neg(a)", "edgedeploy_tap = Neg(a) b = Identity(edgedeploy_tap)"))
    for value in next(node for node in model.graph if node.op_type == "Neg").outputs:
        value.name = "edgedeploy:tap"
    (found,) = ActivationTap(model, ["edgedeploy:tap"]).run(feed)
    np.testing.assert_allclose(found, -feed["x"] * K, rtol=1e-6)


def test_what_is_no_value_of_the_main_graph_cannot_be_tapped(build):
    with pytest.raises(KeyError, match="r"):
        ActivationTap(build(MODEL), ["r"])


def test_nothing_is_kept_from_run_to_run(build, rng):
    tap = ActivationTap(
        build('<ir_version: 8, opset_import: ["" : 13]> g (float[N] x) => (float[N] y) { a = Neg(x) y = Neg(a) }'),
        ["a", "y"],
    )
    feed = {"x": rng.standard_normal(1 << 16).astype(np.float32)}
    tap.run(feed)
    tracemalloc.start()
    try:
        for _ in range(8):
            tap.run(feed)
        held, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Both values of one run take 512 kB; an expression's results may live until the next one's are there.
    assert held < 100_000 and most < 1_200_000


def test_groups_are_as_few_as_the_limit_allows():
    assert groups_within(["a", "b", "c", "d"], [4, 4, 9, 1], 8) == [["a", "b"], ["c"], ["d"]]
    assert groups_within([], [], 8) == []
