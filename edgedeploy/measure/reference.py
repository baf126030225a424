"""Find the model that a release was compiled from, to run it on this machine and compare."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath

from edgedeploy.device.connection import Connection
from edgedeploy.foundation.errors import InvalidFileError, UnsupportedError
from edgedeploy.foundation.progress import Progress
from edgedeploy.measure.fetch import fetch_model
from edgedeploy.model.cache import kept_model
from edgedeploy.model.identity import sha256_of_model
from edgedeploy.model.load import read_in_one_piece
from edgedeploy.values.bundle import Release

_MODELS = (".onnx", ".tflite")


def reference_model(connection: Connection, release: Release, progress: Progress, given: Path | None = None) -> bytes:
    """Return the serialized model whose answers the release should give.

    That is the given file, if it is the one that was compiled; else the release's own model file, fetched from the
    device and verified; else, where that is a program, the model that this machine kept when it compiled it.

    Raises:
        InvalidFileError: the given file cannot be read, or is another model.
        UnsupportedError: the release is a program, and its model is not on this machine.
        IntegrityError, DeviceError, UnreachableError: as `fetch_model`.
    """
    manifest = release.manifest
    if given is not None:
        return _given(given, manifest.model.sha256)
    if PurePosixPath(manifest.model_file).suffix in _MODELS:
        return fetch_model(connection, release, progress)
    kept = kept_model(manifest.model.sha256)
    if kept is None:
        raise UnsupportedError(
            f"the model of {release.id} was compiled into a program, which this machine cannot run",
            why="the model itself is not on the device, and was not compiled on this machine",
            hint="give the model that was compiled, with --model FILE",
        )
    return kept


def _given(path: Path, sha256: str) -> bytes:
    found, content = sha256_of_model(path), read_in_one_piece(path)
    # Bundles of before name a model with external data by the one file that it became.
    if sha256 not in (found, hashlib.sha256(content).hexdigest()):
        raise InvalidFileError(
            f"{path} is not the model that the release was compiled from",
            why=f"its SHA-256 is {found[:12]}…, and the release's manifest names {sha256[:12]}…",
        )
    return content
