"""One at a time, between processes: a lock that the kernel releases when its holder ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path

from edgedeploy.foundation.errors import BusyError
from edgedeploy.foundation.files import unwritable
from edgedeploy.foundation.progress import SILENT, Progress

PATIENCE_S = 600.0
"""Longer than what a lock is held for: building an image over a slow network, and booting a board."""


@contextlib.contextmanager
def exclusive(path: Path, what: str, progress: Progress = SILENT, *, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Hold the lock of `path` (a hidden file beside it); wait for another holder, saying so.

    Args:
        what: what is done under the lock, for whoever waits: `"building an image"`.

    Raises:
        BusyError: another process holds it for longer than `patience_s`.
        HostError: the lock file cannot be made.
    """
    lock = path.with_name(f".{path.name}.lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("w")
    except OSError as error:
        raise unwritable(lock, error) from error
    with file:
        deadline = time.monotonic() + patience_s
        waiting = False
        while not _locked(file.fileno()):
            if not waiting:
                progress.note(f"waiting: another edgedeploy is {what}")
                waiting = True
            if time.monotonic() >= deadline:
                raise BusyError(f"another edgedeploy is {what}", why=f"it holds {lock}", hint="wait for it, or end it")
            time.sleep(0.1)
        yield


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
