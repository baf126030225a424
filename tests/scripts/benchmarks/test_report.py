from __future__ import annotations

import pytest
from benchmarks.report import cell, shortcomings

GOOD = {
    "failure": None,
    "loads": True,
    "source_bytes": 1000,
    "bytes": 280,
    "metric_float": 0.95,
    "metric_exact": 0.945,
    "ratio": 0.8,
    "slower": False,
}


def test_a_result_that_is_smaller_as_good_and_not_slower_is_brought_through():
    assert shortcomings(GOOD) == []
    assert cell(GOOD) == "✓ -72% · -0.5 · ×0.80"


@pytest.mark.parametrize(
    ("changed", "short", "text"),
    [
        ({"bytes": 601}, ["size"], "**-40%** · -0.5 · ×0.80"),
        ({"metric_exact": 0.9399}, ["accuracy"], "-72% · **-1.0** · ×0.80"),
        ({"stream_float": 0.98, "stream_exact": 0.0}, ["accuracy"], "-72% · **-98.0** · ×0.80"),
        ({"slower": True, "ratio": 1.4}, ["speed"], "-72% · -0.5 · **×1.40**"),
        ({"failure": "refused: it grew"}, ["refused: it grew"], "**refused**"),
        ({"failure": "ValueError: no"}, ["ValueError: no"], "**fails**"),
        ({"loads": False, "error": "bad axis"}, ["does not load: bad axis"], "**does not load**"),
        ({"error": "the model fails while it runs"}, ["the model fails while it runs"], "**fails**"),
    ],
)
def test_what_falls_short_is_named(changed, short, text):
    assert shortcomings(GOOD | changed) == short
    assert cell(GOOD | changed) == text


def test_a_fall_by_just_what_is_allowed_is_allowed():
    assert shortcomings(GOOD | {"metric_exact": 0.94}) == []


def test_what_was_not_run_is_empty():
    assert cell(None) == "—"
