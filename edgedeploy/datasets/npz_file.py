"""A dataset in one `.npz`: an array per input, samples along the first axis."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from edgedeploy.datasets.base import LABELS, Dataset, Sample
from edgedeploy.datasets.fit import check_dtype, check_names, convert, extents, fits, is_dynamic
from edgedeploy.datasets.npz import ArrayHeader, NpzReader
from edgedeploy.foundation.errors import DatasetError
from edgedeploy.foundation.files import sha256_file
from edgedeploy.values.model import TensorFacts

_MOST_SAMPLES = 10_000_000
"""Eight times ImageNet's training set. A small file can inflate to far more."""


class NpzFileDataset(Dataset):
    """One `.npz`, cut into the batches that the model takes."""

    def __init__(self, spec: str, path: Path, inputs: Sequence[TensorFacts]) -> None:
        self.spec = spec
        self._path = path
        self._inputs = {facts.name: facts for facts in inputs}
        self._sha256 = ""
        with NpzReader(path) as reader:
            headers = reader.headers
        self.has_labels = check_names(spec, headers, self._inputs)
        self._whole = {name: self._is_whole(facts, headers[name]) for name, facts in self._inputs.items()}
        self._batch = self._fixed_batch()
        self._samples = self._check_lengths(headers)
        self.count = self._samples // self._batch

    @property
    def sha256(self) -> str:
        if not self._sha256:
            self._sha256 = sha256_file(self._path)
        return self._sha256

    def samples(self) -> Iterator[Sample]:
        return self._cut(self._batch)

    def batches(self, size: int) -> Iterator[Sample]:
        joinable = not any(self._whole.values()) and all(is_dynamic(facts.shape[0]) for facts in self._inputs.values())
        return self._cut(max(size, 1) if joinable else self._batch)

    def _cut(self, size: int) -> Iterator[Sample]:
        # Opened for each iteration: two may run at the same time, and none keeps a file open after its end.
        with NpzReader(self._path) as reader:
            streams = {name: self._inputs_from(reader, facts, size) for name, facts in self._inputs.items()}
            labels = reader.slices(LABELS, size) if self.has_labels else itertools.repeat(None)
            for start in range(0, self._samples, size):
                feed = {name: next(stream) for name, stream in streams.items()}
                label = next(labels)
                if label is not None and any(self._whole.values()) and label.ndim > 1:
                    label = label[0]
                yield Sample(feed, label, min(size, self._samples - start) if label is None else len(label))

    def _inputs_from(self, reader: NpzReader, facts: TensorFacts, size: int) -> Iterator[np.ndarray]:
        whole = self._whole[facts.name]
        for part in reader.slices(facts.name, 1 if whole else size):
            yield convert(self.spec, facts, part[0] if whole else part)

    def _is_whole(self, facts: TensorFacts, header: ArrayHeader) -> bool:
        """Return whether each slice is an input of its own, rather than a part of the batch axis."""
        check_dtype(self.spec, facts, header.dtype)
        rank = len(facts.shape)
        if len(header.shape) == rank + 1:
            expected, found = facts.shape, header.shape[1:]
        elif len(header.shape) == rank and rank > 0:
            expected, found = facts.shape[1:], header.shape[1:]
        else:
            raise DatasetError(
                f"{self.spec}: array {facts.name!r} has shape {header.shape}",
                why=f"expected samples along the first axis: shape ({', '.join(['N', *extents(facts.shape[1:])])})"
                f" or ({', '.join(['N', *extents(facts.shape)])})",
            )
        if not fits(expected, found):
            raise DatasetError(
                f"{self.spec}: array {facts.name!r} has shape {header.shape}",
                why=f"expected ({', '.join(['N', *extents(expected)])})",
            )
        return len(header.shape) == rank + 1

    def _fixed_batch(self) -> int:
        """Return how many samples one run takes: 1, or the batch that is fixed in the model."""
        fixed = {
            name: int(facts.shape[0])
            for name, facts in self._inputs.items()
            if not self._whole[name] and not is_dynamic(facts.shape[0])
        }
        if len(set(fixed.values())) > 1 or (any(self._whole.values()) and set(fixed.values()) - {1}):
            raise DatasetError(
                f"{self.spec}: the arrays cannot be cut in step",
                why=f"the model's first dimensions are fixed and differ: {fixed}",
                hint="give every array one axis more: each slice is then a whole input",
            )
        batch = next(iter(fixed.values()), 1)
        if batch < 1:
            raise DatasetError(f"{self.spec}: the model takes {batch} samples at once, so there is nothing to feed it")
        return batch

    def _check_lengths(self, headers: Mapping[str, ArrayHeader]) -> int:
        names = [*self._inputs, *([LABELS] if self.has_labels else [])]
        if self.has_labels and not headers[LABELS].shape:
            raise DatasetError(f"{self.spec}: 'labels' is a single number, expected one label per sample")
        lengths = {name: headers[name].shape[0] for name in names}
        if len(set(lengths.values())) > 1:
            raise DatasetError(
                f"{self.spec}: the arrays differ in length",
                why=", ".join(f"{name!r} has {length:,}" for name, length in lengths.items()),
                hint="give every array one entry per sample along its first axis",
            )
        samples = next(iter(lengths.values()))
        if not samples:
            raise DatasetError(f"{self.spec} holds no samples")
        if samples > _MOST_SAMPLES:
            raise DatasetError(
                f"{self.spec} holds {samples:,} samples, and at most {_MOST_SAMPLES:,} are taken from one file",
                why="a device that takes 1 ms for each would be at work for three hours",
                hint="save a part of them, drawn at random",
            )
        if samples % self._batch:
            raise DatasetError(
                f"{self.spec} holds {samples:,} samples, but the model takes exactly {self._batch} at once",
                hint=f"keep {samples - samples % self._batch:,} samples, or export the model with a dynamic batch",
            )
        return samples
