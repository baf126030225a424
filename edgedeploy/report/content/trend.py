"""What moved in the history of a baseline, and by which commit."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct

from edgedeploy.foundation.units import bytes_in_words, milliseconds
from edgedeploy.report.content.wording import metric_in_words, percent_change
from edgedeploy.values.metric_facts import is_share_metric
from edgedeploy.values.quality import MetricFigure
from edgedeploy.values.trend import Trend, TrendCommit, TrendPoint, TrendSeries

_SAME_WORK = 0.0005
"""Counts of the same work differ by less from boot to boot (docs/bench_measure.md: 0.01 %)."""
SHORT_HASH = 10
"""Digits by which a commit is shown."""


class TrendFigure(Struct, frozen=True):
    """One of the figures of a series."""

    name: str
    unit: str
    value: Callable[[TrendPoint], float | None]
    words: Callable[[TrendPoint], str]
    noise: float = 0.0
    """The relative change up to which it did not move."""


class TrendMove(Struct, frozen=True):
    """A commit that moved a figure."""

    commit: TrendCommit
    figure: str
    before: str
    after: str
    change: str


def figures_of(series: TrendSeries) -> list[TrendFigure]:
    """Return the figures that the series has at any commit."""
    metric = next((point.accuracy.metric for point in series.points if point.accuracy is not None), "accuracy")
    every = (
        TrendFigure("size", "bytes", lambda point: point.model_size_bytes, _size),
        TrendFigure("instructions", "instructions", lambda point: point.instructions, _instructions, _SAME_WORK),
        TrendFigure("latency p50", "milliseconds", lambda point: point.latency_p50_ms, _latency),
        TrendFigure(metric, metric, lambda point: point.accuracy.value if point.accuracy else None, _accuracy),
    )
    return [figure for figure in every if any(figure.value(point) is not None for point in series.points)]


def moves(trend: Trend, series: TrendSeries) -> Iterator[TrendMove]:
    """Yield each change of a figure, with the commit that made it, the newest first."""
    for after_at in range(len(series.points) - 1, 0, -1):
        for figure in figures_of(series):
            after = series.points[after_at]
            earlier = reversed(series.points[:after_at])
            before = next((point for point in earlier if figure.value(point) is not None), None)
            new, old = figure.value(after), figure.value(before) if before is not None else None
            if before is None or new is None or old is None or abs(new - old) <= figure.noise * abs(old):
                continue
            yield TrendMove(
                trend.commits[after.at],
                figure.name,
                figure.words(before),
                figure.words(after),
                _change(figure, old, new),
            )


def latest_in_words(series: TrendSeries) -> str:
    """`"194 kB, 12,061,016 instructions, top1 97.00%"`."""
    last = series.points[-1]
    words = [figure.words(last) for figure in figures_of(series) if figure.value(last) is not None]
    return ", ".join(words)


def _change(figure: TrendFigure, old: float, new: float) -> str:
    if is_share_metric(figure.unit):
        return f"{(new - old) * 100:+.2f} points".replace("-", "−")
    return percent_change(old, new)


def _size(point: TrendPoint) -> str:
    return f"{bytes_in_words(point.model_size_bytes)} ({point.model_size_bytes:,} bytes)"


def _instructions(point: TrendPoint) -> str:
    return "–" if point.instructions is None else f"{point.instructions:,.0f} instructions"


def _latency(point: TrendPoint) -> str:
    return milliseconds(point.latency_p50_ms)


def _accuracy(point: TrendPoint) -> str:
    accuracy = point.accuracy
    if accuracy is None:
        return "–"
    metric = MetricFigure(name=accuracy.metric, value=accuracy.value, samples=accuracy.samples)
    return f"{metric.name} {metric_in_words(metric)}"
