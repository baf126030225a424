from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.metrics.agreement import AgreementAccumulator, OutputAgreements
from edgedeploy.values.quality import SQNR_FLOOR_DB, Agreement


def agreement(outputs: list[np.ndarray], reference: list[np.ndarray], scored: int | None = None) -> Agreement:
    accumulator = AgreementAccumulator()
    accumulator.add(outputs, reference, scored=scored)
    return accumulator.figure()


_PAIR = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=8).flatmap(
    lambda shape: st.tuples(
        *[hnp.arrays(np.float32, shape, elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False))] * 2
    )
)


@given(_PAIR, st.integers(1, 8))
def test_batches_added_up_are_the_formulas_over_the_whole(pair, size):
    output, reference = pair
    accumulator = AgreementAccumulator()
    for start in range(0, len(output), size):
        accumulator.add([output[start : start + size]], [reference[start : start + size]], scored=0)
    figure = accumulator.figure()
    a, b = output.astype(np.float64), reference.astype(np.float64)
    assert figure.samples == len(output)
    assert figure.max_abs_error == np.abs(a - b).max()
    assert figure.mean_abs_error == pytest.approx(np.abs(a - b).mean())
    if a.any() and b.any():
        assert figure.cosine == pytest.approx((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-9)
    if (a != b).any() and b.any():
        sqnr_db = 10 * math.log10((b**2).sum() / ((a - b) ** 2).sum())
        assert figure.sqnr_db == pytest.approx(max(sqnr_db, SQNR_FLOOR_DB), rel=1e-6, abs=1e-6)
    if reference.shape[1] >= 2:
        assert figure.top1_match == pytest.approx((output.argmax(1) == reference.argmax(1)).mean())
    else:
        assert figure.top1_match is None


def test_equal_outputs_have_no_noise():
    x = np.array([[1.0, 2.0]], np.float32)
    assert agreement([x], [x], 0) == Agreement(
        samples=1, top1_match=1.0, max_abs_error=0.0, mean_abs_error=0.0, cosine=1.0, sqnr_db=None
    )
    assert agreement([np.zeros((1, 1))], [np.zeros((1, 1))]).cosine == 1.0


def test_half_the_amplitude_is_six_decibels():
    x = np.ones((1, 4))
    assert agreement([x / 2], [x]).sqnr_db == pytest.approx(20 * math.log10(2))


def test_a_sequence_matches_as_far_as_its_steps_do():
    reference = np.eye(4, dtype=np.float32)[np.newaxis]
    output = reference.copy()
    output[0, 0] = [0, 1, 0, 0]
    assert agreement([output], [reference], 0).top1_match == 0.75


def test_states_and_pictures_are_not_scores():
    state = np.random.default_rng(0).random((2, 1, 8))
    assert agreement([np.ones((1, 1)), state], [np.ones((1, 1)), state]).top1_match is None
    heat = np.random.default_rng(0).random((1, 1, 8, 8))
    assert agreement([heat], [heat]).top1_match is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_seen_and_never_averaged_away(bad):
    reference = np.ones((2, 3), np.float32)
    output = reference.copy()
    output[1, 2] = bad
    for a, b in ((output, reference), (reference, output)):
        figure = agreement([a], [b])
        assert figure.nonfinite_elements == 1
        assert (figure.cosine, figure.sqnr_db, figure.max_abs_error) == (0.0, SQNR_FLOOR_DB, 0.0)
        # JSON has neither NaN nor infinity: nothing may become null on the way.
        assert msgspec.json.decode(msgspec.json.encode(figure), type=Agreement) == figure


def test_an_answer_with_nan_matches_nothing():
    nan = np.array([[np.nan, 1.0]], np.float32)
    assert agreement([nan], [nan], 0).top1_match == 0.0
    assert agreement([nan], [nan]).nonfinite_elements == 1


def test_infinities_that_are_meant_agree():
    masked = np.array([[-np.inf, 1.0]], np.float32)
    figure = agreement([masked], [masked], 0)
    assert (figure.nonfinite_elements, figure.top1_match, figure.sqnr_db) == (0, 1.0, None)


def test_noise_without_signal_is_the_floor_not_none():
    assert agreement([np.ones((1, 2))], [np.zeros((1, 2))]).sqnr_db == SQNR_FLOOR_DB


def test_whole_numbers_and_truths_are_compared_too():
    assert agreement([np.array([3, 4])], [np.array([3, 6])]).max_abs_error == 2
    assert agreement([np.array([True])], [np.array([False])]).max_abs_error == 1


def test_outputs_that_cannot_be_compared_are_refused():
    x = np.ones((1, 2))
    for outputs, reference in (
        ([x], [x, x]),
        ([x], [np.ones(2)]),
        ([x.astype(str)], [x.astype(str)]),
        ([x.astype(complex)], [x.astype(complex)]),
    ):
        with pytest.raises(UnsupportedError):
            agreement(outputs, reference)


def test_numbers_whose_squares_do_not_fit_count_as_infinite():
    seen = AgreementAccumulator()
    seen.add([np.array([[1.0, 1e200]])], [np.array([[1.0, 2.0]])])
    figure = seen.figure()
    assert (figure.nonfinite_elements, figure.cosine, figure.sqnr_db) == (1, 0.0, SQNR_FLOOR_DB)


def test_answers_of_another_shape_are_counted_and_nothing_else_of_them():
    accumulator = AgreementAccumulator()
    accumulator.add([np.array([[0.0, 1.0]]), np.ones((3, 4))], [np.array([[0.0, 1.0]]), np.ones((3, 4))])
    accumulator.add([np.array([[9.0, 1.0]]), np.ones((2, 4))], [np.array([[0.0, 1.0]]), np.ones((3, 4))])
    figure = accumulator.figure()
    assert (figure.samples, figure.other_shapes, figure.max_abs_error) == (2, 1, 0.0)

    boxes = agreement([np.ones((2, 4))], [np.ones((3, 4))], 0)
    assert (boxes.other_shapes, boxes.top1_match, boxes.cosine, boxes.sqnr_db) == (3, 0.0, 0.0, SQNR_FLOOR_DB)
    with pytest.raises(UnsupportedError, match="has shape"):
        agreement([np.ones(4)], [np.ones((1, 4))])


def test_each_output_has_figures_of_its_own_and_states_stay_no_scores():
    scores, state = np.eye(3, dtype=np.float32), np.ones((2, 1, 8), np.float32)
    outputs = OutputAgreements(["scores", "state"])
    outputs.add([scores, state * 0], [scores, state])
    outputs.add([scores, state], [scores, state])
    found = outputs.figures()
    assert found["scores"].sqnr_db is None and found["state"].sqnr_db == pytest.approx(3.01, abs=0.01)
    assert found["state"].top1_match is None


# -- text


def text(*elements: str) -> np.ndarray:
    return np.array(elements, dtype=object)


def test_text_is_counted_where_it_is_the_same():
    figure = agreement([text("cat", "dog", "", "é")], [text("cat", "cow", "", "e\u0301")])
    assert figure.text_match == 0.5
    assert (figure.top1_match, figure.sqnr_db, figure.answers_match) == (None, None, 0.5)


def test_text_beside_scores_leaves_their_figures_alone():
    scores = np.array([[1.0, 2.0], [2.0, 1.0]])
    both = agreement([text("a", "b"), scores], [text("a", "x"), scores / 2])
    alone = agreement([scores], [scores / 2])
    assert (both.sqnr_db, both.cosine, both.top1_match) == (alone.sqnr_db, alone.cosine, alone.top1_match)
    assert (both.text_match, both.answers_match) == (0.5, 0.5)


def test_text_of_another_shape_is_not_the_same():
    figure = agreement([text("a", "b")], [text("a")])
    assert (figure.text_match, figure.other_shapes) == (0.0, 1)


def test_text_is_not_compared_with_numbers():
    with pytest.raises(UnsupportedError, match="object where the reference has float64"):
        agreement([text("a")], [np.ones(1)])
