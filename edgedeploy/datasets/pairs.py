"""Two folders in which files of one name, whatever their endings, belong together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

from edgedeploy.datasets.compact_names import CompactNames
from edgedeploy.datasets.picture_files import is_picture, pictures_below
from edgedeploy.foundation.errors import DatasetError

_USUAL = (".jpg", ".jpeg", ".png", ".JPG", ".webp", ".bmp")


class PairedFiles:
    """The pictures of one folder, and the file of another that belongs to each."""

    def __init__(
        self,
        pictures: Path,
        others: Path,
        what: str,
        *,
        stem_of: Callable[[str], str] = lambda stem: stem,
        suffixes: tuple[str, ...] = (),
        listed: Iterable[str] | None = None,
        skip_broken: bool = False,
    ) -> None:
        """
        Args:
            what: the files of the other folder are, for messages: `"mask"`.
            stem_of: from the name of another file, without its ending, to that of its picture.
            suffixes: of other files, beside those of pictures.
            listed: names without endings, of the pictures that are meant; None: all.
            skip_broken: pass over files without a partner.

        Raises:
            DatasetError: a file has no partner, or two have the same.
            InvalidFileError: a folder cannot be read.
        """
        self.pictures, self.others = pictures, others
        by_stem = _by_stem(others, what, stem_of, suffixes)
        self.names, self.partners = CompactNames(), CompactNames()
        self.skipped: list[str] = []
        wanted = None if listed is None else set(listed)
        for name in pictures_below(pictures):
            stem = str(PurePosixPath(name).with_suffix(""))
            if wanted is not None and stem not in wanted:
                continue
            partner = by_stem.pop(stem, None)
            if partner is None:
                self._lone(f"{pictures / name} has no {what} in {others}", skip=skip_broken)
                continue
            self.names.append(name)
            self.partners.append(partner)
        if wanted is None:
            for partner in by_stem.values():
                self._lone(f"{others / partner} is a {what} without a picture in {pictures}", skip=skip_broken)

    def _lone(self, message: str, *, skip: bool) -> None:
        if not skip:
            raise DatasetError(
                message,
                why="files of one name belong together",
                hint="add the file, or pass over such: skip_broken = true",
            )
        self.skipped.append(message)


def _by_stem(folder: Path, what: str, stem_of: Callable[[str], str], suffixes: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _files_below(folder, suffixes):
        path = PurePosixPath(name)
        stem = str(path.with_name(stem_of(path.stem)))
        if stem in found:
            raise DatasetError(
                f"{folder} has two files for one picture: {found[stem]} and {name}",
                hint=f"keep one {what} for each picture",
            )
        found[stem] = name
    return found


def _files_below(folder: Path, suffixes: tuple[str, ...], prefix: str = "") -> Iterator[str]:
    if not suffixes:
        yield from pictures_below(folder)
        return
    try:
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DatasetError(f"{folder} cannot be read", why=error.strerror or str(error)) from error
    for entry in ordered:
        if entry.is_dir():
            yield from _files_below(Path(entry.path), suffixes, f"{prefix}{entry.name}/")
        elif is_picture(entry.name) or entry.name.endswith(suffixes):
            yield f"{prefix}{entry.name}"


def with_suffixes(folder: Path, stems: Iterable[str]) -> Iterator[str]:
    """Yield the names of pictures that a list names without endings; those that do not exist end in `.jpg`."""
    for stem in stems:
        yield next((stem + suffix for suffix in _USUAL if (folder / (stem + suffix)).is_file()), f"{stem}.jpg")
