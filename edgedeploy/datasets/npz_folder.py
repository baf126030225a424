"""A dataset in a folder: each `.npz` in it is one whole feed, in name order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgedeploy.datasets.base import LABELS, Sample
from edgedeploy.datasets.fit import check_names
from edgedeploy.datasets.npz import NpzReader
from edgedeploy.datasets.whole_feeds import WholeFeeds
from edgedeploy.foundation.errors import DatasetError, InvalidFileError
from edgedeploy.foundation.files import sha256_file
from edgedeploy.values.model import TensorFacts


class NpzFolderDataset(WholeFeeds):
    """A folder of `.npz` files."""

    def __init__(self, spec: str, path: Path, inputs: Sequence[TensorFacts]) -> None:
        super().__init__(spec, inputs)
        self._path = path
        self._sha256 = ""
        files = self._files()
        if not files:
            raise DatasetError(
                f"{spec} holds no .npz files, and nothing else that is recognized as data",
                hint="name a folder with one .npz per feed, or a data.toml that says what the files are",
            )
        self.count = len(files)
        with NpzReader(files[0]) as reader:
            self.has_labels = check_names(str(files[0]), reader.headers, self._inputs)

    @property
    def sha256(self) -> str:
        if not self._sha256:
            digest = hashlib.sha256()
            for file in self._files():
                digest.update(f"{sha256_file(file)}  {file.name}\n".encode(errors="surrogateescape"))
            self._sha256 = digest.hexdigest()
        return self._sha256

    def samples(self) -> Iterator[Sample]:
        for file in self._files():
            with NpzReader(file) as reader:
                if check_names(str(file), reader.headers, self._inputs) != self.has_labels:
                    raise DatasetError(
                        f"{file} has {'no ' if self.has_labels else ''}labels, unlike the files before it",
                        hint="give labels in every file or in none",
                    )
                for name, facts in self._inputs.items():
                    self.check(str(file), facts, reader.headers[name])
                feed = {name: reader.whole(name) for name in self._inputs}
                labels = reader.whole(LABELS) if self.has_labels else None
            yield self.sample(str(file), feed, labels)

    def _files(self) -> list[Path]:
        try:
            return sorted(path for path in self._path.iterdir() if path.suffix == ".npz" and path.is_file())
        except OSError as error:
            raise InvalidFileError(f"{self._path} cannot be read", why=error.strerror or str(error)) from error


def holds_npz(path: Path) -> bool:
    """Return whether a folder has an `.npz` in it."""
    try:
        return any(each.suffix == ".npz" for each in path.iterdir())
    except OSError:
        return False
