"""One at a time, between processes: a lock that the kernel releases when its holder ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from edgedeploy.files import unwritable
from edgedeploy.progress import SILENT, Progress


@contextlib.contextmanager
def exclusive(path: Path, what: str, progress: Progress = SILENT) -> Iterator[None]:
    """Hold the lock of `path` (a file beside it, `NAME.lock`); wait for another holder, saying so.

    Raises:
        HostError: the lock file cannot be made.
    """
    lock = path.with_name(f"{path.name}.lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("w")
    except OSError as error:
        raise unwritable(lock, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.note(f"waiting: another edgedeploy is {what}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
