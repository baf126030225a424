"""A limit is not broken by what binary floating point rounds."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedeploy.stats.rounding import at_least, at_most


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
