"""A dataset from a user's Python: a callable that yields whole feeds."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct, structs

from edgedeploy.datasets.base import LABELS, Sample
from edgedeploy.datasets.fit import check_names
from edgedeploy.datasets.whole_feeds import WholeFeeds
from edgedeploy.foundation.callables import described
from edgedeploy.foundation.errors import DatasetError, EdgedeployError
from edgedeploy.inference.text import content_bytes
from edgedeploy.values.labels import Labels
from edgedeploy.values.model import TensorFacts

_log = logging.getLogger(__name__)


class CallableDataset(WholeFeeds):
    """What a callable yields, called anew for each iteration."""

    count = None

    def __init__(self, spec: str, function: Callable[[], Iterable[Any]], inputs: Sequence[TensorFacts]) -> None:
        super().__init__(spec, inputs)
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
        """Yield what the user's function yields; what it raises becomes an error of the dataset."""
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
        if check_names(where, map(str, item), self._inputs):
            labels = item[LABELS]
        feed = {str(name): np.asarray(value) for name, value in item.items() if name in self._inputs}
        for name, facts in self._inputs.items():
            self.check(where, facts, feed[name])
        return self.sample(where, feed, None if labels is None else _as_labels(labels))


def _as_labels(labels: Any) -> Labels:
    """Return what a user gives as labels: an array, or a tuple where samples differ in extent or are no numbers."""
    if isinstance(labels, Struct | str):
        return (labels,)
    if isinstance(labels, list | tuple) and any(isinstance(each, Struct | str) for each in labels):
        return tuple(labels)
    try:
        return np.asarray(labels)
    except ValueError:
        # Arrays of different shapes.
        return tuple(np.asarray(each) for each in labels)


def _update(digest: Any, sample: Sample) -> None:
    parts: dict[str, Any] = dict(sample.feed)
    if sample.labels is not None:
        parts[LABELS] = sample.labels
    for name in sorted(parts):
        _update_part(digest, name, parts[name])


def _update_part(digest: Any, name: str, part: Any) -> None:
    """Add contents, never where they lie in memory: the same data has the same hash in each run."""
    if isinstance(part, Struct):
        part = structs.asdict(part)
    if isinstance(part, tuple | list | dict):
        digest.update(f"{name}\0{type(part).__name__}\0{len(part)}\0".encode())
        for key, each in part.items() if isinstance(part, dict) else enumerate(part):
            _update_part(digest, f"{name}.{key}", each)
        return
    if part is None:
        digest.update(f"{name}\0none\0".encode())
        return
    array = np.asarray(part)
    digest.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
    digest.update(content_bytes(array))
