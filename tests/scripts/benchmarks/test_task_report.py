from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.task_report import cell, shortcomings
from tasks.base import BenchTask, ReadyTask


def task(kind="segmentation", metric="miou", max_drop="0.01"):
    made = BenchTask(
        name="a-task",
        kind=kind,
        about="a model",
        origin="a package",
        judged_by="pictures",
        metric=metric,
        max_drop=max_drop,
        prepare=lambda _, __: None,
    )
    return ReadyTask(made, Path("folder"))


def figures(change=0.0, size=400, **more):
    return {
        "failure": None,
        "loads": True,
        "source_bytes": 1000,
        "bytes": size,
        "larger_is_better": True,
        "metric_float": 0.9,
        "change": [change, change - 0.002, change + 0.002],
        "ratio": 0.5,
        **more,
    }


@pytest.mark.parametrize(
    ("found", "short"),
    [
        (figures(), []),
        (figures(change=-0.02), ["accuracy"]),
        (figures(size=1001), ["size"]),
        ({"failure": "refused: too bad"}, ["refused: too bad"]),
        ({"failure": None, "loads": False, "error": "no such operator"}, ["no such operator"]),
    ],
)
def test_what_misses_the_goal_is_named(found, short):
    assert shortcomings(task(), found) == short


def test_a_detector_has_to_be_sixty_per_cent_smaller():
    assert shortcomings(task("detector with raw head", "map"), figures(size=420)) == ["size"]


def test_of_errors_one_per_cent_is_allowed():
    series = task("time series", "rmse", "1%")
    assert shortcomings(series, figures(change=0.008, larger_is_better=False)) == []
    assert shortcomings(series, figures(change=0.02, larger_is_better=False)) == ["accuracy"]


def test_a_cell_has_points_size_and_time():
    assert cell(task(), figures(change=-0.02)) == "**-2.0 (-2.2 … -1.8)** · -60% · ×0.50"
    assert cell(task(), None) == "—"
    assert cell(task(), {"failure": None, "loads": False, "error": "x"}) == "**does not load**"
