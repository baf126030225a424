"""Models that were compiled into programs, kept on this machine under the SHA-256 of their files.

A program that a model became cannot be run here, and the device has no use for the model. To compare the two, `test`
takes it from here, or from the file that it is given.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from edgedeploy.foundation.files import cache_folder, write_bytes
from edgedeploy.foundation.reading import MODEL, read_file


def keep_model(content: bytes) -> None:
    """Keep a serialized model.

    Raises:
        HostError: the cache folder cannot be written.
    """
    sha256 = hashlib.sha256(content).hexdigest()
    if kept_model(sha256) is None:
        write_bytes(_place(sha256), content)


def kept_model(sha256: str) -> bytes | None:
    """Return the model with that SHA-256, if it was kept and is still itself."""
    try:
        content = read_file(_place(sha256), MODEL)
    except OSError:
        return None
    return content if hashlib.sha256(content).hexdigest() == sha256 else None


def _place(sha256: str) -> Path:
    return cache_folder() / "models" / sha256
