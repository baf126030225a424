"""Rows of a table as samples: one for each row, or for each window over the rows of a series.

The label of a window is that of its last row: what is known when the window is full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from edgedeploy.datasets.class_labels import ClassLabels
from edgedeploy.datasets.manifest import ManifestRow, OnBroken, pass_over, refuse
from edgedeploy.datasets.prepared import Prepared, PreparedSamples
from edgedeploy.datasets.preprocessing.declared import declared_preprocessing
from edgedeploy.datasets.tables.columns import input_columns, shaped_row, shaped_window
from edgedeploy.datasets.tables.windows import Windows
from edgedeploy.foundation.errors import DatasetError, EdgedeployError, InvalidFileError
from edgedeploy.foundation.files import sha256_file
from edgedeploy.values.data import DataSource, Task
from edgedeploy.values.model import TensorFacts
from edgedeploy.values.preprocessing import TablePreprocessing

Rows = Callable[[Path, OnBroken], Iterator[ManifestRow]]
_MOST_WINDOW = 100_000


class _ReadRow(Struct, frozen=True, eq=False):
    """A row whose cells were read."""

    values: dict[str, np.ndarray]
    """For each input its values, shape (columns,)."""
    labels: tuple[Any, ...]
    """As the cells have them."""
    where: str


class TableDataset(PreparedSamples):
    """A table of rows in one file. Read once when it is opened, so that each cell is checked and labels are known."""

    def __init__(
        self,
        source: DataSource,
        path: Path,
        inputs: Sequence[TensorFacts],
        columns: Sequence[str],
        rows: Rows,
        unit: str = "line",
    ) -> None:
        """
        Args:
            columns: names of all columns.
            rows: yields the rows of a file.
            unit: what numbers of rows count: `"line"` or `"row"`.

        Raises:
            DatasetError: the table does not fit the model, or a cell is missing or of another type.
            InvalidFileError: a row cannot be read.
        """
        super().__init__(source, inputs, ("inputs", "label_columns", "window", "step", "group"))
        if source.window < 0 or source.window > _MOST_WINDOW or source.step < 1:
            raise DatasetError(
                f"{source.path}: window = {source.window}, step = {source.step}",
                why=f"window is 0 to {_MOST_WINDOW:,}, and step at least 1",
            )
        if source.group and not source.window:
            raise DatasetError(f"{source.path}: group is stated, and window is not", hint="state window, in rows")
        self._path = path
        self._rows = rows
        self._unit = unit
        self._preprocessing = declared_preprocessing(source, TablePreprocessing)
        self.preprocessing = self._preprocessing if source.preprocessing else None
        self._columns = input_columns(source, columns, inputs, self._preprocessing)
        self._labels = tuple(ClassLabels(source.class_names) for _ in source.label_columns)
        self.has_labels = bool(self._labels)
        samples = self._look()
        if self.task is None:
            self.task = self._task()
        if source.window and not samples:
            of = f" of one {source.group!r}" if source.group else ""
            raise DatasetError(f"{source.path}: no window of {source.window} rows{of} is full")
        self._ready(samples)

    def prepared(self, broken: OnBroken) -> Iterator[Prepared]:
        windows = self._windows()
        for row, group in self._read(broken):
            if row is None:
                windows.break_off()
            elif (window := windows.push(row, group)) is not None:
                try:
                    yield self._prepare(window)
                except DatasetError as error:
                    broken(error)

    def class_counts(self) -> Sequence[int] | None:
        # Of a series a label counts for each window that ends with it, which is not counted.
        return self._labels[0].counts() if len(self._labels) == 1 and not self._source.window else None

    def digests(self) -> Iterator[str]:
        yield sha256_file(self._path)

    def _windows(self) -> Windows[_ReadRow]:
        return Windows(self._source.window or 1, self._source.step if self._source.window else 1)

    def _look(self) -> int:
        """Read all rows, and return how many samples they make."""
        broken = pass_over if self._source.skip_broken else refuse
        windows, samples = self._windows(), 0
        for row, group in self._read(broken):
            if row is None:
                windows.break_off()
                continue
            samples += windows.push(row, group) is not None
            for labels, found in zip(self._labels, row.labels, strict=True):
                labels.observe(found, row.where)
        for labels in self._labels:
            labels.decide(self.spec)
        texts = [labels for labels in self._labels if labels.notes]
        if texts and len(self._labels) > 1:
            raise DatasetError(f"{self.spec}: label_columns names several columns, and not all are numbers")
        if len(self._labels) == 1 and self._labels[0].is_named:
            self.class_names = self._labels[0].names
        self.notes = tuple(note for labels in texts for note in labels.notes)
        return samples

    def _task(self) -> Task | None:
        """Return what labels tell: classes, or numbers, which are what a series has."""
        if len(self._labels) == 1 and self._labels[0].is_of_classes:
            return "classification"
        return "series" if self._labels or self._source.window else None

    def _read(self, broken: OnBroken) -> Iterator[tuple[_ReadRow | None, str]]:
        """Yield each row and its group; None for one that cannot be read."""
        gaps: list[EdgedeployError] = []

        def note(error: EdgedeployError) -> None:
            broken(error)
            gaps.append(error)

        for row in self._rows(self._path, note):
            if gaps:
                gaps.clear()
                yield None, ""
            where = f"{self._path}, {self._unit} {row.line}"
            try:
                yield self._cells(row.fields, where), str(row.fields.get(self._source.group, ""))
            except (DatasetError, InvalidFileError) as error:
                broken(error)
                yield None, ""

    def _cells(self, fields: Mapping[str, Any], where: str) -> _ReadRow:
        values = {each.facts.name: each.values(fields, where) for each in self._columns}
        return _ReadRow(values, tuple(fields[name] for name in self._source.label_columns), where)

    def _prepare(self, window: tuple[_ReadRow, ...]) -> Prepared:
        last = window[-1]
        arrays = {}
        for name, facts in self._inputs.items():
            if self._source.window:
                rows = np.stack([row.values[name] for row in window])
                arrays[name] = shaped_window(rows, facts, self._preprocessing.layout, last.where)
            else:
                arrays[name] = shaped_row(last.values[name], facts, last.where)
        return Prepared(arrays, self._label(last), last.where)

    def _label(self, row: _ReadRow) -> Any:
        numbers = [labels.number(found, row.where) for labels, found in zip(self._labels, row.labels, strict=True)]
        if len(numbers) > 1:
            whole = all(isinstance(number, int) for number in numbers)
            return np.array(numbers, np.int64 if whole else np.float64)
        return numbers[0] if numbers else None
