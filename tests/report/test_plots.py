"""Plots: well-formed for any finite samples, with round ticks."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedeploy.report.plots import bin_count, histogram, nice_ticks, timeline

samples = st.lists(st.floats(min_value=1e-6, max_value=1e9, allow_nan=False), min_size=1, max_size=200)


@given(samples)
def test_any_samples_give_well_formed_svg(values: list[float]) -> None:
    for plot in (histogram(values, [("p50", sorted(values)[len(values) // 2])], "t"), timeline(values, "t")):
        ElementTree.fromstring(plot)
        assert "nan" not in plot
        assert not re.search(r'="-?inf', plot)


@given(samples)
def test_every_sample_is_in_a_bin(values: list[float]) -> None:
    assert 1 <= bin_count(values) <= 60
    bars = re.findall(r'class="bar"', histogram(values, [], "t"))
    assert 1 <= len(bars) <= 60


def test_two_modes_are_seen() -> None:
    values = [10.0 + index / 100 for index in range(70)] + [20.0 + index / 100 for index in range(30)]
    bars = re.findall(r'class="bar" x="([\d.]+)"', histogram(values, [], "t"))
    places = [float(place) for place in bars]
    assert max(right - left for left, right in itertools.pairwise(places)) > 200


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 10.0, [0.0, 5.0, 10.0]),
        (88.0, 145.0, [100.0, 120.0, 140.0]),
        (1.0, 1.0, [1.0]),
    ],
)
def test_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert nice_ticks(low, high, 4) == pytest.approx(ticks)


@given(st.floats(0, 1e6), st.floats(1e-3, 1e6))
def test_ticks_lie_in_the_range(low: float, width: float) -> None:
    high = low + width
    ticks = nice_ticks(low, high)
    assert len(ticks) <= 12
    assert all(low - width * 1e-6 <= tick <= high + width * 1e-6 for tick in ticks)


def test_titles_are_escaped() -> None:
    assert "<b>" not in histogram([1.0, 2.0], [("<b>", 1.0)], "<b>")
