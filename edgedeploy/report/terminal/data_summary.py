"""What a dataset looks like, in the terminal."""

from __future__ import annotations

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from edgedeploy.values.data_summary import DataSummary, SeenInput

_SHOWN_CLASSES = 12
_SHOWN_SKIPPED = 5


def data_summary_tables(summary: DataSummary) -> tuple[RenderableType, ...]:
    """Return a table of facts, one of the values that the model gets, and the warnings."""
    return (_facts(summary), "", _values(summary.inputs), *_warnings(summary))


def _facts(summary: DataSummary) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    count = "known only once it was run" if summary.samples is None else f"{summary.samples:,}"
    rows = {
        "data": summary.data,
        "format": f"{summary.format}: {summary.why}",
        "task": summary.task or "not declared",
        "samples": f"{count} ({summary.looked_at:,} looked at)",
        "labels": summary.labels,
        "classes": _classes(summary),
        "sizes": ", ".join(f"{width} x {height}" for width, height in summary.picture_sizes),
        "preprocessing": "\n".join(summary.preprocessing) or "none: the data holds what the model takes",
        "notes": "\n".join(summary.notes),
        "left out": _skipped(summary),
        "contact sheet": summary.contact_sheet or "",
    }
    for key, words in rows.items():
        if words:
            # As text, not markup: names come from files.
            table.add_row(key, Text(words))
    return table


def _classes(summary: DataSummary) -> str:
    if not summary.classes:
        return ""
    listed = [
        f"{each.number}{f' ({each.name})' if each.name else ''}: {each.count:,}"
        for each in summary.classes[:_SHOWN_CLASSES]
    ]
    more = f" … ({len(summary.classes):,} classes)" if len(summary.classes) > _SHOWN_CLASSES else ""
    over = "" if summary.all_counted else f" (of the {summary.looked_at:,} samples that were looked at)"
    return ", ".join(listed) + more + over


def _skipped(summary: DataSummary) -> str:
    if not summary.skipped:
        return ""
    first = "\n".join(summary.skipped_samples[:_SHOWN_SKIPPED])
    more = "\n…" if summary.skipped > _SHOWN_SKIPPED else ""
    return f"{summary.skipped:,} that cannot be read:\n{first}{more}"


def _values(inputs: tuple[SeenInput, ...]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("input", "shape", "channel"):
        table.add_column(name, no_wrap=True)
    for name in ("min", "mean", "max", "deviation"):
        table.add_column(name, justify="right")
    for seen in inputs:
        first = (seen.name, f"{seen.dtype} {seen.shape}")
        for number, each in enumerate(seen.channels):
            figures = [f"{value:.4g}" for value in (each.minimum, each.mean, each.maximum, each.deviation)]
            of = str(number) if len(seen.channels) > 1 else "all"
            table.add_row(*(Text(words) for words in (first if not number else ("", ""))), of, *figures)
        if not seen.channels:
            table.add_row(*(Text(words) for words in first), "", "", "", "", "")
    return table


def _warnings(summary: DataSummary) -> tuple[RenderableType, ...]:
    if not summary.warnings:
        return ("", "nothing that is typical for mistakes was found")
    return ("", *(Text(f"! {warning}", style="yellow") for warning in summary.warnings))
