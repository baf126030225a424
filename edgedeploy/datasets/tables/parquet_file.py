"""Parquet files, read by pyarrow a few rows at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edgedeploy.datasets.library import library
from edgedeploy.datasets.manifest import ManifestRow
from edgedeploy.foundation.errors import InvalidFileError
from edgedeploy.foundation.files import unreadable
from edgedeploy.foundation.reading import open_file
from edgedeploy.foundation.units import bytes_in_words

_ROWS = 256
"""That are in memory at once."""
_MOST_ROW_GROUP_BYTES = 4 << 30
"""Uncompressed; pyarrow's own writer makes groups of a million rows. A small file can claim to inflate to any size."""


def parquet_columns(path: Path) -> tuple[str, ...]:
    """Return the names of the columns of a Parquet file.

    Raises:
        InvalidFileError: the file cannot be read.
        HostError: pyarrow is not installed.
    """
    with _opened(path) as parquet:
        return tuple(parquet.schema_arrow.names)


def parquet_rows(path: Path, columns: Sequence[str] | None) -> Iterator[ManifestRow]:
    """Yield the rows of a Parquet file.

    Args:
        columns: that are read; None: all.

    Raises:
        InvalidFileError: the file cannot be read.
        HostError: pyarrow is not installed.
    """
    number = 0
    with _opened(path) as parquet:
        for batch in parquet.iter_batches(batch_size=_ROWS, columns=columns):
            for fields in batch.to_pylist():
                number += 1
                yield ManifestRow(number, fields)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a Parquet file; what pyarrow raises of it becomes an error that names it."""
    arrow = library("pyarrow.parquet", "parquet", "a table in Parquet")
    try:
        with open_file(path) as file:
            parquet = arrow.ParquetFile(file)
            for group in range(parquet.metadata.num_row_groups):
                size_bytes = parquet.metadata.row_group(group).total_byte_size
                if size_bytes > _MOST_ROW_GROUP_BYTES:
                    raise InvalidFileError(
                        f"{path}: row group {group} takes {bytes_in_words(size_bytes)}",
                        why=f"at most {bytes_in_words(_MOST_ROW_GROUP_BYTES)} are read",
                        hint="write it with smaller row groups: pyarrow.parquet.write_table(…, row_group_size=100_000)",
                    )
            yield parquet
    except InvalidFileError:
        raise
    except OSError as error:  # those of pyarrow are OSErrors too, without a number
        if error.errno is not None:
            raise unreadable(path, error) from error
        raise InvalidFileError(f"{path} cannot be read as Parquet", why=str(error)) from error
    except (ValueError, KeyError, NotImplementedError) as error:  # ArrowInvalid, ArrowKeyError, …
        raise InvalidFileError(f"{path} cannot be read as Parquet", why=str(error)) from error
