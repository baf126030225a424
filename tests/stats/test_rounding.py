"""A limit is not broken by what binary floating point rounds."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedeploy.stats.rounding import at_least, at_most, beside_limit


def test_a_limit_is_met_by_what_equals_it_in_decimals():
    assert 0.97 - 0.96 > 0.01
    assert at_most(0.97 - 0.96, 0.01)
    assert 0.3 - 0.2 < 0.1
    assert at_least(0.3 - 0.2, 0.1)


@given(count=st.integers(1, 100_000), value=st.integers(-100_000, 100_000), beyond=st.integers(1, 1000))
def test_fractions_of_whole_numbers_compare_as_fractions_do(count, value, beyond):
    assert at_most(value / count, value / count) and at_least(value / count, value / count)
    assert not at_most((value + beyond) / count, value / count)
    assert not at_least((value - beyond) / count, value / count)


@pytest.mark.parametrize("compare", [at_most, at_least])
def test_not_a_number_meets_no_limit(compare):
    assert not compare(math.nan, 1.0) and not compare(1.0, math.nan)


@pytest.mark.parametrize(
    ("figure", "limit", "decimals", "unit", "words"),
    [
        (0.0104, 0.01, 1, "%", ("1.04%", "1.0%")),
        (0.02, 0.01, 1, "%", ("2.0%", "1.0%")),
        (0.0126, 0.0125, 1, "%", ("1.3%", "1.25%")),
        (0.94996, 0.95, 2, "%", ("94.996%", "95.00%")),
        (0.97 - 0.96, 0.01, 4, "", ("0.0100", "0.01")),
        (0.010004, 0.01, 2, " points", ("1.0004 points", "1.00 points")),
        (9.96, 10.0, 1, " dB", ("9.96 dB", "10 dB")),
        (9.4, 10.0, 1, " dB", ("9.4 dB", "10 dB")),
        (math.inf, 10.0, 1, " dB", ("inf dB", "10 dB")),
    ],
)
def test_a_figure_beside_a_limit_has_the_digits_that_decide(figure, limit, decimals, unit, words):
    assert beside_limit(figure, limit, decimals=decimals, unit=unit) == words


@given(limit=st.integers(-10_000, 10_000), beyond=st.integers(-50, 50), scale=st.sampled_from([1.0, 1e2, 1e4]))
def test_what_is_over_a_limit_reads_so(limit, beyond, scale):
    figure, bound = (limit * 50 + beyond) / 50 / scale, limit / scale
    written, written_bound = map(float, beside_limit(figure, bound, decimals=1))
    assert at_most(written, written_bound) == at_most(figure, bound)
    assert at_least(written, written_bound) == at_least(figure, bound)
