"""A line without axes, for any finite values."""

from __future__ import annotations

import math
import re

from hypothesis import given
from hypothesis import strategies as st

from edgedeploy.plots.sparkline import sparkline


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=200))
def test_every_point_is_inside(values: list[float]) -> None:
    points = re.search(r'points="([^"]*)"', sparkline(values, "x"))
    assert points is not None
    for point in points[1].split():
        x, y = map(float, point.split(","))
        assert math.isfinite(x) and 0 <= x <= 240 and 0 <= y <= 48


def test_the_title_is_escaped() -> None:
    assert "<b>" not in sparkline([1.0, 2.0], '"<b>')
