"""Small pictures and sets of them, as people have them on their disks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edgedeploy.values.model import TensorFacts

PICTURE = TensorFacts(name="x", dtype="float32", shape=("N", 3, 8, 8))
"""The input of a model for pictures of 8 × 8."""
STRETCH: dict[str, Any] = {"resize": "stretch"}
LETTERBOX: dict[str, Any] = {"preset": "yolo"}
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def picture(path: Path, color: tuple[int, int, int] = RED, size: tuple[int, int] = (8, 8)) -> Path:
    """Save a picture of one color; `size` is width and height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)
    return path


def gray(path: Path, levels: np.ndarray) -> Path:
    """Save an array of shape (height, width) as it is: uint8 or uint16."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels).save(path)
    return path


def class_folders(folder: Path, counts: Mapping[str, int]) -> Path:
    """Make a folder for each class, with so many pictures in it, each class of a color of its own."""
    for number, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for each in range(count):
            picture(folder / name / f"{each:03}.png", (RED, GREEN, BLUE)[number % 3])
    return folder


def coco(
    folder: Path,
    annotations: Sequence[Mapping[str, Any]],
    *,
    size: tuple[int, int] = (16, 8),
    names: Sequence[str] = ("cat", "dog"),
    pictures: int = 1,
) -> Path:
    """Make `images/N.png` and `annotations.json`; categories have the ids 3, 6, 9 …"""
    for number in range(pictures):
        picture(folder / f"images/{number}.png", size=size)
    document = {
        "images": [
            {"id": 100 + number, "file_name": f"{number}.png", "width": size[0], "height": size[1]}
            for number in range(pictures)
        ],
        "categories": [{"id": 3 * (number + 1), "name": name} for number, name in enumerate(names)],
        "annotations": [
            {"id": number, "image_id": 100, "category_id": 3, **each} for number, each in enumerate(annotations)
        ],
    }
    (folder / "annotations.json").write_text(json.dumps(document))
    return folder


def yolo(folder: Path, rows: Mapping[str, str], *, size: tuple[int, int] = (16, 8), yaml: str = "") -> Path:
    """Make `data.yaml`, `images/val/NAME.png` and `labels/val/NAME.txt`."""
    (folder / "labels/val").mkdir(parents=True)
    for name, row in rows.items():
        picture(folder / f"images/val/{name}.png", size=size)
        (folder / f"labels/val/{name}.txt").write_text(row)
    (folder / "data.yaml").write_text(f"path: .\nval: images/val\nnames:\n  0: cat\n  1: dog\n{yaml}")
    return folder


def voc(
    folder: Path, objects: Mapping[str, Sequence[tuple[str, int, int, int, int]]], size: tuple[int, int] = (16, 8)
) -> Path:
    """Make `JPEGImages/NAME.jpg` and `Annotations/NAME.xml`; objects are name, xmin, ymin, xmax, ymax."""
    (folder / "Annotations").mkdir(parents=True)
    for stem, found in objects.items():
        picture(folder / f"JPEGImages/{stem}.jpg", size=size)
        boxes = "".join(
            f"<object><name>{name}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
            "</bndbox></object>"
            for name, x0, y0, x1, y1 in found
        )
        extent = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
        (folder / f"Annotations/{stem}.xml").write_text(f"<annotation>{extent}{boxes}</annotation>")
    return folder
