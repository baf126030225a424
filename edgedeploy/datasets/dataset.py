"""Samples for calibration and evaluation, streamed in bounded memory.

A dataset is named in one of these ways:

- `FILE.npz`: an array per model input, samples along the first axis, and optionally `labels`. An array of the input's
  own rank is cut along its first axis, which is the model's batch axis. An array of one rank more holds whole inputs,
  as models with a state or without a batch axis need them: each slice is fed as it is. Both may stand side by side.
- `FOLDER`: each `.npz` in it is one whole feed, in name order; either all of them have `labels` or none.
- files as people have them, which a module of `readers` opens: named by a path that one of them recognizes, by a
  `data.toml`, or by the `DataSource` that such a file holds.
- `package.module:callable`: called without arguments, yields feeds: dicts of arrays, with `"labels"` among them or not,
  or pairs `(feed, labels)`.

What is in the arrays has to fit the model's inputs, as `fit` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgedeploy.datasets.base import LABELS, Dataset, Sample
from edgedeploy.datasets.callable_dataset import CallableDataset
from edgedeploy.datasets.foreign import refuse_foreign
from edgedeploy.datasets.npz_file import NpzFileDataset
from edgedeploy.datasets.npz_folder import NpzFolderDataset, holds_npz
from edgedeploy.datasets.reader import DataReader, find_reader, recognized
from edgedeploy.datasets.source import load_source
from edgedeploy.foundation.callables import is_object_name, load_callable
from edgedeploy.foundation.errors import DatasetError
from edgedeploy.values.data import DatasetSpec, DataSource, dataset_name
from edgedeploy.values.model import TensorFacts

__all__ = ["LABELS", "Dataset", "Sample", "open_dataset"]


def open_dataset(spec: DatasetSpec, inputs: Sequence[TensorFacts]) -> Dataset:
    """Open `spec` and check what can be checked without reading the data: names, dtypes, shapes, lengths.

    Args:
        spec: `FILE.npz`, a folder or file of data, `FILE.toml`, `package.module:callable`, or what a `data.toml` holds.
            A file or folder of that name wins.
        inputs: of the model that the samples are for.

    Raises:
        InvalidFileError: nothing has that name, or it is not what its name says.
        UnknownNameError: the callable cannot be imported, or there is no such format.
        DatasetError: the data does not fit the inputs.
        HostError: a package that reads such data is not installed.
    """
    name = dataset_name(spec)
    if not inputs:
        raise DatasetError(f"{name}: the model has no inputs that data could be for")
    if isinstance(spec, str):
        path = Path(spec)
        if path.suffix == ".toml" and path.is_file():
            return _opened(load_source(path), inputs, name)
        spec = DataSource(path=spec)
    return _opened(spec, inputs, name)


def _opened(source: DataSource, inputs: Sequence[TensorFacts], name: str) -> Dataset:
    """Open data as a source declares it.

    Args:
        name: of the dataset, for messages.
    """
    path = Path(source.path)
    if source.format and source.format != _ARRAYS:
        dataset, why = find_reader(source.format).open(source, path, inputs), "it is declared"
        dataset.format = source.format
    elif is_object_name(source.path) and not path.exists():
        dataset = _as_declared(CallableDataset(name, load_callable(source.path), inputs), source)
        dataset.format, why = "callable", "it is Python code"
    elif source.format or path.suffix == ".npz" or not path.exists() or (path.is_dir() and holds_npz(path)):
        dataset = _as_declared(_arrays(name, path, inputs), source)
        dataset.format, why = _ARRAYS, "it holds arrays"
    elif found := recognized(path, source):
        dataset, why = found[0].open(source, path, inputs), found[1]
        dataset.format = found[0].name
    else:
        refuse_foreign(path)
        dataset = _as_declared(_arrays(name, path, inputs), source)
        dataset.format, why = _ARRAYS, "it holds arrays"
    dataset.spec, dataset.why = name, why
    return dataset


def reader_of(source: DataSource) -> tuple[DataReader, str] | None:
    """Return the reader that opens a source, and what told it; None of arrays and callables.

    Raises:
        UnknownNameError: the source names a format that there is not.
    """
    path = Path(source.path)
    if source.format:
        return None if source.format == _ARRAYS else (find_reader(source.format), "it is declared")
    if path.suffix == ".npz" or not path.exists() or (path.is_dir() and holds_npz(path)):
        return None
    return recognized(path, source)


def _arrays(name: str, path: Path, inputs: Sequence[TensorFacts]) -> Dataset:
    return NpzFolderDataset(name, path, inputs) if path.is_dir() else NpzFileDataset(name, path, inputs)


_ARRAYS = "npz"
_OF_ARRAYS = frozenset({"path", "format", "task", "class_names", "head", "skip_broken"})
"""What can be declared of arrays, which are what the model takes already."""


def _as_declared(dataset: Dataset, source: DataSource) -> Dataset:
    """Give a dataset of arrays the task and head that its source declares.

    Raises:
        DatasetError: the source declares what is done to files of other formats.
    """
    plain = DataSource(path=source.path)
    for key in source.__struct_fields__:
        if key not in _OF_ARRAYS and getattr(source, key) != getattr(plain, key):
            raise DatasetError(
                f"{dataset.spec}: {key} is declared, and the data is arrays, which go to the model as they are",
                why="it would be ignored",
                hint=f"remove {key}, or name the files that the arrays were made of",
            )
    dataset.task, dataset.head, dataset.class_names = source.task or None, source.head, source.class_names
    return dataset
