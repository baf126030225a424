"""A real hand-over, made once: the demo's trained model, a small part of its data, and a contract."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

import numpy as np

from edgedeploy.datasets.npz import npz_bytes
from edgedeploy.foundation.files import sha256_file

MODEL = Path(sys.prefix) / "demo-model/rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx"
_CONTRACT = """
schema = 1
[model]
name = "text-direction"
version = "{version}"
framework = "PaddlePaddle"
file = "model.onnx"
sha256 = "{sha256}"
parameters = 133628
[data]
evaluation = "evaluation.npz"
calibration = "calibration.npz"
[optimization]
recipe = "{recipe}"
# Whether 8 bits are slower than float depends on the machine that runs the tests.
allow = ["slower"]
[limits]
{limits}
"""


@functools.cache
def _data() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    from fonts.ttf import font_files

    from edgedeploy.workflows.demo import text_lines

    fonts = [path for _, path in sorted(font_files.items())]
    return {
        "evaluation.npz": text_lines.draw_set(text_lines.EVALUATION_WORDS, fonts, 80, 1),
        "calibration.npz": text_lines.draw_set(text_lines.CALIBRATION_WORDS, fonts, 32, 2),
    }


def hand_over(
    folder: Path,
    *,
    version: str = "2.0",
    recipe: str = "int8",
    limits: str = "metric_min = 0.9\nmetric_max_drop = 0.03\nsize_reduction_min = 0.45",
    calibration_scale: float = 1.0,
    samples: int = 80,
) -> Path:
    """Fill `folder`; return the contract's path.

    Args:
        calibration_scale: with another one than 1, calibration sees another range than the model will: what it makes
            is ruined.
        samples: for the evaluation, of 80.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, arrays in _data().items():
        scale = np.float32(calibration_scale if name == "calibration.npz" else 1.0)
        of_all = slice(samples if name == "evaluation.npz" else None)
        (folder / name).write_bytes(npz_bytes({"x": arrays[0][of_all] * scale, "labels": arrays[1][of_all]}))
    if not (folder / "model.onnx").exists():
        os.link(MODEL, folder / "model.onnx")
    path = folder / "contract.toml"
    path.write_text(_CONTRACT.format(version=version, sha256=sha256_file(MODEL), recipe=recipe, limits=limits))
    return path
