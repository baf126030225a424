"""Channels that have to go together, as sets of a union-find structure.

Each place along a channel axis that a layer gives is an *atom*. Operators that need two places to stay or go together
(the two operands of an Add, the same place of every group of a grouped convolution) unite their atoms; what nobody can
take a place from pins its atom, with the reason. This is the dependency graph of Fang et al. 2023 (DepGraph,
https://arxiv.org/abs/2301.12900, section 3.2), kept per channel instead of per layer, so that Concat, Split and Slice
need no rules of their own.
"""

from __future__ import annotations

import numpy as np


class Atoms:
    """A disjoint-set forest over integers, each set with the reason why it must stay, if there is one."""

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._pinned: dict[int, str] = {}

    def fresh(self, count: int) -> np.ndarray:
        """New atoms, each in a set of its own; int64, shape (count,)."""
        begin = len(self._parent)
        self._parent.extend(range(begin, begin + count))
        return np.arange(begin, begin + count, dtype=np.int64)

    def unite(self, first: np.ndarray, second: np.ndarray) -> None:
        """Let the atoms of two arrays of one shape go together, element by element."""
        for one, other in zip(first.ravel().tolist(), second.ravel().tolist(), strict=True):
            a, b = self._find(one), self._find(other)
            if a == b:
                continue
            self._parent[b] = a
            if (reason := self._pinned.pop(b, None)) is not None:
                self._pinned.setdefault(a, reason)

    def pin(self, atoms: np.ndarray, reason: str) -> None:
        """Keep these atoms, and all that go with them. The first reason stays."""
        for one in atoms.ravel().tolist():
            self._pinned.setdefault(self._find(one), reason)

    def roots(self, atoms: np.ndarray) -> np.ndarray:
        """The set that each atom is in, by the atom that stands for it; the same shape."""
        return np.array([self._find(one) for one in atoms.ravel().tolist()], dtype=np.int64).reshape(atoms.shape)

    def reason(self, atom: int) -> str | None:
        """Why the atom must stay, or None."""
        return self._pinned.get(self._find(atom))

    def _find(self, atom: int) -> int:
        parent = self._parent
        while parent[atom] != atom:
            parent[atom] = parent[parent[atom]]
            atom = parent[atom]
        return atom
