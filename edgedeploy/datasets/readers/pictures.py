"""`pictures`: a folder of pictures without labels, for calibration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgedeploy.datasets.base import Dataset
from edgedeploy.datasets.compact_names import CompactNames
from edgedeploy.datasets.picture_dataset import PictureDataset
from edgedeploy.datasets.picture_files import has_pictures, pictures_below
from edgedeploy.datasets.picture_set import PictureSet
from edgedeploy.datasets.preprocessing.images import PreparedPicture
from edgedeploy.datasets.reader import DataReader
from edgedeploy.datasets.splits import split_folder
from edgedeploy.values.data import DataSource
from edgedeploy.values.model import TensorFacts
from edgedeploy.values.preprocessing import ImagePreprocessing


class BarePictures(PictureSet):
    """All pictures in a folder and below it."""

    format = "pictures"
    has_labels = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names = CompactNames(pictures_below(folder))

    def __len__(self) -> int:
        return len(self._names)

    def path(self, place: int) -> Path:
        return self._folder / self._names[place]

    def name(self, place: int) -> str:
        return self._names[place]

    def label(self, place: int, prepared: PreparedPicture) -> Any:
        raise AssertionError("there are none")


def _recognize(path: Path, source: DataSource) -> str:
    if not source.labels and path.is_dir() and has_pictures(path):
        return "it is a folder of pictures, without labels"
    return ""


def _open(source: DataSource, path: Path, inputs: Sequence[TensorFacts]) -> Dataset:
    return PictureDataset(source, BarePictures(split_folder(path, source.split)), inputs, source.task or None)


READER = DataReader(
    name="pictures", task=None, rank=90, recognize=_recognize, open=_open, preprocessing=ImagePreprocessing
)
