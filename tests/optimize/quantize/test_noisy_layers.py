"""A layer that ruins an 8-bit model stays in float, if that is a small part of it."""

from __future__ import annotations

import numpy as np
import pytest

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.optimize.base import Context
from edgedeploy.optimize.quantize.quantize_static import QuantizeStatic
from edgedeploy.values.model import TensorFacts

NETWORK = """
    <ir_version: 8, opset_import: ["" : 17]>
    net (float[N, 16] x) => (float[N, 64] y) {
        n = MatMul(x, first)
        z = MatMul(n, wide)
        r = Relu(z)
        y = MatMul(r, deep)
    }"""


@pytest.fixture
def network(build, rng, tmp_path):
    """A network, samples and a context. One input has outliers, and no weight reads it: on the grid of all inputs,
    nothing is left of the others."""
    x = rng.normal(0, 1, (24, 16)).astype(np.float32)
    x[:, 0] *= 1000
    first = rng.normal(0, 1, (16, 4)).astype(np.float32)
    first[0] = 0
    wide, deep = (rng.normal(0, 0.3, shape).astype(np.float32) for shape in ((4, 64), (64, 64)))
    np.savez(tmp_path / "c.npz", x=x)
    inputs = (TensorFacts(name="x", dtype="float32", shape=("N", 16)),)
    context = Context(calibration=open_dataset(str(tmp_path / "c.npz"), inputs), probes=[{"x": x[:2]}])
    return build(NETWORK, first=first, wide=wide, deep=deep), x, context


def noise_of(run, before, after, x):
    expected, found = run(before, x=x)[0], run(after, x=x)[0]
    return 10 * np.log10((expected**2).sum() / ((found - expected) ** 2).sum())


def test_the_layer_that_costs_most_stays_in_float(network, apply, run):
    model, x, context = network
    ruined, _ = apply(QuantizeStatic(), model, context=context)
    kept, evidence = apply(QuantizeStatic(float_share=0.03), model, context=context)
    assert evidence.facts["kept_in_float"] == "n"
    assert evidence.facts["nodes_quantized"] == 2
    assert noise_of(run, model, ruined, x) < 15 < noise_of(run, model, kept, x)
    assert evidence.facts["noisiest_group_before_db"] < 15 < evidence.facts["noisiest_group_after_db"]


def test_a_layer_that_is_too_large_for_its_share_is_quantized(network, apply):
    model, _, context = network
    _, evidence = apply(QuantizeStatic(float_share=0.01), model, context=context)
    assert "kept_in_float" not in evidence.facts and evidence.facts["nodes_quantized"] == 3


def test_a_model_that_is_quiet_enough_is_left_as_it_is(network, apply):
    model, x, context = network
    quiet = np.array(x)
    quiet[:, 0] /= 1000
    np.savez(context.calibration.spec, x=quiet)
    inputs = (TensorFacts(name="x", dtype="float32", shape=("N", 16)),)
    calm = Context(calibration=open_dataset(context.calibration.spec, inputs), probes=[{"x": quiet[:2]}])
    _, evidence = apply(QuantizeStatic(float_share=0.5), model, context=calm)
    assert "kept_in_float" not in evidence.facts


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_is_one(share):
    with pytest.raises(ValueError, match="float_share"):
        QuantizeStatic(float_share=share)
