"""Two releases in turn: what breaks, what does not, and what real runs of real releases say."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from msgspec import structs

from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.measure import interleaved
from edgedeploy.measure.durations import PROFILES, Durations
from edgedeploy.measure.interleaved import bench_against
from edgedeploy.values.contract import Outcome

# A few microseconds, and some milliseconds.
LIGHT = """
    <ir_version: 8, opset_import: ["" : 17]>
    work (float[N, 256] x) => (float[N, 256] y) { y = Relu(x) }
"""
HEAVY = """
    <ir_version: 8, opset_import: ["" : 17]>
    work (float[N, 256] x) => (float[N, 256] y) {
        t = Transpose<perm = [1, 0]>(x)
        s = MatMul(t, x)
        a = MatMul(s, s) b = MatMul(a, a) c = MatMul(b, b) d = MatMul(c, c) e = MatMul(d, d)
        f = ReduceMean<axes = [0], keepdims = 1>(e)
        y = Add(x, f)
    }
"""
FEEDS = [{"x": np.zeros((4, 256), np.float32)}]


@pytest.fixture
def told(local, make_release, monkeypatch: pytest.MonkeyPatch):
    """A maker of comparisons whose runs give these figures: of the release before, and of the one after."""
    release = make_release()

    def make(before: Iterator[float], after: Iterator[float], *, counted: bool = False, **more: object):
        figures = {"1-a": before, "1-b": after}
        monkeypatch.setattr(interleaved.Runs, "figure", lambda runs, release: next(figures[release.id]))
        monkeypatch.setattr(local, "counts_instructions", counted)
        return bench_against(local, structs.replace(release, id="1-a"), structs.replace(release, id="1-b"), **more)

    return make


def test_what_did_not_change_holds(told) -> None:
    found = told(itertools.cycle([10.0, 10.2, 9.9]), itertools.cycle([10.1, 9.9, 10.2]))
    assert (found.outcome, found.verified, found.kind, len(found.pairs)) == (Outcome.HOLDS, False, "device", 8)
    assert "threshold 5.00%" in found.reason


def test_what_grew_is_measured_twice_and_breaks(told) -> None:
    found = told(itertools.repeat(10.0), itertools.cycle([11.0, 11.1]))
    assert (found.outcome, found.verified, len(found.pairs)) == (Outcome.BREAKS, True, 16)
    assert found.effect.value == pytest.approx(1.105, abs=0.006)


def test_what_grew_once_only_holds(told) -> None:
    found = told(itertools.repeat(10.0), itertools.chain([11.0] * 8, itertools.repeat(10.0)))
    assert (found.outcome, found.verified) == (Outcome.HOLDS, True)
    assert "the second did not" in found.reason


def test_noise_that_is_larger_than_the_growth_is_no_regression(told) -> None:
    found = told(itertools.repeat(10.0), itertools.cycle([8.0, 14.0, 10.9, 11.0]))
    assert found.outcome is Outcome.HOLDS
    assert "over the threshold" in found.reason


def test_a_half_percent_of_instructions_breaks_and_less_does_not(told) -> None:
    found = told(itertools.repeat(1e6), itertools.cycle([1.0060e6, 1.0061e6]), counted=True)
    assert (found.outcome, found.kind, len(found.pairs)) == (Outcome.BREAKS, "counted", 4)
    assert told(itertools.repeat(1e6), itertools.repeat(1.004e6), counted=True).outcome is Outcome.HOLDS
    assert told(itertools.repeat(1e6), itertools.repeat(1.004e6), counted=True, threshold=0.003).verified


def test_an_emulated_board_that_does_not_count_is_refused(local, make_release) -> None:
    local.emulated = True
    with pytest.raises(UnsupportedError, match="real board") as caught:
        bench_against(local, make_release(), make_release())
    assert "--count" in caught.value.hint


def test_too_few_rounds(local, make_release) -> None:
    with pytest.raises(ValueError, match="6 are needed"):
        bench_against(local, make_release(), make_release(), rounds=5)


@pytest.mark.slow
def test_real_runs(local, make_release, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = Durations(warmup=3, warmup_s=0.0, min_samples=64, min_s=0.0, max_s=60.0)
    monkeypatch.setitem(PROFILES, "smoke", quick)
    light, heavy = make_release(LIGHT, FEEDS, identity="1-light"), make_release(HEAVY, FEEDS, identity="1-heavy")
    found = bench_against(local, light, heavy, rounds=6)
    assert found.outcome is Outcome.BREAKS and found.effect.low > 2
    assert bench_against(local, heavy, light, rounds=6).outcome is Outcome.HOLDS
