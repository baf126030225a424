"""A folder of recordings: a sub-folder for each class, or recordings alone, without labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from edgedeploy.datasets.manifest import OnBroken
from edgedeploy.datasets.reader import DataReader
from edgedeploy.datasets.sound.recordings import Recording, Recordings
from edgedeploy.datasets.sound.sound_file import ENDINGS
from edgedeploy.foundation.errors import DatasetError, InvalidFileError
from edgedeploy.values.data import DataSource
from edgedeploy.values.model import TensorFacts

_LOOKED_AT = 1000
"""Entries, to tell what a folder holds."""
_FOLDERS_LOOKED_AT = 20


class AudioFolder(Recordings):
    """Recordings in a folder, by the names of classes and files."""

    def __init__(self, source: DataSource, path: Path, inputs: Sequence[TensorFacts]) -> None:
        """
        Raises:
            DatasetError: a class has no folder, or the data does not fit the model.
            InvalidFileError: the folder or a recording cannot be read.
        """
        self._path = path
        folders = [each.name for each in _entries(path) if each.is_dir()]
        classes = [name for name in folders if _holds_sound(path / name)]
        super().__init__(source, inputs, "class" if classes else "")
        names = source.class_names
        if missing := [name for name in names if name not in folders and classes]:
            raise DatasetError(f"{path} has no folder for the class {missing[0]!r}", why=f"folders: {_listed(folders)}")
        self._folders = tuple(name for name in classes if name in names or not names)
        self._listed()
        if left_out := [name for name in classes if name not in self._folders]:
            self.notes = (*self.notes, f"folders that class_names does not name are left out: {_listed(left_out)}")
        if classes and (beside := len(_sounds(path))):
            self.notes = (*self.notes, f"{beside:,} recordings beside the folders of the classes are left out")

    def recordings(self, broken: OnBroken) -> Iterator[Recording]:
        for folder in self._folders or ("",):
            for name in _sounds(self._path / folder):
                path = self._path / folder / name
                yield Recording(path=path, name=f"{folder}/{name}", where=str(path), label=folder)


def _entries(path: Path) -> list[Path]:
    try:
        return sorted(each for each in path.iterdir() if not each.name.startswith("."))
    except OSError as error:
        raise InvalidFileError(f"{path} cannot be read", why=error.strerror or str(error)) from error


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (", …" if len(names) > 20 else "")


def _holds_sound(path: Path) -> bool:
    """Return whether one of a folder's first entries is a recording."""
    try:
        entries = zip(range(_LOOKED_AT), path.iterdir(), strict=False)
        return any(each.suffix.lower() in ENDINGS and not each.name.startswith(".") for _, each in entries)
    except OSError:
        return False


def _sounds(path: Path) -> list[str]:
    return [each.name for each in _entries(path) if each.suffix.lower() in ENDINGS and each.is_file()]


def _recognize(path: Path, source: DataSource) -> str:
    if not path.is_dir():
        return ""
    if _holds_sound(path):
        return "it holds recordings"
    try:
        folders = sorted(each for each in path.iterdir() if each.is_dir())[:_FOLDERS_LOOKED_AT]
    except OSError:
        return ""
    found = next((folder for folder in folders if _holds_sound(folder)), None)
    return f"its folder {found.name!r} holds recordings" if found else ""


READER = DataReader(name="audio-folder", task="classification", rank=40, recognize=_recognize, open=AudioFolder)
