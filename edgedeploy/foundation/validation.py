"""Validate names and paths from untrusted files before they are used."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from edgedeploy.foundation.errors import IntegrityError

NAME_PATTERN = "[a-z0-9][a-z0-9._-]{0,63}"
SHA256_PATTERN = "[0-9a-f]{64}"

_NAME = re.compile(NAME_PATTERN)
_PATH_LIMIT_BYTES = 1024
_SHA256 = re.compile(SHA256_PATTERN)


def is_name(name: str) -> bool:
    """Whether `name` may name a model, a version or a release: also a file name that needs no quoting anywhere."""
    return _NAME.fullmatch(name) is not None and ".." not in name


def is_sha256(text: str) -> bool:
    """Whether `text` is a SHA-256 as 64 lower-case hexadecimal digits."""
    return _SHA256.fullmatch(text) is not None


def is_relative_path(path: str) -> bool:
    """Whether `path` stays inside the folder that it is relative to, on every system, and is in its one normal form."""
    parts = path.split("/")
    return (
        path.isprintable()  # neither control characters nor surrogates
        and len(path.encode()) <= _PATH_LIMIT_BYTES
        and "\\" not in path
        and all(0 < len(part.encode()) <= 255 and part not in (".", "..") for part in parts)
        and str(PurePosixPath(path)) == path
    )


def check_name(name: str, what: str = "name") -> None:
    """Raise IntegrityError unless `is_name(name)`."""
    if not is_name(name):
        raise IntegrityError(
            f"{what} {name!r} is not allowed",
            why="allowed are lower-case letters, digits, - _ and single dots, at most 64, a letter or digit first",
        )


def check_relative_path(path: str) -> None:
    """Raise IntegrityError unless `is_relative_path(path)`."""
    if not is_relative_path(path):
        raise IntegrityError(
            f"path {path!r} is not allowed", why="it is absolute, leaves the folder, or is not printable"
        )


def check_sha256(text: str) -> None:
    """Raise IntegrityError unless `is_sha256(text)`."""
    if not is_sha256(text):
        raise IntegrityError(f"{text[:80]!r} is not a SHA-256")
