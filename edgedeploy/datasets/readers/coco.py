"""`coco`: pictures with COCO's JSON of boxes, outlines and keypoints."""

from __future__ import annotations

import functools
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgedeploy.datasets.base import Dataset
from edgedeploy.datasets.class_numbers import ClassNumbers
from edgedeploy.datasets.compact_names import CompactNames
from edgedeploy.datasets.labels.coco import CocoCategory, CocoFile, CocoTable, load_coco
from edgedeploy.datasets.labels.objects import MarkedObjects, check_size, seen_objects
from edgedeploy.datasets.picture_dataset import PictureDataset
from edgedeploy.datasets.picture_files import first_names, inside
from edgedeploy.datasets.picture_set import ManyLabels
from edgedeploy.datasets.preprocessing.images import PreparedPicture
from edgedeploy.datasets.reader import DataReader
from edgedeploy.foundation.errors import DatasetError, InvalidFileError
from edgedeploy.foundation.reading import read_start
from edgedeploy.values.data import DataSource, Task
from edgedeploy.values.model import TensorFacts
from edgedeploy.values.preprocessing import ImagePreprocessing

_START_BYTES = 4096
_KEYS = (b'"images"', b'"annotations"', b'"licenses"', b'"info"', b'"categories"')
_ANNOTATIONS = "annotations"
_TRIED_NAMES = 20
_MOST_CLASSES = 100_000


class CocoPictures(ManyLabels):
    """The images of an annotation file. Classes are the categories in the order of their ids, or as declared."""

    format = "coco"
    is_listed_by_others = True

    def __init__(self, annotations: Path, folder: Path, source: DataSource, task: Task) -> None:
        """
        Args:
            folder: of the pictures, or one in or beside which they are looked for.
        """
        found = load_coco(annotations)
        self._annotations = annotations
        self._names = CompactNames(image.file_name for image in found.images)
        self._folder = _picture_folder(folder, annotations, source.split, self._names)
        self._sizes = array("i", (side for image in found.images for side in (image.width or 0, image.height or 0)))
        if (twice := self._names.twice()) is not None:
            raise DatasetError(f"{annotations}: two of `images` are the file {twice!r}", hint="keep one of them")
        self.class_names, self._numbers = _classes(found, source, annotations)
        self.has_labels = bool(found.annotations)
        self._table = CocoTable(found, outlines=task == "instance-segmentation", keypoints=task == "keypoints")
        for category in np.unique(self._table.categories).tolist():
            self._number(category)

    def __len__(self) -> int:
        return len(self._names)

    def path(self, place: int) -> Path:
        return inside(self._folder, self._names[place], functools.partial(self.listed_in, place))

    def name(self, place: int) -> str:
        return self._names[place]

    def label(self, place: int, prepared: PreparedPicture) -> Any:
        where = f"{self._annotations}: {self._names[place]}"
        sizes = self._sizes[2 * place], self._sizes[2 * place + 1]
        check_size(sizes, prepared.geometry, where)
        found = self._table.of(place)
        classes = np.array([self._number(category) for category in found.pop("categories").tolist()], np.int64)
        return seen_objects(MarkedObjects(classes=classes, **found), prepared.geometry, where)

    def class_counts(self) -> Sequence[int]:
        numbers = np.array([self._number(category) for category in self._table.categories.tolist()], np.int64)
        counts: list[int] = np.bincount(numbers, minlength=len(self.class_names)).tolist()
        return counts

    def label_files(self) -> Sequence[Path]:
        return (self._annotations,)

    def listed_in(self, place: int) -> str:
        return f"{self._annotations}: images[{place}]"

    def _number(self, category: int) -> int:
        number = self._numbers.get(category)
        if number is None:
            raise DatasetError(
                f"{self._annotations}: the category {category} is none of class_names",
                why="objects of it are marked",
                hint="add its name to class_names, in the model's order",
            )
        return number


def _classes(found: CocoFile, source: DataSource, where: Path) -> tuple[tuple[str, ...], dict[int, int]]:
    """Return the names of the classes, and the number of each category."""
    categories = sorted(found.categories, key=lambda category: category.id)
    if source.class_ids_from is not None:
        return _by_id(categories, source.class_ids_from, where)
    classes = ClassNumbers(source.class_names or [category.name for category in categories], str(where))
    known = set(classes.names)
    return classes.names, {each.id: classes.of(each.name, str(where)) for each in categories if each.name in known}


def _by_id(categories: Sequence[CocoCategory], begin: int, where: Path) -> tuple[tuple[str, ...], dict[int, int]]:
    """Return names and numbers of classes that keep the gaps between the ids of categories."""
    numbers = {each.id: each.id - begin for each in categories}
    if not all(0 <= number < _MOST_CLASSES for number in numbers.values()):
        raise DatasetError(
            f"{where}: category ids from {min(numbers)} to {max(numbers)}, and class_ids_from is {begin}",
            why=f"numbers of classes are from 0 to {_MOST_CLASSES - 1:,}",
            hint="set class_ids_from to the smallest id, or leave it out: ids are then numbered in their order",
        )
    names = {numbers[each.id]: each.name for each in categories}
    return tuple(names.get(number, "") for number in range(max(numbers.values(), default=-1) + 1)), numbers


def _picture_folder(folder: Path, annotations: Path, split: str, names: CompactNames) -> Path:
    """Return the folder that the names of pictures are relative to: the first of the usual places that has one of the
    first of them, e.g. `val2017` or `images/val2017` beside `annotations/instances_val2017.json`."""
    parts = [part for part in (annotations.stem.rpartition("_")[2], split) if part]
    tops = [folder, annotations.parent, annotations.parent.parent]
    usual = [
        *tops,
        *(top / below for top in tops for part in parts for below in (part, f"images/{part}", f"{part}/images")),
        *(top / "images" for top in tops),
    ]
    first = [names[place] for place in range(min(len(names), _TRIED_NAMES))]
    return next((place for place in usual if any((place / name).is_file() for name in first)), folder)


def _is_coco(path: Path) -> bool:
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    try:
        start = read_start(path, _START_BYTES).lstrip()
    except OSError:
        return False
    return start.startswith(b"{") and any(key in start for key in _KEYS)


def _found(path: Path, source: DataSource) -> tuple[list[Path], Path]:
    """Return the annotation files that may be meant, and the folder that pictures are looked for in."""
    if source.labels:
        return [Path(source.labels)], path
    if path.is_file():
        return [path], path.parent
    for folder in (path / _ANNOTATIONS, path, path / source.split):
        found = sorted(folder / name for name in first_names(folder) if _is_coco(folder / name))
        if folder != path / source.split or not source.split:
            found = [one for one in found if source.split in one.stem]
        if found:
            return found, path
    return [], path


def _recognize(path: Path, source: DataSource) -> str:
    found, _ = _found(path, source)
    return f"{found[0].name} is an annotation file of COCO" if found and _is_coco(found[0]) else ""


def _open(source: DataSource, path: Path, inputs: Sequence[TensorFacts]) -> Dataset:
    found, folder = _found(path, source)
    task: Task = source.task or "detection"
    prefix = "person_keypoints" if task == "keypoints" else "instances"
    found = [one for one in found if one.stem.startswith(prefix)] or found
    if not found:
        of_split = f" for the part {source.split!r}" if source.split else ""
        raise InvalidFileError(
            f"{path} has no annotation file of COCO{of_split}", hint='name it: labels = "FILE.json" in a data.toml'
        )
    if len(found) > 1:
        raise DatasetError(
            f"{path} has several annotation files: {', '.join(one.name for one in found[:8])}",
            hint=f'name one: labels = "{found[-1].relative_to(path)}" in a data.toml; or a split = "val"',
        )
    pictures = CocoPictures(found[0], folder, source, task)
    return PictureDataset(source, pictures, inputs, task)


READER = DataReader(
    name="coco", task="detection", rank=20, recognize=_recognize, open=_open, preprocessing=ImagePreprocessing
)
