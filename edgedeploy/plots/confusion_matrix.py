"""A confusion matrix as inline SVG: a pure function from figures to text, in the colours of the page's style."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_WIDTH = 760
_LEFT, _TOP = 132, 64
_HIGHEST_CELL = 56
_MOST_CHARACTERS = 8
"""Of a class's name, in the width of the names: of 24 units, 15 wide."""


def confusion_matrix(names: Sequence[str], counts: Sequence[Sequence[int]], title: str) -> str:
    """Draw a row for each class that labels name, a column for each that is answered.

    A cell is the more filled the larger its share of the row is: right answers in one colour, wrong ones in another.

    Args:
        names: of rows and columns, at least one.
        counts: rows of whole numbers, one for each name.
    """
    size = len(names)
    width = (_WIDTH - _LEFT) / size
    height = min(width, _HIGHEST_CELL)
    parts = [
        f'<text x="{_LEFT}" y="24">answered →</text>',
        f'<text x="{_LEFT - 8}" y="{_TOP - 12}" text-anchor="end">label ↓</text>',
    ]
    for place, name in enumerate(names):
        shown = escape(_shortened(name, _MOST_CHARACTERS))
        above = escape(_shortened(name, max(2, int(width / 13))))
        middle = (place + 0.5) * width + _LEFT
        parts.append(f'<text class="name" x="{middle:.1f}" y="{_TOP - 12}" text-anchor="middle">{above}</text>')
        baseline = _TOP + (place + 0.5) * height + 5
        parts.append(f'<text class="name" x="{_LEFT - 8}" y="{baseline:.1f}" text-anchor="end">{shown}</text>')
    for row, line in enumerate(counts):
        total = sum(line)
        for column, count in enumerate(line):
            if count:
                parts.append(
                    _cell(column * width + _LEFT, row * height + _TOP, width, height, count, total, row == column)
                )
    bottom = _TOP + size * height + 6
    described = "; ".join(
        f"{names[row]} answered {names[column]}: {count}"
        for row, line in enumerate(counts)
        for column, count in enumerate(line)
        if count and row != column
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {bottom:g}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title><desc>{escape(described or 'no wrong answers')}</desc>{''.join(parts)}</svg>"
    )


def _cell(left: float, top: float, width: float, height: float, count: int, total: int, right: bool) -> str:
    # A single wrong answer among thousands is to be seen too.
    share = 0.12 + 0.55 * count / total
    kind = "right" if right else "wrong"
    return (
        f'<rect class="cell {kind}" x="{left + 1:.1f}" y="{top + 1:.1f}" width="{width - 2:.1f}" '
        f'height="{height - 2:.1f}" fill-opacity="{share:.2f}"/>'
        f'<text class="count" x="{left + width / 2:.1f}" y="{top + height / 2 + 5:.1f}" '
        f'text-anchor="middle">{_short(count)}</text>'
    )


def _shortened(name: str, most: int) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _short(count: int) -> str:
    """Three figures at most: `"950"`, `"1.2k"`, `"48k"`, `"3.1M"`."""
    for unit, size in (("M", 1_000_000), ("k", 1000)):
        if count >= size:
            return f"{count / size:.1f}{unit}" if count < 9.95 * size else f"{count / size:.0f}{unit}"
    return str(count)
