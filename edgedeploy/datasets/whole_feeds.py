"""What folders and callables share: each feed comes whole, in the shape that the model takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgedeploy.datasets.base import Dataset, Sample
from edgedeploy.datasets.fit import check_dtype, convert, extents, fits
from edgedeploy.datasets.npz import ArrayHeader
from edgedeploy.foundation.errors import DatasetError
from edgedeploy.values.labels import Labels
from edgedeploy.values.model import TensorFacts


class WholeFeeds(Dataset):
    """A dataset whose feeds are not to be cut or joined."""

    def __init__(self, spec: str, inputs: Sequence[TensorFacts]) -> None:
        self.spec = spec
        self._inputs = {facts.name: facts for facts in inputs}

    def check(self, where: str, facts: TensorFacts, array: ArrayHeader | np.ndarray) -> None:
        """Check that an array, or what its header says of it, is a whole input.

        Raises:
            DatasetError: dtype or shape do not fit.
        """
        check_dtype(where, facts, array.dtype)
        if not fits(facts.shape, array.shape):
            raise DatasetError(
                f"{where}: array {facts.name!r} has shape {array.shape}",
                why=f"each feed is a whole input: expected ({', '.join(extents(facts.shape))})",
            )

    def sample(self, where: str, feed: Mapping[str, np.ndarray], labels: Labels | None) -> Sample:
        """Return one feed as a sample.

        Args:
            feed: has every input's array, of a shape that fits.
            labels: first axis: the samples, or an entry for each; a single number is the label of one.

        Raises:
            DatasetError: the labels are empty, or text is none that a model can be given.
        """
        arrays = {name: convert(where, facts, feed[name]) for name, facts in self._inputs.items()}
        if labels is None:
            return Sample(arrays, None, 1, where)
        if isinstance(labels, np.ndarray):
            labels = np.atleast_1d(labels)
        if not len(labels):
            raise DatasetError(f"{where}: 'labels' is empty")
        return Sample(arrays, labels, len(labels), where)
