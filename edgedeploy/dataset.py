"""Samples for calibration or evaluation, streamed in bounded memory and held against the model's inputs.

A dataset is named by one of three forms:

- `FILE.npz`: an array for each model input, samples along the first axis, and optionally `labels`. An array of the
  input's own rank is cut into batches; of one rank more, each slice is a whole input, as stateful models need.
- a folder of `.npz` files, each one feed (a whole input for each name, optionally `labels`), streamed in name order.
- `package.module:callable`, which yields feeds: dictionaries of arrays, optionally with `"labels"`.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgedeploy.errors import DatasetError, InvalidFileError
from edgedeploy.files import sha256_file
from edgedeploy.npz_stream import NpzFile
from edgedeploy.values.model import TensorFacts

Array = NDArray[Any]
LABELS = "labels"


class Sample(Struct, frozen=True):
    """One feed, ready for a session: the batch axis is included."""

    feed: dict[str, Array]
    labels: Array | None
    """Shape (size,), or None when the dataset has none."""
    size: int
    """Samples in this feed: the extent of the batch axis."""


class Dataset:
    """A named dataset for a model with given inputs. `samples` may be called again for another pass over it."""

    def __init__(
        self,
        spec: str,
        *,
        inputs: Sequence[TensorFacts],
        sha256: str,
        has_labels: bool,
        count: int | None,
        stream: Callable[[], Iterator[tuple[str, Mapping[str, Array]]]],
    ) -> None:
        self.spec = spec
        self.sha256 = sha256
        """Of the content: the file; the folder's names and files; all arrays that a callable yields."""
        self.has_labels = has_labels
        self.count = count
        """Feeds there are; None when only running through it would tell."""
        self._inputs = tuple(inputs)
        self._stream = stream

    def samples(self) -> Iterator[Sample]:
        """The feeds one by one, each validated.

        Raises:
            DatasetError: a feed does not fit the model; the message names feed, array, what is expected and found.
        """
        for where, arrays in self._stream():
            yield _sample(where, arrays, self._inputs)

    def batches(self, size: int) -> Iterator[Sample]:
        """The same samples, stacked to at most `size` along the first axis where the model takes any batch.

        That is where the first dimension of every input is dynamic and the only one that differs between feeds; else
        the feeds come one by one.
        """
        if size <= 1 or not all(tensor.shape and isinstance(tensor.shape[0], str) for tensor in self._inputs):
            yield from self.samples()
            return
        waiting: list[Sample] = []
        for sample in self.samples():
            if waiting and not _stackable(waiting[0], sample):
                yield _stacked(waiting)
                waiting = []
            waiting.append(sample)
            if sum(one.size for one in waiting) >= size:
                yield _stacked(waiting)
                waiting = []
        if waiting:
            yield _stacked(waiting)


def open_dataset(spec: str, inputs: Sequence[TensorFacts]) -> Dataset:
    """Open the dataset that `spec` names, for a model with these `inputs`.

    Names and, for a file, shapes and types are checked at once; each feed again as it is streamed. Arrays are cast
    where no value can change (float32 → float64, uint8 → int32 …) and where Python's defaults are wider than models
    are (float64 → float32, int64 → int32); any other type is an error.

    Raises:
        InvalidFileError: the file or folder does not exist or cannot be read.
        DatasetError: it does not fit the model, is empty, or is not of one of the three forms.
    """
    path = Path(spec)
    if path.is_dir():
        return _open_folder(spec, path, inputs)
    module, colon, function = spec.rpartition(":")
    if path.exists() or not (colon and _is_dotted(module) and function.isidentifier()):
        if not path.exists():
            raise InvalidFileError(
                f"dataset {spec} does not exist",
                mend="name an .npz file, a folder of .npz files, or package.module:callable",
            )
        return _open_file(spec, path, inputs)
    return _open_callable(spec, module, function, inputs)


def _open_file(spec: str, path: Path, inputs: Sequence[TensorFacts]) -> Dataset:
    with NpzFile(path) as file:
        headers = file.headers
    _check_names(spec, headers, inputs)
    lengths: dict[str, int] = {}
    for tensor in inputs:
        header = headers[tensor.name]
        if len(header.shape) not in (len(tensor.shape), len(tensor.shape) + 1) or not header.shape:
            raise DatasetError(
                f"{spec}: array {tensor.name!r} has shape {header.shape}",
                why=f"the model's input is {describe(tensor)}, so samples along the first axis are expected",
            )
        lengths[tensor.name] = header.shape[0] // _batch_extent(header.shape, tensor)
    if LABELS in headers:
        label_shape = headers[LABELS].shape
        if len(label_shape) != 1:
            raise DatasetError(f"{spec}: {LABELS!r} has shape {label_shape}; (samples,) is expected")
        extents = {
            _batch_extent(headers[t.name].shape, t) for t in inputs if len(headers[t.name].shape) == len(t.shape)
        }
        lengths[LABELS] = label_shape[0] // (extents.pop() if len(extents) == 1 else 1)
    if len(set(lengths.values())) > 1:
        raise DatasetError(f"{spec}: arrays have different numbers of samples: {lengths}")
    count = next(iter(lengths.values()))
    if count == 0:
        raise DatasetError(f"{spec} has no samples")

    def stream() -> Iterator[tuple[str, Mapping[str, Array]]]:
        with NpzFile(path) as file:
            extent = {t.name: _batch_extent(file.headers[t.name].shape, t) for t in inputs}
            whole = {t.name: len(file.headers[t.name].shape) == len(t.shape) + 1 for t in inputs}
            labels_each = max((extent[name] for name in extent if not whole[name]), default=1)
            readers = {t.name: file.slices(t.name) for t in inputs}
            labels = file.slices(LABELS) if LABELS in file.headers else None
            for index in range(count):
                arrays: dict[str, Array] = {}
                for name, reader in readers.items():
                    arrays[name] = (
                        next(reader) if whole[name] else np.stack([next(reader) for _ in range(extent[name])])
                    )
                if labels is not None:
                    arrays[LABELS] = np.stack([next(labels) for _ in range(labels_each)])
                yield f"{spec}, sample {index}", arrays

    # One feed through the checks now: a wrong type or shape is better known before minutes of work.
    dataset = Dataset(
        spec, inputs=inputs, sha256=sha256_file(path), has_labels=LABELS in headers, count=count, stream=stream
    )
    next(dataset.samples())
    return dataset


def _open_folder(spec: str, path: Path, inputs: Sequence[TensorFacts]) -> Dataset:
    files = sorted(file for file in path.iterdir() if file.suffix == ".npz" and file.is_file())
    if not files:
        raise DatasetError(f"{spec} has no .npz files", mend="put one .npz file for each feed into it")
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\0{sha256_file(file)}\n".encode())

    def stream() -> Iterator[tuple[str, Mapping[str, Array]]]:
        for file in files:
            with NpzFile(file) as npz:
                _check_names(str(file), npz.headers, inputs)
                yield str(file), {name: npz.read(name) for name in npz.headers}

    with NpzFile(files[0]) as first:
        has_labels = LABELS in first.headers
    dataset = Dataset(
        spec, inputs=inputs, sha256=digest.hexdigest(), has_labels=has_labels, count=len(files), stream=stream
    )
    next(dataset.samples())
    return dataset


def _open_callable(spec: str, module: str, function: str, inputs: Sequence[TensorFacts]) -> Dataset:
    try:
        make = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise DatasetError(
            f"dataset {spec} cannot be imported", why=str(error), mend="check PYTHONPATH and the spelling"
        ) from error
    if not callable(make):
        raise DatasetError(f"dataset {spec} is not callable")

    def stream() -> Iterator[tuple[str, Mapping[str, Array]]]:
        for index, arrays in enumerate(make()):
            where = f"{spec}, feed {index}"
            if not isinstance(arrays, Mapping):
                raise DatasetError(f"{where} is a {type(arrays).__name__}; a dictionary of arrays is expected")
            feed = {str(name): np.asarray(array) for name, array in arrays.items()}
            _check_names(where, feed, inputs)
            yield where, feed

    digest = hashlib.sha256()
    count = 0
    has_labels = False
    for _, arrays in stream():
        count += 1
        has_labels = has_labels or LABELS in arrays
        for name in sorted(arrays):
            array = np.ascontiguousarray(arrays[name])
            digest.update(f"{name}\0{array.dtype.str}\0{array.shape}\n".encode())
            digest.update(array.tobytes())
    if not count:
        raise DatasetError(f"{spec} yields no feeds")
    return Dataset(spec, inputs=inputs, sha256=digest.hexdigest(), has_labels=has_labels, count=count, stream=stream)


def describe(tensor: TensorFacts) -> str:
    """An input in words, e.g. `float32 [N, 3, 48, 192]`."""
    return f"{tensor.dtype} [{', '.join(str(extent) for extent in tensor.shape)}]"


def _check_names(where: str, found: Mapping[str, object], inputs: Sequence[TensorFacts]) -> None:
    wanted = {tensor.name for tensor in inputs}
    missing, unknown = sorted(wanted - set(found)), sorted(set(found) - wanted - {LABELS})
    if missing:
        raise DatasetError(
            f"{where}: there is no array {', '.join(map(repr, missing))}",
            why=f"the model's inputs are {', '.join(f'{t.name} {describe(t)}' for t in inputs)}; "
            f"the dataset has {', '.join(sorted(found)) or 'nothing'}",
            mend="name the arrays as the model names its inputs",
        )
    if unknown:
        raise DatasetError(
            f"{where}: no input of the model is called {', '.join(map(repr, unknown))}",
            why=f"the model's inputs are {', '.join(sorted(wanted))}",
            mend="rename the array, or leave it out",
        )


def _batch_extent(shape: tuple[int, ...], tensor: TensorFacts) -> int:
    """How many entries of the first axis make one feed."""
    if len(shape) == len(tensor.shape) + 1:
        return 1
    first = tensor.shape[0] if tensor.shape else 1
    return first if isinstance(first, int) and first > 0 else 1


def _sample(where: str, arrays: Mapping[str, Array], inputs: Sequence[TensorFacts]) -> Sample:
    feed: dict[str, Array] = {}
    for tensor in inputs:
        array = _cast(where, arrays[tensor.name], tensor)
        fits = len(array.shape) == len(tensor.shape) and all(
            isinstance(wanted, str) or wanted == found for wanted, found in zip(tensor.shape, array.shape, strict=True)
        )
        if not fits:
            raise DatasetError(
                f"{where}: array {tensor.name!r} has shape {array.shape} for one feed",
                why=f"the model's input is {describe(tensor)}",
            )
        feed[tensor.name] = np.ascontiguousarray(array)
    batched = [feed[t.name].shape[0] for t in inputs if t.shape and isinstance(t.shape[0], str)]
    labels = arrays.get(LABELS)
    if labels is not None:
        labels = np.atleast_1d(labels)
    size = batched[0] if batched else (len(labels) if labels is not None else 1)
    if labels is not None and labels.shape != (size,):
        raise DatasetError(f"{where}: {LABELS!r} has shape {labels.shape} for a feed of {size} samples")
    return Sample(feed, labels, size)


def _cast(where: str, array: Array, tensor: TensorFacts) -> Array:
    wanted = np.dtype(tensor.dtype)
    if array.dtype == wanted:
        return array
    narrower = {("float64", "float32"), ("int64", "int32"), ("float64", "float16"), ("float32", "float16")}
    if np.can_cast(array.dtype, wanted, casting="safe") or (array.dtype.name, wanted.name) in narrower:
        cast = array.astype(wanted)
        if wanted.kind == "i" and not np.array_equal(cast, array):
            raise DatasetError(f"{where}: array {tensor.name!r} has values that {wanted} does not hold")
        return cast
    raise DatasetError(
        f"{where}: array {tensor.name!r} is {array.dtype}",
        why=f"the model's input is {describe(tensor)}",
        mend=f"save it as {wanted}",
    )


def _stackable(one: Sample, other: Sample) -> bool:
    return (one.labels is None) == (other.labels is None) and all(
        one.feed[name].shape[1:] == array.shape[1:] for name, array in other.feed.items()
    )


def _stacked(samples: list[Sample]) -> Sample:
    if len(samples) == 1:
        return samples[0]
    labels = [sample.labels for sample in samples if sample.labels is not None]
    return Sample(
        {name: np.concatenate([sample.feed[name] for sample in samples]) for name in samples[0].feed},
        np.concatenate(labels) if labels else None,
        sum(sample.size for sample in samples),
    )


def _is_dotted(text: str) -> bool:
    return bool(text) and all(part.isidentifier() for part in text.split("."))
