"""Samples for calibration and evaluation, streamed in bounded memory.

A dataset is named in one of three ways:

- `FILE.npz`: an array per model input, samples along the first axis, and optionally `labels`. An array of the input's
  own rank is cut along its first axis, which is the model's batch axis. An array of one rank more holds whole inputs,
  as models with a state or without a batch axis need them: each slice is fed as it is. Both may stand side by side.
- `FOLDER`: each `.npz` in it is one whole feed, in name order; either all of them have `labels` or none.
- `package.module:callable`: called without arguments, yields feeds: dicts of arrays, with `"labels"` among them or not,
  or pairs `(feed, labels)`.

Numbers are taken as they are or widened within their kind (float16 → float32, int32 → int64), which loses nothing.
Everything else is refused: float64 for float32 loses digits, and uint8 for float32 is mostly a picture that somebody
forgot to scale. Values are not looked at: NaN is data.
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from edgedeploy.datasets.npz import ArrayHeader, NpzReader
from edgedeploy.foundation.callables import described, is_object_name, load_callable
from edgedeploy.foundation.errors import DatasetError, EdgedeployError, InvalidFileError
from edgedeploy.foundation.files import read_chunks
from edgedeploy.inference.session import Feed
from edgedeploy.values.model import Dimension, TensorFacts

_log = logging.getLogger(__name__)

LABELS = "labels"


class Sample(Struct, frozen=True, eq=False):
    """What one run of the model takes."""

    feed: Feed
    """An array per input, batch axis included, in the input's dtype."""
    labels: np.ndarray | None
    """First axis: the samples of this feed. None when the dataset has no labels."""
    size: int
    """How many labelled samples the feed holds; 1 for a whole feed without labels."""


class Dataset(ABC):
    """Samples that fit a model's inputs. Every iteration begins anew; nothing is kept in memory between samples."""

    spec: str
    """As the user named it."""
    has_labels: bool
    count: int | None
    """How many feeds `samples` yields; None when only running it tells."""

    @property
    @abstractmethod
    def sha256(self) -> str:
        """Of a file its bytes; of a folder the names and bytes of its files in name order; of a callable the names,
        dtypes, shapes and bytes of all that it yields (it is run once more if no iteration has reached its end)."""

    @abstractmethod
    def samples(self) -> Iterator[Sample]:
        """The samples in order, checked as they come.

        Raises:
            DatasetError: a sample does not fit the model; the message names the array, what was expected and found.
            InvalidFileError: a file has gone or cannot be read.
        """

    def batches(self, size: int) -> Iterator[Sample]:
        """Up to `size` samples at once where the arrays are cut along the first axis and the first dimension of every
        input is dynamic; else as `samples`, because a whole feed is not to be joined with another.

        Raises:
            DatasetError, InvalidFileError: as `samples`.
        """
        return self.samples()


def open_dataset(spec: str, inputs: Sequence[TensorFacts]) -> Dataset:
    """Open `spec` and check what can be checked without reading the data: names, dtypes, shapes, lengths.

    Args:
        spec: `FILE.npz`, `FOLDER` or `package.module:callable`. A file or folder of that name wins.
        inputs: of the model that the samples are for.

    Raises:
        InvalidFileError: nothing has that name, or it is not an `.npz`.
        UnknownNameError: the callable cannot be imported.
        DatasetError: the data does not fit the inputs.
    """
    if not inputs:
        raise DatasetError(f"{spec}: the model has no inputs that data could be for")
    path = Path(spec)
    if path.is_dir():
        return _FolderDataset(spec, path, inputs)
    if path.exists() or not is_object_name(spec):
        return _FileDataset(spec, path, inputs)
    return _CallableDataset(spec, load_callable(spec), inputs)


class _FileDataset(Dataset):
    def __init__(self, spec: str, path: Path, inputs: Sequence[TensorFacts]) -> None:
        self.spec = spec
        self._path = path
        self._inputs = {facts.name: facts for facts in inputs}
        self._sha256 = ""
        with NpzReader(path) as reader:
            headers = reader.headers
        self.has_labels = _check_names(spec, headers, self._inputs)
        self._whole = {name: self._is_whole(facts, headers[name]) for name, facts in self._inputs.items()}
        self._batch = self._fixed_batch()
        self._samples = self._check_lengths(headers)
        self.count = self._samples // self._batch

    @property
    def sha256(self) -> str:
        if not self._sha256:
            digest = hashlib.sha256()
            for chunk in read_chunks(self._path):
                digest.update(chunk)
            self._sha256 = digest.hexdigest()
        return self._sha256

    def samples(self) -> Iterator[Sample]:
        return self._cut(self._batch)

    def batches(self, size: int) -> Iterator[Sample]:
        joinable = not any(self._whole.values()) and all(_is_dynamic(facts.shape[0]) for facts in self._inputs.values())
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
            yield _converted(facts, part[0] if whole else part)

    def _is_whole(self, facts: TensorFacts, header: ArrayHeader) -> bool:
        """Whether each slice is an input of its own, rather than a part of the batch axis."""
        _check_dtype(self.spec, facts, header.dtype)
        rank = len(facts.shape)
        if len(header.shape) == rank + 1:
            expected, found = facts.shape, header.shape[1:]
        elif len(header.shape) == rank and rank > 0:
            expected, found = facts.shape[1:], header.shape[1:]
        else:
            raise DatasetError(
                f"{self.spec}: array {facts.name!r} has shape {header.shape}",
                why=f"expected samples along the first axis: shape ({', '.join(['N', *_extents(facts.shape[1:])])})"
                f" or ({', '.join(['N', *_extents(facts.shape)])})",
            )
        if not _fits(expected, found):
            raise DatasetError(
                f"{self.spec}: array {facts.name!r} has shape {header.shape}",
                why=f"expected ({', '.join(['N', *_extents(expected)])})",
            )
        return len(header.shape) == rank + 1

    def _fixed_batch(self) -> int:
        """Samples that one run takes: 1, or the batch that is fixed in the model."""
        fixed = {
            name: int(facts.shape[0])
            for name, facts in self._inputs.items()
            if not self._whole[name] and not _is_dynamic(facts.shape[0])
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
        if samples % self._batch:
            raise DatasetError(
                f"{self.spec} holds {samples:,} samples, but the model takes exactly {self._batch} at once",
                hint=f"keep {samples - samples % self._batch:,} samples, or export the model with a dynamic batch",
            )
        return samples


class _WholeFeeds(Dataset):
    """What folders and callables share: each feed comes whole."""

    _inputs: dict[str, TensorFacts]

    def _check(self, where: str, facts: TensorFacts, array: ArrayHeader | np.ndarray) -> None:
        _check_dtype(where, facts, array.dtype)
        if not _fits(facts.shape, array.shape):
            raise DatasetError(
                f"{where}: array {facts.name!r} has shape {array.shape}",
                why=f"each feed is a whole input: expected ({', '.join(_extents(facts.shape))})",
            )

    def _whole(self, where: str, feed: Mapping[str, np.ndarray], labels: np.ndarray | None) -> Sample:
        converted = {name: _converted(facts, feed[name]) for name, facts in self._inputs.items()}
        if labels is None:
            return Sample(converted, None, 1)
        labels = np.atleast_1d(labels)
        if not len(labels):
            raise DatasetError(f"{where}: 'labels' is empty")
        return Sample(converted, labels, len(labels))


class _FolderDataset(_WholeFeeds):
    def __init__(self, spec: str, path: Path, inputs: Sequence[TensorFacts]) -> None:
        self.spec = spec
        self._inputs = {facts.name: facts for facts in inputs}
        self._path = path
        self._sha256 = ""
        files = self._files()
        if not files:
            raise DatasetError(f"{spec} holds no .npz files", hint="name a folder with one .npz per feed")
        self.count = len(files)
        with NpzReader(files[0]) as reader:
            self.has_labels = _check_names(str(files[0]), reader.headers, self._inputs)

    @property
    def sha256(self) -> str:
        if not self._sha256:
            digest = hashlib.sha256()
            for file in self._files():
                content = hashlib.sha256()
                for chunk in read_chunks(file):
                    content.update(chunk)
                digest.update(f"{content.hexdigest()}  {file.name}\n".encode(errors="surrogateescape"))
            self._sha256 = digest.hexdigest()
        return self._sha256

    def samples(self) -> Iterator[Sample]:
        for file in self._files():
            with NpzReader(file) as reader:
                if _check_names(str(file), reader.headers, self._inputs) != self.has_labels:
                    raise DatasetError(
                        f"{file} has {'no ' if self.has_labels else ''}labels, unlike the files before it",
                        hint="give labels in every file or in none",
                    )
                for name, facts in self._inputs.items():
                    self._check(str(file), facts, reader.headers[name])
                feed = {name: reader.whole(name) for name in self._inputs}
                labels = reader.whole(LABELS) if self.has_labels else None
            yield self._whole(str(file), feed, labels)

    def _files(self) -> list[Path]:
        try:
            return sorted(path for path in self._path.iterdir() if path.suffix == ".npz" and path.is_file())
        except OSError as error:
            raise InvalidFileError(f"{self._path} cannot be read", why=error.strerror or str(error)) from error


class _CallableDataset(_WholeFeeds):
    count = None

    def __init__(self, spec: str, function: Callable[[], Iterable[Any]], inputs: Sequence[TensorFacts]) -> None:
        self.spec = spec
        self._inputs = {facts.name: facts for facts in inputs}
        self._function = function
        self._sha256 = ""
        first = next(self.samples())
        self.has_labels = first.labels is not None

    @property
    def sha256(self) -> str:
        if not self._sha256:
            for _ in self.samples():
                pass
        return self._sha256

    def samples(self) -> Iterator[Sample]:
        digest = hashlib.sha256()
        number = -1
        labelled: bool | None = None
        for number, item in enumerate(self._items()):
            where = f"{self.spec}: sample {number}"
            sample = self._sample(where, item)
            if labelled is None:
                labelled = sample.labels is not None
            if labelled != (sample.labels is not None):
                raise DatasetError(f"{where} has {'no ' if labelled else ''}labels, unlike those before it")
            _update(digest, sample)
            yield sample
        if number < 0:
            raise DatasetError(f"{self.spec} yielded no samples")
        self._sha256 = digest.hexdigest()

    def _items(self) -> Iterator[Any]:
        """What the user's function yields; what it raises becomes an error of the dataset."""
        number = 0
        try:
            for item in self._function():
                yield item
                number += 1
        except EdgedeployError:
            raise
        except Exception as error:
            _log.debug("%s", self.spec, exc_info=True)
            raise DatasetError(
                f"{self.spec} failed at sample {number}", why=described(error), hint="-vv shows the traceback"
            ) from error

    def _sample(self, where: str, item: Any) -> Sample:
        labels = None
        if isinstance(item, tuple) and len(item) == 2:
            item, labels = item
        if not isinstance(item, Mapping):
            raise DatasetError(
                f"{where} is a {type(item).__name__}",
                why="expected a dict of arrays by input name, or a pair (dict, labels)",
            )
        feed = {str(name): np.asarray(value) for name, value in item.items()}
        if _check_names(where, feed, self._inputs):
            labels = feed.pop(LABELS)
        for name, facts in self._inputs.items():
            self._check(where, facts, feed[name])
        return self._whole(where, feed, None if labels is None else np.asarray(labels))


def _update(digest: Any, sample: Sample) -> None:
    arrays = dict(sample.feed) if sample.labels is None else {**sample.feed, LABELS: sample.labels}
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        digest.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.tobytes())


def _check_names(where: str, found: Iterable[str], inputs: Mapping[str, TensorFacts]) -> bool:
    """Whether there are labels; raises when the other names are not those of the inputs."""
    found = set(found)
    labelled = LABELS in found and LABELS not in inputs
    if labelled:
        found.discard(LABELS)
    missing, unknown = sorted(inputs.keys() - found), sorted(found - inputs.keys())
    if missing:
        near = difflib.get_close_matches(missing[0], unknown, n=1) or unknown[:1]
        raise DatasetError(
            f"{where} has no array {missing[0]!r}",
            why=f"expected an array per input: {_listed(sorted(inputs))}; found: {_listed(sorted(found))}",
            hint=f"rename {near[0]!r} to {missing[0]!r}" if near else f"add {missing[0]!r}",
        )
    if unknown:
        raise DatasetError(
            f"{where} has an array {unknown[0]!r} that is no input of the model",
            why=f"inputs: {_listed(sorted(inputs))}",
            hint=f"leave it out, or name it {LABELS!r} if that is what it holds",
        )
    return labelled


def _listed(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:10]) or "none"
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown


def _check_dtype(where: str, facts: TensorFacts, found: np.dtype) -> None:
    if facts.dtype == "str" and found.kind == "U":
        return
    try:
        expected = np.dtype(facts.dtype)
    except TypeError:
        # An element type that NumPy has no name for (bfloat16, 8-bit floats, 4-bit integers).
        raise DatasetError(
            f"{where}: input {facts.name!r} takes {facts.dtype}, which a dataset cannot hold",
            hint="export the model with float32 inputs",
        ) from None
    if found == expected or (
        found.kind == expected.kind and found.kind != "U" and np.can_cast(found, expected, "safe")
    ):
        return
    raise DatasetError(
        f"{where}: array {facts.name!r} has dtype {found.name}, expected {facts.dtype}",
        hint=f"save {facts.name}.astype(numpy.{facts.dtype}), scaled as the model was trained",
    )


def _converted(facts: TensorFacts, array: np.ndarray) -> np.ndarray:
    if facts.dtype == "str":
        return array.astype(object)
    return np.asarray(array, dtype=facts.dtype, order="C")


def _is_dynamic(extent: Dimension) -> bool:
    return not isinstance(extent, int)


def _fits(expected: Sequence[Dimension], found: Sequence[int]) -> bool:
    return len(expected) == len(found) and all(
        _is_dynamic(want) or want == have for want, have in zip(expected, found, strict=True)
    )


def _extents(shape: Sequence[Dimension]) -> list[str]:
    return [str(extent) for extent in shape]
