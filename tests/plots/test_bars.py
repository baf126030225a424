"""Bars: inside their box, of lengths that the figures have, with the figures in words."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedeploy.plots.bars import Pair, operator_pairs, paired_bars

sizes = st.floats(0, 1e15)


def widths(plot: str) -> list[float]:
    return [float(bar.attrib["width"]) for bar in ElementTree.fromstring(plot).iter("rect")]


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8", exclude_categories=["C"])), sizes, sizes), min_size=1))
def test_any_figures_give_well_formed_svg_within_its_box(drawn: list[tuple[str, float, float]]) -> None:
    pairs = [Pair(name, before, after, f"{before:g} → {after:g}") for name, before, after in drawn]
    for is_one_scale in (True, False):
        root = ElementTree.fromstring(paired_bars(pairs, "<title>", is_one_scale=is_one_scale))
        width, height = (float(part) for part in root.attrib["viewBox"].split()[2:])
        for bar in root.iter("rect"):
            assert float(bar.attrib["x"]) + float(bar.attrib["width"]) <= width
            assert float(bar.attrib["y"]) + float(bar.attrib["height"]) <= height


def test_one_scale_compares_between_quantities() -> None:
    pairs = (Pair("a", 10, 5, "10 → 5"), Pair("b", 1, 0, "1 → 0"))
    full, half, tenth = widths(paired_bars(pairs, "t", is_one_scale=True))
    assert (half / full, tenth / full) == pytest.approx((0.5, 0.1), abs=1e-4)


def test_scales_of_their_own_give_each_its_full_width() -> None:
    pairs = (Pair("bytes", 1e6, 1e5, "1 MB → 100 kB"), Pair("ms", 1, 2, "1 ms → 2 ms"))
    full, tenth, half, other_full = widths(paired_bars(pairs, "t", is_one_scale=False))
    assert (tenth / full, half / full, other_full / full) == pytest.approx((0.1, 0.5, 1), abs=1e-4)


def test_what_the_eye_sees_is_told_in_words() -> None:
    root = ElementTree.fromstring(paired_bars((Pair("a & b", 3, 1, "3 → 1"),), "t", is_one_scale=True))
    assert (root.findtext("desc"), root.attrib["role"]) == ("a & b: 3 → 1", "img")


def test_a_long_name_leaves_room_for_the_figures() -> None:
    pair = Pair("n" * 80, 1, 1, "180.9 → 119.9 million instructions (−33.7%)")
    name, figures = (
        text.text or "" for text in ElementTree.fromstring(paired_bars((pair,), "t", is_one_scale=True)).iter("text")
    )
    assert (len(name), figures) == (10, pair.words)
    assert name.endswith("…")


def test_operators_of_either_graph_are_there_the_most_frequent_first() -> None:
    pairs = operator_pairs({"Conv": 53, "BatchNormalization": 12}, {"Conv": 53, "QuantizeLinear": 96})
    assert [(pair.name, pair.before, pair.after) for pair in pairs] == [
        ("QuantizeLinear", 0, 96),
        ("Conv", 53, 53),
        ("BatchNormalization", 12, 0),
    ]


def test_rare_operators_stand_together() -> None:
    before = {f"Op{index:02}": 100 - index for index in range(30)}
    pairs = operator_pairs(before, {})
    assert len(pairs) == 12
    assert pairs[-1].name == "19 other operators"
    assert sum(pair.before for pair in pairs) == sum(before.values())


def test_constants_come_last_and_are_never_among_the_others() -> None:
    before = {"Constant": 308, "Conv": 53, **{f"Op{index}": 1 for index in range(20)}}
    names = [pair.name for pair in operator_pairs(before, {"Conv": 53})]
    assert names[0] == "Conv" and names[-1] == "Constant" and names[-2] == "10 other operators"
    assert "Constant" not in [pair.name for pair in operator_pairs({"Conv": 1}, {"Conv": 1})]
