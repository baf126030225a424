"""Lays out text and tables so that no name and no command is broken in two, however narrow the terminal is.

rich breaks a word that is wider than its column, and cuts off what does not fit a table. A path, a release ID or a
command is of no use then: nobody can copy it. Here, a column is at least as wide as its longest word. Where the columns
do not fit beside each other, each row becomes a block of lines, one per column. A single word that is wider than the
terminal goes beyond its edge, where a terminal continues it on the next line without a line break.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

_HELD_SPACE = "\ue000"
"""Stands for a space at which no line may be broken, until the text is written. No font has a sign for it."""
_COMMAND = re.compile(
    r"(?:(?<=^)|(?<=[:→(,;] )|(?<=run |use )|(?<=`))"
    r"(?:edgedeploy(?= [a-z-])|sudo|apt-get|pip|uv|ssh|ssh-keygen|ssh-copy-id|ssh-add|sh|scripts/\w+|export|chmod)"
    r" (?:[^;,`\n]|,(?! ))+"
)
"""A command to copy: at the beginning of a line, after punctuation, or in backquotes; to the end of the line."""
_WIDE = 100_000


def without_held_spaces(text: str) -> str:
    """Return text as it is to be written."""
    return text.replace(_HELD_SPACE, " ")


def laid_out(renderable: RenderableType, console: Console) -> Iterator[RenderableType]:
    """Yield what stands for a text, a table or a group of both on this console; anything else as it is."""
    if isinstance(renderable, Group):
        for part in renderable.renderables:
            yield from laid_out(part, console)
    elif isinstance(renderable, str | Text):
        text = _held(renderable)
        # Line by line: a wide one does not make the others wide.
        for line in text.split("\n", allow_blank=True) or [Text()]:
            line.no_wrap, line.overflow = text.no_wrap, text.overflow
            yield line
    elif isinstance(renderable, Table):
        yield from _table(renderable, console)
    else:
        yield renderable


def _table(table: Table, console: Console) -> Iterator[RenderableType]:
    # rich wraps them at the width of the table, which may be less than that of the words.
    if table.title:
        yield _titled(table.title, table.title_style)
    cells = [[_held(cell) for cell in column.cells] for column in table.columns]
    headings = [_held(column.header) for column in table.columns]
    tops = [[heading] if table.show_header else [] for heading in headings]
    shown = [[*top, *column] for top, column in zip(tops, cells, strict=True)]
    longest = [
        max(map(_widest_line if column.no_wrap else _longest_word, found), default=0)
        for column, found in zip(table.columns, shown, strict=True)
    ]
    widest = [max(map(_widest_line, column), default=0) for column in shown]
    edges = _width(_rebuilt(table, headings, cells, widest), console) - sum(widest)
    available = console.width - edges
    if sum(longest) <= available or len(longest) < 3 or not table.show_header:
        yield _rebuilt(table, headings, cells, fit(longest, widest, available))
    else:
        yield from _blocks(table, headings, cells)
    if table.caption:
        yield _titled(table.caption, table.caption_style)


def fit(longest: Sequence[int], widest: Sequence[int], available: int) -> list[int]:
    """Return the width of each column: at most its widest line, at least its longest word, in all what is available.

    The widest columns give way first. If even the longest words do not fit, those are the widths.
    """
    cap = max(widest, default=0)
    while cap > 0 and sum(_capped(longest, widest, cap)) > available:
        cap -= 1
    return _capped(longest, widest, cap)


def _capped(longest: Sequence[int], widest: Sequence[int], cap: int) -> list[int]:
    return [min(most, max(least, cap)) for least, most in zip(longest, widest, strict=True)]


def _rebuilt(table: Table, headings: Sequence[Text], cells: Sequence[Sequence[Text]], widths: Sequence[int]) -> Table:
    columns = (
        Column(
            heading,
            style=old.style,
            header_style=old.header_style,
            justify=old.justify,
            width=max(width, 1),
            # No word is wider than its column.
            overflow="fold",
        )
        for heading, old, width in zip(headings, table.columns, widths, strict=True)
    )
    built = Table(
        *columns,
        box=table.box,
        pad_edge=table.pad_edge,
        padding=table.padding,
        show_header=table.show_header,
        header_style=table.header_style,
        border_style=table.border_style,
    )
    for row, values in zip(table.rows, zip(*cells, strict=True), strict=True):
        built.add_row(*values, style=row.style)
    return built


def _blocks(table: Table, headings: Sequence[Text], cells: Sequence[Sequence[Text]]) -> Iterator[RenderableType]:
    """Yield each row as lines `heading  value`, without empty ones, and an empty line after each row."""
    label_width = max(map(_widest_line, headings))
    for row, values in zip(table.rows, zip(*cells, strict=True), strict=True):
        block = Table(box=None, show_header=False, pad_edge=False)
        block.add_column(style="dim", width=label_width)
        block.add_column(overflow="fold", min_width=max(map(_longest_word, values)))
        for heading, value in zip(headings, values, strict=True):
            if value.plain.strip():
                block.add_row(heading, value, style=row.style)
        yield block
        yield ""


def _held(content: object) -> Text:
    text = content.copy() if isinstance(content, Text) else Text(str(content))
    held = _COMMAND.sub(lambda command: command[0].rstrip().replace(" ", _HELD_SPACE), text.plain)
    if len(held) == len(text.plain):
        # Sign by sign, so that styles stay where they are.
        text.plain = held
    return text


def _titled(title: object, style: object) -> Text:
    text = _held(title)
    if style and not text.style:
        text.style = str(style)
    return text


def _longest_word(text: Text) -> int:
    if text.no_wrap:
        return _widest_line(text)
    return max(map(cell_len, text.plain.split()), default=0)


def _widest_line(text: Text) -> int:
    return max(map(cell_len, text.plain.split("\n")), default=0)


def _width(table: Table, console: Console) -> int:
    return Measurement.get(console, _wide(console), table).maximum


def _wide(console: Console) -> ConsoleOptions:
    return console.options.update(width=_WIDE)
