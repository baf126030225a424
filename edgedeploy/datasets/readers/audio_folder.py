"""A folder of recordings: a sub-folder for each class, or recordings alone, without labels."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from edgedeploy.datasets.class_labels import ClassLabels, numbered_by_name
from edgedeploy.datasets.compact_names import CompactNames
from edgedeploy.datasets.manifest import OnBroken
from edgedeploy.datasets.order import mixed_order
from edgedeploy.datasets.picture_files import first_names, folders_in
from edgedeploy.datasets.reader import DataReader
from edgedeploy.datasets.sound.recordings import Recording, Recordings
from edgedeploy.datasets.sound.sound_file import ENDINGS
from edgedeploy.datasets.splits import SPLITS, split_folder
from edgedeploy.foundation.errors import DatasetError, InvalidFileError
from edgedeploy.values.data import DataSource
from edgedeploy.values.model import TensorFacts
from edgedeploy.values.preprocessing import AudioPreprocessing


class AudioFolder(Recordings):
    """Recordings in a folder, in an order that is mixed and always the same, so that the first stand for all."""

    def __init__(self, source: DataSource, path: Path, inputs: Sequence[TensorFacts]) -> None:
        """
        Raises:
            DatasetError: a class has no folder, or the data does not fit the model.
            InvalidFileError: the folder or a recording cannot be read.
        """
        self._path = split_folder(path, source.split)
        folders = folders_in(self._path)
        classes = [name for name in folders if _holds_sound(self._path / name)]
        super().__init__(source, inputs, "class" if classes else "", ("split",))
        names = source.class_names
        if missing := [name for name in names if name not in folders and classes]:
            raise DatasetError(
                f"{self._path} has no folder for the class {missing[0]!r}", why=f"folders: {_listed(folders)}"
            )
        self._folders = [name for name in classes if name in names or not names] or [""]
        self._names = CompactNames(f"{folder}/{name}" for folder in self._folders for name in self._sounds(folder))
        self._order = mixed_order(len(self._names))
        self._classes = ClassLabels(names or self._folders)
        self._listed()
        if classes and not names:
            self.notes = (numbered_by_name(self._folders), *self.notes)
        if left_out := [name for name in classes if name not in self._folders]:
            self.notes = (*self.notes, f"folders that class_names does not name are left out: {_listed(left_out)}")
        if classes and (beside := len(self._sounds(""))):
            self.notes = (*self.notes, f"{beside:,} recordings beside the folders of the classes are left out")

    def recordings(self, broken: OnBroken) -> Iterator[Recording]:
        for place in self._order.tolist():
            name = self._names[place]
            path = self._path / name.removeprefix("/")
            yield Recording(path=path, name=name, where=str(path), label=name.partition("/")[0])

    def _sounds(self, folder: str) -> list[str]:
        path = self._path / folder
        try:
            with os.scandir(path) as entries:
                return sorted(each.name for each in entries if _is_sound(each.name) and each.is_file())
        except OSError as error:
            raise InvalidFileError(f"{path} cannot be read", why=error.strerror or str(error)) from error


def _is_sound(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in ENDINGS and not name.startswith(".")


def _holds_sound(path: Path) -> bool:
    """Return whether one of a folder's first entries is a recording."""
    return any(map(_is_sound, first_names(path)))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (", …" if len(names) > 20 else "")


def _recognize(path: Path, source: DataSource) -> str:
    if not path.is_dir():
        return ""
    place = path / source.split
    if _holds_sound(place):
        return "it holds recordings"
    inside = [place / name for name in first_names(place)]
    parts = [folder / name for folder in inside if folder.name in SPLITS for name in first_names(folder)]
    found = next((folder for folder in sorted(inside) + sorted(parts) if _holds_sound(folder)), None)
    return f"its folder {found.relative_to(path)} holds recordings" if found else ""


READER = DataReader(
    name="audio-folder",
    task="classification",
    rank=40,
    recognize=_recognize,
    open=AudioFolder,
    preprocessing=AudioPreprocessing,
)
