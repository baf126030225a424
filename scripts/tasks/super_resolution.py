"""Photographs made twice as large: pairs of pictures."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tasks.base import BenchTask
from tasks.files import save_png, save_toml
from tasks.workshop import Workshop

SIDE = 64
_TRAINED, _CALIBRATION, _EVALUATION = 1500, 64, 150


def cut(workshop: Workshop, part: str, count: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Parts of photographs at half size (64, 64, 3) and whole (128, 128, 3), uint8."""
    photographs = workshop.photographs(part)
    rng = np.random.default_rng(seed)
    for _ in range(count):
        photograph = photographs[rng.integers(len(photographs))]
        # Larger parts are made smaller first, so that what JPEG left in them goes.
        extent = 2 * SIDE * int(rng.integers(1, 3))
        left, top = (int(rng.integers(0, full - extent + 1)) for full in photograph.size)
        part_of = photograph.crop((left, top, left + extent, top + extent))
        large = part_of.resize((2 * SIDE, 2 * SIDE), Image.Resampling.BICUBIC)
        yield np.asarray(large.resize((SIDE, SIDE), Image.Resampling.BICUBIC)), np.asarray(large)


def _prepare(workshop: Workshop, folder: Path) -> None:
    pairs = list(cut(workshop, "training", _TRAINED, 1))
    arrays = {"small": np.stack([small for small, _ in pairs]), "large": np.stack([large for _, large in pairs])}
    shutil.copyfile(workshop.trained("super_resolution", arrays), folder / "model.onnx")
    for part, count, seed in (("calibration", _CALIBRATION, 2), ("evaluation", _EVALUATION, 3)):
        for number, (small, large) in enumerate(cut(workshop, part, count, seed)):
            save_png(folder / part / "small" / f"{number:04}.png", small)
            save_png(folder / part / "large" / f"{number:04}.png", large)
        source = {
            "path": f"{part}/small",
            "labels": f"{part}/large",
            "format": "picture-pairs",
            "task": "picture-to-picture",
            "preprocessing": {"resize": "none"},
        }
        save_toml(folder / f"{part}.toml", source)


TASK = BenchTask(
    name="super-resolution",
    kind="picture-to-picture",
    about="ESPCN, photographs made twice as large",
    origin="trained here",
    judged_by="parts of scikit-image's photographs, others than were learned, against the larger original",
    metric="psnr",
    max_drop="1%",
    prepare=_prepare,
)
