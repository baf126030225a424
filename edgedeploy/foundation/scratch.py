"""Temporary files and folders that do not stay when their process is killed: the next run removes them.

Each is held by a lock (`flock`) on itself, which the kernel releases when its process ends, however it ends. What has
our mark in its name and is held by nobody is left over. No process ID is looked at: it may be another process's by now.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgedeploy.foundation.forced_end import at_forced_end

_MARK = ".edgedeploy-"
_NAME = re.compile(r"\.(?P<of>.+)\.edgedeploy-[a-z0-9_]{8}\.(?P<kind>partial|old)")


@contextlib.contextmanager
def held_path(parent: Path, of: str, *, folder: bool) -> Iterator[Path]:
    """Give a new, hidden file or folder in `parent`, and remove it when the block ends if it is still there.

    Left-over ones in `parent` are removed first.

    Args:
        of: what it is to become, or is for; it is in its name.

    Raises:
        OSError: it cannot be made.
    """
    _sweep_once(parent)
    path, handle = _new(parent, of, folder=folder)

    def remove() -> None:
        shutil.rmtree(path, ignore_errors=True) if folder else path.unlink(missing_ok=True)

    try:
        with at_forced_end(lambda _: remove()):
            yield path
    finally:
        remove()
        os.close(handle)


@contextlib.contextmanager
def scratch_folder(parent: Path | None = None) -> Iterator[Path]:
    """Give an empty folder that is removed when the block ends, or by a later run.

    Args:
        parent: is made if it is not there; by default the place for temporary files.

    Raises:
        OSError: it cannot be made.
    """
    place = parent or Path(tempfile.gettempdir())
    place.mkdir(parents=True, exist_ok=True)
    with held_path(place, "scratch", folder=True) as path:
        yield path


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep `path`, which exists, from being taken for left over while the block lasts."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _lock(handle)
        yield
    finally:
        os.close(handle)


def set_aside(temporary: Path) -> Path:
    """Return the name under which what `temporary` replaces is kept until it is in its place."""
    return temporary.with_suffix(".old")


def sweep(parent: Path) -> None:
    """Remove what killed processes left in `parent`. What they had set aside, and not replaced, goes back."""
    with contextlib.suppress(OSError):
        for path in sorted(parent.iterdir()):
            name = _NAME.fullmatch(path.name)
            if name is not None:
                _remove_unheld(path, parent / name["of"], is_old=name["kind"] == "old")


@functools.cache
def _sweep_once(parent: Path) -> None:
    """Sweep a folder the first time that this process writes there: it may be large."""
    sweep(parent)


def _remove_unheld(path: Path, of: Path, *, is_old: bool) -> None:
    with contextlib.suppress(OSError):
        if path.lstat().st_uid != os.geteuid():
            return
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_old and not of.exists():
                path.rename(of)
            elif path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        finally:
            os.close(handle)


def _new(parent: Path, of: str, *, folder: bool) -> tuple[Path, int]:
    while True:
        prefix = f".{of}{_MARK}"
        if folder:
            path = Path(tempfile.mkdtemp(dir=parent, prefix=prefix, suffix=".partial"))
        else:
            made, name = tempfile.mkstemp(dir=parent, prefix=prefix, suffix=".partial")
            os.close(made)
            path = Path(name)
        with contextlib.suppress(FileNotFoundError):
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            _lock(handle)
            # Between its making and the lock, a sweep may have found it held by nobody.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), path.stat()):
                    return path, handle
            os.close(handle)


def _lock(handle: int) -> None:
    # Some network file systems have no locks; a sweep gets none there either, and leaves everything as it is.
    with contextlib.suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX)
