"""Write data as people have it: pictures with COCO or YOLO labels, masks, pairs, recordings, and `data.toml`."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Boxes = Sequence[tuple[float, float, float, float]]
"""left, top, right, bottom in pixels."""


def save_toml(path: Path, values: Mapping[str, Any]) -> None:
    """Write a `data.toml`: keys first, then tables. Strings, numbers, truth values, lists of them, tables."""
    path.write_text("\n".join(_lines(values, "")) + "\n", encoding="utf-8")


def _lines(values: Mapping[str, Any], prefix: str) -> list[str]:
    lines = [f"{key} = {_literal(value)}" for key, value in values.items() if not isinstance(value, Mapping)]
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines += ["", f"[{prefix}{key}]", *_lines(value, f"{prefix}{key}.")]
    return lines


def _literal(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_literal, value))}]"
    # JSON's strings, numbers and truth values are TOML's too.
    return json.dumps(value, ensure_ascii=False)


def save_png(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 (height, width[, 3])."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=1)


def save_coco(
    folder: Path,
    pictures: Iterable[tuple[np.ndarray, Sequence[Mapping[str, Any]]]],
    class_names: Sequence[str],
    *,
    category: Mapping[str, Any] | None = None,
) -> None:
    """Write `images/` and `annotations.json`.

    Args:
        pictures: pixels, and the annotations of each: `bbox` (left, top, width, height), `category_id` from 1, and what
            else COCO has.
        category: what every category has beside its name, such as the names of keypoints.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (pixels, objects) in enumerate(pictures, start=1):
        name = f"{number:05}.png"
        save_png(folder / "images" / name, pixels)
        images.append({"id": number, "file_name": name, "height": pixels.shape[0], "width": pixels.shape[1]})
        for each in objects:
            width, height = each["bbox"][2:]
            entry = {"id": len(annotations) + 1, "image_id": number, "iscrowd": 0, "area": width * height, **each}
            annotations.append(entry)
    categories = [{"id": place, "name": name, **(category or {})} for place, name in enumerate(class_names, start=1)]
    text = json.dumps({"images": images, "annotations": annotations, "categories": categories})
    (folder / "annotations.json").write_text(text, encoding="utf-8")


def save_yolo(
    folder: Path, pictures: Iterable[tuple[np.ndarray, Sequence[int], Boxes]], class_names: Sequence[str]
) -> None:
    """Write `images/val`, `labels/val` and `data.yaml`, as ultralytics has them.

    Args:
        pictures: pixels, and class and box of each object.
    """
    for number, (pixels, classes, boxes) in enumerate(pictures):
        save_png(folder / "images" / "val" / f"{number:05}.png", pixels)
        height, width = pixels.shape[:2]
        lines = [
            f"{which} {(x0 + x1) / 2 / width:.6f} {(y0 + y1) / 2 / height:.6f} {(x1 - x0) / width:.6f} "
            f"{(y1 - y0) / height:.6f}"
            for which, (x0, y0, x1, y1) in zip(classes, boxes, strict=True)
        ]
        labels = folder / "labels" / "val" / f"{number:05}.txt"
        labels.parent.mkdir(parents=True, exist_ok=True)
        labels.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    names = "".join(f"  {place}: {json.dumps(name)}\n" for place, name in enumerate(class_names))
    (folder / "data.yaml").write_text(f"train: images/val\nval: images/val\nnames:\n{names}", encoding="utf-8")


def save_wav(path: Path, sound: np.ndarray, rate_hz: int) -> None:
    """Write one channel in [-1, 1] with 16 bits."""
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, rate_hz, subtype="PCM_16")


def save_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table with a header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def save_json_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write an object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), encoding="utf-8")
