"""Samples for calibration and evaluation, streamed in bounded memory.

A dataset is named in one of three ways:

- `FILE.npz`: an array per model input, samples along the first axis, and optionally `labels`. An array of the input's
  own rank is cut along its first axis, which is the model's batch axis. An array of one rank more holds whole inputs,
  as models with a state or without a batch axis need them: each slice is fed as it is. Both may stand side by side.
- `FOLDER`: each `.npz` in it is one whole feed, in name order; either all of them have `labels` or none.
- `package.module:callable`: called without arguments, yields feeds: dicts of arrays, with `"labels"` among them or not,
  or pairs `(feed, labels)`.

What is in the arrays has to fit the model's inputs, as `fit` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgedeploy.datasets.base import LABELS, Dataset, Sample
from edgedeploy.datasets.callable_dataset import CallableDataset
from edgedeploy.datasets.npz_file import NpzFileDataset
from edgedeploy.datasets.npz_folder import NpzFolderDataset
from edgedeploy.foundation.callables import is_object_name, load_callable
from edgedeploy.foundation.errors import DatasetError
from edgedeploy.values.model import TensorFacts

__all__ = ["LABELS", "Dataset", "Sample", "open_dataset"]


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
        return NpzFolderDataset(spec, path, inputs)
    if path.exists() or not is_object_name(spec):
        return NpzFileDataset(spec, path, inputs)
    return CallableDataset(spec, load_callable(spec), inputs)
