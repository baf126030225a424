"""A dataset of pictures in files: decoded and prepared one at a time, whatever format lists and labels them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from edgedeploy.datasets.base import Dataset, Sample
from edgedeploy.datasets.fit import is_dynamic
from edgedeploy.datasets.order import mixed_order
from edgedeploy.datasets.picture_set import PictureSet
from edgedeploy.datasets.preprocessing.decode import decode_picture
from edgedeploy.datasets.preprocessing.images import PreparedPicture, prepare_picture
from edgedeploy.datasets.preprocessing.presets import IMAGE_PRESETS, resolve
from edgedeploy.datasets.skips import MOST_LISTED, Skips, reason_of
from edgedeploy.foundation.errors import DatasetError, InvalidFileError
from edgedeploy.foundation.files import sha256_file
from edgedeploy.foundation.sanitize import printable
from edgedeploy.values.data import DataSource, Task
from edgedeploy.values.model import TensorFacts
from edgedeploy.values.preprocessing import ImagePreprocessing

_PROBES = 20
"""Pictures that are tried on opening until one can be read, where broken ones are left out."""
_HASH_FORM = 1
"""Of what goes into the hash; another number where that changes."""


class LabeledPicture(Struct, frozen=True, eq=False):
    """One picture as the model sees it."""

    place: int
    """In the listing."""
    name: str
    prepared: PreparedPicture
    label: Any
    notes: tuple[str, ...]
    """What decoding lost or left out."""


class PictureDataset(Dataset):
    """Pictures of one set, for the one input of a model. They come in an order that is mixed and always the same, so
    that the first ones stand for all; memory holds one picture, its label, and the listing."""

    preprocessing: ImagePreprocessing

    def __init__(
        self, source: DataSource, pictures: PictureSet, inputs: Sequence[TensorFacts], task: Task | None
    ) -> None:
        self.spec = source.path
        self.task = task
        self.head = source.head
        self.pictures = pictures
        self.has_labels = pictures.has_labels
        self.class_names = pictures.class_names
        self._sha256 = ""
        self._source = source
        self._input = _only_input(self.spec, inputs)
        self.preprocessing = _declared(source, self._input)
        if not len(pictures):
            raise DatasetError(
                f"{self.spec} holds no pictures", hint="name a folder with .jpg, .png, .webp or .bmp files"
            )
        self._skips = Skips(len(pictures))
        if pictures.is_listed_by_others:
            self._check_existence()
        self._order = mixed_order(len(pictures))
        self._batch = self._fixed_batch()
        self.count = (len(pictures) - self._skips.count) // self._batch
        self._check_first()

    @property
    def skipped(self) -> tuple[str, ...]:  # type: ignore[override]
        return (*self.pictures.left_out, *self._skips.listed)[:MOST_LISTED]

    @property
    def skipped_count(self) -> int:  # type: ignore[override]
        return self._skips.count + len(self.pictures.left_out)

    @property
    def sha256(self) -> str:
        """Of the preprocessing, the files of labels, and all pictures: names and bytes, in the listing's order."""
        if not self._sha256:
            digest = hashlib.sha256()
            declared = (_HASH_FORM, self.pictures.format, self.task, self.class_names, self.preprocessing)
            digest.update(msgspec.json.encode((*declared, sorted(self._source.target.items())), order="deterministic"))
            for line in self._hashed():
                digest.update(f"{line}\n".encode(errors="surrogateescape"))
            self._sha256 = digest.hexdigest()
        return self._sha256

    def class_counts(self) -> Sequence[int] | None:
        return self.pictures.class_counts()

    def samples(self) -> Iterator[Sample]:
        return self._joined(self.labeled_pictures(), self._batch, whole=True)

    def batches(self, size: int) -> Iterator[Sample]:
        if not is_dynamic(self._input.shape[0]):
            return self.samples()
        return self._joined(self.labeled_pictures(), max(size, 1), whole=False)

    def chosen(self, places: Sequence[int]) -> Iterator[Sample]:
        """Yield the feeds at some places, reading no others; where broken samples are left out, their places count."""
        if self._batch > 1:
            return super().chosen(places)
        return self._joined(self.labeled_pictures(places), 1, whole=True)

    def labeled_pictures(self, places: Iterable[int] | None = None) -> Iterator[LabeledPicture]:
        """Yield the pictures in the dataset's order, with their labels; broken ones are left out where that is asked.

        Args:
            places: in that order, from 0; None: all.

        Raises:
            DatasetError, InvalidFileError: a picture or label cannot be read, and is not to be left out.
        """
        for place in self._order.tolist() if places is None else (int(self._order[each]) for each in places):
            if place in self._skips:
                continue
            try:
                yield self._read(place)
            except (DatasetError, InvalidFileError) as error:
                if not self._source.skip_broken:
                    raise
                self._skips.add(place, self.pictures.name(place), reason_of(error))
        if self._skips.count == len(self.pictures):
            raise DatasetError(f"{self.spec}: none of {len(self.pictures):,} pictures can be read", why=self.skipped[0])

    def _read(self, place: int) -> LabeledPicture:
        path = self.pictures.path(place)
        decoded = decode_picture(path, self.preprocessing)
        prepared = prepare_picture(decoded.pixels, self.preprocessing, self._input)
        label = self.pictures.label(place, prepared) if self.has_labels else None
        return LabeledPicture(place, self.pictures.name(place), prepared, label, decoded.notes)

    def _joined(self, read: Iterable[LabeledPicture], size: int, *, whole: bool) -> Iterator[Sample]:
        """Yield feeds of `size` pictures.

        Args:
            whole: a feed has `size` pictures, and what is left over is dropped; else those of one shape share a feed.
        """
        waiting: list[LabeledPicture] = []
        for picture in read:
            if waiting and waiting[0].prepared.values.shape != picture.prepared.values.shape:
                yield self.sample_of(waiting)
                waiting = []
            waiting.append(picture)
            if len(waiting) == size:
                yield self.sample_of(waiting)
                waiting = []
        if waiting and not whole:
            yield self.sample_of(waiting)

    def sample_of(self, pictures: Sequence[LabeledPicture]) -> Sample:
        """Return pictures of one shape as a feed with their labels."""
        feed = {self._input.name: np.stack([each.prepared.values for each in pictures])}
        labels = self.pictures.join([each.label for each in pictures]) if self.has_labels else None
        where = str(self.pictures.path(pictures[0].place)) if len(pictures) == 1 else ""
        return Sample(feed, labels, len(pictures), where)

    def _hashed(self) -> Iterator[str]:
        for file in self.pictures.label_files():
            yield f"{sha256_file(file)}  {file.name}"
        for place in range(len(self.pictures)):
            name = self.pictures.name(place)
            for file in (self.pictures.path(place), *self.pictures.files_beside(place)):
                yield f"{sha256_file(file) if file.is_file() else 'missing'}  {name}  {file.suffix}"

    def _check_existence(self) -> None:
        missing = [place for place in range(len(self.pictures)) if not self.pictures.path(place).is_file()]
        for place in missing:
            self._skips.add(
                place, self.pictures.name(place), f"it does not exist, and {self.pictures.listed_in(place)} names it"
            )
        if missing and not self._source.skip_broken:
            raise DatasetError(
                f"{printable(str(self.pictures.path(missing[0])))} does not exist",
                why=f"{self.pictures.listed_in(missing[0])} names it"
                + (f"; {len(missing):,} of {len(self.pictures):,} are missing" if len(missing) > 1 else ""),
                hint="check `path`, which the names are relative to; or leave missing ones out: skip_broken = true",
            )
        if len(missing) == len(self.pictures):
            raise DatasetError(f"{self.spec}: none of {len(self.pictures):,} pictures exists", why=self.skipped[0])

    def _fixed_batch(self) -> int:
        extent = self._input.shape[0]
        if is_dynamic(extent):
            return 1
        batch, count = int(extent), len(self.pictures)
        if batch < 1:
            raise DatasetError(f"{self.spec}: the model takes {batch} samples at once, so there is nothing to feed it")
        if count < batch:
            raise DatasetError(
                f"{self.spec} holds {count:,} pictures, and the model takes {batch} at once",
                hint="export the model with a dynamic batch",
            )
        if count % batch and not self._source.skip_broken:
            raise DatasetError(
                f"{self.spec} holds {count:,} pictures, but the model takes exactly {batch} at once",
                why=f"the last {count % batch} would be left out",
                hint="export the model with a dynamic batch; or leave them out: skip_broken = true",
            )
        return batch

    def _check_first(self) -> None:
        """Prepare one picture, so that what does not fit is known before minutes of work."""
        if next(self.labeled_pictures(range(min(_PROBES, len(self.pictures)))), None) is None:
            raise DatasetError(
                f"{self.spec}: none of the first {min(_PROBES, len(self.pictures))} pictures can be read",
                why=self.skipped[0],
            )


def _only_input(spec: str, inputs: Sequence[TensorFacts]) -> TensorFacts:
    if len(inputs) != 1:
        raise DatasetError(
            f"{spec} holds pictures, and the model has {len(inputs)} inputs",
            why="pictures fill one: " + ", ".join(each.name for each in inputs),
            hint="export the model with one input, or give all of its arrays: FILE.npz",
        )
    return inputs[0]


def _declared(source: DataSource, tensor: TensorFacts) -> ImagePreprocessing:
    if not source.preprocessing:
        raise DatasetError(
            f"{source.path} holds pictures, and nothing says how they are prepared for the model",
            why="another size, scale or order of colors than in training ruins the answers of any model",
            hint=f"add --preset NAME ({', '.join(IMAGE_PRESETS)}), or a table [preprocessing] to a data.toml",
        )
    return resolve(source.preprocessing, tensor)
