"""What a format of data says of its pictures: which files they are, and what is right for each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgedeploy.datasets.preprocessing.images import PreparedPicture
from edgedeploy.values.labels import Labels


class PictureSet(ABC):
    """Pictures by their place in a listing, from 0. Nothing of a picture is kept: all is read when it is asked for."""

    format: str
    """The name of its reader."""
    has_labels: bool = True
    class_names: tuple[str, ...] = ()
    """In the order of the labels' numbers; empty where the data has none."""
    left_out: Sequence[str] = ()
    """What was passed over while listing, each with the reason."""
    is_listed_by_others: bool = False
    """Whether a file lists the pictures, so that some may not exist."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def path(self, place: int) -> Path:
        """Return the file of a picture.

        Raises:
            DatasetError: its name leads out of the folder.
        """

    @abstractmethod
    def name(self, place: int) -> str:
        """Return what a picture is called in this dataset, wherever the dataset lies."""

    @abstractmethod
    def label(self, place: int, prepared: PreparedPicture) -> Any:
        """Return what is right for a picture, in pixels of the model's input.

        Raises:
            DatasetError, InvalidFileError: the label cannot be read, or is none for this picture.
        """

    def class_counts(self) -> Sequence[int] | None:
        """Return how many labels are of each class; None where only reading them all tells."""
        return None

    def join(self, labels: Sequence[Any]) -> Labels:
        """Return the labels of several pictures as the labels of one feed."""
        return np.asarray(labels)

    def label_files(self) -> Iterable[Path]:
        """List the files that hold labels of many pictures."""
        return ()

    def files_beside(self, place: int) -> Iterable[Path]:
        """List the files that hold the label of one picture."""
        return ()

    def listed_in(self, place: int) -> str:
        """Return where a picture is listed, for messages: file and line."""
        return "the list of samples"


class ManyLabels(PictureSet):
    """A set whose labels differ in extent: a feed has a tuple of them."""

    def join(self, labels: Sequence[Any]) -> Labels:
        return tuple(labels)
