"""`yolo`: `data.yaml` with `images/` and `labels/*.txt`, as Ultralytics reads them: boxes, polygons, poses.

The form of the rows: https://docs.ultralytics.com/datasets/detect/, /segment/ and /pose/.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from edgedeploy.datasets.base import Dataset
from edgedeploy.datasets.class_numbers import ClassNumbers
from edgedeploy.datasets.compact_names import CompactNames
from edgedeploy.datasets.labels.objects import seen_objects
from edgedeploy.datasets.labels.yolo_rows import RowForm, read_rows
from edgedeploy.datasets.labels.yolo_yaml import YoloYaml, load_yolo_yaml
from edgedeploy.datasets.picture_dataset import PictureDataset
from edgedeploy.datasets.picture_files import first_names, folders_in, has_pictures, pictures_below
from edgedeploy.datasets.picture_set import ManyLabels
from edgedeploy.datasets.preprocessing.images import PreparedPicture
from edgedeploy.datasets.reader import DataReader
from edgedeploy.datasets.readers.imagefolder import ClassFolders
from edgedeploy.datasets.splits import split_folder
from edgedeploy.foundation.errors import DatasetError, InvalidFileError
from edgedeploy.foundation.files import unreadable
from edgedeploy.foundation.reading import ANNOTATIONS, read_text
from edgedeploy.values.data import DataSource, Task
from edgedeploy.values.model import TensorFacts
from edgedeploy.values.preprocessing import ImagePreprocessing

_YAMLS = ("data.yaml", "data.yml", "dataset.yaml")
_CLASSES = "classes.txt"
_JUDGING = ("val", "test", "train")
"""The part that is taken where none is declared: the first of these that there is."""
_TASKS: dict[Task, str] = {"detection": "boxes", "instance-segmentation": "polygons", "keypoints": "poses"}


class YoloPictures(ManyLabels):
    """The pictures of one part, each with a text file of its objects; one without such a file shows none."""

    format = "yolo"

    def __init__(self, declared: YoloYaml, places: Sequence[Path], task: Task, source: DataSource) -> None:
        """
        Args:
            places: folders of pictures, or text files that list pictures.
        """
        self._yaml = declared.path
        self._names, self._roots, self._root_of = CompactNames(), list(places), array("H")
        classes = ClassNumbers(source.class_names or declared.names, str(declared.path))
        self._classes, self.class_names = classes, classes.names
        self._form = RowForm(
            polygons=task == "instance-segmentation", keypoints=declared.keypoints if task == "keypoints" else None
        )
        for number, place in enumerate(places):
            self.is_listed_by_others |= not place.is_dir()
            for name in pictures_below(place) if place.is_dir() else _listed(place):
                self._names.append(name)
                self._root_of.append(number)
        if not self.is_listed_by_others:
            for place in places:
                _check_orphans(place)
        self.has_labels = any(self._label_of(place).is_file() for place in range(len(self)))

    def __len__(self) -> int:
        return len(self._names)

    def path(self, place: int) -> Path:
        root = self._roots[self._root_of[place]]
        return (root if root.is_dir() else root.parent) / self._names[place]

    def name(self, place: int) -> str:
        return self._names[place]

    def label(self, place: int, prepared: PreparedPicture) -> Any:
        file, geometry = self._label_of(place), prepared.geometry
        size = geometry.source_width, geometry.source_height
        return seen_objects(read_rows(file, self._form, self._classes, size), geometry, str(file))

    def label_files(self) -> Sequence[Path]:
        return (self._yaml, *(root for root in self._roots if root.is_file())) if self._yaml.is_file() else ()

    def files_beside(self, place: int) -> Sequence[Path]:
        return (self._label_of(place),)

    def listed_in(self, place: int) -> str:
        return str(self._roots[self._root_of[place]])

    def _label_of(self, place: int) -> Path:
        return _label_file(self.path(place))


def _label_file(picture: Path) -> Path:
    """Return the file of a picture's label: the last folder `images` of its path becomes `labels`; without such a
    folder it is beside the picture."""
    parts = list(picture.with_suffix(".txt").parts)
    for number in range(len(parts) - 2, -1, -1):
        if parts[number] == "images":
            parts[number] = "labels"
            break
    return Path(*parts)


def _listed(file: Path) -> Iterator[str]:
    try:
        text = read_text(file, ANNOTATIONS)
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(file, error) if isinstance(error, OSError) else DatasetError(f"{file} is not text") from error
    yield from (line.strip().removeprefix("./") for line in text.splitlines() if line.strip())


def _check_orphans(folder: Path) -> None:
    """Refuse a label without its picture: mostly pictures that were not copied."""
    labels = _label_file(folder / "a.jpg").parent
    if labels == folder or not labels.is_dir():
        return
    pictures = CompactNames(str(PurePosixPath(name).with_suffix("")) for name in pictures_below(folder))
    found = CompactNames(sorted(_texts_below(labels)))
    lone = np.isin(found.hashes(), pictures.hashes(), invert=True)
    if lone.any():
        name = found[int(lone.argmax())]
        raise DatasetError(
            f"{labels / name}.txt labels a picture that is not there",
            why=f"{folder / name} has none of the endings .jpg, .png, .webp, .bmp"
            + (f"; so it is with {int(lone.sum()):,} labels" if lone.sum() > 1 else ""),
            hint="copy the picture there, or remove the label",
        )


def _texts_below(folder: Path, prefix: str = "") -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _texts_below(Path(entry.path), f"{prefix}{entry.name}/")
            elif entry.name.endswith(".txt") and entry.name != _CLASSES:
                yield f"{prefix}{entry.name[:-4]}"


def _yaml_of(path: Path, source: DataSource) -> Path | None:
    if source.labels:
        return Path(source.labels) if source.labels.endswith((".yaml", ".yml")) else None
    if path.suffix.lower() in (".yaml", ".yml"):
        return path
    return next((path / name for name in _YAMLS if (path / name).is_file()), None)


def _recognize(path: Path, source: DataSource) -> str:
    found = _yaml_of(path, source)
    if found is not None and found.is_file():
        return f"{found.name} is a dataset of YOLO's form"
    if path.is_dir() and not source.labels and {"images", "labels"} <= set(first_names(path)):
        texts = [name for name in first_names(path / "labels") if name.endswith(".txt")]
        if texts or any((path / "labels" / name).is_dir() for name in first_names(path / "labels")):
            return "it has images/ and labels/ with text files, as YOLO's datasets"
    if path.is_dir() and not source.labels and (path / _CLASSES).is_file() and has_pictures(path):
        return f"it has pictures, a text file beside each, and {_CLASSES}"
    return ""


def _open(source: DataSource, path: Path, inputs: Sequence[TensorFacts]) -> Dataset:
    if source.task == "classification":
        return PictureDataset(source, ClassFolders(split_folder(path, source.split), source), inputs, source.task)
    yaml = _yaml_of(path, source)
    if yaml is not None:
        declared = load_yolo_yaml(yaml)
    elif path.is_dir() and (names := source.class_names or _listed_classes(path)):
        declared = YoloYaml(path=path / _YAMLS[0], root=path, names=names, parts=_parts(path))
    else:
        raise InvalidFileError(
            f"{path} has no {_YAMLS[0]}",
            why="labels have numbers of classes, and it names them",
            hint='write one with `names:`, or set class_names in a data.toml with format = "yolo"',
        )
    split = source.split or next((name for name in _JUDGING if name in declared.parts), "")
    if split not in declared.parts:
        raise DatasetError(
            f"{declared.path} has no part {split or 'val'!r}",
            why=f"there are: {', '.join(declared.parts) or 'none'}",
            hint="set split to one of them",
        )
    task: Task = source.task or ("keypoints" if declared.keypoints else "detection")
    if task not in _TASKS:
        raise DatasetError(
            f"{declared.path}: labels of YOLO's form are none for the task {task}",
            hint=f"set task to one of: {', '.join(_TASKS)}",
        )
    return PictureDataset(source, YoloPictures(declared, declared.parts[split], task, source), inputs, task)


def _listed_classes(folder: Path) -> tuple[str, ...]:
    """Return the names of classes that labelImg and CVAT save beside labels; none where they did not."""
    file = next((place / _CLASSES for place in (folder, folder / "labels") if (place / _CLASSES).is_file()), None)
    return () if file is None else tuple(_listed(file))


def _parts(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Find the parts of a dataset that has no `data.yaml`: `images/val`, or all of `images`."""
    images = folder / "images"
    if not images.is_dir():
        # As labelImg saves them: side by side.
        return {"val": (folder,)} if has_pictures(folder) else {}
    parts: dict[str, tuple[Path, ...]] = {name: (images / name,) for name in folders_in(images)}
    return parts if parts and not has_pictures(images) else {"val": (images,)}


READER = DataReader(
    name="yolo", task="detection", rank=30, recognize=_recognize, open=_open, preprocessing=ImagePreprocessing
)
