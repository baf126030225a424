"""What sets of pictures have in common whose labels are files of a second folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgedeploy.datasets.pairs import PairedFiles
from edgedeploy.datasets.picture_set import PictureSet


class PairedSet(PictureSet):
    """Pictures with a file each, in another folder, that holds their label."""

    def __init__(self, files: PairedFiles) -> None:
        self._files = files
        self.left_out = tuple(files.skipped)

    def __len__(self) -> int:
        return len(self._files.names)

    def path(self, place: int) -> Path:
        return self._files.pictures / self._files.names[place]

    def name(self, place: int) -> str:
        return self._files.names[place]

    def partner(self, place: int) -> Path:
        """Return the file that holds the label of a picture."""
        return self._files.others / self._files.partners[place]

    def files_beside(self, place: int) -> Sequence[Path]:
        return (self.partner(place),)
