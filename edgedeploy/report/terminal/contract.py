"""A contract as a table in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from rich.table import Table

from edgedeploy.values.contract import Contract


def contract_table(contract: Contract) -> Table:
    """A line for each key that has a value, defaults included, under its full name."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    document = msgspec.to_builtins(contract, enc_hook=str)
    document.pop("folder")
    for key, words in _rows(document):
        table.add_row(key, words)
    return table


def _rows(document: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in document.items():
        if isinstance(value, dict):
            yield from _rows(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            if value:
                yield f"{prefix}{name}", ", ".join(map(str, value))
        elif value is not None:
            yield f"{prefix}{name}", f"{value:,}" if type(value) is int else str(value)
