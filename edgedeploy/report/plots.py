"""Plots as inline SVG: pure functions from figures to text. They take their colours from the page's style."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from html import escape

Scale = Callable[[float], float]

_WIDTH, _HEIGHT = 640, 180
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 12, 12, 34
_MOST_BINS = 60
_MOST_POINTS = 1500


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers that cover [low, high].

    P. S. Heckbert, «Nice Numbers for Graph Labels», Graphics Gems, 1990: steps of 1, 2 or 5 times a power of ten.
    """
    if not high > low:
        return [low]
    raw = (high - low) / max(1, count - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    fraction = raw / power
    step = power * next(nice for nice in (1.0, 2.0, 5.0, 10.0) if fraction <= nice * (1 + 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def bin_count(samples: Sequence[float]) -> int:
    """How many bins a histogram of `samples` has, between 1 and 60.

    The larger number of two rules, as `numpy.histogram_bin_edges` does for "auto": D. Freedman, P. Diaconis, «On the
    histogram as a density estimator», 1981 (bins of 2·IQR·n^(-1/3)), which two modes far apart mislead, and H. Sturges,
    «The Choice of a Class Interval», 1926 (1 + log2 n bins).
    """
    spread = max(samples) - min(samples)
    if spread == 0:
        return 1
    bins = math.ceil(1 + math.log2(len(samples)))
    if len(samples) >= 4:
        quartiles = statistics.quantiles(samples, n=4)
        width = 2 * (quartiles[2] - quartiles[0]) / len(samples) ** (1 / 3)
        if width > spread / _MOST_BINS:
            bins = max(bins, math.ceil(spread / width))
        elif width > 0:
            bins = _MOST_BINS
    return min(_MOST_BINS, bins)


def histogram(samples_ms: Sequence[float], marks: Sequence[tuple[str, float]], title: str) -> str:
    """The distribution of timing samples in milliseconds, with named marks (p50 …) as vertical lines."""
    low, high = min(samples_ms), max(samples_ms)
    bins = bin_count(samples_ms)
    counts = [0] * bins
    for sample in samples_ms:
        place = int((sample - low) / (high - low) * bins) if high > low else 0
        counts[min(place, bins - 1)] += 1
    if high == low:
        # One value: a bar in the middle of an axis that has some width.
        margin = abs(low) * 0.05 or 0.5
        low, high = low - margin, high + margin
        counts = [0, counts[0], 0]
        bins = 3
    x, y = _scale(low, high, _LEFT, _WIDTH - _RIGHT), _scale(0, max(counts), _HEIGHT - _BOTTOM, _TOP)
    width = (_WIDTH - _LEFT - _RIGHT) / bins
    parts = []
    for index, count in enumerate(counts):
        if count:
            left = _LEFT + index * width
            parts.append(
                f'<rect class="bar" x="{left:.2f}" y="{y(count):.2f}" width="{max(0.5, width - 1):.2f}" '
                f'height="{y(0) - y(count):.2f}"/>'
            )
    taken: list[float] = []
    for name, value in marks:
        at = x(value)
        parts.append(f'<line class="mark" x1="{at:.2f}" x2="{at:.2f}" y1="{_TOP}" y2="{y(0):.2f}"/>')
        # Names that would lie on each other go a line lower.
        row = sum(1 for other in taken if abs(other - at) < 30)
        taken.append(at)
        anchor = "end" if at > _WIDTH - 60 else "start"
        shift = -3 if anchor == "end" else 3
        parts.append(
            f'<text class="name" x="{at + shift:.2f}" y="{_TOP + 9 + 12 * row}" text-anchor="{anchor}">'
            f"{escape(name)}</text>"
        )
    parts.append(_x_axis(low, high, x, "ms"))
    parts.append(_y_axis(0, max(counts), y, whole=True))
    least, most = min(samples_ms), max(samples_ms)
    return _svg(title, f"Histogram of {len(samples_ms)} samples from {least:.4g} to {most:.4g} ms", parts)


def timeline(samples_ms: Sequence[float], title: str) -> str:
    """Timing samples in the order they were taken: drift and outliers show here."""
    step = max(1, math.ceil(len(samples_ms) / _MOST_POINTS))
    low, high = min(samples_ms), max(samples_ms)
    margin = (high - low) * 0.05 or abs(low) * 0.05 or 0.5
    low, high = max(0.0, low - margin), high + margin
    x = _scale(0, max(1, len(samples_ms) - 1), _LEFT, _WIDTH - _RIGHT)
    y = _scale(low, high, _HEIGHT - _BOTTOM, _TOP)
    parts = [
        f'<circle class="dot" cx="{x(index):.2f}" cy="{y(value):.2f}" r="1.6"/>'
        for index, value in enumerate(samples_ms)
        if index % step == 0
    ]
    parts.append(_x_axis(0, max(1, len(samples_ms) - 1), x, "inference"))
    parts.append(_y_axis(low, high, y))
    drawn = "" if step == 1 else f"; every {step}th is drawn"
    return _svg(title, f"{len(samples_ms)} samples in milliseconds, in the order they were taken{drawn}", parts)


def _scale(low: float, high: float, start: float, end: float) -> Scale:
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def _x_axis(low: float, high: float, x: Scale, unit: str) -> str:
    base = _HEIGHT - _BOTTOM
    parts = [f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{base}" y2="{base}"/>']
    for tick in nice_ticks(low, high, 7):
        at = x(tick)
        parts.append(f'<line class="axis" x1="{at:.2f}" x2="{at:.2f}" y1="{base}" y2="{base + 4}"/>')
        parts.append(f'<text class="tick" x="{at:.2f}" y="{base + 16}" text-anchor="middle">{_number(tick)}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text class="tick" x="{middle}" y="{_HEIGHT - 4}" text-anchor="middle">{escape(unit)}</text>')
    return "".join(parts)


def _y_axis(low: float, high: float, y: Scale, *, whole: bool = False) -> str:
    ticks = [tick for tick in nice_ticks(low, high, 5) if not whole or tick == int(tick)]
    return "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(tick):.2f}" y2="{y(tick):.2f}"/>'
        f'<text class="tick" x="{_LEFT - 6}" y="{y(tick) + 4:.2f}" text-anchor="end">{_number(tick)}</text>'
        for tick in ticks
    )


def _number(value: float) -> str:
    return f"{value:.6g}"


def _svg(title: str, description: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}. {escape(description)}">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>{''.join(parts)}</svg>"
    )
