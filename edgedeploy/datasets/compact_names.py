"""A list of a million file names that takes a few bytes more than the names."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator

import numpy as np


class CompactNames:
    """Texts in one buffer: 8 bytes each beside their own, where a list of `str` takes some 60.

    Names of files that are not UTF-8 are kept as they are (`os.fsencode`).
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._bytes = bytearray()
        self._ends = array("Q")
        for name in names:
            self.append(name)

    def append(self, name: str) -> None:
        """Add a name at the end."""
        self._bytes += os.fsencode(name)
        self._ends.append(len(self._bytes))

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, place: int) -> str:
        begin = self._ends[place - 1] if place else 0
        return os.fsdecode(bytes(self._bytes[begin : self._ends[place]]))

    def __iter__(self) -> Iterator[str]:
        return (self[place] for place in range(len(self)))

    def hashes(self) -> np.ndarray:
        """Return a number for each name, the same for the same name in this process: int64."""
        return np.fromiter((hash(name) for name in self), np.int64, len(self))

    def twice(self) -> str | None:
        """Return a name that is there twice; None where there is none."""
        found, counts = np.unique(self.hashes(), return_counts=True)
        suspects = set(found[counts > 1].tolist())
        seen: set[str] = set()
        for name in self if suspects else ():
            if hash(name) in suspects:
                if name in seen:
                    return name
                seen.add(name)
        return None

    @property
    def size_bytes(self) -> int:
        """What it takes of the memory."""
        return len(self._bytes) + len(self._ends) * self._ends.itemsize
