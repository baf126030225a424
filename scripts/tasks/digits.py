"""Handwritten digits on photographs: a detector trained here, with a raw head and with its NMS inside."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx.compose
import onnx.parser
from PIL import Image
from sklearn.datasets import load_digits

from tasks.base import BenchTask
from tasks.files import save_toml, save_yolo
from tasks.workshop import Workshop

SIDE = 96
_MOST = 4
_TRAINED, _CALIBRATION, _EVALUATION = 4000, 100, 300
_NAMES = tuple("0123456789")
_SPLIT = 1200
"""scikit-learn's digits before this one are learned and calibrated with, those from it on judged."""

Picture = tuple[np.ndarray, list[int], list[tuple[float, float, float, float]]]


def drawn(workshop: Workshop, part: str, count: int, seed: int) -> Iterator[Picture]:
    """Pictures with 2 to 4 digits each: pixels (96, 96, 3), classes, boxes around the ink."""
    digits = load_digits()
    chosen = slice(_SPLIT, None) if part == "evaluation" else slice(0, _SPLIT)
    images, targets = digits.images[chosen], digits.target[chosen]
    photographs = workshop.photographs(part)
    rng = np.random.default_rng(seed)
    for _ in range(count):
        canvas = _part_of(photographs[rng.integers(len(photographs))], rng)
        classes: list[int] = []
        boxes: list[tuple[float, float, float, float]] = []
        for _ in range(rng.integers(2, _MOST + 1)):
            which = int(rng.integers(len(images)))
            ink = _ink(images[which], int(rng.integers(18, 41)))
            place = _free_place(ink.shape, boxes, rng)
            if place is None:
                continue
            left, top = place
            height, width = ink.shape
            color = rng.integers(0, 256, 3)
            below = canvas[top : top + height, left : left + width]
            contrast = color if abs(float(color.mean()) - float(below.mean())) > 60 else 255 * (below.mean() < 128)
            covered = ink[..., np.newaxis]
            below[:] = (below * (1 - covered) + contrast * covered).astype(np.uint8)
            classes.append(int(targets[which]))
            boxes.append((left, top, left + width, top + height))
        noisy = canvas + rng.normal(0, rng.choice((0, 4, 8)), canvas.shape)
        yield np.clip(np.rint(noisy), 0, 255).astype(np.uint8), classes, boxes


def _part_of(photograph: Image.Image, rng: np.random.Generator) -> np.ndarray:
    extent = int(min(photograph.size) * rng.uniform(0.3, 1.0))
    left, top = (int(rng.integers(0, full - extent + 1)) for full in photograph.size)
    part = photograph.crop((left, top, left + extent, top + extent)).resize((SIDE, SIDE))
    return np.array(part)


def _ink(digit: np.ndarray, height: int) -> np.ndarray:
    """How much of each pixel is ink, in [0, 1], cut to where there is some."""
    scaled = Image.fromarray((digit * 255 / 16).astype(np.uint8)).resize((height, height), Image.Resampling.BICUBIC)
    values = np.asarray(scaled, dtype=np.float64) / 255
    rows, columns = np.flatnonzero(values.max(axis=1) > 0.3), np.flatnonzero(values.max(axis=0) > 0.3)
    return np.clip(values[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] * 1.3, 0, 1)


def _free_place(
    shape: tuple[int, ...], taken: list[tuple[float, float, float, float]], rng: np.random.Generator
) -> tuple[int, int] | None:
    height, width = shape
    for _ in range(20):
        left, top = int(rng.integers(0, SIDE - width + 1)), int(rng.integers(0, SIDE - height + 1))
        if all(left > x1 or left + width < x0 or top > y1 or top + height < y0 for x0, y0, x1, y1 in taken):
            return left, top
    return None


def _trained(workshop: Workshop) -> Path:
    images = np.empty((_TRAINED, SIDE, SIDE, 3), dtype=np.uint8)
    boxes = np.zeros((_TRAINED, _MOST, 4), dtype=np.float32)
    classes = np.full((_TRAINED, _MOST), -1, dtype=np.int64)
    for index, (pixels, which, where) in enumerate(drawn(workshop, "training", _TRAINED, 1)):
        images[index] = pixels
        classes[index, : len(which)] = which
        boxes[index, : len(where)] = where
    return workshop.trained("detector", {"images": images, "boxes": boxes, "classes": classes})


def _save_data(workshop: Workshop, folder: Path, head: dict[str, object]) -> None:
    for part, count, seed in (("calibration", _CALIBRATION, 2), ("evaluation", _EVALUATION, 3)):
        save_yolo(folder / part, drawn(workshop, part, count, seed), _NAMES)
        source = {
            "path": f"{part}/data.yaml",
            "format": "yolo",
            "split": "val",
            "task": "detection",
            "preprocessing": {"preset": "yolo"},
            "head": head,
        }
        save_toml(folder / f"{part}.toml", source)


def _prepare_raw(workshop: Workshop, folder: Path) -> None:
    shutil.copyfile(_trained(workshop), folder / "model.onnx")
    _save_data(workshop, folder, {"kind": "yolov8", "classes": len(_NAMES)})


def _prepare_nms(workshop: Workshop, folder: Path) -> None:
    onnx.save(with_nms(onnx.load(_trained(workshop))), folder / "model.onnx")
    _save_data(workshop, folder, {"kind": "yolo-nms"})


_NMS = """
<ir_version: 8, opset_import: ["" : 18]>
nms (float[1, channels, cells] raw) => (float[1, 100, 6] detections)
<int64[1] most = {100}, float[1] iou_max = {0.6}, float[1] score_min = {0.01}, int64[2] ends = {4, CLASSES},
 float[1, 1, 1] half = {0.5}, int64 class_place = {1}, int64 cell_place = {2}, int64[2] column = {-1, 1},
 int64[1] first_axis = {0}, int64[4] hundred_rows = {0, 0, 100, 0}, int64 score_place = {4}>
{
  corners, scores = Split <axis = 1> (raw, ends)
  middle, size = Split <axis = 1, num_outputs = 2> (corners)
  reach = Mul (size, half)
  begin = Sub (middle, reach)
  end = Add (middle, reach)
  both = Concat <axis = 1> (begin, end)
  boxes = Transpose <perm = [0, 2, 1]> (both)
  kept = NonMaxSuppression (boxes, scores, most, iou_max, score_min)
  kept_class = Gather <axis = 1> (kept, class_place)
  kept_cell = Gather <axis = 1> (kept, cell_place)
  flat_boxes = Squeeze (boxes, first_axis)
  flat_scores = Squeeze (scores, first_axis)
  kept_boxes = Gather <axis = 0> (flat_boxes, kept_cell)
  class_column = Reshape (kept_class, column)
  cell_column = Reshape (kept_cell, column)
  score_places = Concat <axis = 1> (class_column, cell_column)
  kept_scores = GatherND (flat_scores, score_places)
  score_column = Reshape (kept_scores, column)
  class_numbers = Cast <to = 1> (class_column)
  found = Concat <axis = 1> (kept_boxes, score_column, class_numbers)
  filled = Pad (found, hundred_rows)
  filled_scores = Gather <axis = 1> (filled, score_place)
  best, order = TopK <axis = 0> (filled_scores, most)
  sorted = Gather <axis = 0> (filled, order)
  detections = Unsqueeze (sorted, first_axis)
}
"""


def with_nms(raw: onnx.ModelProto) -> onnx.ModelProto:
    """Put non-maximum suppression behind a head of YOLOv8's layout, as ultralytics exports it with `nms=True`.

    Returns:
        a model with one output (1, 100, 6): x0, y0, x1, y1, score, class, best first; rows of zeros fill up.
    """
    text = _NMS.replace("CLASSES", str(len(_NAMES)))
    suppression = onnx.parser.parse_model(text)
    suppression.ir_version = raw.ir_version
    joined = onnx.compose.merge_models(raw, suppression, io_map=[(raw.graph.output[0].name, "raw")], prefix2="nms/")
    del joined.opset_import[1:]  # it is the same one, twice
    onnx.checker.check_model(joined)
    return joined


RAW = BenchTask(
    name="digit-detector",
    kind="detector with raw head",
    about="digits on photographs, two strides, YOLOv8's layout",
    origin="trained here",
    judged_by="scikit-learn's handwritten digits placed on scikit-image's photographs, others than were learned",
    metric="map",
    max_drop="0.01",
    prepare=_prepare_raw,
)
NMS = BenchTask(
    name="digit-detector-nms",
    kind="detector with NMS inside",
    about="the same, with NonMaxSuppression in the graph",
    origin="trained here",
    judged_by=RAW.judged_by,
    metric="map",
    max_drop="0.01",
    prepare=_prepare_nms,
)
