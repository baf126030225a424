"""Datasets that come in parts: `train`, `val`, `test`."""

from __future__ import annotations

from pathlib import Path

from edgedeploy.datasets.picture_files import folders_in
from edgedeploy.foundation.errors import DatasetError, InvalidFileError
from edgedeploy.foundation.files import unreadable
from edgedeploy.foundation.reading import ANNOTATIONS, read_text
from edgedeploy.foundation.suggest import did_you_mean

SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing", "dev", "eval"})
"""Names of folders that are parts of a dataset, and no classes."""


def split_folder(folder: Path, split: str) -> Path:
    """Return the folder of a part of a dataset: the folder itself where it comes in one.

    Args:
        split: as declared; empty where it is not.

    Raises:
        DatasetError: there is no such part; or there are several, and none is declared.
        InvalidFileError: there is no such folder.
    """
    if not folder.is_dir():
        raise InvalidFileError(f"{folder} is no folder", hint="check the path")
    found = folders_in(folder)
    if split:
        if split not in found:
            raise DatasetError(
                f"{folder} has no part {split!r}",
                why=f"there are: {', '.join(found[:8]) or 'no folders'}",
                hint=did_you_mean(split, found, "set split to one of them"),
            )
        return folder / split
    if found and SPLITS.issuperset(found):
        if len(found) == 1:
            return folder / found[0]
        raise DatasetError(
            f"{folder} comes in parts: {', '.join(found)}",
            why="models are judged on a part that they were not trained with",
            hint=f"name {folder / _judging(found)}, or set split = {_judging(found)!r} in a data.toml",
        )
    return folder


def judging_part(folder: Path) -> str:
    """Return the part of a dataset that is meant for judging, e.g. `"val"`; empty where it does not come in parts."""
    found = folders_in(folder) if folder.is_dir() else []
    return _judging(found) if len(found) > 1 and SPLITS.issuperset(found) else ""


def _judging(found: list[str]) -> str:
    """Return the part that is meant for judging."""
    return next((name for name in ("val", "valid", "validation", "test") if name in found), found[0])


def listed_stems(folder: Path, split: str) -> list[str] | None:
    """Return the names, without endings, that a list of Pascal VOC has: `ImageSets/Main/val.txt`.

    Args:
        folder: of the lists.
        split: as declared; empty takes `val`, where there is such a list.

    Returns:
        None where there is no list, and none is declared.

    Raises:
        DatasetError: there is no such list.
        InvalidFileError: it cannot be read.
    """
    file = folder / f"{split or 'val'}.txt"
    if not file.is_file():
        if not split:
            return None
        if folder.parent.parent.joinpath(split).is_dir():
            return None
        raise DatasetError(f"there is no list {file}", hint="set split to the name of a list there is")
    try:
        text = read_text(file, ANNOTATIONS)
    except OSError as error:
        raise unreadable(file, error) from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{file} is not text in UTF-8", why=str(error)) from error
    # Lists of one class have 1 or -1 behind each name.
    return [line.split()[0] for line in text.splitlines() if line.strip()]
