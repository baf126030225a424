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
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
_OTHERS = {
    ".tfrecord": "records of TensorFlow",
    ".pkl": "a pickle, which would run code when it is read",
    ".pickle": "a pickle, which would run code when it is read",
    ".mat": "a file of MATLAB",
    ".lmdb": "a database",
    ".hdf5": "a file of HDF5",
    ".mp4": "a video",
    ".avi": "a video",
    ".mov": "a video",
}


def refuse_foreign(path: Path) -> None:
    """Refuse a file that is known not to be a dataset.

    Raises:
        InvalidFileError: it is an array, a picture, a model, an archive, or of a format that is not read; the message
            says what to do.
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
    if suffix in _ARCHIVES:
        raise InvalidFileError(
            f"{path} is an archive, and data is read from files", hint="unpack it, and name the folder"
        )
    if suffix in _OTHERS:
        raise InvalidFileError(
            f"{path} is {_OTHERS[suffix]}, which is not read",
            why="formats that are read: edgedeploy data show --help, docs/data.md",
            hint="save its samples as pictures, recordings, CSV, JSON lines or .npz",
        )
