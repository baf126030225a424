"""`picture-pairs`: a folder of pictures, and a folder of what a model should make of each: cleaner, a depth."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs

from edgedeploy.datasets.base import Dataset
from edgedeploy.datasets.paired_set import PairedSet
from edgedeploy.datasets.pairs import PairedFiles
from edgedeploy.datasets.picture_dataset import PictureDataset
from edgedeploy.datasets.picture_files import has_pictures
from edgedeploy.datasets.picture_set import ManyLabels
from edgedeploy.datasets.preprocessing.decode import decode_picture, read_class_mask
from edgedeploy.datasets.preprocessing.images import PreparedPicture, prepare_picture
from edgedeploy.datasets.preprocessing.layout import picture_layout
from edgedeploy.datasets.preprocessing.presets import resolve
from edgedeploy.datasets.reader import DataReader
from edgedeploy.foundation.errors import DatasetError, InvalidFileError
from edgedeploy.foundation.files import unreadable
from edgedeploy.foundation.reading import PICTURE, read_file
from edgedeploy.values.data import DataSource
from edgedeploy.values.model import Dimension, TensorFacts
from edgedeploy.values.preprocessing import ImagePreprocessing

_FOLDERS = (
    ("inputs", "targets"),
    ("input", "target"),
    ("lr", "hr"),
    ("LR", "HR"),
    ("noisy", "clean"),
    ("blur", "sharp"),
    ("rgb", "depth"),
    ("images", "depth"),
    ("A", "B"),
)
"""Usual names of the two folders."""
_ARRAY = ".npy"


class PairedPictures(ManyLabels, PairedSet):
    """Pictures with a target each: a picture, prepared as `[target]` says where that differs from `[preprocessing]`, or
    a `.npy` with the values of the output as they are.

    A target picture that is k times as large as its input has k times the size of the model's input, as in
    super-resolution.
    """

    format = "picture-pairs"

    def __init__(self, files: PairedFiles, target: ImagePreprocessing, tensor: TensorFacts) -> None:
        super().__init__(files)
        self._target, self._tensor = target, tensor

    def label(self, place: int, prepared: PreparedPicture) -> Any:
        file = self.partner(place)
        if file.suffix == _ARRAY:
            return _array(file)
        if self._target.color == "gray" and (levels := _deep_levels(file)) is not None:
            return self._of_levels(prepared.geometry.mask(levels, 0))
        decoded = decode_picture(file, self._target)
        geometry = prepared.geometry
        ratios = [
            decoded.pixels.shape[0] / geometry.source_height,
            decoded.pixels.shape[1] / geometry.source_width,
        ]
        extents = [round(geometry.height * ratios[0]), round(geometry.width * ratios[1])]
        if min(extents) < 1:
            raise DatasetError(
                f"{file} is too small for its picture", hint="check that the names of both belong together"
            )
        return prepare_picture(decoded.pixels, self._of_size(extents), self._tensor_of(extents)).values

    def _of_levels(self, levels: np.ndarray) -> np.ndarray:
        """Return gray levels of more than 8 bits as values, with an axis for the channel where the input has it."""
        (mean,), (std,) = self._target.mean, self._target.std
        values = ((levels * self._target.scale - mean) / std).astype(np.float32)
        layout = picture_layout(self._tensor, _as_input(self._target, self._tensor))
        return values[np.newaxis] if layout.channels_first else values[..., np.newaxis]

    def _of_size(self, extents: Sequence[int]) -> ImagePreprocessing:
        size = (extents[0], extents[1])
        if self._target.crop is not None:
            raise DatasetError(
                "targets cannot be cropped with their pictures",
                why="what is kept of both would differ by a part of a pixel",
                hint='set resize = "stretch" or "letterbox", without crop, in [preprocessing]',
            )
        return structs.replace(self._target, size=size) if self._target.size is not None else self._target

    def _tensor_of(self, extents: Sequence[int]) -> TensorFacts:
        """Return what the target would be as an input: float32, of the size of the target."""
        layout, channels = picture_layout(self._tensor, _as_input(self._target, self._tensor)), _channels(self._target)
        shape: tuple[Dimension, ...] = (1, *extents, channels)
        if layout.channels_first:
            shape = (1, channels, *extents)
        return TensorFacts(name="the target", dtype="float32", shape=shape)


def _channels(preprocessing: ImagePreprocessing) -> int:
    return 1 if preprocessing.color == "gray" else 3


def _array(file: Path) -> np.ndarray:
    """Read an array of numbers, as float32."""
    try:
        content = read_file(file, PICTURE)
    except OSError as error:
        raise unreadable(file, error) from error
    try:
        found = np.load(io.BytesIO(content), allow_pickle=False)
        return np.asarray(found, np.float32)
    # numpy raises nearly anything for a header that is broken.
    except Exception as error:
        raise DatasetError(f"{file} is no array of numbers", why=str(error), hint="save it with numpy.save") from error


def _deep_levels(file: Path) -> np.ndarray | None:
    """Return the gray levels of a picture of 16 bits, as depths are saved; None for other pictures."""
    try:
        levels = read_class_mask(file)
    except DatasetError:
        return None
    return levels if levels.dtype.itemsize > 1 else None


def _as_input(target: ImagePreprocessing, tensor: TensorFacts) -> ImagePreprocessing:
    """Return a target's preprocessing with the colors that the input takes, to learn its layout."""
    gray = 1 in (tensor.shape[1], tensor.shape[-1]) or len(tensor.shape) == 3
    return structs.replace(target, color="gray" if gray else "rgb", mean=(0.0,), std=(1.0,))


def _found(path: Path, source: DataSource) -> tuple[Path, Path] | None:
    if source.labels:
        return path, Path(source.labels)
    if source.split:
        path = path / source.split
    for first, second in _FOLDERS:
        if (path / first).is_dir() and (path / second).is_dir():
            return path / first, path / second
    return None


def _recognize(path: Path, source: DataSource) -> str:
    found = _found(path, source)
    if found is None or (source.labels and source.task != "picture-to-picture"):
        return ""
    if not found[1].is_dir() or not has_pictures(found[0]):
        return ""
    return f"it has pictures in {found[0].name}/ and what they should become in {found[1].name}/"


def _open(source: DataSource, path: Path, inputs: Sequence[TensorFacts]) -> Dataset:
    found = _found(path, source)
    if found is None:
        raise InvalidFileError(
            f"{path} has no folders {_FOLDERS[0][0]} and {_FOLDERS[0][1]}",
            hint='name them in a data.toml: path = "INPUTS" and labels = "TARGETS"',
        )
    files = PairedFiles(*found, "target", suffixes=(_ARRAY,), skip_broken=source.skip_broken)
    target = resolve({**source.preprocessing, **source.target})
    pictures = PairedPictures(files, target, inputs[0])
    return PictureDataset(source, pictures, inputs, source.task or READER.task)


READER = DataReader(
    name="picture-pairs",
    task="picture-to-picture",
    rank=60,
    recognize=_recognize,
    open=_open,
    preprocessing=ImagePreprocessing,
)
