"""`voc`: pictures in `JPEGImages`, and a file of XML in `Annotations` for each, as Pascal VOC has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgedeploy.datasets.base import Dataset
from edgedeploy.datasets.class_numbers import ClassNumbers
from edgedeploy.datasets.compact_names import CompactNames
from edgedeploy.datasets.labels.objects import MarkedObjects, check_size, seen_objects
from edgedeploy.datasets.labels.voc_xml import read_voc
from edgedeploy.datasets.pairs import with_suffixes
from edgedeploy.datasets.picture_dataset import PictureDataset
from edgedeploy.datasets.picture_files import first_names, has_pictures, pictures_below
from edgedeploy.datasets.picture_set import ManyLabels
from edgedeploy.datasets.preprocessing.images import PreparedPicture
from edgedeploy.datasets.reader import DataReader
from edgedeploy.datasets.splits import listed_stems
from edgedeploy.foundation.errors import DatasetError, EdgedeployError, InvalidFileError
from edgedeploy.values.data import DataSource
from edgedeploy.values.model import TensorFacts
from edgedeploy.values.preprocessing import ImagePreprocessing

_PICTURES, _ANNOTATIONS, _LISTS = "JPEGImages", "Annotations", "ImageSets/Main"
_PICTURE_FOLDERS = (_PICTURES, "images")


class VocPictures(ManyLabels):
    """The pictures of one part. Classes are the names of objects in the order of the alphabet, or as declared; objects
    marked difficult count as crowds: an answer on them is neither right nor wrong."""

    format = "voc"

    def __init__(self, pictures: Path, annotations: Path, source: DataSource, listed: Sequence[str] | None) -> None:
        """
        Args:
            listed: names without endings, of the pictures that belong to the part; None: all.
        """
        self._pictures, self._annotations = pictures, annotations
        self._names = CompactNames(with_suffixes(pictures, listed) if listed is not None else pictures_below(pictures))
        self.is_listed_by_others = listed is not None
        if listed is None:
            _check_orphans(pictures, annotations, self._names)
        found = source.class_names or self._found_classes(skip_broken=source.skip_broken)
        self._classes = ClassNumbers(found, source.path)
        self.class_names = self._classes.names

    def __len__(self) -> int:
        return len(self._names)

    def path(self, place: int) -> Path:
        return self._pictures / self._names[place]

    def name(self, place: int) -> str:
        return self._names[place]

    def label(self, place: int, prepared: PreparedPicture) -> Any:
        file = self._label_of(place)
        found, geometry = read_voc(file), prepared.geometry
        check_size((found.width, found.height), geometry, str(file))
        classes = np.array([self._classes.of(name, str(file)) for name in found.names], np.int64)
        marked = MarkedObjects(boxes=found.boxes, classes=classes, crowds=found.is_difficult)
        return seen_objects(marked, geometry, str(file))

    def files_beside(self, place: int) -> Sequence[Path]:
        return (self._label_of(place),)

    def _label_of(self, place: int) -> Path:
        return self._annotations / Path(self._names[place]).with_suffix(".xml")

    def _found_classes(self, *, skip_broken: bool) -> list[str]:
        names: set[str] = set()
        for place in range(len(self)):
            # One that is missing is reported with its picture.
            if not self._label_of(place).is_file():
                continue
            try:
                names.update(read_voc(self._label_of(place)).names)
            except EdgedeployError:
                if not skip_broken:
                    raise
        return sorted(names)


def _check_orphans(pictures: Path, annotations: Path, names: CompactNames) -> None:
    stems = {Path(name).stem for name in names}
    lone = [name for name in _xml_in(annotations) if name[:-4] not in stems]
    if lone:
        raise DatasetError(
            f"{annotations / sorted(lone)[0]} labels a picture that is not in {pictures}",
            why=f"so it is with {len(lone):,} files" if len(lone) > 1 else "",
            hint="copy the picture there, or remove the label",
        )


def _xml_in(folder: Path) -> Iterator[str]:
    try:
        yield from (each.name for each in folder.iterdir() if each.suffix == ".xml")
    except OSError as error:
        raise InvalidFileError(f"{folder} cannot be read", why=error.strerror or str(error)) from error


def _found(path: Path, source: DataSource) -> tuple[Path, Path] | None:
    """Return the folders of pictures and annotations."""
    if source.labels:
        return path, Path(source.labels)
    folder = path / source.split if source.split and (path / source.split).is_dir() else path
    pictures = next((folder / name for name in _PICTURE_FOLDERS if (folder / name).is_dir()), None)
    annotations = next((folder / name for name in (_ANNOTATIONS, "annotations") if (folder / name).is_dir()), None)
    if pictures is not None and annotations is not None:
        return pictures, annotations
    # As labelImg saves them: side by side.
    return (folder, folder) if has_pictures(folder) and _has_xml(folder) else None


def _has_xml(folder: Path) -> bool:
    return any(name.endswith(".xml") for name in first_names(folder))


def _recognize(path: Path, source: DataSource) -> str:
    found = _found(path, source)
    if found is not None and _has_xml(found[1]):
        return f"it has pictures in {found[0].name}/ and XML in {found[1].name}/, as Pascal VOC"
    return ""


def _open(source: DataSource, path: Path, inputs: Sequence[TensorFacts]) -> Dataset:
    found = _found(path, source)
    if found is None:
        raise InvalidFileError(
            f"{path} has no folders {_PICTURES} and {_ANNOTATIONS}",
            hint='name them in a data.toml: path = "PICTURES" and labels = "FOLDER OF XML"',
        )
    listed = listed_stems(path / _LISTS, source.split) if source.split or (path / _LISTS).is_dir() else None
    return PictureDataset(source, VocPictures(*found, source, listed), inputs, source.task or READER.task)


READER = DataReader(
    name="voc", task="detection", rank=25, recognize=_recognize, open=_open, preprocessing=ImagePreprocessing
)
