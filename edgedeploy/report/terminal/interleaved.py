"""Two releases measured in turn, in the terminal."""

from __future__ import annotations

import statistics

from rich.table import Table
from rich.text import Text

from edgedeploy.report.content.wording import OUTCOME_SIGNS, OUTCOME_WORDS, WORK
from edgedeploy.report.terminal.verdict import OUTCOME_STYLES
from edgedeploy.values.interleaved import Interleaved


def interleaved_table(found: Interleaved) -> Table:
    """Both releases' figures, the effect with its interval, and what follows."""
    compared = f"{found.name} {found.after} against {found.before} on {found.device}"
    title = Text(
        f"{OUTCOME_SIGNS[found.outcome]} {compared}: {OUTCOME_WORDS[found.outcome]}",
        style=OUTCOME_STYLES[found.outcome],
    )
    table = Table(box=None, pad_edge=False, show_header=False, title=title, title_justify="left")
    table.add_column(style="bold")
    table.add_column(no_wrap=True)
    before, after = (statistics.median(figures) for figures in zip(*found.pairs, strict=True))
    if found.kind == "counted":
        table.add_row("instructions", f"{before:,.0f} → {after:,.0f} per inference; {WORK}")
    else:
        table.add_row("latency p50", f"{before:.4g} → {after:.4g} ms")
    effect = found.effect
    table.add_row(
        "effect",
        f"{effect.value - 1:+.2%} ({effect.low - 1:+.2%} … {effect.high - 1:+.2%}), {effect.pairs} pairs in turn",
    )
    table.add_row("gate", Text(found.reason))
    return table
