"""Pictures in folders: which files are some, and listing them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from edgedeploy.foundation.errors import DatasetError, InvalidFileError

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
_MOST_LOOKED_AT = 200
"""Entries of a folder that are looked at to say what it holds."""


def is_picture(name: str) -> bool:
    """Return whether a file's name ends as that of a picture; hidden files are none (macOS leaves `._a.jpg`)."""
    return PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES and not name.startswith(".")


def folders_in(folder: Path) -> list[str]:
    """List the names of the folders in a folder, sorted; hidden ones are left out.

    Raises:
        InvalidFileError: it cannot be read.
    """
    return sorted(entry.name for entry in _entries(folder) if entry.is_dir() and not entry.name.startswith("."))


def pictures_in(folder: Path) -> list[str]:
    """List the names of the pictures in a folder, sorted; those of its sub-folders are not listed.

    Raises:
        InvalidFileError: it cannot be read.
    """
    return sorted(entry.name for entry in _entries(folder) if is_picture(entry.name) and entry.is_file())


def pictures_below(folder: Path) -> Iterator[str]:
    """List the pictures in a folder and all below it, relative to it with `/`, folder by folder and sorted in each.

    Raises:
        InvalidFileError: a folder cannot be read.
    """
    yield from pictures_in(folder)
    for name in folders_in(folder):
        yield from (f"{name}/{below}" for below in pictures_below(folder / name))


def has_pictures(folder: Path) -> bool:
    """Return whether there is a picture among the first entries of a folder."""
    return any(is_picture(name) for name in first_names(folder))


def first_names(folder: Path) -> list[str]:
    """List the names of the first entries of a folder, in no order; empty where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry, _ in zip(entries, range(_MOST_LOOKED_AT), strict=False)]
    except OSError:
        return []


def inside(folder: Path, name: str, where: Callable[[], str]) -> Path:
    """Return the path of a file that a list of samples names.

    Args:
        where: returns where the list says so, for messages: file and line. A list may have a million names.

    Raises:
        DatasetError: the name is empty or leads out of the folder.
    """
    if name and name[0] != "/" and ".." not in name and "\\" not in name and "\0" not in name:
        return folder / name
    parts = PurePosixPath(name.replace("\\", "/"))
    if not name or parts.is_absolute() or ".." in parts.parts or "\0" in name:
        raise DatasetError(
            f"{where()} names {name!r}, which is no file inside {folder}",
            why="names in a list of samples are relative to the folder of the samples",
            hint='set path to the folder that all names are relative to, e.g. path = "images"',
        )
    return folder / parts


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError as error:
        raise InvalidFileError(f"{folder} cannot be read", why=error.strerror or str(error)) from error
