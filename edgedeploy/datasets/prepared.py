"""What readers of files share: samples are prepared one by one, and joined to the batches that the model takes."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np
from msgspec import Struct

from edgedeploy.datasets.base import Dataset, Sample
from edgedeploy.datasets.fit import check_dtype, convert, extents, fits, is_dynamic
from edgedeploy.datasets.manifest import OnBroken
from edgedeploy.datasets.skips import MOST_LISTED, reason_of
from edgedeploy.foundation.errors import DatasetError, EdgedeployError, InvalidFileError
from edgedeploy.values.data import DataSource
from edgedeploy.values.labels import Labels
from edgedeploy.values.model import TensorFacts

MOST_SAMPLES = 10_000_000
"""Eight times ImageNet's training set: a board that takes 1 ms for each would be at work for three hours."""

_ALWAYS = frozenset({"path", "format", "task", "class_names", "skip_broken", "preprocessing", "head"})

Item = TypeVar("Item")


class Prepared(Struct, frozen=True, eq=False):
    """One sample, before it is joined with others."""

    arrays: dict[str, np.ndarray]
    """For each input, in its dtype: without its batch axis, or of its whole shape where the model has no such axis."""
    label: Any
    """A number, an array, a `str`, `TimeSpans`; None without labels."""
    where: str
    """What it came from, for messages: a file, or a line of one."""


class PreparedSamples(Dataset):
    """A dataset whose samples are prepared one by one. A subclass calls `_ready` at the end of its constructor."""

    def __init__(self, source: DataSource, inputs: Sequence[TensorFacts], keys: Collection[str]) -> None:
        """
        Args:
            keys: of a source that such data has, beside those that all have.

        Raises:
            DatasetError: the source declares another, which would be ignored.
        """
        _refuse_others(source, keys)
        self.spec = source.path
        self.task = source.task or None
        self.head = source.head
        self.count = None
        self.has_labels = False
        self._source = source
        self._inputs = {facts.name: facts for facts in inputs}
        self._batch = 1
        self._whole = False
        self._sha256 = ""

    @abstractmethod
    def prepared(self, broken: OnBroken) -> Iterator[Prepared]:
        """Yield the samples in order.

        Args:
            broken: is told of each sample that cannot be read; where it returns, the next one follows.

        Raises:
            DatasetError, InvalidFileError: a sample cannot be read (by `broken`), or none that follows can.
        """

    @abstractmethod
    def digests(self) -> Iterator[str]:
        """Yield what tells this data from others: names and SHA-256 of its files, in their order."""

    @property
    def sha256(self) -> str:
        if not self._sha256:
            digest = hashlib.sha256(msgspec.json.encode(_that_count(self._source), order="deterministic"))
            for each in self.digests():
                digest.update(f"\n{each}".encode(errors="surrogateescape"))
            self._sha256 = digest.hexdigest()
        return self._sha256

    def samples(self) -> Iterator[Sample]:
        return self._joined(self._batch)

    def batches(self, size: int) -> Iterator[Sample]:
        joinable = not self._whole and all(is_dynamic(facts.shape[0]) for facts in self._inputs.values() if facts.shape)
        return self._joined(max(size, 1) if joinable else self._batch)

    def _ready(self, samples: int) -> None:
        """Look at the first sample, and say how many feeds there are.

        Args:
            samples: how many there are, as far as opening the data tells.

        Raises:
            DatasetError: there are none or too many, or the first does not fit the model.
            InvalidFileError: no sample can be read.
        """
        if samples > MOST_SAMPLES:
            raise DatasetError(
                f"{self.spec} holds {samples:,} samples, and at most {MOST_SAMPLES:,} are taken",
                why="a device that takes 1 ms for each would be at work for three hours",
                hint="save a part of them, drawn at random",
            )
        skips = _Skips(None, allowed=self._source.skip_broken)
        first = next(self.prepared(skips), None)
        if first is None:
            why = f"all {skips.count} were left out; the first: {skips.reasons[0]}" if skips.reasons else ""
            raise DatasetError(f"{self.spec} holds no samples", why=why)
        self._whole, self._batch = _axes(self.spec, self._inputs, first)
        if samples % self._batch and not self._source.skip_broken:
            raise DatasetError(
                f"{self.spec} holds {samples:,} samples, but the model takes exactly {self._batch} at once",
                hint=f"keep {samples - samples % self._batch:,} samples, or export the model with a dynamic batch",
            )
        self.count = samples // self._batch

    def _joined(self, size: int) -> Iterator[Sample]:
        skips = _Skips(self, allowed=self._source.skip_broken)
        group: list[Prepared] = []
        for each in self.prepared(skips):
            self._checked(each)
            if group and _shapes(group[0]) != _shapes(each):
                if self._batch > 1:
                    raise DatasetError(
                        f"{each.where}: its extent differs from those before it, and the model takes {self._batch} "
                        "samples at once",
                        hint="export the model with a dynamic batch, or state a length for all in [preprocessing]",
                    )
                yield self._sample(group)
                group = []
            group.append(each)
            if len(group) == size:
                yield self._sample(group)
                group = []
        if group and len(group) % self._batch == 0:
            yield self._sample(group)
        elif group:
            skips(DatasetError(f"{group[0].where}: the last {len(group)} samples do not fill a batch"))

    def _checked(self, sample: Prepared) -> Prepared:
        """Return a sample that the model can take.

        Raises:
            DatasetError: it cannot.
        """
        for name, facts in self._inputs.items():
            array = sample.arrays[name]
            expected = facts.shape if self._whole else facts.shape[1:]
            check_dtype(sample.where, facts, array.dtype)
            if not fits(expected, array.shape):
                raise DatasetError(
                    f"{sample.where}: the values for the input {name!r} have shape {array.shape}",
                    why=f"expected ({', '.join(extents(expected))})",
                )
        return sample

    def _sample(self, group: Sequence[Prepared]) -> Sample:
        feed = {}
        for name, facts in self._inputs.items():
            arrays = [each.arrays[name] for each in group]
            joined = arrays[0] if self._whole or not facts.shape else np.stack(arrays)
            feed[name] = convert(self.spec, facts, joined)
        labels = _joined_labels([each.label for each in group]) if self.has_labels else None
        return Sample(feed, labels, len(group), group[0].where if len(group) == 1 else "")


def each_prepared(
    items: Iterable[Item], prepare: Callable[[Item], Iterable[Prepared]], broken: OnBroken
) -> Iterator[Prepared]:
    """Prepare items one by one; those that cannot be are told to `broken`.

    Args:
        prepare: returns the samples of an item, mostly one.
    """
    for item in items:
        try:
            found = list(prepare(item))
        except (DatasetError, InvalidFileError) as error:
            broken(error)
        else:
            yield from found


class _Skips:
    """Counts samples that are left out in one iteration, or ends with the first."""

    def __init__(self, dataset: Dataset | None, *, allowed: bool) -> None:
        """
        Args:
            dataset: is told, where this iteration has left out more than others before it.
            allowed: that samples are left out.
        """
        self._dataset = dataset
        self.count = 0
        self.reasons: list[str] = []
        self._allowed = allowed

    def __call__(self, error: EdgedeployError) -> None:
        if not self._allowed:
            if not error.hint:
                error.hint = "mend it, or leave such samples out with skip_broken = true in data.toml"
            raise error
        self.count += 1
        if len(self.reasons) < MOST_LISTED:
            self.reasons.append(reason_of(error))
        if self._dataset is not None and self.count > self._dataset.skipped_count:
            self._dataset.skipped_count, self._dataset.skipped = self.count, tuple(self.reasons)


def _refuse_others(source: DataSource, keys: Collection[str]) -> None:
    plain = DataSource(path=source.path)
    for key in source.__struct_fields__:
        if key not in _ALWAYS and key not in keys and getattr(source, key) != getattr(plain, key):
            raise DatasetError(
                f"{source.path}: {key} is declared, and such data has none",
                why="it would be ignored",
                hint=f"remove {key}, or state another format",
            )


def _axes(spec: str, inputs: dict[str, TensorFacts], first: Prepared) -> tuple[bool, int]:
    """Return whether samples are whole inputs, and how many one run takes."""
    # An input without axes (a rate) is the same for all.
    ranks = {name: len(facts.shape) - first.arrays[name].ndim for name, facts in inputs.items() if facts.shape}
    if any(rank not in (0, 1) for rank in ranks.values()) or len(set(ranks.values())) > 1:
        shapes = ", ".join(f"{name!r} {first.arrays[name].shape}" for name in inputs)
        wanted = ", ".join(f"{name!r} ({', '.join(extents(facts.shape))})" for name, facts in inputs.items())
        raise DatasetError(
            f"{spec}: its samples have other axes than the model's inputs", why=f"samples: {shapes}; inputs: {wanted}"
        )
    if 0 in ranks.values() or not ranks:
        return True, 1
    fixed = {int(facts.shape[0]) for facts in inputs.values() if facts.shape and not is_dynamic(facts.shape[0])}
    if len(fixed) > 1 or fixed == {0}:
        raise DatasetError(f"{spec}: the model's inputs take different numbers of samples at once: {sorted(fixed)}")
    return False, fixed.pop() if fixed else 1


def _shapes(sample: Prepared) -> tuple[tuple[int, ...], ...]:
    arrays = tuple(array.shape for array in sample.arrays.values())
    return (*arrays, sample.label.shape) if isinstance(sample.label, np.ndarray) else arrays


def _joined_labels(labels: Sequence[Any]) -> Labels:
    if all(isinstance(label, np.ndarray) for label in labels):
        return np.stack(labels)
    if all(isinstance(label, int) for label in labels):
        return np.array(labels, np.int64)
    if all(isinstance(label, int | float) for label in labels):
        return np.array(labels, np.float64)
    return tuple(labels)


def _that_count(source: DataSource) -> dict[str, Any]:
    """Return what a source says of its data but for where they lie, and what is done with answers."""
    told = msgspec.to_builtins(source)
    preprocessing = {key: value for key, value in told["preprocessing"].items() if key != "tokenizer"}
    places = ("path", "labels", "head", "preprocessing")
    return {"preprocessing": preprocessing, **{key: value for key, value in told.items() if key not in places}}
