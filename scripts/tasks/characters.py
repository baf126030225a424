"""Characters in a picture: ddddocr's YOLOX."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from wild.pictures import scattered_characters

from tasks.base import BenchTask
from tasks.files import save_coco, save_toml
from tasks.workshop import Workshop

_CALIBRATION, _EVALUATION = 64, 200


def _prepare(workshop: Workshop, folder: Path) -> None:
    shutil.copyfile(workshop.packages / "ddddocr" / "common_det.onnx", folder / "model.onnx")
    for part, count, seed in (("calibration", _CALIBRATION, 20261), ("evaluation", _EVALUATION, 20262)):
        drawn = scattered_characters(count, seed)
        pictures = (
            (
                np.ascontiguousarray(picture[::-1].transpose(1, 2, 0).astype(np.uint8)),
                [_annotation(box) for box in boxes if box[2] > box[0]],
            )
            for picture, boxes in zip(drawn["images"], drawn["labels"], strict=True)
        )
        save_coco(folder / part, pictures, ["character"])
        source = {
            "path": f"{part}/images",
            "labels": f"{part}/annotations.json",
            "format": "coco",
            "task": "detection",
            "preprocessing": {"color": "bgr", "scale": 1.0, "resize": "letterbox", "letterbox_center": False},
            "head": {"kind": "yolox", "classes": 1},
        }
        save_toml(folder / f"{part}.toml", source)


def _annotation(box: np.ndarray) -> dict[str, object]:
    left, top, right, bottom = (float(value) for value in box)
    return {"category_id": 1, "bbox": [left, top, right - left, bottom - top]}


TASK = BenchTask(
    name="character-detector",
    kind="detector with raw head",
    about="characters of captchas, YOLOX",
    origin="ddddocr",
    judged_by="drawn characters, boxes around their ink; map at IoU 0.5, as the model draws its boxes wider",
    metric="map50",
    max_drop="0.01",
    prepare=_prepare,
)
