"""What a reader of data is, and which there are: the modules of `edgedeploy.datasets.readers`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

from edgedeploy.datasets.base import Dataset
from edgedeploy.foundation.errors import UnknownNameError
from edgedeploy.foundation.plugins import declared
from edgedeploy.foundation.suggest import did_you_mean
from edgedeploy.values.data import DataSource, Task
from edgedeploy.values.model import TensorFacts
from edgedeploy.values.preprocessing import Preprocessing

_PACKAGE = "edgedeploy.datasets.readers"

Open = Callable[[DataSource, Path, Sequence[TensorFacts]], Dataset]
"""Opens data as a source declares it, at a path that is resolved, for a model with these inputs; raises what
`open_dataset` does."""


class DataReader(Struct, frozen=True, kw_only=True):
    """One format of data."""

    name: str
    """As `format = "…"` names it, e.g. `"coco"`."""
    task: Task | None
    """What such data is for; None where it can be for any."""
    rank: int
    """The lower one is taken where two recognize the same path."""
    recognize: Callable[[Path, DataSource], str]
    """Says in words why a path looks like this format, from names and a few first bytes; empty where it does not."""
    open: Open
    preprocessing: type[Preprocessing] | None = None
    """What its table `[preprocessing]` holds; None where samples are not prepared."""


def readers() -> tuple[DataReader, ...]:
    """List every reader, by rank."""
    found: tuple[DataReader, ...] = declared(_PACKAGE, "READER")
    return tuple(sorted(found, key=lambda reader: (reader.rank, reader.name)))


def find_reader(name: str) -> DataReader:
    """Return the reader called `name`.

    Raises:
        UnknownNameError: there is none.
    """
    known = [reader.name for reader in readers()]
    for reader in readers():
        if reader.name == name:
            return reader
    raise UnknownNameError(
        f"there is no format of data {name!r}",
        why=f"known: {', '.join(known)}",
        hint=did_you_mean(name, known, "choose one of them"),
    )


def recognized(path: Path, source: DataSource) -> tuple[DataReader, str] | None:
    """Return the reader that takes a path for its own, and why; None where none does."""
    for reader in readers():
        if reason := reader.recognize(path, source):
            return reader, reason
    return None
