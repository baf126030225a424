from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from edgedeploy.datasets.sampling import spread_indices
from edgedeploy.optimize.search.pareto import front, holds_beyond_doubt, rank
from edgedeploy.values.quality import MetricChange
from edgedeploy.values.search import Trial
from edgedeploy.values.speed import SpeedFigure


def trial(name: str, size: int | None, loss: float = 0.0, ratio: float | None = None) -> Trial:
    speed = None
    if ratio is not None:
        speed = SpeedFigure(
            currency="host time", unit="ms", source=1.0, result=ratio, ratio=ratio, low=ratio, high=ratio,
            slower=False, samples=9, where="here",
        )  # fmt: skip
    change = MetricChange(value=-loss, low=-loss, high=-loss, confidence=0.95, samples=9, samples_changed=0)
    return Trial(name=name, passes=(), size_bytes=size, change=change, speed=speed)


def test_without_answers_the_noise_is_what_a_result_costs():
    clean = structs.replace(trial("clean", 20), change=None, sqnr_db=40.0)
    noisy = structs.replace(trial("noisy", 10), change=None, sqnr_db=11.0)
    worse = structs.replace(trial("worse", 20), change=None, sqnr_db=12.0)
    equal = structs.replace(trial("equal", 30), change=None, sqnr_db=None)
    assert [one.name for one in front([worse, equal, clean, noisy])] == ["noisy", "clean", "equal"]


def test_what_another_beats_is_not_on_the_front():
    small, fast, good, beaten = (
        trial("small", 10, 0.02, 1.0),
        trial("fast", 20, 0.02, 0.5),
        trial("good", 30, 0.0, 1.0),
        trial("beaten", 30, 0.02, 0.6),
    )
    assert [one.name for one in front([beaten, good, fast, small, trial("refused", None)])] == ["small", "fast", "good"]


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 3), st.sampled_from([0.5, 1.0, 2.0])), max_size=12))
def test_each_is_on_the_front_or_beaten_by_one_that_is(figures):
    trials = [trial(str(i), size, loss / 100, ratio) for i, (size, loss, ratio) in enumerate(figures)]
    kept = front(trials)
    for one in trials:
        assert one in kept or any(
            a.size_bytes <= one.size_bytes and a.loss <= one.loss and a.speed.ratio <= one.speed.ratio for a in kept
        )


def test_objectives_want_what_they_say():
    small, fast = trial("small", 25, 0.0, 1.0), trial("fast", 60, 0.0, 0.3)
    assert rank(small, "size", 100) < rank(fast, "size", 100)
    assert rank(fast, "speed", 100) < rank(small, "speed", 100)
    assert rank(fast, "balanced", 100) < rank(small, "balanced", 100)


def test_what_lies_within_the_budget_by_luck_is_in_doubt():
    def changed(value: float, low: float, samples_changed: int) -> Trial:
        change = MetricChange(
            value=value, low=low, high=0.01, confidence=0.95, samples=150, samples_changed=samples_changed
        )
        return structs.replace(trial("t", 1), change=change)

    assert holds_beyond_doubt(changed(0.0, -0.02, 0), 0.01), "no answer changed"
    assert holds_beyond_doubt(changed(0.0, -0.013, 2), 0.01)
    assert not holds_beyond_doubt(changed(0.0, -0.04, 9), 0.01), "nine changed, and it came out even"
    assert not holds_beyond_doubt(changed(-0.009, -0.02, 3), 0.01)
    assert holds_beyond_doubt(changed(-0.009, -0.0095, 900), 0.01), "very many samples leave no doubt"


def test_an_error_that_rises_is_a_loss():
    change = MetricChange(
        value=0.5, low=0.3, high=0.9, confidence=0.95, samples=150, samples_changed=9, larger_is_better=False
    )
    rising = structs.replace(trial("t", 1), change=change)
    assert rising.loss == 0.5
    assert holds_beyond_doubt(rising, 0.7) and not holds_beyond_doubt(rising, 0.6)


def test_between_as_good_as_equals_the_one_with_less_noise_is_better():
    noisy, clear, far = trial("noisy", 800, 0.0, 0.55), trial("clear", 802, 0.0, 0.56), trial("far", 800, 0.0, 0.7)
    noisy, clear, far = (structs.replace(one, sqnr_db=db) for one, db in ((noisy, 17.5), (clear, 31.4), (far, 99.0)))
    for objective in ("speed", "balanced"):
        assert sorted([noisy, clear, far], key=lambda one: rank(one, objective, 3000)) == [clear, noisy, far]


@given(st.integers(1, 5000), st.integers(1, 600))
def test_samples_are_spread_over_all_of_the_data(count, wanted):
    chosen = list(spread_indices(count, wanted))
    assert len(chosen) == len(set(chosen)) == min(count, wanted)
    assert chosen == sorted(chosen) and chosen[0] >= 0 and chosen[-1] < count
    gaps = {b - a for a, b in itertools.pairwise(chosen)}
    assert max(gaps, default=0) - min(gaps, default=0) <= 1
