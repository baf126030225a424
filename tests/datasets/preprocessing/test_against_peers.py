"""Pictures are prepared as torchvision, OpenCLIP, OpenCV and ultralytics prepare them, to the last bit.

What they make of the same pictures was recorded by `scripts/peers/picture_preprocessing.py`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgedeploy.datasets.preprocessing import presets
from edgedeploy.datasets.preprocessing.decode import decode_picture
from edgedeploy.datasets.preprocessing.images import prepare_picture
from edgedeploy.datasets.preprocessing.resampling import resample
from edgedeploy.values.model import TensorFacts
from edgedeploy.values.preprocessing import ImagePreprocessing

pytest.importorskip("PIL")

RECORDED = Path(__file__).parents[2] / "data/preprocessing"
DIGESTS: dict[str, str] = json.loads((RECORDED / "digests.json").read_text())
SIZES = {"smaller": (20, 27), "half": (24, 31), "third": (16, 21), "larger": (53, 64)}
TILES = (13, 10, 1)
"""As the script tiles the small source to the large one."""
LETTERBOXES = {
    "ultralytics": {},
    "ultralytics-fixed": {"letterbox_enlarge": False},
    "ultralytics-corner": {"letterbox_center": False},
}


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    with np.load(RECORDED / "pictures.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def source(recorded: dict[str, np.ndarray]) -> np.ndarray:
    return recorded["source"]


def digest(values: np.ndarray) -> str:
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    shape = "x".join(map(str, values.shape))
    return f"{values.dtype} {shape} {hashlib.sha256(little.tobytes()).hexdigest()}"


def prepared(picture: np.ndarray, table: dict[str, Any], tensor: TensorFacts) -> np.ndarray:
    return prepare_picture(np.ascontiguousarray(picture), presets.resolve(table, tensor), tensor).values


def floats(height: int, width: int) -> TensorFacts:
    return TensorFacts(name="x", dtype="float32", shape=("batch", 3, height, width))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic", "area", "lanczos"])
def test_with_antialias_it_is_resized_as_torchvision_does_with_pillow(source, method, size):
    found = resample(source, SIZES[size], method, antialias=True)
    assert digest(found) == DIGESTS[f"torchvision/{'box' if method == 'area' else method}/{size}"]


def opencv_source(source: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """What the script resized: smaller sizes divide it."""
    height, width = source.shape[:2]
    return source[: size[0] * (height // size[0] or 1), : size[1] * (width // size[1] or 1)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic", "area"])
def test_without_antialias_it_is_resized_as_opencv_does(source, recorded, method, size):
    part = source if size == "larger" else opencv_source(source, SIZES[size])
    found = resample(part, SIZES[size], method, antialias=False)
    name = f"opencv/{method}/{size}"
    if name in DIGESTS:
        assert digest(found) == DIGESTS[name]
    else:  # one of 255 levels, where Intel's library rounds otherwise
        difference = np.abs(found.astype(int) - recorded[name])
        assert difference.max() <= 1 and (difference > 0).mean() < 0.05


@pytest.mark.parametrize("size", [(32, 40), (33, 33)])
@pytest.mark.parametrize("kind", LETTERBOXES)
@pytest.mark.parametrize("picture", ["wide", "high", "small"])
def test_it_is_letterboxed_as_ultralytics_does(source, picture, kind, size):
    image = {"wide": source, "high": source.transpose(1, 0, 2), "small": source[:11, :15]}[picture]
    tensor = TensorFacts(name="x", dtype="uint8", shape=(1, *size, 3))
    found = prepared(image, {"preset": "yolo", **LETTERBOXES[kind]}, tensor)
    assert digest(found) == DIGESTS[f"{kind}/{picture}/{size[0]}x{size[1]}"]


@pytest.mark.parametrize("picture", ["wide", "high"])
def test_the_presets_give_the_models_input_to_the_last_bit(source, picture):
    small = source if picture == "wide" else source.transpose(1, 0, 2)
    large = np.tile(source, TILES)
    large = large if picture == "wide" else large.transpose(1, 0, 2)
    imagenet = {"preset": "imagenet", "size": [28, 28], "crop": [24, 24]}
    for name, values in {
        "small/imagenet": prepared(small, imagenet, floats(24, 24)),
        "small/clip": prepared(small, {"preset": "clip"}, floats(24, 24)),
        "small/yolo": prepared(small, {"preset": "yolo"}, floats(32, 40)),
        "large/imagenet": prepared(large, {"preset": "imagenet"}, floats(224, 224)),
        "large/clip": prepared(large, {"preset": "clip"}, floats(224, 224)),
        "large/yolo": prepared(large, {"preset": "yolo"}, floats(640, 640)),
    }.items():
        assert digest(values) == DIGESTS[f"{name}/{picture}"], name


def test_a_jpeg_file_is_decoded_and_turned_as_opencv_does():
    found = decode_picture(RECORDED / "turned.jpg", ImagePreprocessing(color="bgr"))
    assert digest(found.pixels) == DIGESTS["opencv/turned"]
