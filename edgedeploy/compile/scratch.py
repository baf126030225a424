"""Temporary folders for builds."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgedeploy.foundation.files import cache_folder


@contextlib.contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """Give an empty folder that is removed when the block ends.

    It lies in the cache folder, beside what is copied from there: the place for temporary files may be small.
    """
    parent = cache_folder() / "scratch"
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=prefix) as folder:
        yield Path(folder)
