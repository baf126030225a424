"""Refuse files and folders of this machine that other users can change or read, where that decides what is trusted.

The rules are OpenSSH's: what is trusted belongs to this user or to root, and nobody else can write it (a user's private
group is nobody else); a private key can be read by its owner only.
"""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import stat
from pathlib import Path

from edgedeploy.foundation.errors import EdgedeployError, HostError, InvalidFileError
from edgedeploy.foundation.reading import open_file

_GROUP_OR_OTHERS = 0o077


def require_own_folder(folder: Path) -> Path:
    """Refuse a folder that belongs to another user than this one or root, or that others can write.

    Returns:
        The folder, which need not be there.

    Raises:
        HostError: it is; the hint is the command that fixes it.
    """
    _require(folder, HostError)
    return folder


def require_own_file(path: Path) -> Path:
    """Refuse a file that belongs to another user than this one or root, or that others can write.

    Raises:
        InvalidFileError: it is; the hint is the command that fixes it.
    """
    _require(path, InvalidFileError)
    return path


def require_secret_file(path: Path) -> Path:
    """Refuse a private key of this user's that others can read or write. A public one, and no file at all, pass.

    Raises:
        InvalidFileError: they can; the hint is the command that fixes it.
    """
    try:
        found = path.stat()
        with open_file(path) as file:
            is_private = b"PRIVATE KEY" in file.readline(200)
    except OSError:
        return path  # whoever reads it says so
    if is_private and found.st_uid == os.getuid() and found.st_mode & _GROUP_OR_OTHERS:
        raise InvalidFileError(
            f"other users can read the private key {path}",
            why=f"its mode is {stat.S_IMODE(found.st_mode):04o}; ssh does not use such a key either",
            hint=shlex.join(["chmod", "600", str(path)]),
        )
    return path


def _require(path: Path, kind: type[EdgedeployError]) -> None:
    try:
        found = path.stat()
    except OSError:
        return  # not there, or not to be entered: whoever uses it says so
    if found.st_uid not in (os.getuid(), 0):
        raise kind(
            f"{path} belongs to another user",
            why=f"its owner is {_user_name(found.st_uid)}, who could change what is trusted here",
            hint=shlex.join(
                [*([] if os.getuid() == 0 else ["sudo"]), "chown", "-R", _user_name(os.getuid()), str(path)]
            ),
        )
    if _is_open(found):
        raise kind(
            f"{path} can be written by other users",
            why=f"its mode is {stat.S_IMODE(found.st_mode):04o}, and what is there is trusted",
            hint=shlex.join(["chmod", "go-w", str(path)]),
        )


def _is_open(found: os.stat_result) -> bool:
    if stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX:
        return False  # as /tmp is: nobody can replace what is another's
    if found.st_mode & stat.S_IWOTH:
        return True
    return bool(found.st_mode & stat.S_IWGRP) and not _is_private_group(found.st_gid, found.st_uid)


def _is_private_group(gid: int, uid: int) -> bool:
    """Tell whether a group is that of one user alone: it has the user's name, and no other member."""
    try:
        group, user = grp.getgrgid(gid), pwd.getpwuid(uid)
    except KeyError:
        return False
    return group.gr_name == user.pw_name and not set(group.gr_mem) - {user.pw_name}


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
