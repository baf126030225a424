"""`masks`: a folder of pictures and a folder of masks, in which each pixel is the number of its class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgedeploy.datasets.base import Dataset
from edgedeploy.datasets.class_numbers import unknown_class
from edgedeploy.datasets.paired_set import PairedSet
from edgedeploy.datasets.pairs import PairedFiles
from edgedeploy.datasets.picture_dataset import PictureDataset
from edgedeploy.datasets.picture_files import first_names, has_pictures
from edgedeploy.datasets.preprocessing.decode import read_class_mask
from edgedeploy.datasets.preprocessing.images import PreparedPicture
from edgedeploy.datasets.reader import DataReader
from edgedeploy.datasets.splits import listed_stems
from edgedeploy.foundation.errors import DatasetError, InvalidFileError
from edgedeploy.values.data import DataSource
from edgedeploy.values.labels import NOT_JUDGED
from edgedeploy.values.model import TensorFacts
from edgedeploy.values.preprocessing import ImagePreprocessing

_PICTURES = ("images", "imgs", "image", "JPEGImages", "img")
_MASKS = ("masks", "mask", "SegmentationClass", "annotations", "labels", "segmentations")
_LISTS = "ImageSets/Segmentation"
_ENDINGS = ("_mask", "-mask", "_label", "_seg", "_gt")
"""That names of masks have behind those of their pictures."""


class MaskedPictures(PairedSet):
    """Pictures with a mask each; 255 is not judged, as in Pascal VOC, and so are the bars of a letterbox."""

    format = "masks"

    def __init__(self, files: PairedFiles, source: DataSource) -> None:
        super().__init__(files)
        self.class_names = tuple(source.class_names)

    def label(self, place: int, prepared: PreparedPicture) -> Any:
        file = self.partner(place)
        mask = read_class_mask(file)
        geometry = prepared.geometry
        if mask.shape != (geometry.source_height, geometry.source_width):
            raise DatasetError(
                f"{file} has {mask.shape[1]} x {mask.shape[0]} pixels, and its picture "
                f"{geometry.source_width} x {geometry.source_height}",
                hint="give the mask the size of its picture",
            )
        numbers = np.unique(mask)
        wrong = numbers[(numbers < 0) | ((numbers >= len(self.class_names)) & (numbers != NOT_JUDGED))]
        if self.class_names and len(wrong):
            raise unknown_class(str(int(wrong[0])), self.class_names, str(file))
        return geometry.mask(mask.astype(np.int64), NOT_JUDGED)


def _without_ending(stem: str) -> str:
    return next((stem.removesuffix(ending) for ending in _ENDINGS if stem.endswith(ending)), stem)


def _found(path: Path, source: DataSource) -> tuple[Path, Path] | None:
    """Return the folders of pictures and masks."""
    if source.labels:
        return path, Path(source.labels)
    if source.split and (path / source.split).is_dir():
        path = path / source.split
    pictures = next((path / name for name in _PICTURES if (path / name).is_dir()), None)
    masks = next((path / name for name in _MASKS if (path / name).is_dir()), None)
    if pictures is None or masks is None:
        return None
    below = [(folder / source.split) for folder in (pictures, masks)]
    if source.split and all(folder.is_dir() for folder in below):
        return below[0], below[1]
    named = not source.split or source.split == path.name or (path / _LISTS / f"{source.split}.txt").is_file()
    return (pictures, masks) if named else None


def _recognize(path: Path, source: DataSource) -> str:
    if source.task not in ("", "segmentation"):
        return ""
    found = _found(path, source)
    if found is None or not found[1].is_dir() or not has_pictures(found[1]):
        return ""
    # A folder of labels that are no PNG holds something else: masks lose their numbers in a JPEG.
    if not any(name.lower().endswith((".png", ".bmp")) for name in first_names(found[1])):
        return ""
    return f"it has pictures in {found[0].name}/ and masks in {found[1].name}/"


def _open(source: DataSource, path: Path, inputs: Sequence[TensorFacts]) -> Dataset:
    found = _found(path, source)
    if found is None:
        raise InvalidFileError(
            f"{path} has no folders {_PICTURES[0]} and {_MASKS[0]}"
            + (f" for the part {source.split!r}" if source.split else ""),
            hint='name them in a data.toml: path = "PICTURES" and labels = "MASKS"',
        )
    listed = listed_stems(path / _LISTS, source.split) if (path / _LISTS).is_dir() else None
    files = PairedFiles(*found, "mask", stem_of=_without_ending, listed=listed, skip_broken=source.skip_broken)
    return PictureDataset(source, MaskedPictures(files, source), inputs, source.task or READER.task)


READER = DataReader(
    name="masks", task="segmentation", rank=40, recognize=_recognize, open=_open, preprocessing=ImagePreprocessing
)
