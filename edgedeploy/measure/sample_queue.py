"""Samples on their way to a device: given out once, and once more where the connection was lost before the answer."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator

from edgedeploy.datasets.dataset import Sample


class SampleQueue:
    """Gives out samples in their order. Memory is bounded by how many are asked for before the first is answered.

    Args:
        samples: are iterated over once, whatever becomes of connections.
    """

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples = iter(samples)
        self._unanswered: deque[Sample] = deque()
        self._turn = 0
        # A turn that is over may still be asked for one more sample, by the thread that sends over a lost connection.
        self._lock = threading.Lock()

    def turn(self) -> Iterator[Sample]:
        """Begin anew with the first sample without an answer. The turn before gives out nothing any more."""
        with self._lock:
            self._turn += 1
            return self._from(self._turn, tuple(self._unanswered))

    def answered(self) -> None:
        """Note that the answer to the first sample without one is there."""
        self._unanswered.popleft()

    def _from(self, turn: int, again: tuple[Sample, ...]) -> Iterator[Sample]:
        yield from again
        while (sample := self._next(turn)) is not None:
            yield sample

    def _next(self, turn: int) -> Sample | None:
        with self._lock:
            if turn != self._turn:
                return None
            sample = next(self._samples, None)
            if sample is not None:
                self._unanswered.append(sample)
            return sample
