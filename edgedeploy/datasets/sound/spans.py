"""Events in recordings, as manifests have them: `[[0.5, 1.25, "speech"], …]`, in seconds from the file's begin."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from edgedeploy.datasets.sound.sound_file import SoundPart
from edgedeploy.foundation.errors import DatasetError
from edgedeploy.values.labels import TimeSpans

_MOST_SPANS = 100_000


class Span(Struct, frozen=True):
    """One event."""

    begin_s: float
    end_s: float
    label: Any
    """A class, as it stands there."""


def read_spans(value: object, where: str) -> tuple[Span, ...]:
    """Read the spans of a row: a list, or, in CSV, that list as JSON; an empty cell for none.

    Each span is `[begin, end, label]` or `{"begin_s": …, "end_s": …, "label": …}`.

    Raises:
        DatasetError: they are none.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else []
        except (ValueError, RecursionError) as error:
            raise DatasetError(f"{where}: its spans are no JSON", why=str(error)) from error
    if not isinstance(value, list) or len(value) > _MOST_SPANS:
        raise DatasetError(f"{where}: its spans are no list", why="expected [[begin, end, label], …], in seconds")
    return tuple(_span(each, where) for each in value)


def _span(value: object, where: str) -> Span:
    if isinstance(value, dict):
        value = [value.get(key) for key in ("begin_s", "end_s", "label")]
    if not isinstance(value, list) or len(value) != 3:
        raise DatasetError(f"{where}: a span is {value!r:.80}", why="expected [begin, end, label], in seconds")
    begin, end, label = value
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (begin, end))
    if not numbers or not 0 <= begin <= end or not math.isfinite(end):
        raise DatasetError(f"{where}: a span is from {begin!r:.40} to {end!r:.40}", why="expected seconds, in order")
    return Span(float(begin), float(end), label)


def clipped(spans: Sequence[Span], classes: np.ndarray, part: SoundPart, duration_s: float) -> TimeSpans:
    """Return the spans that are in a part of a recording, in seconds from the part's begin.

    Args:
        classes: int64, of each span.
        duration_s: of what the model is given.
    """
    ends = np.array([[span.begin_s, span.end_s] for span in spans], np.float64).reshape(-1, 2) - part.begin_s
    most = min(duration_s, math.inf if part.end_s is None else part.end_s - part.begin_s)
    inside = (ends[:, 1] > 0) & (ends[:, 0] < most)
    return TimeSpans(spans_s=np.clip(ends[inside], 0.0, most), classes=classes[inside])
