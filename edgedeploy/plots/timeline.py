"""Plots as inline SVG: pure functions from figures to text. They take their colours from the page's style.

Lengths are in units of the view box. Margins leave room for text of 24 units, which the page takes on narrow screens,
where a unit is less than half a pixel.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

Scale = Callable[[float], float]

_WIDTH, _PLOT_HEIGHT = 760, 150
_RIGHT, _BOTTOM = 32, 36
_ROW = 24
_NAMES = 64
"""The right margin where names of marks stand in it."""
_MOST_BINS = 60
_MOST_POINTS = 2000

_LARGEST_MS = 1e15
_FLAT = 1e-9
"""Spreads below this part of the value are noise of binary floating point, not of a clock."""


@dataclass(frozen=True)
class _Frame:
    """The area that data are drawn in, and how their values become places."""

    left: float
    top: float
    right: float
    x: Scale
    y: Scale

    @property
    def base(self) -> float:
        return self.top + _PLOT_HEIGHT


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers in [low, high], at least two of them where `count` is 5 or more.

    P. S. Heckbert, «Nice Numbers for Graph Labels», Graphics Gems, 1990: steps of 1, 2 or 5 times a power of ten,
    whichever is near. Unlike his loose labels, the ticks stay inside the range.
    """
    if _is_flat(low, high):
        return [low]
    raw = (high - low) / max(1, count - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    fraction = raw / power
    step = power * next(nice for nice, below in ((1, 1.5), (2, 3), (5, 7), (10, math.inf)) if fraction < below)
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
    if _is_flat(min(samples), max(samples)):
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


def histogram(samples: Sequence[float], marks: Sequence[tuple[str, float]], title: str, unit: str = "ms") -> str:
    """The distribution of samples, with named marks (p50 …) as vertical lines.

    Under the axis each sample has a stroke of its own, so that what the bins hide is seen.

    Args:
        samples: at least one, finite, in `unit`.
        marks: names, with values within the samples' range.
    """
    samples = _drawable(samples)
    low, high = _widened(min(samples), max(samples))
    # One value is a bar in the middle of an axis that has some width.
    bins = 3 if _is_flat(min(samples), max(samples)) else bin_count(samples)
    counts = [0] * bins
    for sample in samples:
        counts[min(int((sample - low) / (high - low) * bins), bins - 1)] += 1

    y_ticks = [tick for tick in nice_ticks(0, max(counts)) if tick == int(tick)]
    left = _room_for(y_ticks)
    x = _scale(low, high, left, _WIDTH - _RIGHT)
    named = [(name, x(min(max(value, low), high))) for name, value in marks]
    rows = _rows([at for _, at in named])
    top = 10 + _ROW * (max(rows, default=-1) + 1)
    frame = _Frame(left=left, top=top, right=_WIDTH - _RIGHT, x=x, y=_scale(0, max(counts), top + _PLOT_HEIGHT, top))

    parts = [_x_axis(nice_ticks(low, high), frame), _y_axis(y_ticks, frame)]
    width = (_WIDTH - _RIGHT - left) / bins
    for index, count in enumerate(counts):
        if count:
            at = frame.y(count)
            parts.append(
                f'<rect class="bar" x="{left + index * width:.2f}" y="{at:.2f}" width="{max(0.5, width - 1):.2f}" '
                f'height="{frame.base - at:.2f}"/>'
            )
    # Half a unit apart is the same stroke on any screen: this bounds the page's size whatever the number of samples.
    places = sorted({round(x(sample) * 2) / 2 for sample in samples})
    parts.append(f'<path class="rug" d="{"".join(f"M{at:g} {frame.base + 2:g}v7" for at in places)}"/>')
    for (name, at), row in zip(named, rows, strict=True):
        anchor, shift = ("end", -4) if _is_flipped(at) else ("start", 4)
        baseline = _ROW * (row + 1) - 4
        parts.append(
            f'<line class="mark" x1="{at:.2f}" x2="{at:.2f}" y1="{baseline - 8}" y2="{frame.base:g}"/>'
            f'<text class="name" x="{at + shift:.2f}" y="{baseline}" text-anchor="{anchor}">{escape(name)}</text>'
        )
    description = f"Histogram of {_counted(samples)} from {min(samples):.4g} to {max(samples):.4g} {unit}"
    marked = "".join(f"; {name} {value:.4g} {unit}" for name, value in marks)
    return _svg(title, description + marked, frame, parts)


def timeline(
    samples: Sequence[float],
    title: str,
    marks: Sequence[tuple[str, float]] = (),
    unit: str = "milliseconds",
    *,
    bands: Sequence[tuple[float, float]] = (),
    room: float = 0,
) -> str:
    """Samples in the order they were taken: drift and outliers show here; named marks (p50 …) are lines across.

    Of more than 2,000 samples the lowest and the highest of each stretch are drawn, so that no outlier is lost.

    Args:
        samples: at least one, finite, in `unit`.
        marks: names, with values within the samples' range.
        bands: stretches of samples, from 1, to shade.
        room: the least left margin, so that plots below one another have one horizontal axis: see `room_for`.
    """
    samples = _drawable(samples)
    low, high = _vertical(samples)
    last = len(samples)
    frame, parts = _in_order(low, high, last, right=_WIDTH - (_NAMES if marks else _RIGHT), bands=bands, room=room)
    left, top, right = frame.left, frame.top, frame.right
    dots = "".join(f"M{frame.x(place):.1f} {frame.y(value):.1f}h0" for place, value in _thinned(samples))
    parts.append(f'<path class="dots" style="stroke-width: {8 if last <= 20 else 4}px" d="{dots}"/>')
    named = [(name, frame.y(min(max(value, low), high))) for name, value in marks]
    for (name, at), baseline in zip(named, _spread([at for _, at in named], top, frame.base), strict=True):
        parts.append(
            f'<line class="mark" x1="{left:g}" x2="{right:g}" y1="{at:.2f}" y2="{at:.2f}"/>'
            f'<text class="name" x="{right + 4:g}" y="{baseline:.2f}" dy=".35em">{escape(name)}</text>'
        )
    marked = "".join(f"; {name} {value:.4g} {unit}" for name, value in marks)
    thinned = "; of each stretch the lowest and the highest are drawn" if last > _MOST_POINTS else ""
    return _svg(title, f"{_counted(samples)} in {unit}, in the order they were taken{marked}{thinned}", frame, parts)


def trend(
    points: Sequence[tuple[float, float]],
    last: int,
    title: str,
    unit: str,
    *,
    bands: Sequence[tuple[float, float]] = (),
    room: float = 0,
) -> str:
    """What was seen while samples were taken, as a line under their `timeline`; or of any things that have an order.

    Args:
        points: the sample's number, from 1 to `last`, and the value, finite, in `unit`; at least one.
        bands, room: as `timeline` takes them.
    """
    values = _drawable([value for _, value in points])
    low, high = _vertical(values)
    frame, parts = _in_order(low, high, last, right=_WIDTH - _NAMES, bands=bands, room=room)
    places = [(frame.x(min(max(at, 1), last)), frame.y(value)) for (at, _), value in zip(points, values, strict=True)]
    words = [f"{x:.1f} {y:.1f}" for x, y in places]
    parts.append(f'<path class="trend" d="M{"L".join(words)}"/>')
    parts.append(f'<path class="dots" style="stroke-width: 5px" d="{"".join(f"M{word}h0" for word in words)}"/>')
    return _svg(title, f"From {min(values):.4g} to {max(values):.4g} {unit}, at {len(values)} points", frame, parts)


def room_for(*values: Sequence[float]) -> float:
    """The left margin that the labels of all these need, in plots over one horizontal axis."""
    return max((_room_for(nice_ticks(*_vertical(_drawable(each)))) for each in values if each), default=0)


def _vertical(values: Sequence[float]) -> tuple[float, float]:
    low, high = _widened(min(values), max(values))
    margin = (high - low) * 0.05
    return (max(0.0, low - margin) if low >= 0 else low - margin), high + margin


def _in_order(
    low: float, high: float, last: int, *, right: float, bands: Sequence[tuple[float, float]], room: float
) -> tuple[_Frame, list[str]]:
    """The frame of samples 1 to `last`, and its axes over the shaded stretches."""
    y_ticks = nice_ticks(low, high)
    left, top = max(room, _room_for(y_ticks)), 10
    frame = _Frame(
        left=left,
        top=top,
        right=right,
        x=_scale(1, last, left + 4, right - 4) if last > 1 else _scale(0, 2, left, right),
        y=_scale(low, high, top + _PLOT_HEIGHT, top),
    )
    x_ticks = [1.0, *(tick for tick in nice_ticks(1, last) if tick == int(tick) and tick > 1)]
    if len(x_ticks) > 1 and frame.x(x_ticks[1]) - frame.x(1) < 30:
        del x_ticks[1]
    shades = [(frame.x(max(1, begin)), frame.x(min(last, end))) for begin, end in bands]
    parts = [
        f'<rect class="band" x="{begin:.1f}" y="{top}" width="{max(1.0, end - begin):.1f}" height="{_PLOT_HEIGHT}"/>'
        for begin, end in shades
    ]
    return frame, [*parts, _x_axis(x_ticks, frame), _y_axis(y_ticks, frame)]


def _thinned(samples: Sequence[float]) -> list[tuple[int, float]]:
    """Numbered from 1; beyond the most that are drawn, the extremes of stretches of equal length."""
    numbered = list(enumerate(samples, start=1))
    if len(numbered) <= _MOST_POINTS:
        return numbered
    stretch = math.ceil(2 * len(numbered) / _MOST_POINTS)
    kept = []
    for start in range(0, len(numbered), stretch):
        piece = numbered[start : start + stretch]
        extremes = {min(piece, key=lambda point: point[1]), max(piece, key=lambda point: point[1])}
        kept += sorted(extremes)
    return kept


def _drawable(samples_ms: Sequence[float]) -> list[float]:
    """Within 30,000 years: only a broken clock goes further, and arithmetic on what is here cannot overflow."""
    return [min(max(sample, -_LARGEST_MS), _LARGEST_MS) for sample in samples_ms]


def _is_flat(low: float, high: float) -> bool:
    return not high - low > _FLAT * max(abs(low), abs(high), 1e-6)


def _widened(low: float, high: float) -> tuple[float, float]:
    if not _is_flat(low, high):
        return low, high
    margin = max(abs(low), abs(high)) * 0.05 or 0.5
    return low - margin, high + margin


def _scale(low: float, high: float, start: float, end: float) -> Scale:
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def _rows(places: Sequence[float]) -> list[int]:
    """The line of text for each mark's name, counted from the top: the first where it lies on no other name."""
    taken: list[tuple[int, float]] = []
    for at in places:
        begin = at - 60 if _is_flipped(at) else at
        row = 0
        while any(other_row == row and abs(begin - other) < 60 for other_row, other in taken):
            row += 1
        taken.append((row, begin))
    return [row for row, _ in taken]


def _spread(places: Sequence[float], top: float, base: float) -> list[float]:
    """Heights for the names of marks at `places`, apart by a line of text: the highest stays, others go down or up."""
    heights = list(places)
    order = sorted(range(len(places)), key=lambda index: (places[index], -index))
    for above, below in itertools.pairwise(order):
        heights[below] = max(heights[below], heights[above] + _ROW)
    # What went below the axis pushes all back up.
    limit = base
    for index in reversed(order):
        heights[index] = max(top, min(heights[index], limit))
        limit = heights[index] - _ROW
    return heights


def _is_flipped(at: float) -> bool:
    """Near the right edge a mark's name stands to its left."""
    return at > _WIDTH - 70


def _x_axis(ticks: Sequence[float], frame: _Frame) -> str:
    base = frame.base
    labels = _labels(ticks)
    return (
        f'<path class="axis" d="M{frame.left:g} {base:g}H{frame.right:g}'
        + "".join(f"M{frame.x(tick):.2f} {base:g}v6" for tick in ticks)
        + '"/>'
        + "".join(
            f'<text class="below" x="{frame.x(tick):.2f}" y="{base + 19:g}" text-anchor="middle">{label}</text>'
            for tick, label in zip(ticks, labels, strict=True)
        )
    )


def _y_axis(ticks: Sequence[float], frame: _Frame) -> str:
    return "".join(
        f'<line class="grid" x1="{frame.left:g}" x2="{frame.right:g}" y1="{frame.y(tick):.2f}" '
        f'y2="{frame.y(tick):.2f}"/><text x="{frame.left - 8:g}" y="{frame.y(tick):.2f}" dy=".35em" '
        f'text-anchor="end">{label}</text>'
        for tick, label in zip(ticks, _labels(ticks), strict=True)
    )


def _room_for(ticks: Sequence[float]) -> float:
    """The left margin: as wide as the longest label in the largest text."""
    return 14 + 14 * max(len(label) for label in _labels(ticks))


def _labels(ticks: Sequence[float]) -> list[str]:
    """All with as many decimals as their step needs."""
    if len(ticks) == 1:
        return [f"{ticks[0]:.10g}"]
    step = ticks[1] - ticks[0]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    if decimals > 6 or max(abs(tick) for tick in ticks) >= 1e9:
        return [f"{tick:.4g}" for tick in ticks]
    return [f"{tick:.{decimals}f}" for tick in ticks]


def _counted(samples: Sequence[float]) -> str:
    return "1 sample" if len(samples) == 1 else f"{len(samples):,} samples"


def _svg(title: str, description: str, frame: _Frame, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {frame.base + _BOTTOM:g}" role="img" '
        f'aria-label="{escape(title)}. {escape(description)}">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>{''.join(parts)}</svg>"
    )
