"""Plots: well-formed for any finite samples, with round ticks."""

from __future__ import annotations

import itertools
import math
import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedeploy.plots.timeline import bin_count, histogram, nice_ticks, timeline

finite = st.floats(allow_nan=False, allow_infinity=False)
# Of any size, and as timings are: near each other.
samples = st.one_of(
    st.lists(finite, min_size=1, max_size=200),
    st.lists(st.floats(min_value=1e-6, max_value=1e9), min_size=1, max_size=200),
    st.tuples(st.floats(1e-3, 1e6), st.lists(st.floats(0, 1e-3), min_size=1, max_size=50)).map(
        lambda drawn: [drawn[0] * (1 + part) for part in drawn[1]]
    ),
)
NUMBERS = {"x", "y", "x1", "x2", "y1", "y2", "width", "height"}


def places(plot: str) -> list[tuple[float, float]]:
    """Every place that is drawn at, in the view box's units. Fails where one is no finite number."""
    root = ElementTree.fromstring(plot)
    found = []
    for element in root.iter():
        for name, value in element.attrib.items():
            assert name not in NUMBERS or math.isfinite(float(value))
        for x, y in (("x", "y"), ("x1", "y1"), ("x2", "y2")):
            if x in element.attrib:
                found.append((float(element.attrib[x]), float(element.attrib[y])))
        if "d" in element.attrib:
            assert re.fullmatch(r"(M-?[\d.]+ -?[\d.]+([hvH]-?[\d.]+)+)*", element.attrib["d"]), element.attrib["d"]
            found += [(float(x), float(y)) for x, y in re.findall(r"M(\S+?) ([\d.-]+)", element.attrib["d"])]
    return found


@given(samples)
def test_any_samples_give_well_formed_svg_within_its_box(values: list[float]) -> None:
    marks = [("p50", sorted(values)[len(values) // 2]), ("p90", max(values)), ("p99", max(values))]
    for plot in (histogram(values, marks, "t"), timeline(values, "t"), timeline(values, "t", marks)):
        width, height = (float(part) for part in ElementTree.fromstring(plot).attrib["viewBox"].split()[2:])
        for x, y in places(plot):
            assert -0.01 <= x <= width + 0.01
            assert -0.01 <= y <= height + 0.01


def test_no_outlier_is_lost_in_a_long_run() -> None:
    values = [10.0] * 100_000
    values[77_777] = 500.0
    plot = timeline(values, "t")
    dots = re.findall(r"M[\d.]+ ([\d.]+)h0", plot)
    assert len(dots) <= 2000
    assert sum(float(y) < 50 for y in dots) == 1
    assert "the lowest and the highest" in plot


def test_names_of_marks_do_not_lie_on_each_other() -> None:
    plot = histogram([1.0, 1.0, 1.0, 2.0], [("p50", 1.0), ("p90", 1.0), ("p99", 1.01)], "t")
    heights = [element.attrib["y"] for element in ElementTree.fromstring(plot).iter() if "name" in str(element.attrib)]
    assert len(set(heights)) == 3


@pytest.mark.parametrize("values", [[1.0, 1.0, 9.0], [1.0, 9.0, 9.0], [5.0, 5.0, 5.0]])
def test_names_of_lines_across_do_not_lie_on_each_other(values: list[float]) -> None:
    plot = timeline(values, "t", [("p50", sorted(values)[1]), ("p90", sorted(values)[1])])
    names = [element for element in ElementTree.fromstring(plot).iter() if element.attrib.get("class") == "name"]
    one, other = (float(element.attrib["y"]) for element in names)
    assert abs(one - other) >= 24
    assert "p90" in plot[plot.index("<desc>") : plot.index("</desc>")]


def test_labels_have_the_decimals_that_tell_them_apart() -> None:
    plot = timeline([3000.001, 3000.002, 3000.009], "t")
    labels = [element.text for element in ElementTree.fromstring(plot).iter() if element.attrib.get("dy")]
    assert len(labels) >= 3
    assert len(set(labels)) == len(labels)


@given(samples)
def test_every_sample_is_in_a_bin(values: list[float]) -> None:
    assert 1 <= bin_count(values) <= 60
    bars = re.findall(r'class="bar"', histogram(values, [], "t"))
    assert 1 <= len(bars) <= 60


def test_two_modes_are_seen() -> None:
    values = [10.0 + index / 100 for index in range(70)] + [20.0 + index / 100 for index in range(30)]
    bars = re.findall(r'class="bar" x="([\d.]+)"', histogram(values, [], "t"))
    assert max(float(right) - float(left) for left, right in itertools.pairwise(bars)) > 200


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 10.0, [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]),
        (88.0, 145.0, [90.0, 100.0, 110.0, 120.0, 130.0, 140.0]),
        (3000.001, 3000.009, [3000.002, 3000.004, 3000.006, 3000.008]),
        (1.0, 1.0, [1.0]),
    ],
)
def test_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert nice_ticks(low, high) == pytest.approx(ticks)


@given(st.floats(0, 1e6), st.floats(1e-3, 1e6))
def test_ticks_lie_in_the_range(low: float, width: float) -> None:
    high = low + width
    ticks = nice_ticks(low, high)
    assert 2 <= len(ticks) <= 8
    assert all(low - width * 1e-6 <= tick <= high + width * 1e-6 for tick in ticks)


def test_titles_are_escaped() -> None:
    assert "<b>" not in histogram([1.0, 2.0], [("<b>", 1.0)], "<b>")
