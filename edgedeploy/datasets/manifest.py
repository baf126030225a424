"""Lists of samples as people keep them: CSV with a header, or JSON lines, read row by row in bounded memory.

The files come from strangers: a line without end, a row with too many fields and bytes that are no UTF-8 are errors
that name the line, and no row names a file outside what it may.
"""

from __future__ import annotations

import codecs
import csv
import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from msgspec import Struct

from edgedeploy.foundation.errors import DatasetError, EdgedeployError, InvalidFileError
from edgedeploy.foundation.files import unreadable
from edgedeploy.foundation.reading import open_file

LINE_LIMIT_BYTES = 16 << 20
"""Of one line: a book of 16 million letters is no sample for an edge device, and a file may have no line end at all."""
_JSON_LINES = (".jsonl", ".ndjson", ".json")
_FOLDERS_KEPT = 1024
_SEPARATORS = ",;\t|"
_OTHER_UNICODE = ((codecs.BOM_UTF32_LE, "UTF-32"), (codecs.BOM_UTF16_LE, "UTF-16"), (codecs.BOM_UTF16_BE, "UTF-16"))

OnBroken = Callable[[EdgedeployError], None]
"""Is told of a sample that cannot be read: raises the error, or returns where such samples are left out."""


def refuse(error: EdgedeployError) -> None:
    """End with the first sample that cannot be read."""
    raise error


def pass_over(error: EdgedeployError) -> None:
    """Go on without a sample that cannot be read: it is counted where it is to be yielded."""


class ManifestRow(Struct, frozen=True):
    """One sample of a manifest or table."""

    line: int
    """From 1, where the row begins; the header of a CSV file is line 1. Of a file without lines: which row it is."""
    fields: dict[str, Any]
    """Of CSV: text, empty where the cell is."""


def is_json_lines(path: Path) -> bool:
    """Return whether `rows` takes a file for JSON lines, by its ending."""
    return path.suffix.lower() in _JSON_LINES


def rows(path: Path, broken: OnBroken = refuse) -> Iterator[ManifestRow]:
    """Yield the rows of a manifest: JSON lines by the ending `.jsonl`, `.ndjson` or `.json`, else CSV.

    Args:
        broken: is told of a line that is no row; where it returns, the next one follows.

    Raises:
        InvalidFileError: the file cannot be read, its header is none, or (by `broken`) a line is no row; the message
            names the line.
    """
    try:
        with open_file(path) as file:
            lines = _TextLines(path, file, broken)
            yield from _json_rows(lines) if is_json_lines(path) else _csv_rows(lines)
    except OSError as error:
        raise unreadable(path, error) from error


def header(path: Path, broken: OnBroken = refuse) -> tuple[str, ...]:
    """Return the keys of the first row of a manifest; empty where it has none.

    Args:
        broken: as `rows` has it, of JSON lines before the first that is a row.

    Raises:
        InvalidFileError: as `rows`.
    """
    if is_json_lines(path):
        return next((tuple(row.fields) for row in rows(path, broken)), ())
    try:
        with open_file(path) as file:
            return tuple(_csv_reader(_TextLines(path, file, refuse))[1])
    except OSError as error:
        raise unreadable(path, error) from error


def cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a CSV file whose first one need not be a header: the line that each begins in, from 1, and its
    cells, without space around them. Empty rows are passed over.

    Raises:
        InvalidFileError: the file cannot be read, or a line is no row; the message names the line.
    """
    try:
        with open_file(path) as file:
            lines = _TextLines(path, file, refuse)
            texts = iter(lines)
            first = next((text for text in texts if text.strip()), "")
            reader = csv.reader(_chained(first, texts), delimiter=_separator(first), strict=True)
            line = lines.number
            for row in reader:
                if any(row):
                    yield line, [cell.strip() for cell in row]
                line = lines.number + 1
    except csv.Error as error:
        raise lines.error("no CSV", why=str(error), hint="save the file anew as CSV") from error
    except OSError as error:
        raise unreadable(path, error) from error


class SampleFolder:
    """The folder that the names in a manifest are relative to, for one pass over them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._top = folder.resolve()
        self._real: dict[str, Path] = {}

    def path(self, named: object, where: str) -> Path:
        """Return the file that a row names: a relative path held inside the folder, or an absolute one.

        Args:
            where: the row, as the message names it, e.g. `"labels.csv, line 3"`.

        Raises:
            DatasetError: the path is empty, leads out of the folder, or is no regular file.
        """
        if not isinstance(named, str) or not named or "\0" in named:
            raise DatasetError(f"{where} names no file")
        try:
            path = self._resolved(named)
            inside = Path(named).is_absolute() or path.is_relative_to(self._top)
            regular = inside and path.is_file()
        except (OSError, RuntimeError, ValueError) as error:
            raise DatasetError(f"{where}: cannot look at {named!r:.200}", why=str(error)) from error
        if not inside:
            raise DatasetError(f"{where}: {named!r:.200} leads out of the folder {self._folder}")
        if not regular:
            raise DatasetError(f"{where}: {named!r:.200} is no file", why=f"looked in {self._folder}")
        return path

    def _resolved(self, named: str) -> Path:
        """Follow links. Those of a folder are followed once: a million files lie in few folders."""
        joined = self._folder / named
        parent, name = str(joined.parent), joined.name
        if name in ("", ".."):
            return joined.resolve()
        real = self._real.get(parent)
        if real is None:
            if len(self._real) >= _FOLDERS_KEPT:
                self._real.clear()
            real = self._real[parent] = joined.parent.resolve()
        path = real / name
        return path.resolve() if path.is_symlink() else path


class _TextLines:
    """The lines of a file as text, each of bounded length; those that are none are told to `broken`."""

    def __init__(self, path: Path, file: IO[bytes], broken: OnBroken) -> None:
        self.path = path
        self.broken = broken
        self.number = 0
        """Of the line that was last yielded, from 1."""
        self._file = file

    def __iter__(self) -> Iterator[str]:
        while line := self._file.readline(LINE_LIMIT_BYTES + 1):
            self.number += 1
            if len(line) > LINE_LIMIT_BYTES:
                what = f"longer than {LINE_LIMIT_BYTES:,} bytes"
                self.broken(self.error(what, hint="look whether this is the file you mean: no line should be so long"))
                while line and not line.endswith(b"\n"):
                    line = self._file.readline(LINE_LIMIT_BYTES)
                continue
            if self.number == 1:
                self._check_encoding(line)
            try:
                yield line.decode("utf-8-sig" if self.number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                why = f"byte {error.start + 1} of the line is {line[error.start : error.start + 1].hex()}"
                self.broken(self.error("not UTF-8", why=why, hint="save the file anew in the encoding UTF-8"))

    def error(self, what: str, *, why: str = "", hint: str = "", line: int | None = None) -> InvalidFileError:
        """Return what is wrong with a line."""
        return InvalidFileError(f"{self.path}, line {line or self.number}: {what}", why=why, hint=hint)

    def _check_encoding(self, line: bytes) -> None:
        for mark, name in _OTHER_UNICODE:
            if line.startswith(mark):
                raise self.error(f"its first bytes say {name}", hint="save the file anew in the encoding UTF-8")


def _json_rows(lines: _TextLines) -> Iterator[ManifestRow]:
    for line in lines:
        if not line.strip():
            continue
        if lines.number == 1 and line.lstrip().startswith("["):
            raise lines.error(
                "a list begins here, and JSON lines have an object in each line",
                hint=f"write it as lines: jq -c '.[]' {shlex.quote(str(lines.path))} > rows.jsonl",
            )
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            lines.broken(lines.error("no JSON", why=str(error)))
            continue
        if isinstance(fields, dict):
            yield ManifestRow(lines.number, fields)
        else:
            lines.broken(lines.error("no JSON object", why=f"found {type(fields).__name__}"))


def _csv_rows(lines: _TextLines) -> Iterator[ManifestRow]:
    reader, columns = _csv_reader(lines)
    while True:
        line = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            lines.broken(lines.error("no CSV", why=str(error), line=line))
            continue
        if len(cells) == len(columns):
            yield ManifestRow(line, dict(zip(columns, cells, strict=True)))
        elif cells:
            why = f"expected {len(columns)}, as in the header"
            lines.broken(lines.error(f"{len(cells)} cells", why=why, line=line))


def _csv_reader(lines: _TextLines) -> tuple[Iterator[list[str]], list[str]]:
    """Return a reader of what is under the header, and the cells of the header; none where the file is empty."""
    texts = iter(lines)
    first = next((text for text in texts if text.strip()), "")
    separator = _separator(first)
    try:
        cells = next(csv.reader(_chained(first, texts), delimiter=separator, strict=True), [])
    except csv.Error as error:
        raise lines.error("no CSV", why=str(error)) from error
    names = [cell.strip() for cell in cells]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise lines.error("columns of the same name", why=f"more than once: {', '.join(map(repr, twice))}")
    return csv.reader(texts, delimiter=separator, strict=True), names


def _separator(first: str) -> str:
    """Return the one that the header has: names of columns seldom have one of the others inside."""
    return max(_SEPARATORS, key=lambda each: (first.count(each), -_SEPARATORS.index(each)))


def _chained(first: str, rest: Iterator[str]) -> Iterator[str]:
    if first:
        yield first
        yield from rest
