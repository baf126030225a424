"""Models that were compiled into programs, kept on this machine under the SHA-256 of their files.

A program that a model became cannot be run here, and the device has no use for the model. To compare the two, `test`
takes it from here, or from the file that it is given.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from edgedeploy.foundation.files import cache_folder, write_bytes
from edgedeploy.foundation.reading import MODEL, read_file


def keep_model(sha256: str, content: bytes) -> None:
    """Keep a serialized model.

    Args:
        sha256: that the model is known by, of its external data too (`sha256_of_model`).
        content: the model in one piece; another file where it had external data or sparse tensors.

    Raises:
        HostError: the cache folder cannot be written.
    """
    if kept_model(sha256) is None:
        found = hashlib.sha256(content).hexdigest()
        write_bytes(_folder() / (sha256 if found == sha256 else f"{sha256}-{found}"), content)


def kept_model(sha256: str) -> bytes | None:
    """Return the model with that SHA-256, in one piece, if it was kept and is still itself."""
    for path in (_folder() / sha256, *sorted(_folder().glob(f"{sha256}-*"))):
        try:
            content = read_file(path, MODEL)
        except OSError:
            continue
        # The name ends with the content's own hash.
        if hashlib.sha256(content).hexdigest() == path.name.rpartition("-")[2]:
            return content
    return None


def _folder() -> Path:
    return cache_folder() / "models"
