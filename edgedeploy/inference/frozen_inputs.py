"""Read which inputs of a model were frozen to constants, and to which values.

Data made for the model as it came still holds arrays for them. The model itself says, in its metadata, which it may
leave out and what they must hold, so nothing is dropped that would have changed the answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np

from edgedeploy.foundation.errors import DatasetError

METADATA_KEY = "edgedeploy.bound_inputs"
"""Of the model's metadata (ModelProto.metadata_props); the value is JSON: an object of input names and values."""


def written(bound: Mapping[str, np.ndarray]) -> str:
    """Return the metadata's value for these inputs."""
    # A float32 is written with the digits of its double, which reads back as the same float32.
    return json.dumps({name: array.tolist() for name, array in sorted(bound.items())})


def read(metadata: Mapping[str, str]) -> dict[str, object]:
    """Return name and value of each input that was bound; empty when none was, or when the entry is not one of ours."""
    try:
        bound = json.loads(metadata.get(METADATA_KEY, "{}"))
    except ValueError:
        return {}
    return bound if isinstance(bound, dict) else {}


def without_bound(feed: Mapping[str, np.ndarray], bound: Mapping[str, object]) -> dict[str, np.ndarray]:
    """Return the feed without the inputs that the model has no more.

    Raises:
        DatasetError: the feed has another value for one of them.
    """
    kept = dict(feed)
    for name, value in bound.items():
        array = kept.pop(name, None)
        if array is not None and not agrees(array, value):
            raise disagreement(name, array, value)
    return kept


def agrees(array: np.ndarray, value: object) -> bool:
    """Return whether `array`, from a feed, holds what the input was bound to."""
    try:
        return np.array_equal(array, np.asarray(value, dtype=array.dtype), equal_nan=array.dtype.kind == "f")
    except (ValueError, TypeError, OverflowError):
        return False


def disagreement(name: str, array: np.ndarray, value: object) -> DatasetError:
    """Return the error for a feed whose `array` is not what the input `name` was bound to."""
    found = str(array.item()) if array.size == 1 else f"an array of shape {array.shape}"
    return DatasetError(
        f"the data has {found} for input {name!r}, and the model was bound to {value}",
        # Said again with its figures: of a result that does not run, only the reason is shown.
        why=f"it has {found} for input {name!r}, which is bound to {value}: the model answers as if all of it were",
        hint="give data with that value, or bind the input to what the data holds",
    )
