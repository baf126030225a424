"""What the report shows of labels and answers, for each kind of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgedeploy.plots.class_colors import class_colors
from edgedeploy.plots.marked_picture import marked_picture
from edgedeploy.plots.png import png
from edgedeploy.report.content.shown_answers import shown_answer
from edgedeploy.values.labels import Detections, TimeSpans


def detections(count: int, *, scores: bool = True) -> Detections:
    return Detections(
        boxes=np.array([[0, 0, 32, 64], [10, 10, 20, 20], [-8, 0, 1000, 8]], np.float64)[:count],
        classes=np.array([0, 2, 1])[:count],
        scores=np.array([0.9, 0.1, 0.5])[:count] if scores else None,
    )


def test_boxes_are_shares_of_the_picture_and_those_with_low_scores_are_left_out() -> None:
    shown = shown_answer("optimized", detections(3), size=(64, 128), class_names=("cat", "dog"))
    assert [(one.name, one.box) for one in shown.objects] == [
        ("cat (0.90)", (0.0, 0.0, 0.25, 1.0)),
        ("dog (0.50)", (0.0, 0.0, 1.0, 0.125)),
    ]
    labeled = shown_answer("label", detections(2, scores=False), size=(64, 128))
    assert [one.name for one in labeled.objects] == ["0", "2"]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (np.int64(3), "3"),
        (np.array([1.25, -2.0]), "1.25, -2"),
        (np.arange(20.0), "0, 1, 2, 3, 4, 5, 6, 7 …"),
        ("the cat\n\x1b[31msat", None),
        ("", "(empty)"),
        (TimeSpans(spans_s=np.array([[0.5, 1.25]]), classes=np.array([1])), "1 0.50–1.25 s"),
        (TimeSpans(spans_s=np.empty((0, 2)), classes=np.empty(0, np.int64)), "(none)"),
        (detections(0), ""),
    ],
)
def test_each_kind_has_its_words(answer: Any, text: str | None) -> None:
    shown = shown_answer("label", answer, size=(8, 8))
    assert shown.text == text if text is not None else "\x1b" not in shown.text and "\n" not in shown.text
    assert shown.mask is None


def test_classes_of_pixels_become_a_small_picture() -> None:
    shown = shown_answer("label", np.arange(512 * 512).reshape(512, 512) % 256)
    assert shown.mask is not None and shown.mask.startswith(b"\x89PNG") and len(shown.mask) < 40_000


def test_the_colors_are_those_of_pascal_voc() -> None:
    colors = class_colors(np.array([[0, 1, 2, 3, 15, 255]]))
    assert colors[0].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [192, 128, 128], [128, 128, 128]]


def test_names_that_people_chose_are_no_markup_in_a_drawing() -> None:
    shown = shown_answer("label", detections(1, scores=False), size=(64, 128), class_names=("<script>&",))
    drawn = marked_picture(png(np.zeros((4, 8), np.uint8)), (64, 128), [shown], 'a "title"')
    assert "<script>" not in drawn and "&lt;script&gt;&amp;" in drawn and 'class="box labeled"' in drawn
    assert 'width="60.0" height="120.0"' in drawn
