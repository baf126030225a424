"""Files that are no data: what to do instead."""

from __future__ import annotations

from pathlib import Path

from edgedeploy.foundation.errors import InvalidFileError

_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_MODELS = (
    ".onnx",
    ".tflite",
    ".pt",
    ".pth",
    ".h5",
    ".keras",
    ".safetensors",
    ".engine",
    ".pb",
    ".mlmodel",
    ".ckpt",
    ".gguf",
)


def refuse_foreign(path: Path) -> None:
    """Refuse a file that is known not to be a dataset.

    Raises:
        InvalidFileError: it is an array, a picture, or a model; the message says what to do.
    """
    suffix = path.suffix.lower()
    if suffix == ".npy":
        raise InvalidFileError(
            f"{path} is a single array",
            why="a dataset has an array for each input of the model, by its name, and labels beside them",
            hint=f"numpy.savez('{path.stem}.npz', INPUT=numpy.load('{path.name}'), labels=LABELS)",
        )
    if suffix in _PICTURES:
        raise InvalidFileError(
            f"{path} is one picture",
            why="a dataset is a folder of them",
            hint="name a folder with a sub-folder for each class, or a data.toml",
        )
    if suffix in _MODELS:
        raise InvalidFileError(
            f"{path} is a model, and data is expected here",
            hint="name the data; the model goes where the command's help says MODEL",
        )
