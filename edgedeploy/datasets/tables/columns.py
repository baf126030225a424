"""Which columns of a table are for which input, and the shape that their values take there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from edgedeploy.datasets.fit import extents, is_dynamic
from edgedeploy.datasets.quantized import as_input, is_quantized
from edgedeploy.datasets.tables.cells import ColumnCells
from edgedeploy.foundation.errors import DatasetError
from edgedeploy.foundation.suggest import did_you_mean
from edgedeploy.inference.element_types import TEXT
from edgedeploy.values.data import DataSource
from edgedeploy.values.model import TensorFacts
from edgedeploy.values.preprocessing import TablePreprocessing


class InputColumns(Struct, frozen=True, kw_only=True):
    """The columns of one input."""

    facts: TensorFacts
    cells: tuple[ColumnCells, ...]

    def values(self, fields: Mapping[str, Any], where: str) -> np.ndarray:
        """Return the input's values of a row, shape (columns,); of one column with lists: (values of the list,).

        Raises:
            DatasetError: a cell is missing or of another type.
        """
        found = [each.read(fields[each.column], where) for each in self.cells]
        if self.facts.dtype == TEXT:
            return np.array(found, dtype=object)
        if len(found) == 1 and isinstance(found[0], np.ndarray):
            return as_input(found[0], self.facts)
        if nested := next((i for i, each in enumerate(found) if isinstance(each, np.ndarray)), None):
            raise DatasetError(f"{where}, column {self.cells[nested].column!r}: a list, beside other columns")
        if is_quantized(self.facts):
            return as_input(np.array(found), self.facts)
        return np.array(found, dtype=self.facts.dtype)


def input_columns(
    source: DataSource, columns: Sequence[str], inputs: Sequence[TensorFacts], preprocessing: TablePreprocessing
) -> tuple[InputColumns, ...]:
    """Return the columns of each input: as `source.inputs` says; without, of a column that has the input's name; else,
    of a model with one input, all that are no label and no group.

    Raises:
        DatasetError: a column is unknown, or an input has none.
    """
    for table in (source.label_columns, (source.group,) if source.group else (), *source.inputs.values()):
        for name in table:
            _check_column(source.path, name, columns)
    for keys in (preprocessing.fill, preprocessing.categories, preprocessing.mean, preprocessing.std):
        for name in keys:
            _check_column(f"{source.path}: [preprocessing]", name, columns)
    names = [facts.name for facts in inputs]
    for name in source.inputs:
        if name not in names:
            raise DatasetError(
                f"{source.path}: inputs names {name!r}, and the model has no such input",
                why=f"inputs: {', '.join(names)}",
                hint=did_you_mean(name, names),
            )
    return tuple(
        InputColumns(
            facts=facts,
            cells=tuple(
                ColumnCells(column, facts, preprocessing) for column in _columns_of(source, columns, facts, names)
            ),
        )
        for facts in inputs
    )


def _columns_of(source: DataSource, columns: Sequence[str], facts: TensorFacts, names: Sequence[str]) -> Sequence[str]:
    if source.inputs:
        chosen: Sequence[str] = source.inputs.get(facts.name, ())
    elif facts.name in columns:
        chosen = (facts.name,)
    else:
        others = {*source.label_columns, source.group}
        chosen = [name for name in columns if name not in others] if len(names) == 1 else ()
    if not chosen:
        raise DatasetError(
            f"{source.path}: no column is named for the input {facts.name!r}",
            why=f"columns: {_listed(columns)}",
            hint=f"state inputs = {{ {facts.name} = [ … ] }} in data.toml",
        )
    return chosen


def _check_column(spec: str, name: str, columns: Sequence[str]) -> None:
    if name not in columns:
        raise DatasetError(
            f"{spec}: there is no column {name!r}",
            why=f"columns: {_listed(columns)}",
            hint=did_you_mean(name, columns),
        )


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(map(repr, columns[:12]))
    return f"{shown} and {len(columns) - 12} more" if len(columns) > 12 else shown


def shaped_row(values: np.ndarray, facts: TensorFacts, where: str) -> np.ndarray:
    """Return the values of a row as an input takes them without its batch axis.

    They keep their one axis where the input has two; one value is a number where it has one; and where it has more, all
    of them fixed, they fill these in order of rows.

    Raises:
        DatasetError: there are more or fewer values than the input takes.
    """
    wanted = facts.shape[1:]
    if not facts.shape or (not wanted and len(values) == 1):
        return values.reshape(()) if len(values) == 1 else values
    if len(wanted) <= 1 and (not wanted or is_dynamic(wanted[0]) or wanted[0] == len(values)):
        return values
    fixed = [extent for extent in wanted if isinstance(extent, int)]
    if len(fixed) == len(wanted) and math.prod(fixed) == len(values):
        return values.reshape(fixed)
    raise DatasetError(
        f"{where}: {len(values)} columns for the input {facts.name!r}",
        why=f"it takes ({', '.join(extents(facts.shape))}), the first axis for the batch",
        hint="name the label's column with label_columns, and those of the input with inputs, in data.toml",
    )


def shaped_window(values: np.ndarray, facts: TensorFacts, layout: str, where: str) -> np.ndarray:
    """Return a window of rows as an input takes it.

    Args:
        values: shape (rows, columns).
        layout: as `TablePreprocessing` has it.

    Raises:
        DatasetError: the input has no room for it.
    """
    wanted = facts.shape[1:]
    if len(wanted) == 1 and values.shape[1] == 1:
        return values[:, 0]
    rows, columns = values.shape

    def goes(shape: tuple[int, int]) -> bool:
        pairs = zip(wanted[-2:], shape, strict=True)
        return len(wanted) >= 2 and all(is_dynamic(want) or want == have for want, have in pairs)

    if layout != "channels-first" and goes((rows, columns)):
        found = values
    elif layout != "time-first" and goes((columns, rows)):
        found = values.T
    else:
        raise DatasetError(
            f"{where}: windows of {rows} rows and {columns} columns for the input {facts.name!r}",
            why=f"it takes ({', '.join(extents(facts.shape))}), the first axis for the batch",
            hint="change window or inputs in data.toml, or layout under [preprocessing]",
        )
    return found.reshape((1,) * (len(wanted) - 2) + found.shape)
