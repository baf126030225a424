"""The XML of one picture in Pascal VOC's form: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
from msgspec import Struct

from edgedeploy.foundation.errors import DatasetError
from edgedeploy.foundation.files import unreadable
from edgedeploy.foundation.reading import PICTURE_LABEL, read_text

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


class VocObjects(Struct, frozen=True, kw_only=True, eq=False):
    """What the file says of the picture."""

    names: tuple[str, ...]
    boxes: np.ndarray
    """float64, shape (objects, 4): x0, y0, x1, y1, the origin at the corner of the picture."""
    is_difficult: np.ndarray
    width: int | None
    height: int | None


def read_voc(file: Path) -> VocObjects:
    """Read the objects of one picture.

    VOC counts pixels from 1, and a box holds its last pixel: what it calls 1 … 10 is 0 … 10 in edges.

    Raises:
        InvalidFileError: it cannot be read.
        DatasetError: it is not XML, has a document type (which can stand for gigabytes), or an object lacks something.
    """
    root = _parsed(file)
    names, boxes, difficult = [], [], []
    for number, found in enumerate(root.iter("object")):
        where = f"{file}: object {number}"
        name = (found.findtext("name") or "").strip()
        if not name:
            raise DatasetError(f"{where} has no name", hint="give it one, or remove it")
        names.append(name)
        corners = [_number(found.find("bndbox"), key, where) for key in _CORNERS]
        boxes.append([corners[0] - 1, corners[1] - 1, *corners[2:]])
        difficult.append((found.findtext("difficult") or "0").strip() == "1")
    size = root.find("size")
    return VocObjects(
        names=tuple(names),
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
        is_difficult=np.array(difficult, bool),
        width=_extent(size, "width"),
        height=_extent(size, "height"),
    )


def _parsed(file: Path) -> ElementTree.Element:
    try:
        text = read_text(file, PICTURE_LABEL)
    except OSError as error:
        raise unreadable(file, error) from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{file} is not text in UTF-8", why=str(error)) from error
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DatasetError(
            f"{file} has a document type, and is not read",
            why="a few bytes of it can stand for gigabytes, and annotations need none",
            hint="remove the line <!DOCTYPE …>",
        )
    try:
        return ElementTree.fromstring(text)  # noqa: S314 - without a document type, which was refused
    except (ElementTree.ParseError, ValueError) as error:
        raise DatasetError(f"{file} is not XML", why=str(error), hint="correct or remove it") from error


def _number(box: ElementTree.Element | None, key: str, where: str) -> float:
    text = box.findtext(key) if box is not None else None
    try:
        return float(text or "")
    except ValueError:
        raise DatasetError(
            f"{where}: {key} is {text!r}" if text else f"{where} has no {key}", hint=f"give it {', '.join(_CORNERS)}"
        ) from None


def _extent(size: ElementTree.Element | None, key: str) -> int | None:
    text = (size.findtext(key) or "") if size is not None else ""
    return int(text) if text.strip().isdecimal() and int(text) else None
