"""Remove control characters from text of devices and files before a terminal shows it."""

from __future__ import annotations

INSTEAD = "�"
"""U+FFFD, the replacement character."""


def printable(text: str, *, limit: int = 200) -> str:
    """Text on one line without control characters, and not endless."""
    shown = "".join(each if each.isprintable() else INSTEAD for each in text[:limit])
    return shown if len(text) <= limit else f"{shown}…"


def one_line(text: str, *, limit: int | None = None) -> str:
    """Return text on one line: white space and control characters become single spaces.

    Args:
        limit: the largest number of characters; what is longer ends in «…».
    """
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return line if limit is None or len(line) <= limit else f"{line[: limit - 1]}…"


def first_line(error: BaseException) -> str:
    """Return the first line of a library's error message; pages of context may follow it."""
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__


def printable_lines(text: str) -> str:
    """Text without control characters but those that lay it out: line feeds and tabs."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in "\n\t" else INSTEAD for each in text)
