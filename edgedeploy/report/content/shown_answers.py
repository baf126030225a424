"""Makes what is shown of labels and answers, whatever the task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgedeploy.foundation.sanitize import one_line
from edgedeploy.plots.class_colors import class_colors
from edgedeploy.plots.png import png
from edgedeploy.values.labels import Detections, TimeSpans
from edgedeploy.values.sample_preview import ShownAnswer, ShownObject

_MOST_OBJECTS = 20
_LEAST_SCORE = 0.25
"""Heads keep far lower ones for average precision; nobody would draw them (ultralytics draws from 0.25 on,
https://docs.ultralytics.com/modes/predict/#inference-arguments)."""
_MOST_CHARACTERS = 200
_FEW_NUMBERS = 8
_MASK_SIDE = 96


def shown_answer(
    whose: str, answer: Any, *, size: tuple[int, int] | None = None, class_names: Sequence[str] = ()
) -> ShownAnswer:
    """Return what is shown of one answer.

    Args:
        answer: `Detections`, `TimeSpans`, a text, a number, or an array: of whole numbers with two axes, the classes of
            pixels.
        size: height and width of the picture, in which boxes are; None where the sample is none.
        class_names: in the order of the classes.
    """
    if isinstance(answer, Detections):
        return ShownAnswer(whose=whose, objects=_objects(answer, size, class_names) if size else ())
    if isinstance(answer, TimeSpans):
        events = zip(answer.spans_s, answer.classes, strict=True)
        words = [f"{_name(int(kind), class_names)} {begin:.2f}–{end:.2f} s" for (begin, end), kind in events]
        return ShownAnswer(whose=whose, text=one_line("; ".join(words) or "(none)", limit=_MOST_CHARACTERS))
    if isinstance(answer, str):
        return ShownAnswer(whose=whose, text=one_line(answer, limit=_MOST_CHARACTERS) or "(empty)")
    array = np.asarray(answer)
    if array.ndim == 2 and array.dtype.kind in "iu" and min(array.shape) > 1:
        return ShownAnswer(whose=whose, mask=_mask(array))
    if array.size == 1 and array.dtype.kind in "iu":
        return ShownAnswer(whose=whose, text=_name(int(array.ravel()[0]), class_names))
    values = ", ".join(f"{value:.6g}" if array.dtype.kind in "fiu" else str(value) for value in array.ravel()[:8])
    more = " …" if array.size > _FEW_NUMBERS else ""
    return ShownAnswer(whose=whose, text=one_line(values, limit=_MOST_CHARACTERS - 2) + more)


def _objects(found: Detections, size: tuple[int, int], class_names: Sequence[str]) -> tuple[ShownObject, ...]:
    height, width = size
    order = np.arange(len(found.boxes))
    if found.scores is not None:
        order = np.argsort(-found.scores, kind="stable")
        order = order[found.scores[order] >= _LEAST_SCORE]
    scale = np.array([width, height, width, height], np.float64)
    return tuple(
        ShownObject(
            name=_name(int(found.classes[place]), class_names)
            + ("" if found.scores is None else f" ({found.scores[place]:.2f})"),
            box=_four(np.clip(found.boxes[place] / scale, 0.0, 1.0)),
            points=() if found.keypoints is None else _points(found.keypoints[place], width, height),
        )
        for place in order[:_MOST_OBJECTS]
    )


def _four(box: np.ndarray) -> tuple[float, float, float, float]:
    left, top, right, bottom = (round(float(value), 4) for value in box)
    return left, top, right, bottom


def _points(points: np.ndarray, width: int, height: int) -> tuple[tuple[float, float], ...]:
    seen = points[points[:, 2] > _LEAST_SCORE]
    return tuple((round(float(x) / width, 4), round(float(y) / height, 4)) for x, y, _ in seen)


def _name(number: int, class_names: Sequence[str]) -> str:
    known = class_names[number] if 0 <= number < len(class_names) else ""
    return one_line(known, limit=40) if known else str(number)


def _mask(classes: np.ndarray) -> bytes:
    step = max(1, -(-max(classes.shape) // _MASK_SIDE))
    return png(class_colors(classes[::step, ::step]))
