"""Two releases measured in turn, in the terminal."""

from __future__ import annotations

import statistics

from rich.table import Table
from rich.text import Text

from edgedeploy.report.terminal.verdict import MARKS
from edgedeploy.values.interleaved import Interleaved


def interleaved_table(found: Interleaved) -> Table:
    """Both releases' figures, the effect with its interval, and what follows."""
    mark, style = MARKS[found.outcome]
    title = f"{mark} {found.name} {found.after} against {found.before} on {found.device}: {found.outcome.value}"
    table = Table(box=None, pad_edge=False, show_header=False, title=Text(title, style=style), title_justify="left")
    table.add_column(style="bold")
    table.add_column(no_wrap=True)
    before, after = (statistics.median(figures) for figures in zip(*found.pairs, strict=True))
    if found.kind == "counted":
        table.add_row("instructions", f"{before:,.0f} → {after:,.0f} per inference; work, not a latency")
    else:
        table.add_row("latency p50", f"{before:.4g} → {after:.4g} ms")
    effect = found.effect
    table.add_row(
        "effect",
        f"{effect.value - 1:+.2%} ({effect.low - 1:+.2%} … {effect.high - 1:+.2%}), {effect.pairs} pairs in turn",
    )
    table.add_row("gate", Text(found.reason))
    return table
