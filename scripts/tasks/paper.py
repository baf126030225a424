"""A sheet of paper in a photograph: where its corners, the middles of its edges and its middle are."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tasks.base import BenchTask
from tasks.files import save_coco, save_toml
from tasks.workshop import Workshop

SIDE = 96
_TRAINED, _CALIBRATION, _EVALUATION = 4000, 100, 300
_POINTS = "top-left top top-right left middle right bottom-left bottom bottom-right".split()
_SHEET = (90, 126)
"""Width and height of the sheet before it is put into perspective."""


def drawn(workshop: Workshop, part: str, count: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pixels (96, 96, 3), and the nine points in them: float64 (9, 2)."""
    photographs = workshop.photographs(part)
    rng = np.random.default_rng(seed)
    pens = random.Random(seed)
    for _ in range(count):
        photograph = photographs[rng.integers(len(photographs))]
        extent = int(min(photograph.size) * rng.uniform(0.3, 1.0))
        left, top = (int(rng.integers(0, full - extent + 1)) for full in photograph.size)
        scene = photograph.crop((left, top, left + extent, top + extent)).resize((SIDE, SIDE))
        corners = _corners(rng)
        to_sheet = _homography(corners, _rectangle())
        sheet, cover = _sheet(pens), Image.new("L", _SHEET, 255)
        placed = sheet.transform(
            (SIDE, SIDE), Image.Transform.PERSPECTIVE, tuple(to_sheet.flatten()[:8]), Image.Resampling.BILINEAR
        )
        mask = cover.transform(
            (SIDE, SIDE), Image.Transform.PERSPECTIVE, tuple(to_sheet.flatten()[:8]), Image.Resampling.BILINEAR
        )
        scene.paste(placed, mask=mask)
        pixels = np.asarray(scene, dtype=np.float64) * rng.uniform(0.5, 1.1)
        pixels += rng.normal(0, rng.choice((0, 4, 8)), pixels.shape)
        yield np.clip(np.rint(pixels), 0, 255).astype(np.uint8), _points(np.linalg.inv(to_sheet))


def _rectangle() -> np.ndarray:
    width, height = _SHEET
    return np.array([(0, 0), (width, 0), (0, height), (width, height)], dtype=np.float64)


def _corners(rng: np.random.Generator) -> np.ndarray:
    """Top left, top right, bottom left, bottom right of the sheet in the picture, all inside it."""
    while True:
        size = rng.uniform(0.45, 0.85) * SIDE
        angle = rng.uniform(-0.5, 0.5)
        shape = _rectangle() / _SHEET[1] * size
        shape -= shape.mean(axis=0)
        turn = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
        corners = shape @ turn.T + rng.normal(0, 0.05 * size, (4, 2)) + SIDE / 2 + rng.uniform(-0.2, 0.2, 2) * SIDE
        if corners.min() > 2 and corners.max() < SIDE - 2:
            found: np.ndarray = corners
            return found


def _homography(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The 3 × 3 matrix that takes four points to four others (Hartley and Zisserman, section 4.1)."""
    rows, values = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [(x, y, 1, 0, 0, 0, -u * x, -u * y), (0, 0, 0, x, y, 1, -v * x, -v * y)]
        values += [u, v]
    return np.append(np.linalg.solve(np.array(rows), np.array(values)), 1.0).reshape(3, 3)


def _points(to_picture: np.ndarray) -> np.ndarray:
    width, height = _SHEET
    grid = [(x * width / 2, y * height / 2, 1.0) for y in range(3) for x in range(3)]
    found = np.array(grid) @ to_picture.T
    points: np.ndarray = found[:, :2] / found[:, 2:]
    return points


def _sheet(pens: random.Random) -> Image.Image:
    """A page with something written, its top heavier than its bottom."""
    paper = tuple(pens.randint(200, 255) for _ in range(3))
    page = Image.new("RGB", _SHEET, paper)
    pen = ImageDraw.Draw(page)
    font = ImageFont.load_default(14)
    pen.text(
        (8, 6), "".join(pens.choices("ABCDEFGHKLMNPRSTUVWXYZ", k=pens.randint(3, 7))), fill=(30, 30, 60), font=font
    )
    for line in range(pens.randint(3, 9)):
        y = 30 + line * 10
        pen.line((8, y, pens.randint(30, _SHEET[0] - 8), y), fill=(90, 90, 90), width=2)
    return page


def _prepare(workshop: Workshop, folder: Path) -> None:
    images = np.empty((_TRAINED, SIDE, SIDE, 3), dtype=np.uint8)
    points = np.empty((_TRAINED, len(_POINTS), 2), dtype=np.float32)
    for index, (pixels, found) in enumerate(drawn(workshop, "training", _TRAINED, 1)):
        images[index], points[index] = pixels, found / SIDE
    shutil.copyfile(workshop.trained("keypoints", {"images": images, "points": points}), folder / "model.onnx")
    for part, count, seed in (("calibration", _CALIBRATION, 2), ("evaluation", _EVALUATION, 3)):
        pictures = ((pixels, [_annotation(found)]) for pixels, found in drawn(workshop, part, count, seed))
        save_coco(folder / part, pictures, ["paper"], category={"keypoints": _POINTS, "skeleton": []})
        source = {
            "path": f"{part}/images",
            "labels": f"{part}/annotations.json",
            "format": "coco",
            "task": "keypoints",
            "preprocessing": {"resize": "stretch"},
            "head": {"kind": "keypoints", "keypoints": len(_POINTS), "options": {"normalized": True}},
        }
        save_toml(folder / f"{part}.toml", source)


def _annotation(points: np.ndarray) -> dict[str, object]:
    left, top = (float(value) for value in points.min(axis=0))
    right, bottom = (float(value) for value in points.max(axis=0))
    flat = [round(float(value), 3) for x, y in points for value in (x, y, 2)]
    return {
        "category_id": 1,
        "bbox": [round(value, 3) for value in (left, top, right - left, bottom - top)],
        "keypoints": flat,
        "num_keypoints": len(points),
    }


TASK = BenchTask(
    name="paper-corners",
    kind="keypoints",
    about="nine points of a sheet of paper, a small convolutional network",
    origin="trained here",
    judged_by="drawn sheets in perspective on scikit-image's photographs, others than were learned",
    metric="keypoint-map",
    max_drop="0.01",
    prepare=_prepare,
)
