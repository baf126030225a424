"""Where noise comes in: layers of a quantized model against those of the float one."""

from __future__ import annotations

import numpy as np
import pytest

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.optimize.base import Context
from edgedeploy.optimize.graph.edit import serialized
from edgedeploy.optimize.guard.layer_noise import layer_noise
from edgedeploy.optimize.quantize.quantize_dynamic import QuantizeDynamic
from edgedeploy.optimize.quantize.quantize_static import QuantizeStatic
from edgedeploy.optimize.recipes.pipeline import run_passes
from edgedeploy.values.evidence import LayerNoise
from edgedeploy.values.model import TensorFacts

# Two branches from one layer, and a last layer that both feed.
NETWORK = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[N,8] x) => (float[N,4] y) {
        a = MatMul (x, wa)
        r = Relu (a)
        b = MatMul (r, wb)
        c = MatMul (r, wc)
        s = Add (b, c)
        t = Relu (s)
        y = MatMul (t, wd)
    }"""


def weights(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        name: rng.standard_normal(shape).astype(np.float32)
        for name, shape in {"wa": (8, 16), "wb": (16, 16), "wc": (16, 16), "wd": (16, 4)}.items()
    }


@pytest.fixture
def dataset(tmp_path, rng):
    np.savez(tmp_path / "c.npz", x=rng.standard_normal((32, 8)).astype(np.float32))
    return open_dataset(str(tmp_path / "c.npz"), (TensorFacts(name="x", dtype="float32", shape=("N", 8)),))


@pytest.mark.parametrize("step", [QuantizeStatic(), QuantizeDynamic()])
def test_each_layer_in_order_with_what_came_to_it(build, dataset, step, rng: np.random.Generator) -> None:
    model = build(NETWORK, **weights(rng))
    result, (evidence,) = run_passes(model, [step], Context(calibration=dataset))
    assert evidence.changed
    found = layer_noise(serialized(model), serialized(result), dataset.samples())
    assert [(one.layer, one.operator) for one in found] == [(name, "MatMul") for name in "abcy"]
    a, b, c, y = found
    assert a.before_db is None and b.before_db == c.before_db == a.sqnr_db
    assert y.before_db == min(b.sqnr_db, c.sqnr_db)
    assert all(15 < one.sqnr_db < 80 for one in found)


def test_the_layer_that_was_damaged_is_named(build, dataset, rng: np.random.Generator) -> None:
    given = weights(rng)
    model = build(NETWORK, **given)
    # As one bit would: all but the sign is gone in one branch.
    damaged = build(NETWORK, **{**given, "wc": np.sign(given["wc"])})
    found = layer_noise(serialized(model), serialized(damaged), dataset.samples())
    a, b, c, y = found
    assert a.sqnr_db is None and b.sqnr_db is None and a.added == b.added == 0
    assert c.before_db is None and c.sqnr_db < 10
    assert max(found, key=lambda one: one.added) is c
    assert y.before_db == c.sqnr_db


def test_what_passes_through_adds_nothing() -> None:
    def noise(sqnr_db: float | None, before_db: float | None) -> float:
        return LayerNoise(layer="l", operator="Conv", sqnr_db=sqnr_db, before_db=before_db).added

    assert noise(20.0, 20.0) == noise(30.0, 20.0) == noise(None, None) == 0
    assert noise(10.0, None) == pytest.approx(0.1)
    assert noise(10.0, 20.0) == pytest.approx(0.09)


def test_layers_of_other_names_are_left_out(build, dataset, rng: np.random.Generator) -> None:
    model = build(NETWORK, **weights(rng))
    other = build(NETWORK.replace("b = MatMul", "q = MatMul").replace("(b, c)", "(q, c)"), **weights(rng))
    assert [one.layer for one in layer_noise(serialized(model), serialized(other), dataset.samples())] == list("acy")


def test_models_that_do_not_run_have_none(build, dataset, rng: np.random.Generator) -> None:
    model = build(NETWORK, **weights(rng))
    narrow = build(NETWORK.replace("[N,8]", "[N,7]"), **{**weights(rng), "wa": np.ones((7, 16), np.float32)})
    assert layer_noise(serialized(model), serialized(narrow), dataset.samples()) == ()
