"""Tables in text: CSV with a header, in UTF-8, separated by commas, semicolons, tabs or bars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgedeploy.datasets.manifest import header, rows
from edgedeploy.datasets.reader import DataReader
from edgedeploy.datasets.tables.table import TableDataset
from edgedeploy.foundation.errors import DatasetError
from edgedeploy.values.data import DataSource
from edgedeploy.values.model import TensorFacts
from edgedeploy.values.preprocessing import TablePreprocessing

_ENDINGS = (".csv", ".tsv")


def _recognize(path: Path, source: DataSource) -> str:
    found = path.suffix.lower() in _ENDINGS and path.is_file()
    return f"its name ends with {path.suffix}" if found else ""


def _open(source: DataSource, path: Path, inputs: Sequence[TensorFacts]) -> TableDataset:
    columns = header(path)
    if not columns:
        raise DatasetError(f"{path} is empty", hint="save a header and a row for each sample")
    return TableDataset(source, path, inputs, columns, rows)


READER = DataReader(
    name="csv",
    task=None,
    rank=60,
    recognize=_recognize,
    open=_open,
    preprocessing=TablePreprocessing,
)
