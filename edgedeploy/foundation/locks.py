"""One at a time, between processes: a lock that the kernel releases when its holder ends, however it ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from edgedeploy.foundation.errors import BusyError
from edgedeploy.foundation.files import unwritable
from edgedeploy.foundation.progress import SILENT, Progress

PATIENCE_S = 600.0
"""Longer than what a lock is held for: building an image over a slow network, and booting a board."""
_LOOK_S = 0.1


@contextlib.contextmanager
def exclusive(path: Path, what: str, progress: Progress = SILENT, *, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Hold the lock of `path` (a hidden file beside it); wait for another holder, saying so.

    Args:
        what: what is done under the lock, for whoever waits: `"building an image"`.
        patience_s: how long to wait, in seconds.

    Raises:
        BusyError: another process holds it for longer than `patience_s`.
        HostError: the lock file cannot be made.
    """
    file = path.with_name(f".{path.name}.lock")
    lock = FileLock(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=0)
        if not lock.is_locked:
            progress.note(f"waiting for another edgedeploy, which is {what}")
            lock.acquire(timeout=patience_s, poll_interval=_LOOK_S)
    except Timeout as error:
        raise BusyError(
            f"another edgedeploy is {what}", why=f"it holds {file}", hint="wait for it, or end it"
        ) from error
    except OSError as error:
        raise unwritable(file, error) from error
    try:
        yield
    finally:
        lock.release()
