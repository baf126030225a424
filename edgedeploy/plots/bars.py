"""Bars before and after, as inline SVG: pure functions from figures to text, in the colours of the page's style.

Each quantity has its name and its figures in words on a line of their own, and two bars under it: no label has to fit
beside a bar, so that the same picture is read at a width of 360 pixels, where the page's text takes 24 units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from msgspec import Struct

_WIDTH = 760
_SIDE = 14
_LINE, _BAR, _GAP = 28, 10, 14
_MOST_CHARACTERS = 52
"""On one line: of 24 units, 13 wide on average and 15 where bold, they fill the width."""
_SHORTEST_NAME = 10
_MOST_OPERATORS = 12
_CONSTANT = "Constant"


class Pair(Struct, frozen=True):
    """One quantity before and after."""

    name: str
    before: float
    """Zero or more, finite; as `after`."""
    after: float
    words: str
    """Both figures as they are read, e.g. `"586 kB → 191 kB"`."""


def paired_bars(pairs: Sequence[Pair], title: str, *, is_one_scale: bool) -> str:
    """Two bars for each quantity, the upper one before, the lower one after.

    Args:
        pairs: at least one.
        is_one_scale: all have the same unit, and bars may be compared between quantities; otherwise the longer bar of
            each quantity has the full width.
    """
    largest = max(max(pair.before, pair.after) for pair in pairs)
    parts = []
    top = 4.0
    for pair in pairs:
        full = largest if is_one_scale else max(pair.before, pair.after)
        baseline = top + _LINE - 6
        parts.append(
            f'<text class="name" x="{_SIDE}" y="{baseline:g}">{escape(_shortened(pair))}</text>'
            f'<text x="{_WIDTH - _SIDE}" y="{baseline:g}" text-anchor="end">{escape(pair.words)}</text>'
            + _bar("bar before", pair.before, full, top + _LINE)
            + _bar("bar", pair.after, full, top + _LINE + _BAR + 2)
        )
        top += _LINE + 2 * _BAR + 2 + _GAP
    description = "; ".join(f"{pair.name}: {pair.words}" for pair in pairs)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {top:g}" role="img" aria-label="{escape(title)}. {escape(description)}">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>{''.join(parts)}</svg>"
    )


def operator_pairs(before: Mapping[str, int], after: Mapping[str, int]) -> tuple[Pair, ...]:
    """How often each operator occurs, the most frequent first; those beyond the twelfth stand together as one.

    Constants come last: they do no work, and an exporter that writes many would hide the others.
    """
    most = {name: max(before.get(name, 0), after.get(name, 0)) for name in {*before, *after} - {_CONSTANT}}
    names = sorted(most, key=lambda name: (-most[name], name))
    shown = names if len(names) <= _MOST_OPERATORS else names[: _MOST_OPERATORS - 1]
    pairs = [_counts(name, before.get(name, 0), after.get(name, 0)) for name in shown]
    if rest := names[len(shown) :]:
        sums = (sum(counts.get(name, 0) for name in rest) for counts in (before, after))
        pairs.append(_counts(f"{len(rest)} other operators", *sums))
    if _CONSTANT in before or _CONSTANT in after:
        pairs.append(_counts(_CONSTANT, before.get(_CONSTANT, 0), after.get(_CONSTANT, 0)))
    return tuple(pairs)


def _counts(name: str, before: int, after: int) -> Pair:
    return Pair(name, before, after, f"{before:,} → {after:,}")


def _bar(kind: str, value: float, full: float, y: float) -> str:
    """Nothing at all for zero; at least two units for what is more."""
    if value <= 0 or full <= 0:
        return ""
    width = max(2.0, (_WIDTH - 2 * _SIDE) * value / full)
    return f'<rect class="{kind}" x="{_SIDE}" y="{y:g}" width="{width:.2f}" height="{_BAR}"/>'


def _shortened(pair: Pair) -> str:
    """The name, as far as there is room beside the words."""
    room = max(_SHORTEST_NAME, _MOST_CHARACTERS - len(pair.words))
    return pair.name if len(pair.name) <= room else f"{pair.name[: room - 1]}…"
