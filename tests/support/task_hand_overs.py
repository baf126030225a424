"""Hand-overs of several tasks as people have them: files, a `data.toml` where something has to be said, and a small
model whose weights are set by hand, so that it is right."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
from onnx import numpy_helper
from PIL import Image

from support.sounds import save_sound

SAMPLES = 12
_COLORS = np.array([[230, 20, 20], [20, 230, 20], [20, 20, 230]], np.uint8)


def _model(path: Path, text: str, **weights: np.ndarray) -> None:
    """Save a graph in ONNX text syntax, whose initializers are given."""
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> {text}')
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _save(path: Path, levels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels).save(path)


def _noise(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    return rng.integers(0, 30, (height, width, 3), dtype=np.uint8)


def classification(folder: Path, rng: np.random.Generator) -> str:
    """A sub-folder for each class. The model: a convolution that takes the mean of each color."""
    for number in range(SAMPLES):
        levels = _noise(rng, 40, 40)
        levels[4:36, 4:36] = _COLORS[number % 3]
        _save(folder / "photos" / ("a-red", "b-green", "c-blue")[number % 3] / f"{number}.jpg", levels)
    weights = np.zeros((3, 3, 8, 8), np.float32)
    weights[range(3), range(3)] = 1 / 64
    _model(
        folder / "model.onnx",
        """g (float[N, 3, 8, 8] x) => (float[N, 3] y)
        { scores = Conv(x, w)  y = Flatten(scores) }""",
        w=weights,
    )
    return "photos"


def detection(folder: Path, rng: np.random.Generator) -> str:
    """COCO. The model has the form of YOLOv8: a box for each of 16 cells, and the color of the cell as its classes."""
    images, objects = [], []
    for number in range(SAMPLES):
        levels = _noise(rng, 32, 32)
        for cell in rng.choice(16, 2, replace=False):
            top, left, kind = 8 * int(cell // 4), 8 * int(cell % 4), int(rng.integers(3))
            levels[top : top + 8, left : left + 8] = _COLORS[kind]
            box = {"bbox": [left, top, 8, 8], "area": 64, "iscrowd": 0}
            objects.append({"id": len(objects) + 1, "image_id": number, "category_id": kind + 1, **box})
        images.append({"id": number, "file_name": f"{number}.png", "width": 32, "height": 32})
        _save(folder / f"coco/images/{number}.png", levels)
    names = [{"id": 1, "name": "red"}, {"id": 2, "name": "green"}, {"id": 3, "name": "blue"}]
    document = {"images": images, "annotations": objects, "categories": names}
    (folder / "coco/annotations.json").write_text(json.dumps(document))
    weights = np.zeros((3, 3, 8, 8), np.float32)
    weights[range(3), range(3)] = 1 / 64
    rows, columns = np.divmod(np.arange(16), 4)
    boxes = np.stack([8 * columns + 4, 8 * rows + 4, np.full(16, 8), np.full(16, 8)]).astype(np.float32)
    _model(
        folder / "model.onnx",
        """g (float[1, 3, 32, 32] x) => (float[1, 7, 16] y)
        <int64[3] shape = {1, 3, 16}>
        {
            cells = Conv<strides = [8, 8]>(x, w)
            classes = Reshape(cells, shape)
            y = Concat<axis = 1>(boxes, classes)
        }""",
        w=weights,
        boxes=boxes[np.newaxis],
    )
    return "coco"


def speech(folder: Path, rng: np.random.Generator) -> str:
    """Recordings and their transcripts. In this language, an «a» is a voltage above zero, a «b» one below."""
    lines = []
    for number in range(SAMPLES):
        text = "".join(rng.choice(list("ab"), 5))
        samples = np.zeros(1600)
        for place, letter in enumerate(text):
            samples[320 * place : 320 * place + 160] = 0.5 if letter == "a" else -0.5
        save_sound(folder / f"speech/{number}.wav", samples + rng.normal(0, 0.01, 1600))
        lines.append(json.dumps({"file": f"{number}.wav", "text": text}))
    (folder / "speech/manifest.jsonl").write_text("\n".join(lines) + "\n")
    weights = np.stack([np.zeros(160), np.full(160, 1 / 160), np.full(160, -1 / 160)]).astype(np.float32)
    _model(
        folder / "model.onnx",
        """g (float[1, 1600] x) => (float[1, 10, 3] y)
        <int64[3] shape = {1, 1, 1600}, float[3] bias = {0.25, 0.0, 0.0}>
        {
            row = Reshape(x, shape)
            steps = Conv<strides = [160]>(row, w, bias)
            y = Transpose<perm = [0, 2, 1]>(steps)
        }""",
        w=weights[:, np.newaxis],
    )
    (folder / "data.toml").write_text(
        'path = "speech/manifest.jsonl"\n[preprocessing]\nfeatures = "samples"\n'
        '[head]\nkind = "ctc"\noptions = { alphabet = "_ab" }\n'
    )
    return "data.toml"


HAND_OVERS: dict[str, tuple[Callable[[Path, np.random.Generator], str], str, float]] = {
    "classification": (classification, "top1", 1.0),
    "detection": (detection, "map", 1.0),
    "speech": (speech, "wer", 0.0),
}
"""By task: what fills a folder and returns the data's path in it, the task's metric, and what the model reaches."""
