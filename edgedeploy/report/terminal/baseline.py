"""A baseline as a table in the terminal."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from edgedeploy.foundation.units import bytes_in_words, milliseconds
from edgedeploy.values.baseline import Baseline

_RUNS_NEEDED = 3


def baseline_table(baseline: Baseline) -> Table:
    """A line for each entry: the middle of its runs, and how many there are."""
    table = Table(box=None, pad_edge=False)
    for head in ("model", "target", "on", "release"):
        table.add_column(head)
    for head in ("runs", "instructions", "latency p50", "peak memory", "model"):
        table.add_column(head, justify="right", no_wrap=True)
    for entry in baseline.entries:
        counts = [run.median for run in entry.instructions]
        runs = max(len(counts), len(entry.latency_p50_ms), len(entry.peak_rss_bytes))
        table.add_row(
            *(Text(words) for words in (entry.name, entry.target, entry.kind, entry.release)),
            str(runs),
            f"{statistics.median(counts):,.0f}" if counts else "–",
            milliseconds(_middle(entry.latency_p50_ms)),
            bytes_in_words(statistics.median(entry.peak_rss_bytes)) if entry.peak_rss_bytes else "–",
            bytes_in_words(entry.model_size_bytes),
        )
    return table


def unknown_noise(baseline: Baseline) -> tuple[Text, ...]:
    """What is to be said of entries whose latency or memory nothing can be held against."""
    few = [
        entry
        for entry in baseline.entries
        if 0 < len(entry.latency_p50_ms or entry.peak_rss_bytes) < _RUNS_NEEDED and entry.kind != "counted"
    ]
    return tuple(
        Text(
            f"{entry.name} for {entry.target}: latency and memory can be gated with {_RUNS_NEEDED} runs or more; "
            f"this has {len(entry.latency_p50_ms or entry.peak_rss_bytes)}"
        )
        for entry in few
    )


def _middle(figures: Sequence[float]) -> float | None:
    return statistics.median(figures) if figures else None
