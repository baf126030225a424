"""Sums over the first samples of a dataset, in constant memory."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from edgedeploy.datasets.base import Sample
from edgedeploy.inference.session import Feed
from edgedeploy.values.data_summary import ChannelFacts, SeenInput
from edgedeploy.values.labels import NOT_JUDGED, Detections, TimeSpans
from edgedeploy.values.model import TensorFacts

_CHANNELS = (1, 3, 4)
_MOST_CLASSES = 100_000


def channel_axis(shape: tuple[int, ...]) -> int | None:
    """Return the axis of a picture's channels, of a feed's shape; None where it is no picture."""
    if len(shape) != 4:
        return None
    if shape[1] in _CHANNELS:
        return 1
    return 3 if shape[3] in _CHANNELS else None


class _Channels:
    """Extremes and moments of the channels of one input."""

    def __init__(self) -> None:
        self.count = 0
        self.low = self.high = self.total = self.squares = np.zeros(0)

    def add(self, array: np.ndarray) -> None:
        axis = channel_axis(array.shape)
        values = np.moveaxis(array, axis, 0) if axis is not None else array[np.newaxis]
        values = values.reshape(values.shape[0], -1).astype(np.float64)
        if not values.size:
            return
        found = values.min(1), values.max(1), values.sum(1), np.square(values).sum(1)
        if not self.count:
            self.low, self.high, self.total, self.squares = found
        else:
            self.low, self.high = np.minimum(self.low, found[0]), np.maximum(self.high, found[1])
            self.total, self.squares = self.total + found[2], self.squares + found[3]
        self.count += values.shape[1]

    def facts(self) -> tuple[ChannelFacts, ...]:
        mean = self.total / max(self.count, 1)
        deviation = np.sqrt(np.maximum(self.squares / max(self.count, 1) - mean**2, 0))
        rows = zip(self.low.tolist(), mean.tolist(), self.high.tolist(), deviation.tolist(), strict=True)
        return tuple(
            ChannelFacts(minimum=low, mean=middle, maximum=high, deviation=spread) for low, middle, high, spread in rows
        )


class Observed:
    """What was seen of the samples so far."""

    def __init__(self, inputs: tuple[TensorFacts, ...]) -> None:
        self._inputs = inputs
        self._channels = {facts.name: _Channels() for facts in inputs}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self.samples = 0
        self.flat = 0
        """Pictures of a single color."""
        self.classes: Counter[int] = Counter()
        self.kinds: Counter[str] = Counter()

    def add(self, sample: Sample) -> None:
        """Look at a feed and its labels."""
        self.samples += sample.size
        for name, array in sample.feed.items():
            self._shapes.setdefault(name, array.shape)
            if array.dtype.kind in "fiub":
                self._channels[name].add(array)
        self.flat += sum(_is_flat(sample.feed, row) for row in range(sample.size))
        if sample.labels is not None:
            for label in sample.labels:
                self._add_label(label)

    def inputs(self) -> tuple[SeenInput, ...]:
        """Return each input's facts, in the model's order."""
        return tuple(
            SeenInput(
                name=facts.name,
                dtype=facts.dtype,
                shape=self._shapes.get(facts.name, ()),
                channels=self._channels[facts.name].facts(),
            )
            for facts in self._inputs
        )

    def _add_label(self, label: Any) -> None:
        self.kinds[_kind(label)] += 1
        if isinstance(label, Detections | TimeSpans):
            numbers = label.classes.tolist()
        elif isinstance(label, np.integer | int):
            numbers = [int(label)]
        elif isinstance(label, np.ndarray) and label.dtype.kind in "iu" and label.ndim == 2:
            numbers = [each for each in np.unique(label).tolist() if each != NOT_JUDGED]
        else:
            return
        if len(self.classes) < _MOST_CLASSES:
            self.classes.update(numbers)


def _is_flat(feed: Feed, row: int) -> bool:
    pictures = [array for array in feed.values() if channel_axis(array.shape) is not None and row < len(array)]
    if not pictures:
        return False
    axis = channel_axis(pictures[0].shape)
    assert axis is not None
    channels = np.moveaxis(pictures[0][row], axis - 1, 0)
    return all(channel.min() == channel.max() for channel in channels)


def _kind(label: Any) -> str:
    if isinstance(label, Detections):
        parts = [name for name, part in (("masks", label.masks), ("keypoints", label.keypoints)) if part is not None]
        return " and ".join(["boxes", *parts])
    if isinstance(label, TimeSpans):
        return "spans of time"
    if isinstance(label, str):
        return "texts"
    if isinstance(label, np.ndarray) and label.ndim:
        return f"{'masks' if label.dtype.kind in 'iu' and label.ndim == 2 else 'arrays'} of {label.shape}"
    return "numbers of classes" if isinstance(label, np.integer | int) else "numbers to be estimated"
