"""Figures in words that people read, the same in the terminal and on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgedeploy.values.contract import VerdictLine


def bytes_in_words(count: float) -> str:
    """Bytes in decimal units, as disks and networks are sold: `585532` is `"586 kB"`."""
    for unit in ("B", "kB", "MB"):
        if abs(count) < 999.5:
            return f"{count:.0f} B" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def milliseconds(value: float | None) -> str:
    """Three significant digits: `"0.123 ms"`, `"12.3 ms"`, `"1234 ms"`."""
    if value is None:
        return "–"
    if value >= 100:
        return f"{value:.0f} ms"
    return f"{value:.3g} ms"


def figure_in_words(value: float | int | str | None, unit: str) -> str:
    """A limit or figure of a verdict line."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if unit == "bytes":
        return bytes_in_words(value)
    if unit == "ms":
        return milliseconds(float(value))
    if unit == "share":
        return f"{value:.2%}"
    return f"{value:,}"


def relation(line: VerdictLine) -> str:
    """How the figure has to stand to the limit: `"≤"`, `"≥"` or `"="`."""
    if "_max" in line.key:
        return "≤"
    return "≥" if "_min" in line.key else "="


def percent_change(before: float, after: float) -> str:
    """`"−71.2 %"`, `"+3.0 %"`; empty when there was nothing before."""
    if not before:
        return ""
    change = after / before - 1
    sign = "−" if change < 0 else "+"
    return f"{sign}{abs(change):.1%}"
