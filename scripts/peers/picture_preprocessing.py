"""What the field's own code makes of pictures, recorded for the tests of `edgedeploy.datasets.preprocessing`.

Usage: python picture_preprocessing.py FOLDER

In an environment with what `picture_preprocessing.lock` pins. Writes into FOLDER (`tests/data/preprocessing`):
`turned.jpg`, a picture with an EXIF orientation; `pictures.npz`, the small source; `digests.json`, the SHA-256 of
results: of the small source, and, named `large/…`, in the sizes that models have, of it tiled to 611 x 610 pixels.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import cv2  # type: ignore[import-not-found]
import numpy as np
from open_clip.transform import image_transform  # type: ignore[import-not-found]
from PIL import Image
from torchvision.transforms import InterpolationMode  # type: ignore[import-not-found]
from torchvision.transforms import functional as pictures
from torchvision.transforms._presets import ImageClassification  # type: ignore[import-not-found]
from ultralytics.data.augment import LetterBox  # type: ignore[import-not-found]

TILES = (13, 10, 1)
"""Of the small source in the large one; the tests have the same."""
_OPENCV = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
}
_INEXACT = "opencv/bicubic/larger"
"""On x86-64 OpenCV's wheel has Intel's library do it, which rounds otherwise: recorded whole, the rest as digests."""
_SIZES = {"smaller": (20, 27), "half": (24, 31), "third": (16, 21), "larger": (53, 64)}


def source() -> np.ndarray:
    """A picture with slopes, edges and noise: uint8, shape (47, 61, 3)."""
    rng = np.random.default_rng(15)
    rows, columns = np.mgrid[:47, :61]
    slopes = np.stack([rows * 5, columns * 4, (rows + columns) * 2], -1) % 256
    noise = rng.integers(0, 256, slopes.shape)
    return np.where(((rows // 8 + columns // 8) % 2 == 0)[..., None], slopes, noise).astype(np.uint8)


def resized(picture: np.ndarray) -> dict[str, np.ndarray]:
    """The picture in other sizes, by torchvision (on a PIL picture) and OpenCV."""
    found = {}
    for name, (height, width) in _SIZES.items():
        for method in ("nearest", "bilinear", "bicubic", "box", "lanczos"):
            result = pictures.resize(Image.fromarray(picture), [height, width], InterpolationMode(method))
            found[f"torchvision/{method}/{name}"] = np.asarray(result)
        # Of exactly two or three old pixels for a new one.
        part = picture[: height * (47 // height or 1), : width * (61 // width or 1)] if height < 47 else picture
        for method, flag in _OPENCV.items():
            found[f"opencv/{method}/{name}"] = cv2.resize(part, (width, height), interpolation=flag)
    return found


def letterboxed(picture: np.ndarray) -> dict[str, np.ndarray]:
    """The picture in a frame, by ultralytics."""
    found = {}
    for name, image in {"wide": picture, "high": picture.transpose(1, 0, 2), "small": picture[:11, :15]}.items():
        image = np.ascontiguousarray(image)
        for size in ((32, 40), (33, 33)):
            shape = f"{size[0]}x{size[1]}"
            found[f"ultralytics/{name}/{shape}"] = LetterBox(size, auto=False)(image=image)
            found[f"ultralytics-fixed/{name}/{shape}"] = LetterBox(size, auto=False, scaleup=False)(image=image)
            found[f"ultralytics-corner/{name}/{shape}"] = LetterBox(size, auto=False, center=False)(image=image)
    return found


def prepared(picture: np.ndarray, resized_to: int, size: int, letterbox: tuple[int, int]) -> dict[str, np.ndarray]:
    """What models get, float32 (channels, height, width): of a wide and a high picture."""
    found = {}
    for name, image in {"wide": picture, "high": np.ascontiguousarray(picture.transpose(1, 0, 2))}.items():
        opened = Image.fromarray(image)
        imagenet: Any = ImageClassification(crop_size=size, resize_size=resized_to)
        found[f"imagenet/{name}"] = imagenet(opened).numpy()
        found[f"clip/{name}"] = image_transform(size, is_train=False)(opened).numpy()
        framed = LetterBox(letterbox, auto=False)(image=image)
        # As `ultralytics.engine.predictor.BasePredictor.preprocess`, but for the order of colors.
        found[f"yolo/{name}"] = np.ascontiguousarray(framed.transpose(2, 0, 1)).astype(np.float32) / np.float32(255)
    return found


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    picture = source()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.kron(picture[:20, :30], np.ones((3, 3, 1), np.uint8))).save(folder / "turned.jpg", exif=exif)
    results = {"opencv/turned": cv2.imread(str(folder / "turned.jpg"))} | resized(picture) | letterboxed(picture)
    results |= {f"small/{name}": values for name, values in prepared(picture, 28, 24, (32, 40)).items()}
    results |= {
        f"large/{name}": values for name, values in prepared(np.tile(picture, TILES), 256, 224, (640, 640)).items()
    }
    whole = {"source": picture, **{name: values for name, values in results.items() if name.startswith(_INEXACT)}}
    np.savez_compressed(folder / "pictures.npz", **whole)
    digests = {name: digest(values) for name, values in results.items() if not name.startswith(_INEXACT)}
    (folder / "digests.json").write_text(json.dumps(digests, indent=2) + "\n")


def digest(values: np.ndarray) -> str:
    """Shape, type and SHA-256 of an array."""
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    shape = "x".join(map(str, values.shape))
    return f"{values.dtype} {shape} {hashlib.sha256(little.tobytes()).hexdigest()}"


if __name__ == "__main__":
    main()
