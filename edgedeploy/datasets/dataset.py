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
from edgedeploy.datasets.reader import find_reader, recognized
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
        if not path.exists() and is_object_name(spec):
            return CallableDataset(spec, load_callable(spec), inputs)
        spec = DataSource(path=spec)
    return _opened(spec, inputs, name)


def _opened(source: DataSource, inputs: Sequence[TensorFacts], name: str) -> Dataset:
    """Open files as a source declares them.

    Args:
        name: of the dataset, for messages.
    """
    path = Path(source.path)
    if source.format and source.format != "npz":
        return find_reader(source.format).open(source, path, inputs)
    if path.suffix == ".npz" or not path.exists():
        return NpzFileDataset(name, path, inputs)
    if path.is_dir() and holds_npz(path):
        return NpzFolderDataset(name, path, inputs)
    if found := recognized(path, source):
        return found[0].open(source, path, inputs)
    if path.is_dir():
        return NpzFolderDataset(name, path, inputs)
    refuse_foreign(path)
    return NpzFileDataset(name, path, inputs)
