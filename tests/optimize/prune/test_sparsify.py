"""sparsify: which weights become zero, and how those that stay make up for them."""

from __future__ import annotations

import numpy as np
import pytest

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.optimize.base import Context
from edgedeploy.optimize.graph.edit import constant
from edgedeploy.optimize.prune.moments import Moments
from edgedeploy.optimize.prune.sparse import by_activations, by_magnitude
from edgedeploy.optimize.prune.sparsify import Sparsify
from edgedeploy.values.model import TensorFacts


def _moments(x):
    square = (x.T @ x)[None].astype(np.float64)
    total = x.sum(axis=0)[None]
    return Moments(square=square, cross=square, total=total, other_total=total, rows=len(x))


def _correlated(rng: np.random.Generator, rows, inputs):
    return rng.standard_normal((rows, inputs // 2)) @ rng.standard_normal((inputs // 2, inputs)) + 0.1 * (
        rng.standard_normal((rows, inputs))
    )


@pytest.mark.slow
@pytest.mark.parametrize("pattern", [None, (2, 4), (1, 3)])
def test_making_up_gives_less_error_than_leaving_out(pattern, rng):
    x, weights = _correlated(rng, 2000, 160), rng.standard_normal((1, 160, 24))
    moments, errors = _moments(x), []
    for sparse in (
        by_magnitude(weights, 0.5, pattern),
        by_activations(weights, moments, 0.5, pattern, make_up=False),
        by_activations(weights, moments, 0.5, pattern, make_up=True),
    ):
        share = 0.5 if pattern is None else 1 - pattern[0] / pattern[1]
        assert (sparse == 0).mean() == pytest.approx(share, abs=0.01)
        if pattern is not None:
            whole = sparse[0][: len(sparse[0]) // pattern[1] * pattern[1]].reshape(-1, pattern[1], 24)
            assert ((whole != 0).sum(axis=1) <= pattern[0]).all()
        errors.append(float(((x @ (sparse[0] - weights[0])) ** 2).sum()))
    assert errors[2] < 0.7 * min(errors[:2])


def test_without_correlations_nothing_is_made_up(rng):
    # Of inputs that vary alone and alike, what is left out cannot be had from others: the smallest weights go.
    x, weights = np.eye(32) * 8, rng.standard_normal((1, 32, 4))
    sparse = by_activations(weights, _moments(x), 0.5, None, make_up=True)
    np.testing.assert_allclose(sparse, by_magnitude(weights, 0.5, None), atol=1e-6)


TEXT = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[n,8,6,6] x) => (float[n,5] y) {
        a = Conv (x, w)
        r = Relu(a)
        p = GlobalAveragePool(r)
        f = Flatten(p)
        y = Gemm(f, v, b)
    }
"""


@pytest.fixture
def context(tmp_path, rng):
    np.savez(tmp_path / "c.npz", x=rng.standard_normal((16, 8, 6, 6)).astype(np.float32))
    return Context(
        calibration=open_dataset(
            str(tmp_path / "c.npz"), [TensorFacts(name="x", dtype="float32", shape=("n", 8, 6, 6))]
        )
    )


@pytest.mark.parametrize("pattern", ["", "2:4"])
@pytest.mark.parametrize("importance", ["activations", "magnitude"])
def test_the_pass(build, apply, context, pattern, importance, rng):
    weights = {"w": (32, 8, 3, 3), "v": (32, 5), "b": (5,)}
    model = build(TEXT, **{k: rng.standard_normal(s).astype(np.float32) for k, s in weights.items()})
    result, evidence = apply(Sparsify(pattern=pattern, importance=importance), model, context=context)
    facts = evidence.facts
    assert evidence.refused is None
    assert facts["layers_sparsified"] == 1 and facts["zero_weights"] == facts["weights"] // 2
    assert facts["compressed_bytes_after"] < facts["compressed_bytes_before"]
    conv = next(node for node in result.graph if node.op_type == "Conv")
    weight = constant(conv.inputs[1])
    if pattern:
        # Along the inputs: channels, then the window.
        assert ((weight.reshape(32, -1, 4) == 0).sum(axis=2) == 2).all()
    _, evidence = apply(Sparsify(keep=("a",)), model, context=context)
    assert "no Conv, Gemm or MatMul" in evidence.refused


@pytest.mark.parametrize("setting", [{"sparsity": 1.0}, {"pattern": "4:2"}, {"pattern": "half"}, {"samples": 0}])
def test_settings_that_make_no_sense(setting):
    with pytest.raises(ValueError, match="must be"):
        Sparsify(**setting)
