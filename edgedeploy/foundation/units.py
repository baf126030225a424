"""Sizes and times in words, the same wherever people read them."""

from __future__ import annotations


def bytes_in_words(count: float) -> str:
    """Bytes in decimal units, as disks and networks are sold: `585532` is `"586 kB"`."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 999.5:
            return f"{count:.0f} B" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB" if abs(count) < 999.5 else f"{count:,.0f} TB"


def milliseconds(value: float | None) -> str:
    """Three significant digits: `"0.123 ms"`, `"12.3 ms"`, `"1234 ms"`."""
    if value is None:
        return "–"
    if value >= 100:
        return f"{value:.0f} ms"
    return f"{value:.3g} ms"
