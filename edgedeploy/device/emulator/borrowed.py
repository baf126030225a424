"""Boards that are up for as long as a process needs them, and go down after it even if it is killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from edgedeploy.device.emulator.state import board_folder, boards_folder

_SUFFIX = ".borrowed"


@contextlib.contextmanager
def borrowed(name: str) -> Iterator[None]:
    """Note, while the block lasts, that a board is up for this process only. The kernel forgets it with the process."""
    folder = board_folder(name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    mark = folder.with_name(f".{name}{_SUFFIX}")
    with mark.open("a") as file:
        # Another process may have the same board for itself too: whoever is last leaves the mark.
        fcntl.flock(file, fcntl.LOCK_SH)
        try:
            yield
        finally:
            mark.unlink(missing_ok=True)


def abandoned() -> Iterator[str]:
    """Yield the boards whose processes are gone without having shut them down; each is forgotten when it was dealt
    with."""
    for mark in sorted(boards_folder().glob(f".*{_SUFFIX}")):
        with contextlib.suppress(BlockingIOError, FileNotFoundError), mark.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), mark.stat()):
                yield mark.name.removeprefix(".").removesuffix(_SUFFIX)
                mark.unlink(missing_ok=True)
