from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.foundation.errors import DatasetError
from edgedeploy.optimize.base import Context, PassSkipped
from edgedeploy.optimize.graph import activation_tap
from edgedeploy.optimize.graph.edit import constant
from edgedeploy.optimize.quantize import calibration
from edgedeploy.optimize.quantize.calibration import METHODS, calibrate, calibrate_all, collect_histograms
from edgedeploy.optimize.quantize.histogram import Range
from edgedeploy.optimize.quantize.quantize_static import QuantizeStatic
from edgedeploy.optimize.quantize.range_estimators import squared_error
from edgedeploy.values.model import TensorFacts

INPUTS = (TensorFacts(name="x", dtype="float32", shape=("N", 2)),)
MODEL = """
    <ir_version: 8, opset_import: ["" : 13]>
    g (float[N,2] x) => (float[N,2] y) <float[2] k = {2.0, 2.0}> { a = Mul(x, k) b = Relu(a) y = Log(b) }"""
BY_HISTOGRAM = tuple(method for method in METHODS if method not in ("min-max", "mean-min-max"))


@pytest.fixture
def context(tmp_path):
    def make(rows):
        rows = np.array(rows, np.float32)
        np.savez(tmp_path / "c.npz", x=rows)
        inputs = (TensorFacts(name="x", dtype="float32", shape=("N", *rows.shape[1:])),)
        return Context(calibration=open_dataset(str(tmp_path / "c.npz"), inputs))

    return make


@pytest.fixture
def runs(monkeypatch):
    """How many samples the model was run on."""
    counted = []

    class Counting(activation_tap.HostSession):
        def run(self, feed):
            outputs = super().run(feed)
            if outputs[0].dtype == np.float32:
                counted.append(feed)
            return outputs

    monkeypatch.setattr(activation_tap, "HostSession", Counting)
    return counted


def test_ranges_are_those_of_all_samples(build, context):
    seen = calibrate(build(MODEL), ["x", "a", "b"], context([[1, 2], [-3, 0.5], [4, 4]]))
    assert seen.ranges == {"x": Range(-3.0, 4.0), "a": Range(-6.0, 8.0), "b": Range(0.0, 8.0)}
    assert seen.samples == 3


def test_zero_is_in_every_range(build, context):
    for seen in calibrate_all(build(MODEL), ["x"], context([[3, 4], [5, 6]])).values():
        assert seen.ranges["x"].low == 0.0 < seen.ranges["x"].high


def test_the_mean_of_extremes(build, context):
    seen = calibrate(build(MODEL), ["x"], context([[-1, 1], [-1, 1], [-1, 10]]), method="mean-min-max")
    assert seen.ranges["x"] == Range(-1.0, 4.0)


@pytest.mark.parametrize("method", METHODS)
def test_a_limit_of_samples(build, context, method):
    seen = calibrate(build(MODEL), ["x"], context([[1, 4], [3, 4], [50, 60]]), method=method, limit=2)
    assert 3.9 < seen.ranges["x"].high <= 4.0
    assert seen.samples == 2


def test_one_pass_gives_the_ranges_by_every_method(build, context, runs):
    rows = np.random.default_rng(1).standard_normal((40, 500))
    rows[7, 3] = 100.0
    model = build("""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[N,500] x) => (float[N,500] y) { a = Relu(x) y = Neg(a) }""")
    context = context(rows)
    by_method = calibrate_all(model, ["x", "a", "y"], context)
    assert len(runs) == 40
    assert set(by_method) == set(METHODS)
    assert by_method["min-max"].ranges["a"].high == by_method["min-max"].ranges["x"].high == 100.0
    assert by_method["percentile"].ranges["a"].high < 5
    assert by_method["entropy"].ranges["a"].high < 20
    assert 3 < by_method["mean-min-max"].ranges["a"].high < 7
    for method, seen in by_method.items():
        assert seen.ranges["y"] == Range(-seen.ranges["a"].high, 0.0), method
        assert calibrate(model, ["a"], context, method=method).ranges["a"] == seen.ranges["a"]
    histograms = collect_histograms(model, ["x", "a"], context)
    errors = {method: squared_error(histograms["x"], seen.ranges["x"]) for method, seen in by_method.items()}
    assert errors["mse"] == min(errors.values())
    assert len(runs) == 40, "nothing of this needs another pass"


def test_what_is_known_is_not_found_out_again(build, context, runs):
    model, context = build(MODEL), context([[1, 2], [3, 4], [5, 6]])
    calibrate(model, ["x"], context)
    calibrate(model, ["x"], context, method="mean-min-max")
    assert len(runs) == 3
    calibrate(model, ["x", "a"], context, method="mse")
    calibrate(model, ["a"], context, method="percentile", percentile=99.0)
    calibrate(model, ["a"], context)
    assert len(runs) == 6
    assert calibrate(model, ["a", "b"], context, method="mse").ranges.keys() == {"a", "b"}
    assert set(runs[-1]) == {"x"} and len(runs) == 9
    calibrate(model, ["x"], context, limit=2)
    assert len(runs) == 11, "other samples are another question"
    other = build(MODEL.replace("2.0, 2.0", "2.0, 3.0"))
    assert calibrate(other, ["a"], context).ranges["a"].high == 18.0
    assert len(runs) == 14, "so is another model"


def test_findings_of_few_models_are_kept(build, context):
    context = context([[1, 2], [3, 4]])
    for number in range(20):
        calibrate(build(MODEL.replace("2.0, 2.0", f"2.0, {number}.0")), ["a"], context)
    (kept,) = context.memo.values()
    assert len(kept) == calibration.KEPT_MODELS


@pytest.mark.parametrize("method", METHODS)
def test_values_that_are_not_finite_are_the_users_to_mend(build, context, method):
    # log(0) is -inf: no range holds it.
    context = context([[1, 2], [0, 1]])
    with pytest.raises(DatasetError, match=r"sample 1 .* not finite") as caught:
        calibrate(build(MODEL), ["a", "y"], context, method=method)
    assert "'y'" in caught.value.why
    # Nothing is left of it that a later run could take for findings.
    assert calibrate(build(MODEL), ["a"], context, method=method).samples == 2


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("position", [0, 50, 99])
def test_a_nan_is_found_wherever_it_stands(build, context, method, position):
    # onnxruntime's ReduceMin and ReduceMax overlook it in some places.
    row = np.linspace(-1, 1, 100)
    row[position] = np.nan
    model = build('<ir_version: 8, opset_import: ["" : 13]> g (float[N,100] x) => (float[N,100] y) { y = Neg(x) }')
    with pytest.raises(DatasetError, match=r"sample 0 .* not finite"):
        calibrate(model, ["y"], context([row]), method=method)


def test_without_data_it_is_refused(build):
    with pytest.raises(PassSkipped, match="calibration data"):
        calibrate(build(MODEL), ["x"], Context())


def test_values_of_subgraphs_are_refused(build, context):
    model = build("""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[N,2] x, bool c) => (float[N,2] y) {
            y = If (c) <
                then_branch = t () => (float[N,2] p) { p = Neg(x) },
                else_branch = e () => (float[N,2] q) { q = Relu(x) }
            >
        }""")
    with pytest.raises(PassSkipped, match="'p' is not a value of the main graph"):
        calibrate(model, ["p"], context([[1, 2]]))


@pytest.mark.parametrize("method", METHODS)
def test_inputs_weights_outputs_and_scalars_can_be_watched(build, context, method):
    model = build("""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[N,2] x) => (float[N,2] y, float s) <float[2] k = {2.0, 3.0}>
        { y = Mul(x, k) s = ReduceMax <keepdims = 0> (y) }""")
    ranges = calibrate(model, ["x", "k", "y", "s"], context([[1, 2], [3, 4]]), method=method).ranges
    assert {name: round(seen.high, 1) for name, seen in ranges.items()} == (
        {"x": 4.0, "k": 3.0, "y": 12.0, "s": 12.0} if method != "mean-min-max" else {"x": 3, "k": 3, "y": 9, "s": 9}
    )


@pytest.mark.parametrize("method", METHODS)
def test_tensors_without_elements_and_zeros(build, context, method):
    model = build("""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[N,2] x) => (float[N,M] e, float[N,2] z)
        <int64[1] one = {1}, int64[1] zero = {0}, float[1] nothing = {0.0}>
        { e = Slice(x, zero, zero, one) z = Mul(x, nothing) }""")
    seen = calibrate(model, ["e", "z"], context([[1, 2], [3, 4]]), method=method)
    assert seen.ranges == {"e": Range(0.0, 0.0), "z": Range(0.0, 0.0)}


def test_numbers_that_are_no_floats_are_refused(build, context):
    model = build("""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[N,2] x) => (int64[N,2] y) { y = Cast <to = 7> (x) }""")
    with pytest.raises(PassSkipped, match="'y' holds INT64"):
        calibrate(model, ["y"], context([[1, 2]]))


def test_numbers_of_an_untold_type_are_refused_too(build, context):
    model = build("""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[N,2] x) => (float[N,2] y) { i = Cast <to = 7> (x) y = Cast <to = 1> (i) }""")
    with pytest.raises(PassSkipped, match="does not let its values be watched"):
        calibrate(model, ["i"], context([[1, 2]]))


@pytest.mark.parametrize("groups", [1, 3])
def test_values_that_branches_read_are_still_there(build, context, monkeypatch, groups):
    if groups > 1:
        monkeypatch.setattr(calibration, "MOST_BYTES", 4)
    model = build("""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[N,2] x) => (float[N,2] z) <bool yes = {1}, float[2] k = {2.0, 3.0}> {
            a = Mul(x, k)
            y = If (yes) <
                then_branch = t () => (float[N,2] p) { p = Neg(a) },
                else_branch = e () => (float[N,2] q) { q = Relu(a) }
            >
            z = Add(y, y)
        }""")
    ranges = calibrate(model, ["a", "y", "z"], context([[1, 2], [3, 4]])).ranges
    assert ranges == {"a": Range(0.0, 12.0), "y": Range(-12.0, 0.0), "z": Range(-24.0, 0.0)}


@pytest.mark.parametrize("method", ["min-max", "mse"])
def test_many_tensors_are_watched_in_groups(build, context, method, runs, monkeypatch):
    model, context = build(MODEL), context([[1, 2], [-3, 0.5], [4, 4]])
    expected = calibrate(model, ["x", "a", "b"], context, method=method)
    context.memo.clear()
    runs.clear()
    monkeypatch.setattr(calibration, "MOST_BYTES", 16)
    assert calibrate(model, ["x", "a", "b"], context, method=method) == expected
    assert len(runs) == 6, "two tensors of eight bytes, and one"


def test_progress_is_told_for_each_sample(build, context):
    heard = []

    class Listener:
        def advance(self, done, total, unit):
            heard.append((done, total, unit))

    quiet = context([[1, 2], [3, 4], [5, 6]])
    loud = Context(calibration=quiet.calibration, progress=Listener())
    calibrate(build(MODEL), ["x"], loud, limit=2)
    assert heard == [(1, 2, "samples"), (2, 2, "samples")]


@pytest.mark.parametrize("method", METHODS)
def test_an_interruption_leaves_nothing(build, context, method):
    class Impatient:
        def advance(self, done, total, unit):
            raise KeyboardInterrupt

    quiet = context([[1, 2], [3, 4]])
    hurried = Context(calibration=quiet.calibration, progress=Impatient())
    with pytest.raises(KeyboardInterrupt):
        calibrate(build(MODEL), ["x"], hurried, method=method)
    hurried.progress = quiet.progress
    assert calibrate(build(MODEL), ["x"], hurried, method=method).samples == 2


@pytest.mark.parametrize("method", METHODS)
def test_memory_does_not_grow_with_the_number_of_samples(build, context, method):
    model = build('<ir_version: 8, opset_import: ["" : 13]> g (float[N,65536] x) => (float[N,65536] y) { y = Neg(x) }')
    context = context(np.random.default_rng(2).standard_normal((64, 65536)))

    def peak(samples):
        context.memo.clear()
        tracemalloc.start()
        try:
            calibrate(model, ["x", "y"], context, method=method, limit=samples)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, many = peak(8), peak(64)
    # A sample's values of both tensors are 512 kB, and those of 56 samples more 29 MB.
    assert many < few + 200_000


@pytest.mark.parametrize("method", METHODS)
def test_quantize_static_takes_its_ranges_from_each_method(build, apply, run, context, method):
    rng = np.random.default_rng(4)
    rows, weight = rng.standard_normal((32, 64)), rng.standard_normal((64, 8)).astype(np.float32)
    rows[3, 5] = 50.0
    model = build(
        '<ir_version: 8, opset_import: ["" : 13]> g (float[N,64] x) => (float[N,8] y) { y = MatMul(x, w) }', w=weight
    )
    context = context(rows)
    result, evidence = apply(QuantizeStatic(calibration=method, percentile=99.0), model, context=context)
    assert evidence.refused is None
    (scale,) = (constant(node.inputs[1]) for node in result.graph if node.op_type == "QuantizeLinear")
    seen = calibrate(model, ["x"], context, method=method, percentile=99.0).ranges["x"]
    assert scale == pytest.approx((seen.high - seen.low) / 255, rel=1e-6)
    usual = rows[10:].astype(np.float32)
    error = run(result, x=usual)[0] - usual @ weight
    assert np.sqrt((error**2).mean()) < (1.0 if method == "min-max" else 0.7)


@pytest.mark.parametrize("percentile", [50.0, 100.5])
def test_quantize_static_checks_its_percentile(percentile):
    with pytest.raises(ValueError, match="percentile"):
        QuantizeStatic(percentile=percentile)
