"""Names the column of each cell in the cell, so that a row can be shown as a card on a narrow screen."""

from __future__ import annotations

import html
import re

_TABLE = re.compile(r"<table>.*?</table>", re.DOTALL)
_COLUMN = re.compile(r'<th scope="col"[^>]*>(.*?)</th>', re.DOTALL)
_ROW = re.compile(r"<tr[ >].*?</tr>", re.DOTALL)
_CELL = re.compile(r"<(td|th)((?: [^>]*)?)>(.*?)(?=</\1>)", re.DOTALL)
_TAG = re.compile(r"<[^>]+>")
_EMPTY = ("", "–")


def with_cards(page: str) -> str:
    """Return the page with `data-label`, the heading of the column, in each cell of each table that is no heading.

    A cell without a figure gets `data-empty`: in a card, it would be a gap. What comes from devices and files is
    escaped before, so the only tags in the tables are those of the template. Browsers that show a table as blocks no
    longer tell assistive technology that it is one, so each part gets its role.
    """
    return _TABLE.sub(lambda table: _labelled(table[0]), page)


def _labelled(table: str) -> str:
    head, found, body = table.partition("<tbody>")
    columns = [_TAG.sub("", column).strip() for column in _COLUMN.findall(head)]
    head = head.replace("<table>", '<table role="table">').replace("<thead>", '<thead role="rowgroup">')
    head = head.replace("<tr>", '<tr role="row">').replace('<th scope="col"', '<th role="columnheader" scope="col"')
    rows = _ROW.sub(lambda row: _row(row[0], columns), body)
    return head + found.replace("<tbody>", '<tbody role="rowgroup">') + rows


def _row(row: str, columns: list[str]) -> str:
    places = iter(columns)

    def cell(match: re.Match[str]) -> str:
        kind, attributes, content = match.groups()
        column = next(places, "")
        label = f' data-label="{html.escape(html.unescape(column))}"' if column else ""
        if kind == "th":
            # Only a number needs the heading to be understood: `7` is class 7, and `metric_min` says what it is.
            return f'<th role="rowheader"{attributes}{label if content.strip().isdigit() else ""}>{content}'
        empty = ' data-empty=""' if content.strip() in _EMPTY else ""
        return f'<td role="cell"{attributes}{label}{empty}>{content}'

    return _CELL.sub(cell, row.replace("<tr", '<tr role="row"', 1))
