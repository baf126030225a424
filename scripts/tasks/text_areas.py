"""Where text is on a page: PP-OCRv4's detector, a segmentation network."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from benchmarks import ROOT
from wild.pictures import pages

from tasks.base import BenchTask
from tasks.files import save_png, save_toml
from tasks.workshop import Workshop

_MODEL = ROOT / ".venv" / "demo-model" / "rapidocr_onnxruntime" / "models" / "ch_PP-OCRv4_det_infer.onnx"
_SIDE = 320
_CALIBRATION, _EVALUATION = 64, 150


def _prepare(_: Workshop, folder: Path) -> None:
    shutil.copyfile(_MODEL, folder / "model.onnx")
    for part, count, seed in (("calibration", _CALIBRATION, 20261), ("evaluation", _EVALUATION, 20262)):
        drawn = pages(part, count, seed, _SIDE)
        # They come as the model takes them: from -1 to 1, blue before red.
        pixels = np.rint((drawn["x"][:, ::-1] * 0.5 + 0.5) * 255).astype(np.uint8).transpose(0, 2, 3, 1)
        for number, (picture, mask) in enumerate(zip(pixels, drawn["labels"], strict=True)):
            save_png(folder / part / "images" / f"{number:04}.png", picture)
            save_png(folder / part / "masks" / f"{number:04}.png", mask)
        source = {
            "path": part,
            "format": "masks",
            "task": "segmentation",
            "class_names": ["page", "text"],
            "preprocessing": {"color": "bgr", "size": [_SIDE, _SIDE], "mean": [0.5], "std": [0.5]},
            "head": {"kind": "segmentation", "options": {"scores": "probability"}},
        }
        save_toml(folder / f"{part}.toml", source)


TASK = BenchTask(
    name="text-areas",
    kind="segmentation",
    about="PP-OCRv4 text detection",
    origin="rapidocr-onnxruntime",
    judged_by="drawn pages, the areas of their lines drawn in as the network was taught",
    metric="miou",
    max_drop="0.01",
    prepare=_prepare,
)
