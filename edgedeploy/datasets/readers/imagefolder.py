"""`imagefolder`: a folder with a sub-folder of pictures for each class, as torchvision's ImageFolder reads it."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgedeploy.datasets.base import Dataset
from edgedeploy.datasets.class_numbers import ClassNumbers
from edgedeploy.datasets.compact_names import CompactNames
from edgedeploy.datasets.picture_dataset import PictureDataset
from edgedeploy.datasets.picture_files import first_names, folders_in, has_pictures, pictures_below
from edgedeploy.datasets.picture_set import PictureSet
from edgedeploy.datasets.preprocessing.images import PreparedPicture
from edgedeploy.datasets.reader import DataReader
from edgedeploy.datasets.splits import SPLITS, split_folder
from edgedeploy.foundation.errors import DatasetError
from edgedeploy.values.data import DataSource
from edgedeploy.values.model import TensorFacts
from edgedeploy.values.preprocessing import ImagePreprocessing


class ClassFolders(PictureSet):
    """Pictures whose folder is their class. Classes are numbered in the order of their names, or as declared."""

    format = "imagefolder"

    def __init__(self, folder: Path, source: DataSource) -> None:
        self._folder = folder
        found = folders_in(folder)
        classes = ClassNumbers(source.class_names or found, source.path)
        self.class_names = classes.names
        self._names = CompactNames()
        self._classes = array("i")
        left_out: list[str] = []
        for name in found:
            number = classes.of(name, str(folder))
            before = len(self._names)
            for picture in pictures_below(folder / name):
                self._names.append(f"{name}/{picture}")
                self._classes.append(number)
            if len(self._names) > before:
                continue
            if source.skip_broken:
                left_out.append(f"{folder / name}: it holds no pictures")
            else:
                raise DatasetError(
                    f"{folder / name} holds no pictures",
                    why="a sub-folder stands for a class",
                    hint="fill or remove it; or pass over such folders: skip_broken = true",
                )
        self.left_out = tuple(left_out)

    def __len__(self) -> int:
        return len(self._names)

    def path(self, place: int) -> Path:
        return self._folder / self._names[place]

    def name(self, place: int) -> str:
        return self._names[place]

    def label(self, place: int, prepared: PreparedPicture) -> Any:
        return self._classes[place]

    def class_counts(self) -> Sequence[int]:
        counts: list[int] = np.bincount(np.asarray(self._classes), minlength=len(self.class_names)).tolist()
        return counts


def _recognize(path: Path, source: DataSource) -> str:
    if source.labels or not path.is_dir():
        return ""
    folder = path / source.split if source.split else path
    names = [name for name in first_names(folder) if (folder / name).is_dir() and not name.startswith(".")]
    if not source.split and names and SPLITS.issuperset(names):
        folder = folder / names[0]
        names = [name for name in first_names(folder) if (folder / name).is_dir() and not name.startswith(".")]
    with_pictures = [name for name in names if has_pictures(folder / name)]
    if with_pictures and not has_pictures(folder):
        return f"it has a sub-folder of pictures for each class, such as {sorted(with_pictures)[0]}"
    return ""


def _open(source: DataSource, path: Path, inputs: Sequence[TensorFacts]) -> Dataset:
    return PictureDataset(
        source, ClassFolders(split_folder(path, source.split), source), inputs, source.task or READER.task
    )


READER = DataReader(
    name="imagefolder",
    task="classification",
    rank=80,
    recognize=_recognize,
    open=_open,
    preprocessing=ImagePreprocessing,
)
