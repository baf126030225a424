"""Draws a vector or a waveform as a line without axes, as inline SVG in the colours of the page's style."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_WIDTH, _HEIGHT, _MARGIN = 240, 48, 3


def sparkline(values: Sequence[float], title: str) -> str:
    """Return the line through these values, each finite, from the lowest at the bottom to the highest at the top.

    Args:
        values: at least one.
        title: what it shows, for those who do not see it.
    """
    low, high = min(values), max(values)
    # In halves, because the difference of two large values may be no finite number.
    spread = high / 2 - low / 2 or 1.0
    step = (_WIDTH - 2 * _MARGIN) / max(len(values) - 1, 1)
    heights = ((value / 2 - low / 2) / spread * (_HEIGHT - 2 * _MARGIN) for value in values)
    points = " ".join(
        f"{_MARGIN + index * step:.1f},{_HEIGHT - _MARGIN - height:.1f}" for index, height in enumerate(heights)
    )
    return (
        f'<svg class="spark" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">'
        f'<title>{escape(title)}</title><polyline class="trend" points="{points}"/></svg>'
    )
