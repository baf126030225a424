"""What a dataset is: samples that fit a model's inputs, streamed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from msgspec import Struct

from edgedeploy.inference.session import Feed
from edgedeploy.values.data import Task
from edgedeploy.values.head import Head
from edgedeploy.values.labels import Labels
from edgedeploy.values.preprocessing import Preprocessing

LABELS = "labels"
"""Name of the array that holds them."""


class Sample(Struct, frozen=True, eq=False):
    """What one run of the model takes."""

    feed: Feed
    """An array per input, batch axis included, in the input's dtype."""
    labels: Labels | None
    """An entry for each sample of this feed. None when the dataset has no labels."""
    size: int
    """How many labelled samples the feed holds; 1 for a whole feed without labels."""
    where: str = ""
    """What the feed came from, where that is a file of its own."""


class Dataset(ABC):
    """Samples that fit a model's inputs. Every iteration begins anew; nothing is kept in memory between samples."""

    spec: str
    """As the user named it."""
    format: str = ""
    """The name of its reader; `npz` and `callable` for arrays."""
    why: str = ""
    """What told the format, in words."""
    has_labels: bool
    count: int | None
    """How many feeds `samples` yields; None when only running it tells. Where broken samples are left out, those that
    are found while reading make it fewer."""
    task: Task | None = None
    """What the data is for, as its format or a `data.toml` says; None where neither does."""
    head: Head | None = None
    """What turns the model's outputs into answers, as a `data.toml` says; None where none does."""
    class_names: tuple[str, ...] = ()
    """In the order of the labels' numbers; empty where the data has none."""
    preprocessing: Preprocessing | None = None
    """What is done to each sample, complete; None where the data holds what the model takes."""
    notes: tuple[str, ...] = ()
    """What was done to the data that nobody declared, a sentence each: «classes are numbered in sorted order»."""
    skipped: tuple[str, ...] = ()
    """The first 20 samples that were left out so far, as they cannot be read, each with the reason."""
    skipped_count: int = 0
    """How many were left out so far."""

    @property
    @abstractmethod
    def sha256(self) -> str:
        """Of a file its bytes; of a folder the names and bytes of its files in name order; of a callable the names,
        dtypes, shapes and bytes of all that it yields (it is run once more if no iteration has reached its end)."""

    def class_counts(self) -> Sequence[int] | None:
        """Return how many labels are of each class; None where that is not known without reading the data."""
        return None

    @abstractmethod
    def samples(self) -> Iterator[Sample]:
        """Yield the samples in order, checked as they come.

        Raises:
            DatasetError: a sample does not fit the model; the message names the array, what was expected and found.
            InvalidFileError: a file has gone or cannot be read.
        """

    def batches(self, size: int) -> Iterator[Sample]:
        """Yield up to `size` samples at once where the arrays are cut along the first axis and the first dimension of
        every input is dynamic; else as `samples`, because a whole feed is not to be joined with another.

        Raises:
            DatasetError, InvalidFileError: as `samples`.
        """
        return self.samples()

    def chosen(self, places: Sequence[int]) -> Iterator[Sample]:
        """Yield the feeds at some places of `samples`, in order; without reading the others where that can be.

        Args:
            places: from 0, ascending.

        Raises:
            DatasetError, InvalidFileError: as `samples`.
        """
        wanted = iter(places)
        place = next(wanted, None)
        for number, sample in enumerate(self.samples()):
            if number == place:
                yield sample
                place = next(wanted, None)
            if place is None:
                return
