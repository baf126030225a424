"""Channels that have to go together, as sets of a union-find structure.

Each place along a channel axis that a layer gives has an id. Operators that need two places to stay or go together
(the two operands of an Add, the same place of every group of a grouped convolution) unite their channels; where none
can be taken from, the channel is pinned, with the reason. This is the dependency graph of Fang et al. 2023 (DepGraph,
https://arxiv.org/abs/2301.12900, section 3.2), kept per channel instead of per layer, so that Concat, Split and Slice
need no rules of their own.
"""

from __future__ import annotations

import numpy as np


class ChannelSets:
    """A disjoint-set forest over integers, each set with the reason why it must stay, if there is one."""

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._pinned: dict[int, str] = {}

    def fresh(self, count: int) -> np.ndarray:
        """Return ids of new channels, each in a set of its own; int64, shape (count,)."""
        begin = len(self._parent)
        self._parent.extend(range(begin, begin + count))
        return np.arange(begin, begin + count, dtype=np.int64)

    def unite(self, first: np.ndarray, second: np.ndarray) -> None:
        """Let the channels of two arrays of one shape go together, element by element."""
        for left, right in zip(first.ravel().tolist(), second.ravel().tolist(), strict=True):
            root, other_root = self._find(left), self._find(right)
            if root == other_root:
                continue
            self._parent[other_root] = root
            if (reason := self._pinned.pop(other_root, None)) is not None:
                self._pinned.setdefault(root, reason)

    def pin(self, ids: np.ndarray, reason: str) -> None:
        """Keep these channels, and all that go with them. The first reason stays."""
        for channel in ids.ravel().tolist():
            self._pinned.setdefault(self._find(channel), reason)

    def roots(self, ids: np.ndarray) -> np.ndarray:
        """Return the set that each channel is in, by the id of the one that stands for it; int64, the same shape."""
        return np.array([self._find(channel) for channel in ids.ravel().tolist()], dtype=np.int64).reshape(ids.shape)

    def reason(self, channel: int) -> str | None:
        """Return why the channel must stay, or None."""
        return self._pinned.get(self._find(channel))

    def _find(self, channel: int) -> int:
        parent = self._parent
        while parent[channel] != channel:
            parent[channel] = parent[parent[channel]]
            channel = parent[channel]
        return channel
