"""Tables in Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from edgedeploy.datasets.manifest import ManifestRow, OnBroken
from edgedeploy.datasets.reader import DataReader
from edgedeploy.datasets.tables.parquet_file import parquet_columns, parquet_rows
from edgedeploy.datasets.tables.table import TableDataset
from edgedeploy.values.data import DataSource
from edgedeploy.values.model import TensorFacts
from edgedeploy.values.preprocessing import TablePreprocessing


def _recognize(path: Path, source: DataSource) -> str:
    return "its name ends with .parquet" if path.suffix.lower() == ".parquet" and path.is_file() else ""


def _open(source: DataSource, path: Path, inputs: Sequence[TensorFacts]) -> TableDataset:
    used = {*source.label_columns, source.group, *(name for names in source.inputs.values() for name in names)}
    columns = parquet_columns(path)
    chosen = [name for name in columns if name in used] if source.inputs else None

    def rows(path: Path, broken: OnBroken) -> Iterator[ManifestRow]:
        return parquet_rows(path, chosen)

    return TableDataset(source, path, inputs, columns, rows, unit="row")


READER = DataReader(
    name="parquet",
    task=None,
    rank=60,
    recognize=_recognize,
    open=_open,
    preprocessing=TablePreprocessing,
)
