"""No result leaves that does not load, lost its accuracy or grew."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedeploy.datasets.dataset import Sample, open_dataset
from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.inference.onnxruntime import HostSession
from edgedeploy.metrics.heads.registry import find_head
from edgedeploy.metrics.model_comparison import ResultFailedError
from edgedeploy.metrics.registry import find_metric
from edgedeploy.optimize.graph.edit import serialized
from edgedeploy.optimize.guard.evaluation import Data, Evaluation, within
from edgedeploy.optimize.guard.guard import judge
from edgedeploy.optimize.guard.request import GuardRequest
from edgedeploy.optimize.guard.result import ViolationKind
from edgedeploy.values.drop import drop_of
from edgedeploy.values.head import Head
from edgedeploy.values.model import TensorFacts
from edgedeploy.values.speed import SpeedFigure

INPUTS = (TensorFacts(name="x", dtype="float32", shape=("N", 3)),)
X = np.random.default_rng(3).standard_normal((100, 3)).astype(np.float32)
HEAD = '<ir_version: 8, opset_import: ["" : 13]>'
FLOAT = HEAD + "g (float[N,3] x) => (float[N,3] y) { y = Softmax(x) }"


@pytest.fixture
def data(tmp_path):
    def make(**arrays):
        np.savez(tmp_path / "e.npz", **arrays)
        return Data(name="the evaluation data", dataset=open_dataset(str(tmp_path / "e.npz"), INPUTS))

    return make


@pytest.fixture
def hold(build):
    def against(
        result,
        data,
        *,
        source=FLOAT,
        labelled=True,
        metric="top1",
        max_drop=0.01,
        tolerance=None,
        classifies=False,
        source_size_bytes=10_000,
        allowed=(),
        **judges,
    ):
        judged_by = find_metric(metric) if labelled else None
        request = GuardRequest(
            source=serialized(build(source)),
            source_size_bytes=source_size_bytes,
            evaluation=data
            and Evaluation(
                data=data, metric=judged_by, drop=drop_of(max_drop), tolerance=tolerance, classifies=classifies
            ),
            allowed=frozenset(allowed),
            **judges,
        )
        return judge(result if isinstance(result, bytes) else serialized(build(result)), request)

    return against


LABELS = X.argmax(axis=1).astype(np.int64)
ABORTING = (
    HEAD
    + """
    g (float[N,3] x) => (float[N,3] y) <float s = {0.1}, uint8 z = {128}, int64[2] p = {0, 3}> {
        q = QuantizeLinear(x, s, z)
        d = DequantizeLinear(q, s, z)
        r = Reshape(d, p)
        m = ReduceMax <keepdims = 0> (x)
        is_above = Greater(m, s)
        y = If(is_above) <
            then_branch = t () => (float[N,3] a) { a = Softmax(r) },
            else_branch = e () => (float[N,3] b) { b = Softmax(r) }
        >
    }"""
)
"""Over which onnxruntime ends the process."""


def test_the_same_model_is_accepted(hold, data):
    guard_result = hold(FLOAT, data(x=X, labels=LABELS))
    assert guard_result.accepted and guard_result.notes == ("speed was not judged",)
    assert guard_result.source_metric.value == 1.0 and guard_result.source_metric.samples == 100
    assert [one.arithmetic for one in guard_result.executions] == ["exact", "host"]
    assert guard_result.executions[0].metric.value == 1.0
    assert guard_result.executions[0].agreement.sqnr_db is None
    assert guard_result.executions[0].isa


def _wrong(share):
    """A model that takes the sign of the first input for a reason to answer otherwise, for a share of the samples."""
    threshold = float(np.quantile(X[:, 0], 1 - share))
    return (
        HEAD
        + f"""g (float[N,3] x) => (float[N,3] y)
        <float t = {{{threshold:.7f}}}, int64[1] zero = {{0}}, int64[1] one = {{1}}, int64[1] axis = {{1}}> {{
        first = Slice(x, zero, one, axis)
        odd = Greater(first, t)
        n = Neg(x)
        z = Where(odd, n, x)
        y = Softmax(z)
    }}"""
    )


def test_a_drop_of_just_the_allowed_is_accepted(hold, data):
    exact = hold(_wrong(0.05), data(x=X, labels=LABELS), max_drop=0.05)
    assert exact.executions[0].metric.value == pytest.approx(0.95)
    assert exact.accepted


def test_a_larger_drop_is_refused_with_its_figures(hold, data):
    guard_result = hold(_wrong(0.06), data(x=X, labels=LABELS), max_drop=0.05)
    assert not guard_result.accepted
    assert "top1 fell from 1.0000 to 0.9400" in guard_result.refusals[0] and "0.05" in guard_result.refusals[0]


@given(count=st.integers(1, 100_000), before=st.integers(0, 100_000), lost=st.integers(0, 1000))
def test_the_comparison_is_that_of_fractions(count, before, lost):
    before, lost = min(before, count), min(lost, before, count)
    old, new = before / count, (before - lost) / count
    assert within(old, new, lost / count)
    if lost:
        assert not within(old, new, (lost - 0.5) / count)


def test_not_a_number_is_never_within():
    assert not within(0.9, math.nan, 1.0)
    assert not within(math.nan, 0.9, 1.0)


def test_a_larger_result_is_refused(hold, data):
    size = len(FLOAT)
    guard_result = hold(FLOAT, data(x=X, labels=LABELS), source_size_bytes=10)
    assert not guard_result.accepted and "larger than what came in" in guard_result.refusals[0]
    assert guard_result.executions, f"the figures of a model of {size} bytes are there all the same"


def test_a_result_of_the_same_size_is_no_larger(hold, data, build):
    size = len(serialized(build(FLOAT)))
    assert hold(FLOAT, data(x=X, labels=LABELS), source_size_bytes=size).accepted
    assert not hold(FLOAT, data(x=X, labels=LABELS), source_size_bytes=size - 1).accepted


@pytest.mark.parametrize(
    "result",
    [
        b"not a model at all",
        # `axis` of DequantizeLinear came with opset 13: what onnxruntime's own quantizer writes for many models.
        """<ir_version: 6, opset_import: ["" : 11]> g (float[N,3] x) => (float[N,3] y)
           <int8[1,3] w = {1,2,3}, float[1] s = {0.5}, int8[1] z = {0}> {
            d = DequantizeLinear <axis = 0> (w, s, z) y = Add(x, d) }""",
    ],
)
def test_a_result_that_does_not_load_is_refused(hold, data, result, monkeypatch):
    if isinstance(result, str):
        import onnx.parser

        result = onnx.parser.parse_model(result).SerializeToString()
    guard_result = hold(result, data(x=X, labels=LABELS))
    assert not guard_result.accepted and not guard_result.loads
    assert any("does not load" in one for one in guard_result.refusals)
    assert not guard_result.executions


def test_a_result_that_does_not_run_is_refused(hold, data):
    result = (
        HEAD
        + """g (float[N,3] x) => (float[N,3] y) <int64[2] shape = {7, 3}> {
        r = Reshape(x, shape) y = Softmax(r) }"""
    )
    guard_result = hold(result, data(x=X, labels=LABELS))
    assert not guard_result.accepted and "does not run" in guard_result.refusals[0]


def test_outputs_of_another_shape_are_refused(hold, data):
    result = HEAD + "g (float[N,3] x) => (float[N,M] y) { y = Concat <axis = 1> (x, x) }"
    guard_result = hold(result, data(x=X, labels=LABELS))
    assert not guard_result.accepted and "shapes" in guard_result.refusals[0]


def test_not_a_number_is_refused_even_without_labels(hold, data):
    result = HEAD + "g (float[N,3] x) => (float[N,3] y) { y = Log(x) }"
    source = HEAD + "g (float[N,3] x) => (float[N,3] y) { y = Abs(x) }"
    guard_result = hold(result, data(x=X), labelled=False, source=source)
    assert not guard_result.accepted and "NaN" in guard_result.refusals[0]
    assert any("SQNR" in one for one in guard_result.refusals)


def test_without_labels_only_agreement_is_judged_and_it_says_so(hold, data):
    guard_result = hold(FLOAT, data(x=X), labelled=False)
    assert guard_result.accepted
    assert guard_result.source_metric is None and guard_result.executions[0].metric is None
    assert any("accuracy was not judged" in note for note in guard_result.notes)


def test_without_labels_a_ruined_model_is_refused(hold, data):
    guard_result = hold(_wrong(0.5), data(x=X), labelled=False)
    assert not guard_result.accepted and "SQNR" in guard_result.refusals[0]


def test_a_recipe_that_promises_to_keep_results_is_held_to_it(hold, data):
    nearly = HEAD + "g (float[N,3] x) => (float[N,3] y) <float k = {0.999}> { s = Softmax(x) y = Mul(s, k) }"
    assert hold(nearly, data(x=X, labels=LABELS)).accepted
    guard_result = hold(nearly, data(x=X, labels=LABELS), tolerance=1e-5)
    assert not guard_result.accepted and "promises to keep results" in guard_result.refusals[0]


def test_with_nothing_to_run_it_on_nothing_is_accepted(hold):
    guard_result = hold(FLOAT, None, labelled=False)
    assert not guard_result.accepted and "could not be run" in guard_result.refusals[0]


def test_generated_inputs_do(hold):
    samples = tuple(Sample({"x": row[None]}, None, 1) for row in X[:4])
    guard_result = hold(FLOAT, Data(name="generated inputs", dataset=None, generated=samples), labelled=False)
    assert guard_result.accepted and guard_result.executions[0].agreement.samples == 4
    assert any("generated inputs" in note for note in guard_result.notes)


def test_samples_do_not_answer_for_each_other(hold, data):
    # Its first dimension is dynamic, and each row's answer depends on the others: running many at once would be wrong.
    mixing = (
        HEAD
        + """g (float[N,3] x) => (float[N,3] y) {
        m = ReduceMax <axes = [0], keepdims = 1> (x) d = Sub(x, m) y = Softmax(d) }"""
    )
    guard_result = hold(mixing, data(x=X, labels=LABELS), source=mixing)
    # One at a time, x - max(x) is zero everywhere and class 0 wins.
    assert guard_result.source_metric.value == pytest.approx(float((LABELS == 0).mean()))


class Elsewhere:
    """Runs models on this machine and changes a share of their answers, as another core's kernels may."""

    where = "board:test (imaginary)"
    budget_s = 60.0

    def __init__(self, wrong_share: float) -> None:
        self.every = round(1 / wrong_share) if wrong_share else 0

    def session(self, model):
        inner, board = HostSession(model, exact=False), self

        class Session:
            input_names, output_names = inner.input_names, inner.output_names
            runs = 0

            def run(self, feed):
                self.runs += 1
                outputs = inner.run(feed)
                return [-output for output in outputs] if board.every and self.runs % board.every == 0 else outputs

        return Session()


def test_what_the_board_answers_is_judged_too(hold, data):
    labelled = data(x=X, labels=LABELS)
    same = hold(FLOAT, labelled, board=Elsewhere(0))
    assert same.accepted
    assert [one.arithmetic for one in same.executions] == ["exact", "host", "board"]
    assert same.executions[2].isa == "board:test (imaginary)" and same.executions[2].change.value == 0.0

    other = hold(FLOAT, labelled, board=Elsewhere(0.2), max_drop=0.05)
    assert not other.accepted
    assert "on board:test (imaginary)" in other.refusals[0] and "0.8000" in other.refusals[0]
    assert other.executions[0].metric.value == 1.0, "exact arithmetic has nothing to say against it"


def test_what_fails_on_the_board_is_refused(hold, data):
    class Broken(Elsewhere):
        def session(self, model):
            session = super().session(model)

            def run(feed):
                raise UnsupportedError("the model fails on the board", why="an operator it lacks")

            session.run = run
            return session

    guard_result = hold(
        FLOAT, data(x=X, labels=LABELS), board=Broken(0), allowed=("larger", "loss", "slower", "unjudged")
    )
    assert "board:test (imaginary): an operator it lacks" in guard_result.refusals[0]


def test_what_may_be_allowed_is_allowed_by_its_name_only(hold, data):
    labelled = data(x=X, labels=LABELS)
    assert "`edgedeploy optimize --allow loss`, or in a contract" in hold(_wrong(0.3), labelled).refusals[0]
    assert not hold(_wrong(0.3), labelled, allowed=("larger", "slower")).accepted
    allowed = hold(_wrong(0.3), labelled, allowed=("loss",))
    assert allowed.accepted and any("allowed by name (loss): top1 fell" in note for note in allowed.notes)
    assert hold(FLOAT, labelled, source_size_bytes=10, allowed=("larger",)).accepted
    # What does not load or gives NaN is never let through.
    everything = ("larger", "loss", "slower", "unjudged")
    assert not hold(b"not a model at all", labelled, allowed=everything).accepted
    source = HEAD + "g (float[N,3] x) => (float[N,3] y) { y = Abs(x) }"
    nan = HEAD + "g (float[N,3] x) => (float[N,3] y) { y = Log(x) }"
    assert not hold(nan, data(x=X), labelled=False, source=source, allowed=everything).accepted


def test_without_labels_the_answers_that_change_are_counted(hold, data):
    guard_result = hold(_wrong(0.03), data(x=X), labelled=False)
    assert not guard_result.accepted and "3.0% of the answers changed" in guard_result.refusals[0]
    assert hold(_wrong(0.03), data(x=X), labelled=False, max_drop=0.05).accepted


def test_what_is_slower_is_refused_and_what_was_measured_is_told(hold, data):
    class Judge:
        def __init__(self, ratio):
            self.ratio = ratio

        def compare(self, source, candidate, feeds):
            assert feeds and all(feed["x"].shape == (1, 3) for feed in feeds)
            return SpeedFigure(
                currency="guest instructions", unit="instructions", source=100.0, result=100.0 * self.ratio,
                ratio=self.ratio, low=self.ratio, high=self.ratio, slower=self.ratio > 1, samples=8, where="a board",
            )  # fmt: skip

    labelled = data(x=X, labels=LABELS)
    slow = hold(FLOAT, labelled, speed=Judge(1.3))
    assert not slow.accepted and "1.30 times its guest instructions" in slow.refusals[0]
    assert slow.speed is not None and slow.speed.result == 130.0
    assert hold(FLOAT, labelled, speed=Judge(1.3), allowed=("slower",)).accepted
    assert hold(FLOAT, labelled, speed=Judge(0.6)).accepted


def test_what_does_not_run_where_its_speed_is_judged_is_never_let_through(hold, data):
    class Judge:
        def compare(self, source, candidate, feeds):
            raise ResultFailedError("on board:rpi4: unknown operator")

    guard_result = hold(
        FLOAT, data(x=X, labels=LABELS), speed=Judge(), allowed=("larger", "loss", "slower", "unjudged")
    )
    assert not guard_result.accepted and "on board:rpi4: unknown operator" in guard_result.refusals[0]


def _picked(share):
    """A model whose output is as long as its sample has values above a threshold, as a detector's list of boxes is."""
    threshold = float(np.quantile(X, 1 - share))
    return (
        HEAD
        + f"""g (float[N,3] x) => (float[K] y) <float t = {{{threshold:.7f}}}, int64[1] all = {{-1}}> {{
        above = Greater(x, t)
        flags = Reshape(above, all)
        y = Compress(x, flags)
        }}"""
    )


def test_outputs_as_long_as_their_values_say_may_change_within_the_budget(hold, data):
    unlabelled = data(x=X)
    assert hold(_picked(0.5), unlabelled, source=_picked(0.5), labelled=False).accepted
    # A threshold moved so that a share of the samples has one value more.
    moved = hold(_picked(0.52), unlabelled, source=_picked(0.5), labelled=False, max_drop=0.1)
    assert moved.accepted
    agreement = moved.executions[0].agreement
    assert 0 < agreement.other_shapes <= 0.1 * agreement.samples
    refused = hold(_picked(0.52), unlabelled, source=_picked(0.5), labelled=False, max_drop=0.01)
    assert "of the answers changed" in refused.refusals[0]


def test_data_on_which_the_float_model_knows_nothing_judges_nothing(hold, data):
    guard_result = hold(FLOAT, data(x=np.full_like(X, np.nan), labels=LABELS))
    assert "nothing but NaN or infinity on the evaluation data" in guard_result.refusals[0]
    assert hold(FLOAT, data(x=np.full_like(X, np.nan), labels=LABELS), allowed=("unjudged",)).accepted
    some = X.copy()
    some[0] = np.nan
    assert any("itself gives NaN" in note for note in hold(FLOAT, data(x=some, labels=LABELS)).notes)


def test_a_promise_to_keep_results_is_of_exact_arithmetic_not_of_the_boards_kernels(hold, data):
    noisy = hold(FLOAT, data(x=X, labels=LABELS), board=Elsewhere(0.02), tolerance=1e-5, max_drop=0.05)
    assert noisy.accepted, noisy.refusals


@pytest.mark.parametrize(
    ("result", "settings", "kind", "allowance"),
    [
        (FLOAT, {"source_size_bytes": 10}, ViolationKind.LARGER, "larger"),
        (b"not a model at all", {}, ViolationKind.DOES_NOT_LOAD, None),
        (ABORTING, {}, ViolationKind.DOES_NOT_LOAD, None),
        (_wrong(0.3), {}, ViolationKind.METRIC_FELL, "loss"),
        (_wrong(0.3), {"labelled": False}, ViolationKind.DISAGREES, "loss"),
        (_wrong(0.005), {"tolerance": 1e-5}, ViolationKind.OUTPUTS_MOVED, "loss"),
        (HEAD + "g (float[N,3] x) => (float[N,3] y) { y = Log(x) }", {}, ViolationKind.NON_FINITE, None),
    ],
)
def test_a_violation_says_of_what_kind_it_is_and_what_allows_it(hold, data, result, settings, kind, allowance):
    violations = hold(result, data(x=X, labels=LABELS), **settings).violations
    assert (kind, allowance) in [(violation.kind, violation.allowance) for violation in violations]


def test_only_what_was_measured_may_be_allowed():
    never = {kind for kind in ViolationKind if kind.allowance is None}
    assert never == {
        ViolationKind.INVALID, ViolationKind.DOES_NOT_LOAD, ViolationKind.DOES_NOT_RUN, ViolationKind.NON_FINITE,
    }  # fmt: skip


TWO = (
    HEAD
    + """g (float[N,3] x) => (float[N,3] depth, float[N,3,1,1] mask)
    <float large = {1000.0}, float small = {LOSS}, int64[4] shape = {-1, 3, 1, 1}> {
        depth = Mul(x, large)
        scaled = Mul(x, small)
        mask = Reshape(scaled, shape)
    }"""
)
FINE, RUINED = TWO.replace("LOSS", "0.001"), TWO.replace("LOSS", "0.0")


def test_a_small_output_that_is_ruined_is_refused_though_the_sum_over_all_is_fine(hold, data):
    guard_result = hold(RUINED, data(x=X), source=FINE, labelled=False, max_drop=0.5)
    assert guard_result.executions[0].agreement.sqnr_db > 100
    assert guard_result.executions[0].by_output["mask"].sqnr_db == pytest.approx(0.0)
    assert guard_result.executions[0].by_output["depth"].sqnr_db is None
    (refusal,) = guard_result.refusals
    assert "output 'mask' differs too much" in refusal and "SQNR 0.0 dB" in refusal and "--allow loss" in refusal
    assert hold(FINE, data(x=X), source=FINE, labelled=False).accepted


def test_labels_answer_for_the_output_that_the_metric_reads_only(hold, data):
    guard_result = hold(RUINED, data(x=X, labels=LABELS), source=FINE)
    assert guard_result.executions[0].metric.value == 1.0
    assert ["output 'mask'" in refusal for refusal in guard_result.refusals] == [True]
    assert hold(RUINED, data(x=X, labels=LABELS), source=FINE, allowed=("loss",)).accepted


def test_answers_of_one_output_do_not_make_up_for_those_of_another(hold, data):
    source = (
        HEAD
        + """g (float[N,3] x) => (float[N,3] first, float[N,3] last)
    <float sign = {SIGN}> {
        first = Softmax(x)
        near = Mul(x, sign)
        last = Softmax(near)
    }"""
    )
    same, other = source.replace("SIGN", "0.1"), source.replace("SIGN", "-0.1")
    guard_result = hold(other, data(x=X), source=same, labelled=False, max_drop=0.6)
    assert guard_result.executions[0].agreement.top1_match == pytest.approx(0.5)
    assert ["of the answers of output 'last' changed" in refusal for refusal in guard_result.refusals] == [True]


# What looks like class scores by its shape and holds none: a detector's columns, a segmentation's pictures, states of a
# sequence, an embedding. The result's are the same but for noise that changes the places of the largest.
SHAPES = {
    "detector": "Reshape(x, cube)",
    "features": "Add(x, x)",
    "segmentation": "Reshape(x, picture)",
}
SHAPED = (
    HEAD
    + """g (float[N,48] x) => (float[N,A,B] y)
    <int64[3] cube = {-1, 6, 8}, int64[4] picture = {-1, 3, 4, 4}> {
        y = OPERATOR
    }"""
)
RISING = (np.arange(48, dtype=np.float32) * 0.001 + 1)[None] * np.ones((60, 1), np.float32)
WIDE = (TensorFacts(name="x", dtype="float32", shape=("N", 48)),)


@pytest.mark.parametrize("operator", SHAPES.values(), ids=SHAPES)
def test_the_task_is_not_guessed_from_the_shape(hold, tmp_path, operator):
    """Noise of a hundredth changes the largest of every sample, and no answer: there is none."""
    rank = {"Reshape(x, cube)": "N,A,B", "Add(x, x)": "N,A", "Reshape(x, picture)": "N,A,B,C"}[operator]
    source = SHAPED.replace("OPERATOR", operator).replace("N,A,B", rank)
    result = source.replace(
        f"y = {operator}",
        f"""t = {operator}
        large = Constant <value_float = 30000.0> ()
        fast = Mul(t, large)
        wave = Sin(fast)
        small = Constant <value_float = 0.02> ()
        noise = Mul(wave, small)
        y = Add(t, noise)""",
    )
    np.savez(tmp_path / "e.npz", x=RISING)
    data = Data(name="the evaluation data", dataset=open_dataset(str(tmp_path / "e.npz"), WIDE))
    guard_result = hold(result, data, source=source, labelled=False)
    assert guard_result.accepted, guard_result.refusals
    assert guard_result.executions[0].agreement.top1_match is None
    assert any("no output is known to hold class scores" in note for note in guard_result.notes)


LOGITS = HEAD + "g (float[N,3] x) => (float[N,3] y) { y = Identity(x) }"
TILTED = HEAD + """g (float[N,3] x) => (float[N,3] y) <float[3] by = {0.2, 0.0, 0.0}> { y = Add(x, by) }"""


def test_a_metric_that_was_named_says_that_scores_without_labels_have_answers(hold, data):
    assert hold(TILTED, data(x=X), source=LOGITS, labelled=False).accepted
    guard_result = hold(TILTED, data(x=X), source=LOGITS, labelled=False, classifies=True)
    assert ["of the answers changed" in refusal for refusal in guard_result.refusals] == [True]


def test_a_figure_that_is_refused_reads_as_over_its_limit(hold, data):
    some = np.tile(X, (10, 1))
    guard_result = hold(_wrong(0.0104), data(x=some), labelled=False, max_drop=0.01999)
    assert guard_result.refusals[0].startswith("2.0% of the answers changed"), guard_result.refusals
    assert "1.999% is the budget" in guard_result.refusals[0]


def _shifted(by):
    return HEAD + f"g (float[N,3] x) => (float[N,3] y) <float by = {{{by}}}> {{ s = Softmax(x) y = Add(s, by) }}"


def _errors(data):
    """Labels that the float model misses by 0.1 everywhere."""
    shares = np.exp(X) / np.exp(X).sum(axis=1, keepdims=True)
    return data(x=X, labels=shares + 0.1)


def test_an_error_that_rises_is_refused_and_one_that_falls_is_not(hold, data):
    worse = hold(_shifted(-0.05), _errors(data), metric="rmse")
    assert not worse.accepted
    assert "rmse rose from 0.1000 to 0.1500" in worse.refusals[0]
    change = worse.executions[0].change
    assert change.value == pytest.approx(0.05, abs=1e-6) and change.loss == change.value
    assert worse.executions[0].broken.count == 100
    better = hold(_shifted(0.05), _errors(data), metric="rmse")
    assert better.accepted
    assert better.executions[0].change.loss == pytest.approx(-0.05, abs=1e-6)
    assert better.executions[0].broken.count == 0


@pytest.mark.parametrize(("max_drop", "accepted"), [("10%", True), ("9%", False), (0.01001, True), (0.009, False)])
def test_a_budget_may_be_a_part_of_what_the_metric_was(hold, data, max_drop, accepted):
    assert hold(_shifted(-0.01), _errors(data), metric="rmse", max_drop=max_drop).accepted == accepted


def cosine_of_all(outputs, labels):
    """A metric that is blind to whatever is small: the cosine between the whole output and the labels."""
    found, wanted = (np.asarray(each, np.float64).reshape(len(labels), -1) for each in (outputs[0], labels))
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    return (found * wanted).sum(axis=1) / lengths


DETECTOR = (
    HEAD
    + """g (float[N,7,20] x) => (float[N,7,20] y)
    <float pixels = {{320}}, float down = {{-3}}, float scale = {{{scale}}}, int64[1] zero = {{0}},
     int64[1] four = {{4}}, int64[1] seven = {{7}}, int64[1] axis = {{1}}> {{
        b = Slice(x, zero, four, axis)
        boxes = Mul(b, pixels)
        c = Slice(x, four, seven, axis)
        shifted = Add(c, down)
        s = Sigmoid(shifted)
        scores = Mul(s, scale)
        y = Concat <axis = 1> (boxes, scores)
    }}"""
)


@pytest.mark.parametrize("labelled", [True, False])
def test_a_detector_with_ruined_scores_is_refused_under_a_blind_metric_and_without_labels(
    tmp_path, build, labelled, rng
):
    x = rng.uniform(0, 1, (8, 7, 20)).astype(np.float32)
    source, ruined = (serialized(build(DETECTOR.format(scale=scale))) for scale in (1, 0))
    labels = HostSession(source, exact=True).run({"x": x})[0]
    np.savez(tmp_path / "e.npz", x=x, **({"labels": labels} if labelled else {}))
    facts = (TensorFacts(name="x", dtype="float32", shape=("N", 7, 20)),)
    data = Data(name="the evaluation data", dataset=open_dataset(str(tmp_path / "e.npz"), facts))
    metric = find_metric(f"{__name__}:cosine_of_all") if labelled else None

    def against(result, *allowed):
        evaluation = Evaluation(data=data, metric=metric, drop=drop_of(0.01))
        request = GuardRequest(
            source=source, source_size_bytes=10_000, evaluation=evaluation, allowed=frozenset(allowed)
        )
        return judge(result, request)

    refused = against(ruined)
    if labelled:
        assert refused.executions[0].metric.value == pytest.approx(1.0, abs=1e-4)
    assert [violation.kind for violation in refused.violations] == [ViolationKind.GROUP_DISAGREES]
    assert "y[:, 4:7]" in refused.refusals[0] and "--allow loss" in refused.refusals[0]
    assert list(refused.executions[0].by_group) == ["y[:, 0:4]", "y[:, 4:7]"]
    if labelled:
        assert refused.metric_trust.blind_to == ("y[:, 4:7]",)
        assert any("is blind to y[:, 4:7]" in note for note in refused.notes)
    assert against(source).accepted and against(ruined, "loss").accepted


TWO_OUTPUTS = """
    <ir_version: 8, opset_import: ["" : 17]>
    two (float[N, 4] x) => (float[N, 4] y, float[N, 4] z) <float scale = {{{scale}}}, float one = {{1}}> {{
        y = Mul(x, one)
        z = Mul(x, scale)
    }}"""


def first_output_right(outputs, labels):
    return (outputs[0].argmax(axis=1) == labels).astype(float)


def nothing_at_all(outputs, labels):
    return np.ones(len(labels))


@pytest.mark.parametrize("scored", [first_output_right, nothing_at_all])
def test_what_a_metric_of_ones_own_is_blind_to_is_judged_by_its_noise(tmp_path, build, scored, rng):
    x = rng.normal(0, 1, (24, 4)).astype(np.float32)
    source, ruined = (serialized(build(TWO_OUTPUTS.format(scale=scale))) for scale in (1, 0))
    np.savez(tmp_path / "e.npz", x=x, labels=x.argmax(axis=1))
    facts = (TensorFacts(name="x", dtype="float32", shape=("N", 4)),)
    data = Data(name="the evaluation data", dataset=open_dataset(str(tmp_path / "e.npz"), facts))
    evaluation = Evaluation(data=data, metric=find_metric(f"{__name__}:{scored.__name__}"), drop=drop_of(0.01))
    request = GuardRequest(source=source, source_size_bytes=10_000, evaluation=evaluation)
    refused = judge(ruined, request)
    assert [violation.kind for violation in refused.violations] == [ViolationKind.DISAGREES]
    assert "output 'z'" in refused.refusals[0]
    assert "z" in refused.metric_trust.blind_to
    kept = judge(source, request)
    assert kept.accepted
    assert any("check metric and labels" in note for note in kept.notes) == (scored is nothing_at_all)


YOLO = """
    <ir_version: 8, opset_import: ["" : 17]>
    yolo (float[N, 6, 40] x) => (float[N, 6, 40] y)
    <float[1, 1, 40] kept = {{{kept}}}, float[1, 6, 1] rows = {{1,1,1,1,{scores}}}> {{
        r = Mul(x, rows)
        y = Mul(r, kept)
    }}"""


def test_without_labels_a_detector_is_judged_by_the_detections_that_are_left(tmp_path, build):
    every, most = ",".join(["1"] * 40), ",".join(["1"] * 36 + ["0.94"] * 4)
    source, result, blank = (
        serialized(build(YOLO.format(kept=kept, scores=scores)))
        for kept, scores in ((every, "1,1"), (most, "1,1"), (every, "0.01,0.01"))
    )
    x = np.zeros((3, 6, 40), np.float32)
    x[:, :2], x[:, 2:4] = np.linspace(10, 600, 40), 12
    x[:, 4], x[:, 4, 36:] = 0.5, 0.25
    np.savez(tmp_path / "e.npz", x=x)
    facts = (TensorFacts(name="x", dtype="float32", shape=("N", 6, 40)),)
    data = Data(name="the evaluation data", dataset=open_dataset(str(tmp_path / "e.npz"), facts))
    decoder = find_head(Head(kind="yolov8"), ["y"])
    evaluation = Evaluation(data=data, metric=None, drop=drop_of(0.01), decoder=decoder)

    def against(model, reference=source):
        return judge(model, GuardRequest(source=reference, source_size_bytes=10_000, evaluation=evaluation))

    accepted = against(source)
    assert accepted.accepted and accepted.executions[0].kept.share == 1.0
    # Boxes moved by 6 % of their place, 37 pixels, lie elsewhere; the figures over all numbers hardly move.
    refused = against(result)
    assert [violation.kind for violation in refused.violations] == [ViolationKind.DISAGREES]
    assert (
        "90.0% of the float model's detections" in refused.refusals[0] or "detections are left" in refused.refusals[0]
    )
    nothing = against(blank, blank)
    assert nothing.accepted and nothing.executions[0].kept is None


OFFSET = """
    <ir_version: 8, opset_import: ["" : 17]>
    offset (float[N, 4] x) => (float[N, 4] y) <float scale = {{{scale}}}, float ten = {{10}}> {{
        z = Mul(x, scale)
        y = Add(z, ten)
    }}"""


@pytest.mark.parametrize("labelled", [True, False])
def test_a_constant_that_is_close_to_every_answer_is_refused(tmp_path, build, labelled, rng):
    x = rng.normal(0, 1, (24, 4)).astype(np.float32)
    source, constant = (serialized(build(OFFSET.format(scale=scale))) for scale in (1, 0))
    np.savez(tmp_path / "e.npz", x=x, **({"labels": 10 + x} if labelled else {}))
    facts = (TensorFacts(name="x", dtype="float32", shape=("N", 4)),)
    data = Data(name="the evaluation data", dataset=open_dataset(str(tmp_path / "e.npz"), facts))
    metric = find_metric(f"{__name__}:nothing_at_all") if labelled else None
    evaluation = Evaluation(data=data, metric=metric, drop=drop_of(0.01))
    request = GuardRequest(source=source, source_size_bytes=10_000, evaluation=evaluation)
    refused = judge(constant, request)
    assert refused.executions[0].agreement.sqnr_db > 15
    assert [violation.kind for violation in refused.violations] == [ViolationKind.DISAGREES]
    assert "hardly anything is left that depends on the input" in refused.refusals[0]
    assert judge(source, request).accepted


EMBEDDING = """
    <ir_version: 8, opset_import: ["" : 17]>
    embed (float[N, 8] x) => (float[N, 8] y) {
        y = MatMul(x, w)
    }"""


def test_embeddings_without_labels_are_judged_by_who_lies_near_whom(tmp_path, build, rng, monkeypatch):
    same, changed = np.eye(8), np.eye(8) + rng.normal(0, 0.08, (8, 8))
    source, result = (serialized(build(EMBEDDING, w=each.astype(np.float32))) for each in (same, changed))
    np.savez(tmp_path / "e.npz", x=rng.normal(0, 1, (32, 8)).astype(np.float32))
    dataset = open_dataset(str(tmp_path / "e.npz"), (TensorFacts(name="x", dtype="float32", shape=("N", 8)),))
    data = Data(name="the evaluation data", dataset=dataset)
    evaluation = Evaluation(data=data, metric=None, drop=drop_of(0.01))
    request = GuardRequest(source=source, source_size_bytes=10_000, evaluation=evaluation)
    assert judge(result, request).executions[0].rank_correlation is None
    dataset.task = "embedding"
    accepted = judge(result, request)
    assert accepted.accepted and 0.9 < accepted.executions[0].rank_correlation < 0.999
    monkeypatch.setattr("edgedeploy.optimize.guard.accuracy.LEAST_RANK_CORRELATION", 0.999)
    refused = judge(result, request)
    assert [violation.kind for violation in refused.violations] == [ViolationKind.DISAGREES]
    assert "in another order" in refused.refusals[0]
    assert judge(source, request).accepted
