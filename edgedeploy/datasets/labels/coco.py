"""COCO's annotation files: https://cocodataset.org/#format-data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from edgedeploy.foundation.errors import DatasetError
from edgedeploy.foundation.files import unreadable
from edgedeploy.foundation.reading import ANNOTATIONS, read_file

_VALUES_OF_POINT = 3


class CocoImage(Struct):
    """An entry of `images`."""

    id: int | str
    file_name: str
    width: int | None = None
    height: int | None = None


class CocoAnnotation(Struct):
    """An entry of `annotations`."""

    image_id: int | str
    category_id: int
    bbox: tuple[float, float, float, float]
    """x, y, width, height."""
    id: int | str | None = None
    area: float | None = None
    iscrowd: int = 0
    keypoints: tuple[float, ...] = ()
    segmentation: msgspec.Raw = msgspec.Raw(b"[]")


class CocoCategory(Struct):
    """An entry of `categories`."""

    id: int
    name: str


class CocoFile(Struct):
    """The whole file; what is not read here is passed over."""

    images: list[CocoImage]
    annotations: list[CocoAnnotation] = []
    categories: list[CocoCategory] = []


def load_coco(path: Path) -> CocoFile:
    """Read an annotation file, and check that what its parts say of each other is true.

    Raises:
        InvalidFileError: it cannot be read, or is too large.
        DatasetError: it is not JSON of this form; two images, annotations or categories have the same id; an annotation
            is of an image or category that is not there.
    """
    try:
        content = read_file(path, ANNOTATIONS)
    except OSError as error:
        raise unreadable(path, error) from error
    try:
        found = msgspec.json.decode(content, type=CocoFile)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"{path} is not an annotation file of COCO", why=str(error), hint="see https://cocodataset.org/#format-data"
        ) from error
    _check_ids(path, found)
    return found


def _check_ids(path: Path, found: CocoFile) -> None:
    images = _once(path, "images", [image.id for image in found.images])
    categories = _once(path, "categories", [category.id for category in found.categories])
    _once(path, "annotations", [each.id for each in found.annotations if each.id is not None])
    for number, annotation in enumerate(found.annotations):
        where = f"{path}: annotations[{number}]"
        if annotation.image_id not in images:
            raise DatasetError(
                f"{where} is of the image {annotation.image_id!r}, which is not in `images`",
                hint="remove the annotation, or add its image",
            )
        if annotation.category_id not in categories:
            raise DatasetError(
                f"{where} is of the category {annotation.category_id}, which is not in `categories`",
                why=f"there is no such class; {len(categories)} are declared",
                hint="correct category_id, or add the category",
            )
        if len(annotation.keypoints) % _VALUES_OF_POINT:
            raise DatasetError(
                f"{where} has {len(annotation.keypoints)} numbers in `keypoints`, no multiple of 3",
                hint="give x, y and visibility of each point",
            )


def _once(path: Path, what: str, ids: list[Any]) -> set[Any]:
    found = set(ids)
    if len(found) < len(ids):
        seen: set[Any] = set()
        twice = next(one for one in ids if one in seen or seen.add(one))  # type: ignore[func-returns-value]
        raise DatasetError(f"{path}: two of `{what}` have the id {twice!r}", hint="give each an id of its own")
    return found


class CocoTable:
    """The annotations of a file by image, as arrays: some 60 bytes each, without its outline."""

    def __init__(self, found: CocoFile, *, outlines: bool, keypoints: bool) -> None:
        """
        Args:
            outlines, keypoints: which of them are kept.
        """
        numbers = {image.id: number for number, image in enumerate(found.images)}
        annotations = found.annotations
        owners = np.fromiter((numbers[each.image_id] for each in annotations), np.int64, len(annotations))
        order = np.argsort(owners, kind="stable")
        ordered = [annotations[place] for place in order.tolist()]
        self._begins = np.searchsorted(owners[order], np.arange(len(found.images) + 1))
        boxes = np.array([each.bbox for each in ordered], np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        self._boxes = boxes
        self._categories = np.array([each.category_id for each in ordered], np.int64)
        self._crowds = np.array([bool(each.iscrowd) for each in ordered], bool)
        # Without an area of its own, an object has that of its box, as in pycocotools' loadRes.
        sizes = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        stated = np.array([np.nan if each.area is None else each.area for each in ordered], np.float64)
        self._areas = np.where(np.isnan(stated), sizes, stated)
        self._outlines = [bytes(each.segmentation) for each in ordered] if outlines else None
        self._keypoints = self._points(ordered) if keypoints else None

    def of(self, image: int) -> dict[str, Any]:
        """Return the annotations of an image, by its place: arrays and lists with an entry for each."""
        rows = slice(self._begins[image], self._begins[image + 1])
        outlines = self._outlines
        return {
            "boxes": self._boxes[rows],
            "categories": self._categories[rows],
            "crowds": self._crowds[rows],
            "areas": self._areas[rows],
            "keypoints": None if self._keypoints is None else self._keypoints[rows],
            "outlines": None if outlines is None else tuple(msgspec.json.decode(each) for each in outlines[rows]),
        }

    @property
    def categories(self) -> np.ndarray:
        """The category of each annotation."""
        return self._categories

    @staticmethod
    def _points(ordered: list[CocoAnnotation]) -> np.ndarray:
        most = max((len(each.keypoints) for each in ordered), default=0)
        found = np.zeros((len(ordered), most))
        for row, each in zip(found, ordered, strict=True):
            row[: len(each.keypoints)] = each.keypoints
        return found.reshape(len(ordered), -1, _VALUES_OF_POINT) if most else found.reshape(len(ordered), 0, 3)
