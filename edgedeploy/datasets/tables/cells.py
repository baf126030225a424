"""Cells of a table as numbers or text, as an input of the model takes them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgedeploy.datasets.class_labels import read_number
from edgedeploy.datasets.quantized import is_quantized
from edgedeploy.foundation.errors import DatasetError
from edgedeploy.inference.element_types import TEXT, travels
from edgedeploy.values.model import TensorFacts
from edgedeploy.values.preprocessing import TablePreprocessing

_MISSING = frozenset(("", "NA", "N/A", "n/a", "<NA>", "null", "NULL", "None"))
"""What pandas, R and databases write for a missing value; `NaN` is a value that a model of floats may take."""
_TRUTHS = {"true": 1, "false": 0, "True": 1, "False": 0, "TRUE": 1, "FALSE": 0}


class ColumnCells:
    """Reads the cells of one column for one input."""

    def __init__(self, column: str, facts: TensorFacts, preprocessing: TablePreprocessing) -> None:
        """
        Raises:
            DatasetError: an input of this type takes nothing that a table has.
        """
        if not travels(facts.dtype):
            raise DatasetError(f"input {facts.name!r} takes {facts.dtype}, which a table cannot hold")
        self.column = column
        self._input = facts
        self._fill = preprocessing.fill.get(column)
        self._categories = preprocessing.categories.get(column)
        self._places = {text: place for place, text in enumerate(self._categories or ())}
        self._mean = preprocessing.mean.get(column, 0.0)
        self._std = preprocessing.std.get(column, 1.0)
        self._scaled = column in preprocessing.mean or column in preprocessing.std
        if facts.dtype != TEXT:
            dtype = np.dtype(facts.dtype)
            self._float = dtype.kind == "f" or is_quantized(facts)
            # What is quantized saturates, as it does on the device.
            self._limits = (-math.inf, math.inf) if is_quantized(facts) else _limits(dtype)
            if self._scaled and not self._float:
                raise DatasetError(f"[preprocessing] scales the column {column!r}, and its input takes {facts.dtype}")
        self._plain = facts.dtype != TEXT and self._float and not self._scaled and self._categories is None
        if not self._std:
            raise DatasetError(f"[preprocessing] divides the column {column!r} by 0")

    def read(self, cell: Any, where: str) -> Any:
        """Return a cell as a number or text; a list of numbers in a cell as an array of one axis.

        Raises:
            DatasetError: it is missing, or of another type; the message names line and column.
        """
        if self._plain and isinstance(cell, str):
            # What nearly all cells of large tables are, in a third of the time.
            try:
                plain = float(cell)
            except ValueError:
                pass
            else:
                if self._limits[0] <= plain <= self._limits[1] and "_" not in cell:
                    return plain
        if cell is None or (isinstance(cell, str) and cell.strip() in _MISSING):
            if self._fill is None:
                raise DatasetError(
                    f"{where}, column {self.column!r}: the value is missing",
                    hint=f"state what stands in its place: fill = {{ {self.column} = … }} under [preprocessing], or "
                    "leave such rows out with skip_broken = true",
                )
            cell = self._fill
        if self._input.dtype == TEXT:
            return str(cell)
        if self._categories is not None:
            return self._category(cell, where)
        if isinstance(cell, list):
            return np.array([self._number(each, where) for each in cell])
        return self._number(cell, where)

    def _category(self, cell: Any, where: str) -> float:
        text = str(cell).strip()
        if text not in self._places:
            raise DatasetError(
                f"{where}, column {self.column!r}: {text!r:.100} is none of its categories",
                why=f"[preprocessing] has {', '.join(map(repr, list(self._places)[:20]))}",
            )
        return self._scale(float(self._places[text]))

    def _number(self, cell: Any, where: str) -> float:
        value = read_number(cell) if isinstance(cell, str) else cell
        if isinstance(value, str):
            value = _TRUTHS.get(value, value)
        if isinstance(value, str) or not isinstance(value, bool | int | float):
            raise self._no_number(cell, where)
        if not self._float and isinstance(value, float):
            if not value.is_integer():
                raise DatasetError(f"{where}, column {self.column!r}: {cell!r:.100} is no whole number")
            value = int(value)
        scaled = self._scale(float(value)) if self._float else value
        if not math.isnan(scaled) and not math.isinf(value) and not self._limits[0] <= scaled <= self._limits[1]:
            raise DatasetError(f"{where}, column {self.column!r}: {cell!r:.100} is too large for {self._input.dtype}")
        return scaled

    def _scale(self, value: float) -> float:
        return (value - self._mean) / self._std if self._scaled else value

    def _no_number(self, cell: Any, where: str) -> DatasetError:
        text = str(cell)[:60]
        hint = (
            f"leave the column out of inputs, or state categories = {{ {self.column} = [ … ] }} under [preprocessing]"
        )
        if text.count(",") == 1 and isinstance(read_number(text.replace(",", ".")), float):
            hint = "write numbers with a decimal point"
        return DatasetError(f"{where}, column {self.column!r}: {text!r} is no number", hint=hint)


def _limits(dtype: np.dtype) -> tuple[float, float]:
    if dtype.kind == "b":
        return 0, 1
    if dtype.kind == "f":
        return -float(np.finfo(dtype).max), float(np.finfo(dtype).max)
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
