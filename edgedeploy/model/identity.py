"""What a model is told by: the SHA-256 of its file and of its external data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from edgedeploy.foundation.files import read_chunks, sha256_file
from edgedeploy.model.load import external_files, is_tflite, read_onnx


def sha256_of_model(path: Path) -> str:
    """Return the SHA-256 that contract, evidence, bundle and cache know a model by.

    Of a model in one file it is what `sha256sum` prints. Where weights are external data, their files follow the
    model's in name order: `cat model.onnx model.onnx.data | sha256sum`.

    Raises:
        InvalidFileError: the file or its external data is missing or not what it should be.
        UnsupportedError: it is over 2 GB in one file.
    """
    if is_tflite(path):
        return sha256_file(path)
    return sha256_of_files((path, *external_files(read_onnx(path), path)))[0]


def sha256_of_files(files: Iterable[Path]) -> tuple[str, int]:
    """Return the SHA-256 of files put one behind the other, and how many bytes that are.

    Raises:
        InvalidFileError: one cannot be read.
    """
    digest, size_bytes = hashlib.sha256(), 0
    for file in files:
        for chunk in read_chunks(file):
            digest.update(chunk)
            size_bytes += len(chunk)
    return digest.hexdigest(), size_bytes
