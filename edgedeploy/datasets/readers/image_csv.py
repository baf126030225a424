"""`image-csv`: pictures, and a CSV file with the label of each: a class, or numbers to be estimated."""

from __future__ import annotations

import functools
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from edgedeploy.datasets.base import Dataset
from edgedeploy.datasets.class_numbers import ClassNumbers
from edgedeploy.datasets.compact_names import CompactNames
from edgedeploy.datasets.manifest import cells
from edgedeploy.datasets.pairs import with_suffixes
from edgedeploy.datasets.picture_dataset import PictureDataset
from edgedeploy.datasets.picture_files import inside, is_picture
from edgedeploy.datasets.picture_set import PictureSet
from edgedeploy.datasets.preprocessing.images import PreparedPicture
from edgedeploy.datasets.reader import DataReader
from edgedeploy.foundation.errors import DatasetError, EdgedeployError
from edgedeploy.values.data import DataSource
from edgedeploy.values.model import TensorFacts
from edgedeploy.values.preprocessing import ImagePreprocessing

_MANIFESTS = ("labels.csv", "metadata.csv", "annotations.csv")
_FILE_COLUMNS = (
    "file",
    "filename",
    "file_name",
    "image",
    "image_path",
    "path",
    "filepath",
    "picture",
    "img",
    "image_name",
    "image_id",
    "id",
)
_LABEL_COLUMNS = ("label", "class", "class_name", "category", "target", "y", "score", "value", "labels")
_MOST_CLASSES = 1_000_000
"""More than any model tells apart; numbers over it are ids."""


class _Columns(Struct, frozen=True):
    file: int
    labels: tuple[int, ...]
    has_header: bool


class ListedPictures(PictureSet):
    """Pictures with a row each in a CSV file."""

    format = "image-csv"
    is_listed_by_others = True

    def __init__(self, manifest: Path, folder: Path, source: DataSource) -> None:
        self._manifest, self._folder = manifest, folder
        self._names, self._lines = CompactNames(), array("Q")
        texts = CompactNames()
        self._width = 0
        for line, file, labels in _labeled(manifest, source.label_columns):
            self._names.append(file)
            self._lines.append(line)
            self._width = len(labels)
            for text in labels:
                texts.append(text)
        if len(self._names) and "." not in self._names[0]:
            # Ids, as Kaggle's lists have them: the files are called so, with an ending.
            self._names = CompactNames(with_suffixes(folder, self._names))
        if (twice := self._names.twice()) is not None:
            raise DatasetError(f"{manifest} lists {twice!r} twice", hint="keep one row for each picture")
        self._labels = self._read(texts, source)

    @property
    def labels_are_classes(self) -> bool:
        """Whether they are numbers of classes, rather than numbers to be estimated."""
        return self._labels.dtype == np.int64

    def __len__(self) -> int:
        return len(self._names)

    def path(self, place: int) -> Path:
        return inside(self._folder, self._names[place], functools.partial(self.listed_in, place))

    def name(self, place: int) -> str:
        return self._names[place]

    def label(self, place: int, prepared: PreparedPicture) -> Any:
        found = self._labels[place * self._width : (place + 1) * self._width]
        return found[0] if self._width == 1 else found

    def label_files(self) -> Sequence[Path]:
        return (self._manifest,)

    def listed_in(self, place: int) -> str:
        return f"{self._manifest}:{self._lines[place]}"

    def class_counts(self) -> Sequence[int] | None:
        if not self.labels_are_classes or self._width > 1:
            return None
        most = int(self._labels.max(initial=0))
        if most >= _MOST_CLASSES:
            return None
        counts: list[int] = np.bincount(self._labels, minlength=len(self.class_names)).tolist()
        return counts

    def _read(self, texts: CompactNames, source: DataSource) -> np.ndarray:
        """Return the labels as numbers: int64 of classes, float64 of what is to be estimated."""
        if not source.class_names:
            for dtype in (np.int64, np.float64):
                try:
                    found = np.fromiter((dtype(text) for text in texts), dtype, len(texts))
                except ValueError:
                    continue
                if dtype is np.int64:
                    self._check_numbers(found)
                return found
        if self._width > 1:
            raise DatasetError(f"{self._manifest}: several columns of labels have to be numbers")
        names = source.class_names or sorted(set(texts))
        classes = ClassNumbers(names, source.path if source.class_names else str(self._manifest))
        self.class_names = classes.names
        return np.fromiter(
            (_class(classes, text, self.listed_in(place)) for place, text in enumerate(texts)), np.int64, len(texts)
        )

    def _check_numbers(self, numbers: np.ndarray) -> None:
        if self._width == 1 and len(numbers) and numbers.min() < 0:
            place = int(numbers.argmin())
            raise DatasetError(
                f"{self.listed_in(place)}: the class {numbers[place]} is negative", hint="count classes from 0"
            )


def _class(classes: ClassNumbers, text: str, where: str) -> int:
    if text.isdecimal() and text not in classes.names:
        return classes.checked(int(text), where)
    return classes.of(text, where)


def _labeled(manifest: Path, wanted: Sequence[str]) -> Iterator[tuple[int, str, list[str]]]:
    """Yield line, file and labels of each row."""
    columns = None
    for line, row in cells(manifest):
        if columns is None:
            columns = _columns(manifest, row, wanted)
            if columns.has_header:
                continue
        needed = max(columns.file, *columns.labels)
        if len(row) <= needed or not all(row[column] for column in (columns.file, *columns.labels)):
            lacking = "label" if len(row) > columns.file and row[columns.file] else "file"
            raise DatasetError(
                f"{manifest}:{line}: a row without a {lacking}",
                hint="give each row a file and a label",
            )
        yield line, row[columns.file], [row[column] for column in columns.labels]


def _columns(manifest: Path, row: Sequence[str], wanted: Sequence[str]) -> _Columns:
    """Find the columns of files and labels: by their names, or, without a header, the first and the second."""
    if any(is_picture(field) for field in row):
        if len(row) < 2 or wanted:
            raise DatasetError(
                f"{manifest}: the first row is no header",
                why="columns are found by their names" if wanted else "it has one column, and no labels",
                hint="begin the file with a line `file,label`",
            )
        return _Columns(0, (1,), has_header=False)
    names = [name.lower() for name in row]
    file = next((names.index(name) for name in _FILE_COLUMNS if name in names), None)
    missing = [name for name in wanted if name not in row]
    labels = tuple(row.index(name) for name in wanted if name in row)
    if not wanted:
        labels = next(((names.index(name),) for name in _LABEL_COLUMNS if name in names), ())
        if not labels and file is not None and len(row) == 2:
            labels = (1 - file,)
    if file is None or missing or not labels:
        lacking = f"column {missing[0]!r}" if missing else "column of files" if file is None else "column of labels"
        raise DatasetError(
            f"{manifest} has no {lacking}",
            why=f"its columns: {', '.join(row[:20])}",
            hint="name the columns `file` and `label`, or set label_columns in a data.toml",
        )
    return _Columns(file, labels, has_header=True)


def _found(path: Path, source: DataSource) -> tuple[Path, Path] | None:
    """Return the CSV file and the folder that its names are relative to."""
    if source.labels:
        manifest = Path(source.labels)
        return (manifest, path if path.is_dir() else path.parent) if manifest.suffix.lower() == ".csv" else None
    if path.suffix.lower() == ".csv":
        return path, path.parent
    folder = path / source.split if source.split else path
    return next(((folder / name, folder) for name in _MANIFESTS if (folder / name).is_file()), None)


def _recognize(path: Path, source: DataSource) -> str:
    found = _found(path, source)
    if found is None or not found[0].is_file():
        return ""
    try:
        rows = [row for _, (_, row) in zip(range(2), cells(found[0]), strict=False)]
    except EdgedeployError:
        return ""
    return f"{found[0].name} lists pictures" if any(is_picture(field) for row in rows for field in row) else ""


def _open(source: DataSource, path: Path, inputs: Sequence[TensorFacts]) -> Dataset:
    found = _found(path, source)
    if found is None:
        raise DatasetError(f"{path} has no {_MANIFESTS[0]}", hint='name the file: labels = "FILE.csv" in a data.toml')
    pictures = ListedPictures(*found, source)
    is_class = pictures.labels_are_classes
    return PictureDataset(source, pictures, inputs, source.task or ("classification" if is_class else None))


READER = DataReader(
    name="image-csv", task="classification", rank=50, recognize=_recognize, open=_open, preprocessing=ImagePreprocessing
)
