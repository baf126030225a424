"""Files that are whole or absent, and the digests that name them."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

from edgedeploy.foundation.errors import HostError, InvalidFileError
from edgedeploy.foundation.home import variable_of, xdg_folder
from edgedeploy.foundation.ownership import require_own_folder
from edgedeploy.foundation.reading import FileTooLargeError, NotRegularFileError, open_file
from edgedeploy.foundation.scratch import held, held_path, set_aside

_CHUNK_BYTES = 1 << 20


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's content, as 64 lower-case hexadecimal digits.

    Raises:
        InvalidFileError: the file is missing, a folder, or cannot be read.
    """
    try:
        with open_file(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> InvalidFileError:
    """The error for a file that cannot be read, in the user's words, with its full path."""
    path = path.absolute()
    if isinstance(error, FileNotFoundError):
        return InvalidFileError(f"{path} does not exist", hint="check the path")
    if isinstance(error, IsADirectoryError):
        return InvalidFileError(f"{path} is a folder; a file is expected", hint="name a file inside it")
    if isinstance(error, NotRegularFileError):
        return InvalidFileError(
            f"{path} is not a regular file", why=error.strerror or "", hint="save the content in a file, and name that"
        )
    if isinstance(error, FileTooLargeError):
        return InvalidFileError(
            f"{path} is too large for what it should be", why=error.strerror or "", hint="check the path"
        )
    hint = f"chmod u+r {shlex.quote(str(path))}" if isinstance(error, PermissionError) else ""
    return InvalidFileError(f"{path} cannot be read", why=error.strerror or str(error), hint=hint)


_FULL = (errno.ENOSPC, errno.EDQUOT)


def unwritable(path: Path, error: OSError) -> HostError:
    """The error for a file or folder that cannot be written, in the user's words."""
    variable = variable_of(path.absolute())
    elsewhere = f'export {variable}="$PWD"' if variable else "name another place"
    return HostError(
        f"{path} cannot be written",
        why=error.strerror or str(error),
        hint=f"free some space, or {elsewhere}" if error.errno in _FULL else elsewhere,
    )


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that a reader, or a power cut, sees the old file or the new one whole.

    Raises:
        HostError: the place cannot be written (no such folder, disk full, no permission, `path` is a folder).
    """
    with replacing_file(path) as temporary:
        temporary.write_bytes(content)


@contextlib.contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; when the block ends well, sync it and rename it onto `path`.

    When the block raises, the temporary file is removed and `path` is as it was.

    Raises:
        HostError: the place cannot be written, before, in or after the block.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "a folder of that name is in the way")
        if path.exists() and not path.is_file():
            # Renamed onto, /dev/null would be an ordinary file for everybody.
            raise OSError(errno.EINVAL, "it is a device or a pipe, and no file")
        taken = contextlib.ExitStack()
        temporary = taken.enter_context(held_path(path.parent, path.name, folder=False))
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        if not _is_about(error, temporary, path):
            raise
        raise unwritable(path, error) from error
    finally:
        taken.close()


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside `path`; when the block ends well, it takes the place of `path`.

    A folder cannot be renamed onto one that is not empty, so an old `path` is first moved aside: for an instant
    there is none, but never half of one.

    Raises:
        HostError: the place cannot be written, or `path` is a file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(20, "a file of that name is in the way")
        taken = contextlib.ExitStack()
        temporary = taken.enter_context(held_path(path.parent, path.name, folder=True))
    except OSError as error:
        raise unwritable(path, error) from error
    aside = set_aside(temporary)
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        for folder, _, names in os.walk(temporary):
            for name in names:
                file = Path(folder) / name
                if not file.is_symlink():
                    _sync(file)
            _sync(Path(folder))
        if path.exists():
            taken.enter_context(held(path))
            path.rename(aside)
        temporary.rename(path)
        _sync(path.parent)
    except OSError as error:
        if not _is_about(error, temporary, path):
            raise
        raise unwritable(path, error) from error
    finally:
        if aside.exists() and not path.exists():
            aside.rename(path)
        shutil.rmtree(aside, ignore_errors=True)
        taken.close()


def read_chunks(path: Path, *, offset: int = 0, size_bytes: int | None = None) -> Iterator[bytes]:
    """A file's content in pieces of at most 1 MiB: all of it, or at most `size_bytes` from `offset` on."""
    left = size_bytes
    try:
        with open_file(path) as file:
            file.seek(offset)
            while chunk := file.read(_CHUNK_BYTES if left is None else min(left, _CHUNK_BYTES)):
                yield chunk
                left = None if left is None else left - len(chunk)
    except OSError as error:
        raise unreadable(path, error) from error


def cache_folder() -> Path:
    """Where edgedeploy keeps what it can make again: `$XDG_CACHE_HOME/edgedeploy`, else `~/.cache/edgedeploy`.

    Raises:
        HostError: it belongs to another user, or others can write it. Programs in it are run.
    """
    return require_own_folder(xdg_folder("XDG_CACHE_HOME") / "edgedeploy")


def config_folder() -> Path:
    """Where the user keeps recipes and targets of their own: `$XDG_CONFIG_HOME/edgedeploy`."""
    return xdg_folder("XDG_CONFIG_HOME") / "edgedeploy"


def _is_about(error: OSError, temporary: Path, path: Path) -> bool:
    """Whether an error that was raised while a place is filled is about that place, not about a file that was read.

    A failed write to an open file (disk full) names no file.
    """
    if error.filename is None:
        return True
    named = Path(os.fsdecode(error.filename))
    return named.is_relative_to(temporary) or named in (path, path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value
