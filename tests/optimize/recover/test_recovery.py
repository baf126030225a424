"""Passes that give back accuracy: they keep results, or come closer to the float model, or are undone."""

from __future__ import annotations

import numpy as np
import pytest

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.optimize.base import Context
from edgedeploy.optimize.quantize.quantize_static import QuantizeStatic
from edgedeploy.optimize.quantize.quantize_weights import QuantizeWeights
from edgedeploy.optimize.recipes.pipeline import run_passes
from edgedeploy.optimize.recover.balance_activations import BalanceActivations
from edgedeploy.optimize.recover.correct_bias import CorrectBias
from edgedeploy.optimize.recover.equalize_ranges import EqualizeRanges
from edgedeploy.optimize.recover.layer_inputs import Gram, as_rows, from_rows, layer_rows, unsupported_reason
from edgedeploy.optimize.recover.quantized_layers import HeldOut, QuantizedLayer, known, quantized_layers, reference_of
from edgedeploy.optimize.recover.round_adaptively import RoundAdaptively
from edgedeploy.values.model import TensorFacts

NETWORK = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[N,3,8,8] x) => (float[N,5] y) {
        a = Conv <pads = [1,1,1,1]> (x, w, b)
        r = Relu(a)
        d = Conv <group = 8, pads = [1,1,1,1]> (r, v, c)
        s = Relu(d)
        e = Conv (s, u)
        p = GlobalAveragePool(e)
        f = Flatten(p)
        y = Gemm <transB = 1> (f, m, n)
    }"""


def weights(rng: np.random.Generator, uneven: float = 1.0) -> dict[str, np.ndarray]:
    """`uneven`: how far the channels of the first layer differ, and those of the second the other way."""
    spread = np.geomspace(1, uneven, 8)
    arrays = {
        "w": rng.standard_normal((8, 3, 3, 3)) * spread[:, None, None, None],
        "b": rng.standard_normal(8) * spread,
        "v": rng.standard_normal((8, 1, 3, 3)) / spread[:, None, None, None],
        "c": rng.standard_normal(8),
        "u": rng.standard_normal((6, 8, 1, 1)),
        "m": rng.standard_normal((5, 6)),
        "n": rng.standard_normal(5),
    }
    return {name: array.astype(np.float32) for name, array in arrays.items()}


@pytest.fixture
def context(tmp_path, rng):
    x = rng.standard_normal((48, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "c.npz", x=x)
    facts = (TensorFacts(name="x", dtype="float32", shape=("N", 3, 8, 8)),)
    return Context(calibration=open_dataset(str(tmp_path / "c.npz"), facts), probes=[{"x": x[:1]}])


def test_equalized_layers_give_the_same_results_and_have_even_ranges(build, context, run, rng):
    model = build(NETWORK, **weights(rng, uneven=300))
    result, (evidence,) = run_passes(model, [EqualizeRanges()], context)
    assert evidence.changed and evidence.facts["pairs_equalized"] == 2
    assert evidence.facts["unevenness_after"] < 3 < evidence.facts["unevenness_before"]
    x = rng.standard_normal((4, 3, 8, 8)).astype(np.float32)
    for got, wanted in zip(run(result, x=x), run(model, x=x), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())


def test_even_layers_quantize_better(build, context, rng):
    model = build(NETWORK, **weights(rng, uneven=300))
    # One scale for a whole weight is where unevenness hurts most.
    static = QuantizeStatic(per_channel=False)
    figures = {}
    for name, passes in {"plain": [static], "equalized": [EqualizeRanges(), static]}.items():
        context.reference = None
        result, evidence = run_passes(model, passes, context)
        assert all(step.changed for step in evidence)
        figures[name] = HeldOut(context).sqnr_db(result)
    assert figures["equalized"] > figures["plain"] + 6


@pytest.mark.parametrize(
    ("between", "reason"),
    [
        ("r = HardSwish(a)", "HardSwish comes behind it"),
        ("r0 = Relu(a) r = Add(r0, a)", "several read its output"),
    ],
)
def test_what_does_not_commute_with_a_scale_is_left(build, context, between, reason, rng):
    text = f"""<ir_version: 8, opset_import: ["" : 17]> g (float[N,3,8,8] x) => (float[N,4,8,8] y) {{
        a = Conv <pads = [1,1,1,1]> (x, w) {between} y = Conv (r, u) }}"""
    model = build(
        text,
        w=rng.standard_normal((4, 3, 3, 3)).astype(np.float32),
        u=rng.standard_normal((4, 4, 1, 1)).astype(np.float32),
    )
    _, (evidence,) = run_passes(model, [EqualizeRanges()], context)
    assert not evidence.changed and reason in evidence.refused


def test_channels_without_weights_stay(build, context, run, rng):
    given = weights(rng, uneven=100)
    given["w"][3] = 0
    given["v"][5] = 0
    model = build(NETWORK, **given)
    result, (evidence,) = run_passes(model, [EqualizeRanges()], context)
    assert evidence.changed
    x = rng.standard_normal((2, 3, 8, 8)).astype(np.float32)
    assert np.isfinite(run(result, x=x)[0]).all()


@pytest.mark.parametrize(
    "quantizer", [QuantizeStatic(), QuantizeStatic(per_channel=False), QuantizeWeights(smallest=8)]
)
def test_layers_are_found_again_with_the_weights_they_compute_with(build, context, quantizer, rng):
    model = build(NETWORK, **weights(rng))
    result, _ = run_passes(model, [quantizer], context)
    layers = quantized_layers(result, reference_of(context))
    # Alone, weights of a few dozen elements are not worth the nodes that give them back.
    stored = {"a", "d"} if isinstance(quantizer, QuantizeWeights) else {"a", "d", "e", "y"}
    assert {layer.name for layer in layers} == stored
    for layer in layers:
        original = known(layer.original.inputs[1])
        step = np.abs(original).max() / 127
        assert 0 < np.abs(layer.weight - original).max() <= step * 0.51
        assert (layer.input_params is None) == isinstance(quantizer, QuantizeWeights)


@pytest.mark.parametrize("per_channel", [True, False])
def test_corrected_biases_bring_the_outputs_closer(build, context, per_channel, rng):
    model = build(NETWORK, **weights(rng))
    # A range that is too small: every value beyond is cut off, which shifts means.
    static = QuantizeStatic(calibration="percentile", percentile=97.0, per_channel=per_channel)
    result, (_, evidence) = run_passes(model, [static, CorrectBias()], context)
    assert evidence.changed, evidence.refused
    assert evidence.facts["sqnr_after_db"] > evidence.facts["sqnr_before_db"]
    assert HeldOut(context).sqnr_db(result) == pytest.approx(evidence.facts["sqnr_after_db"], abs=0.01)


def test_what_does_not_help_is_undone(build, context, monkeypatch, rng):
    model = build(NETWORK, **weights(rng))
    from edgedeploy.optimize.recover import correct_bias

    # As if the data seen had nothing to do with the data held out.
    monkeypatch.setattr(
        correct_bias,
        "mean_errors",
        lambda reference, layers, context: {layer.name: np.full(9, 50.0)[: len(_channels(layer))] for layer in layers},
    )
    quantized, _ = run_passes(model, [QuantizeStatic()], context)
    context.reference = None
    result, (_, evidence) = run_passes(model, [QuantizeStatic(), CorrectBias()], context)
    assert not evidence.changed and "it does not help: SQNR" in evidence.refused
    assert HeldOut(context).sqnr_db(result) == HeldOut(context).sqnr_db(quantized)


def _channels(layer) -> np.ndarray:
    return known(layer.original.inputs[2]) if len(layer.original.inputs) > 2 else np.zeros(layer.weight.shape[0])


def test_without_a_quantizer_before_it_there_is_nothing_to_correct(build, context, rng):
    _, (evidence,) = run_passes(build(NETWORK, **weights(rng)), [CorrectBias()], context)
    assert "put it behind a quantizer" in evidence.refused


# With one scale for a whole uneven weight it is the rounding of weights that costs, not that of activations.
@pytest.mark.parametrize("quantizer", [QuantizeStatic(per_channel=False), QuantizeWeights(smallest=8)])
def test_weights_rounded_anew_bring_the_outputs_closer(build, context, quantizer, rng):
    model = build(NETWORK, **weights(rng, uneven=30))
    _, (_, evidence) = run_passes(model, [quantizer, RoundAdaptively()], context)
    assert evidence.changed, evidence.refused
    assert evidence.facts["layers_left"] == 0 or isinstance(quantizer, QuantizeWeights)
    assert evidence.facts["layer_error_ratio"] < 1.0 and evidence.facts["weights_moved"] > 0
    assert evidence.facts["sqnr_after_db"] > evidence.facts["sqnr_before_db"]


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("y = Conv <pads = [1,0,2,1], strides = [2,1], dilations = [1,2]> (x, w)", (4, 3, 3, 2)),
        ("y = Conv <group = 3, pads = [1,1,1,1]> (x, w)", (6, 1, 3, 3)),
        ("t = Transpose <perm = [0,2,3,1]> (x) y = MatMul(t, w)", (3, 4)),
        ("f = Flatten(x) y = Gemm <transB = 1> (f, w)", (4, 147)),
        ("f = Flatten(x) y = Gemm(f, w)", (147, 4)),
    ],
)
def test_rows_times_weights_are_what_the_layer_computes(build, run, text, shape, rng):
    """The oracle of the rows: each layer's output, from the rows of its inputs alone."""
    head = '<ir_version: 8, opset_import: ["" : 17]> g (float[N,3,7,7] x) => (float[M] y) {'
    weight = rng.standard_normal(shape).astype(np.float32)
    model = build(f"{head} {text} }}".replace("float[M] y", "float y"), w=weight)
    node = next(node for node in model.graph if node.outputs[0].name == "y")
    layer = QuantizedLayer(node, node, weight, None)
    assert unsupported_reason(layer, 2048) is None
    x = rng.standard_normal((2, 3, 7, 7)).astype(np.float32)
    source = {"Conv": x, "MatMul": x.transpose(0, 2, 3, 1), "Gemm": x.reshape(2, -1)}[node.op_type]
    groups = Gram(layer).groups
    rows = layer_rows(layer, source, 10**6, rng)
    computed = np.einsum("gnd,gcd->gnc", rows, as_rows(layer, weight.astype(np.float64)))
    expected = run(model, x=x)[0]
    if node.op_type == "Conv":
        expected = np.moveaxis(expected, 1, -1)
    expected = expected.reshape(len(rows[0]), groups, -1).transpose(1, 0, 2)
    np.testing.assert_allclose(computed, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(from_rows(layer, as_rows(layer, weight)), weight)


ATTENTION = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[N,6,32] x) => (float[N,6,16] y, float[N,6,8] z) {
        n = LayerNormalization <axis = -1> (x, scale, shift)
        q = MatMul(n, wq)
        y = Add(q, bq)
        z = MatMul(n, wk)
    }"""
WRITTEN_OUT = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[N,6,32] x) => (float[N,6,16] y) {
        m = Mul(x, scale)
        n = Add(shift, m)
        y = MatMul(n, wq)
    }"""


def outlier_weights(rng: np.random.Generator) -> dict[str, np.ndarray]:
    scale = np.ones(32)
    scale[[3, 17]] = 80.0
    arrays = {
        "scale": scale,
        "shift": rng.standard_normal(32) * 0.1,
        "wq": rng.standard_normal((32, 16)) * 0.2,
        "wk": rng.standard_normal((32, 8)) * 0.2,
        "bq": rng.standard_normal(16),
    }
    arrays["wq"][[3, 17]] /= 80
    arrays["wk"][[3, 17]] /= 80
    return {name: array.astype(np.float32) for name, array in arrays.items()}


@pytest.fixture
def sequences(tmp_path, rng):
    x = rng.standard_normal((48, 6, 32)).astype(np.float32)
    np.savez(tmp_path / "s.npz", x=x)
    facts = (TensorFacts(name="x", dtype="float32", shape=("N", 6, 32)),)
    return Context(calibration=open_dataset(str(tmp_path / "s.npz"), facts), probes=[{"x": x[:1]}])


@pytest.mark.parametrize("text", [ATTENTION, WRITTEN_OUT])
def test_balanced_activations_keep_results_and_quantize_better(build, sequences, run, text, rng):
    model = build(text, **{name: array for name, array in outlier_weights(rng).items() if name in text})
    x = rng.standard_normal((4, 6, 32)).astype(np.float32)
    figures = {}
    for name, passes in {"plain": [QuantizeStatic()], "balanced": [BalanceActivations(), QuantizeStatic()]}.items():
        sequences.reference = None
        result, evidence = run_passes(model, passes, sequences)
        assert all(step.changed for step in evidence), [step.refused for step in evidence]
        figures[name] = HeldOut(sequences).sqnr_db(result)
    assert evidence[0].facts["layer_error_ratio"] < 0.2
    assert figures["balanced"] > figures["plain"] + 6
    balanced, _ = run_passes(model, [BalanceActivations()], sequences)
    for got, wanted in zip(run(balanced, x=x), run(model, x=x), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())


def test_even_activations_and_other_readers_are_left(build, sequences, rng):
    even = outlier_weights(rng) | {"scale": np.ones(32, np.float32), "shift": np.zeros(32, np.float32)}
    text = ATTENTION.replace("z = MatMul(n, wk)", "z = Relu(n)").replace("float[N,6,8] z", "float[N,6,32] z")
    model = build(text, **{name: array for name, array in even.items() if name != "wk"})
    _, (evidence,) = run_passes(model, [BalanceActivations()], sequences)
    assert evidence.refused and "is read by MatMul or Gemm alone" in evidence.refused
