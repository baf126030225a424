"""The page of a baseline's history: self-contained, with nothing of the repository taken for markup."""

from __future__ import annotations

from pathlib import Path

from edgedeploy.foundation.files import write_bytes
from edgedeploy.plots.timeline import room_for, trend
from edgedeploy.report.content.trend import SHORT_HASH, TrendFigure, figures_of, latest_in_words, moves
from edgedeploy.report.exports.cards import with_cards
from edgedeploy.report.exports.page_text import time_in_words
from edgedeploy.report.exports.templates import page_environment
from edgedeploy.values.trend import Trend, TrendSeries


def write_trend(path: Path, history: Trend) -> Path:
    """Write the page, whole or not at all.

    Returns:
        `path`.

    Raises:
        HostError: it cannot be written.
    """
    write_bytes(path, trend_page(history).encode())
    return path


def trend_page(history: Trend) -> str:
    """Return the page as text. What comes from commits and files is escaped, all of it."""
    environment = page_environment()
    environment.globals.update(
        latest=latest_in_words, moves=moves, plots=_plots, short=lambda commit: commit[:SHORT_HASH], time=time_in_words
    )
    return with_cards(environment.get_template("trend.html.jinja").render(history=history))


def _plots(history: Trend, series: TrendSeries) -> list[tuple[str, str]]:
    """Name and picture of each figure; where there is one commit only, there is no line to draw."""
    if len(history.commits) < 2:
        return []
    figures = figures_of(series)
    drawn = [(figure, _values(history, series, figure)) for figure in figures]
    room = room_for(*([value for _, value in points] for _, points in drawn))
    return [
        (figure.name, trend(points, len(history.commits), figure.name, figure.unit, room=room))
        for figure, points in drawn
    ]


def _values(history: Trend, series: TrendSeries, figure: TrendFigure) -> list[tuple[float, float]]:
    """The figure after each commit, numbered from 1: it stays where a commit did not change it."""
    by_commit = {point.at: point for point in series.points}
    values: list[tuple[float, float]] = []
    for at in range(len(history.commits)):
        point = by_commit.get(at)
        value = figure.value(point) if point is not None else None
        if value is None and values:
            value = values[-1][1]
        if value is not None:
            values.append((at + 1, value))
    return values
