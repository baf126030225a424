"""A baseline's history in the terminal: what each model has now, and the commits that moved a figure."""

from __future__ import annotations

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from edgedeploy.report.content.trend import SHORT_HASH, latest_in_words, moves
from edgedeploy.values.trend import Trend


def trend_tables(history: Trend) -> tuple[RenderableType, ...]:
    """A line and a table for each model and kind of board."""
    parts: list[RenderableType] = []
    for series in history.series:
        name = f"{series.name} on {series.target} ({series.kind})"
        parts.append(Text(f"{name}: {latest_in_words(series)}", style="bold"))
        table = Table(box=None, pad_edge=False)
        for head in ("commit", "when", "figure", "before", "after", "change", "subject"):
            table.add_column(head)
        for move in moves(history, series):
            commit = move.commit
            row = (commit.commit[:SHORT_HASH], commit.when[:10], move.figure, move.before, move.after, move.change)
            table.add_row(*(Text(word) for word in (*row, commit.subject)))
        parts += [table if table.row_count else Text("no commit moved a figure"), ""]
    if history.unreadable:
        count = len(history.unreadable)
        parts.append(Text(f"{count} {'commit' if count == 1 else 'commits'} left no baseline that can be read"))
    return tuple(parts)
