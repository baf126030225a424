"""Windows over the rows of a series, each of one group, in bounded memory."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from edgedeploy.foundation.errors import DatasetError

_MOST_KEPT_ROWS = 400_000
"""Of all groups together, each with a window of rows kept: some 500 bytes for each row."""
Kept = TypeVar("Kept")


class Windows(Generic[Kept]):
    """Takes rows one by one, and gives a window whenever one is full."""

    def __init__(self, size: int, step: int) -> None:
        """
        Args:
            size: rows of a window, at least 1.
            step: rows from one window's begin to the next.
        """
        self._size = size
        self._step = step
        self._groups: dict[str, tuple[deque[Kept], list[int]]] = {}

    def push(self, row: Kept, group: str = "") -> tuple[Kept, ...] | None:
        """Take a row, and return the window that ends with it, if one does.

        Raises:
            DatasetError: there are more groups than memory is for.
        """
        kept = self._groups.get(group)
        if kept is None:
            if (len(self._groups) + 1) * self._size > _MOST_KEPT_ROWS:
                raise DatasetError(
                    f"there are more than {len(self._groups):,} groups, and windows have {self._size:,} rows",
                    hint="choose another column with group, or write a file for each part",
                )
            kept = self._groups[group] = (deque(maxlen=self._size), [0])
        rows, seen = kept
        rows.append(row)
        seen[0] += 1
        full = seen[0] >= self._size and (seen[0] - self._size) % self._step == 0
        return tuple(rows) if full else None

    def break_off(self) -> None:
        """Let no window reach over this place: a row is missing here."""
        self._groups.clear()
