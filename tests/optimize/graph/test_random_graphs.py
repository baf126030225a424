"""Recipes on graphs that nobody wrote: results stay, or the result loads and agrees, or it is refused with the reason.

EDGEDEPLOY_EXAMPLES sets how many graphs each recipe is given; then they are others each time.
"""

from __future__ import annotations

import os

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from support.drawn_graphs import SHAPE, X, models

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.inference.onnxruntime import HostSession
from edgedeploy.optimize.base import Context
from edgedeploy.optimize.graph.edit import serialized
from edgedeploy.optimize.optimize import evidence_path, optimize
from edgedeploy.optimize.recipes.pipeline import run_passes
from edgedeploy.optimize.recipes.recipe import load_recipe, recipe_names
from edgedeploy.values.model import TensorFacts

pytestmark = pytest.mark.slow

RECIPES = [name for name in recipe_names() if not load_recipe(name).is_search]
_EXAMPLES = os.environ.get("EDGEDEPLOY_EXAMPLES")


def _given(default: int, **strategies):
    """So many drawn graphs; the same ones each time unless more are asked for."""
    rules = settings(
        max_examples=int(_EXAMPLES or default),
        derandomize=_EXAMPLES is None,
        # Shrinking a graph of twelve steps takes minutes, and the drawn one shows the defect as well.
        phases=(Phase.explicit, Phase.generate),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    return lambda test: rules(given(**strategies)(test))


def _apart(proto: onnx.ModelProto) -> ir.Model:
    """In objects of its own: passes rename weights in the proto that they were read from."""
    return ir.from_proto(onnx.load_from_string(proto.SerializeToString()))


@_given(30, proto=models())
def test_fold_keeps_every_result(proto):
    recipe = load_recipe("fold")
    model = _apart(proto)
    # Checked here, not by the pipeline, which would undo a pass that is wrong.
    result, evidence = run_passes(model, recipe.passes, Context())
    assert [step.refused for step in evidence if step.refused] == []
    content = serialized(result)
    before, after = (HostSession(b, exact=True) for b in (proto.SerializeToString(), content))
    for batch in (X, X[:1]):
        for expected, got in zip(before.run({"x": batch}), after.run({"x": batch}), strict=True):
            assert got.shape == expected.shape
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4 * max(np.abs(expected).max(), 1e-6))
    assert len(content) <= len(serialized(model))
    again, _ = run_passes(ir.from_proto(onnx.load_from_string(content)), recipe.passes, Context())
    assert serialized(again) == content, "a second time there is nothing left to do"


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    path = tmp_path_factory.mktemp("samples") / "samples.npz"
    np.savez(path, x=X)
    return str(path)


@pytest.mark.parametrize("name", RECIPES)
@_given(5, proto=models())
def test_a_result_loads_and_agrees_or_is_refused_with_the_reason(name, proto, samples, tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    source, output = folder / "model.onnx", folder / "result.onnx"
    source.write_bytes(proto.SerializeToString())
    evidence = optimize(source, load_recipe(name), output, calibration=samples)
    for step in evidence.passes:
        # The pipeline undoes what breaks a promise; that one has to is a defect all the same.
        assert step.refused is None or not step.refused.startswith(("it failed", "its result was discarded")), step
    if not evidence.accepted:
        assert evidence.reasons and all(reason.strip() for reason in evidence.reasons)
        assert not output.exists() and not evidence_path(output).exists()
        return
    result = output.read_bytes()
    assert len(result) <= source.stat().st_size
    before = HostSession(source, exact=True).run({"x": X})
    for exact in (True, False):
        after = HostSession(output, exact=exact).run({"x": X})
        for expected, got in zip(before, after, strict=True):
            assert got.shape == expected.shape and np.isfinite(got).all()
    after = HostSession(output, exact=True).run({"x": X})
    power = sum(float((expected.astype(np.float64) ** 2).sum()) for expected in before)
    error = sum(
        float(((expected.astype(np.float64) - got) ** 2).sum()) for expected, got in zip(before, after, strict=True)
    )
    assert error <= 0.1 * power, "the guard lets 10 dB through, and nothing less"


@_given(12, proto=models())
def test_int8_agrees_without_a_guard(proto, samples):
    """Most of what is drawn can be quantized, and is good: the guard has little to do."""
    inputs = (TensorFacts(name="x", dtype="float32", shape=("N", *SHAPE)),)
    context = Context(calibration=open_dataset(samples, inputs), probes=[{"x": X}])
    result, evidence = run_passes(_apart(proto), load_recipe("int8").passes, context)
    for step in evidence:
        assert step.refused is None or step.refused.startswith("there is no "), step
    before = HostSession(proto.SerializeToString(), exact=True).run({"x": X})
    for exact in (True, False):
        after = HostSession(serialized(result), exact=exact).run({"x": X})
        for expected, got in zip(before, after, strict=True):
            assert got.shape == expected.shape and np.isfinite(got).all()
            power, error = float((expected**2).sum()), float(((expected - got) ** 2).sum())
            # A sum of values that cancel keeps little; what is left must still be the same signal.
            assert error <= 0.1 * power + 1e-3 * expected.size, (power, error)
