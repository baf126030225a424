"""Lists of samples as people keep them: CSV with a header, or JSON lines, read row by row in bounded memory.

The files come from strangers: a line without end, a row with too many fields and bytes that are no UTF-8 are errors
that name the line, and no row names a file outside what it may.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from msgspec import Struct

from edgedeploy.foundation.errors import DatasetError, InvalidFileError

LINE_LIMIT_BYTES = 16 << 20
"""Of one line: a book of 16 million letters is no sample for an edge device, and a file may have no line end at all."""
_JSON_LINES = (".jsonl", ".ndjson", ".json")


class Row(Struct, frozen=True):
    """One sample of a manifest."""

    line: int
    """From 1, where the row begins; the header of a CSV file is line 1."""
    fields: dict[str, Any]
    """Of CSV: text, empty where the cell is."""


def rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a manifest: JSON lines by the ending `.jsonl`, `.ndjson` or `.json`, else CSV.

    Raises:
        InvalidFileError: the file cannot be read, is no UTF-8, or a line is no row; the message names the line.
    """
    try:
        with path.open("rb") as file:
            yield from (_json_rows if path.suffix.lower() in _JSON_LINES else _csv_rows)(path, file)
    except OSError as error:
        raise InvalidFileError(f"cannot read {path}", why=error.strerror or str(error)) from error


def sample_path(named: str, folder: Path, where: str) -> Path:
    """Return the file that a row names: a relative path held inside `folder`, or an absolute one.

    Args:
        where: the row, as the message names it, e.g. `"labels.csv, line 3"`.

    Raises:
        DatasetError: the path is empty, leads out of the folder, or is no regular file.
    """
    if not named or "\0" in named:
        raise DatasetError(f"{where} names no file")
    try:
        path = (folder / named).resolve()
        inside = Path(named).is_absolute() or path.is_relative_to(folder.resolve())
        regular = inside and path.is_file()
    except (OSError, RuntimeError) as error:
        raise DatasetError(f"{where}: cannot look at {named!r}", why=str(error)) from error
    if not inside:
        raise DatasetError(f"{where}: {named!r} leads out of the folder {folder}")
    if not regular:
        raise DatasetError(f"{where}: {named!r} is no file", why=f"looked for {path}")
    return path


def _lines(path: Path, file: IO[bytes]) -> Iterator[str]:
    number = 0
    while line := file.readline(LINE_LIMIT_BYTES + 1):
        number += 1
        if len(line) > LINE_LIMIT_BYTES:
            raise InvalidFileError(f"{path}, line {number}: longer than {LINE_LIMIT_BYTES:,} bytes")
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            why = f"byte {error.start + 1} of the line is {line[error.start : error.start + 1].hex()}"
            raise InvalidFileError(f"{path}, line {number}: not UTF-8", why=why) from error


def _json_rows(path: Path, file: IO[bytes]) -> Iterator[Row]:
    for number, line in enumerate(_lines(path, file), 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InvalidFileError(f"{path}, line {number}: no JSON", why=str(error)) from error
        if not isinstance(fields, dict):
            raise InvalidFileError(f"{path}, line {number}: no JSON object", why=f"found {type(fields).__name__}")
        yield Row(number, fields)


def _csv_rows(path: Path, file: IO[bytes]) -> Iterator[Row]:
    reader = csv.reader(_lines(path, file), strict=True)
    header: list[str] = []
    line = 1
    try:
        for cells in reader:
            if cells and not header:
                header = _header(path, line, cells)
            elif cells:
                if len(cells) != len(header):
                    why = f"expected {len(header)}, as in the header"
                    raise InvalidFileError(f"{path}, line {line}: {len(cells)} cells", why=why)
                yield Row(line, dict(zip(header, cells, strict=True)))
            line = reader.line_num + 1
    except csv.Error as error:
        raise InvalidFileError(f"{path}, line {line}: no CSV", why=str(error)) from error


def _header(path: Path, line: int, cells: list[str]) -> list[str]:
    header = [cell.strip() for cell in cells]
    if twice := sorted({name for name in header if header.count(name) > 1}):
        why = f"more than once: {', '.join(map(repr, twice))}"
        raise InvalidFileError(f"{path}, line {line}: columns of the same name", why=why)
    return header
