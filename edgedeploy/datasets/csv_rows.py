"""Rows of CSV files that somebody else wrote, one at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from edgedeploy.foundation.errors import DatasetError
from edgedeploy.foundation.files import unreadable
from edgedeploy.foundation.reading import open_file


def csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a CSV file that are not empty, each with its line number, from 1.

    Commas, semicolons and tabs are told by the first line. A byte order mark is passed over.

    Raises:
        InvalidFileError: it cannot be read.
        DatasetError: it is not text in UTF-8, or a field has more than 131,072 characters.
    """
    try:
        with open_file(path) as file:
            text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
            first = text.readline(_LONGEST_LINE)
            separator = max(",;\t", key=first.count)
            text.seek(0)
            rows = csv.reader(text, delimiter=separator)
            for row in rows:
                if any(row):
                    yield rows.line_num, [field.strip() for field in row]
    except OSError as error:
        raise unreadable(path, error) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(
            f"{path} is not a CSV file that can be read", why=str(error), hint="save it as CSV in UTF-8"
        ) from error


_LONGEST_LINE = 100_000
