"""The user's folders: home, and what the XDG Base Directory Specification puts in it.

https://specifications.freedesktop.org/basedir-spec/latest/
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from edgedeploy.foundation.errors import HostError

_XDG = {"XDG_CACHE_HOME": ".cache", "XDG_CONFIG_HOME": ".config", "XDG_DATA_HOME": ".local/share"}
"""Variables, and where in the home folder they are by default."""


def home_folder() -> Path:
    """Return `$HOME`, or, where that is no absolute path, what the list of users has.

    Raises:
        HostError: neither names one.
    """
    named = os.environ.get("HOME", "")
    if Path(named).is_absolute():
        return Path(named)
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        raise HostError(
            "this user has no home folder",
            why=f"HOME is no absolute path, and the list of users has no user {os.getuid()}",
            hint='export HOME="$PWD"',
        ) from None


def xdg_folder(variable: str) -> Path:
    """Return the folder that a variable of the specification names, or its default in the home folder.

    Args:
        variable: e.g. `"XDG_CACHE_HOME"`.

    Raises:
        HostError: the user has no home folder.
    """
    value = os.environ.get(variable, "")
    # The specification says that a relative path is to be ignored.
    return Path(value) if Path(value).is_absolute() else home_folder() / _XDG[variable]


def variable_of(path: Path) -> str | None:
    """Name the variable that moves `path` elsewhere, where it is in a folder of edgedeploy's own; None elsewhere."""
    return next((name for name in _XDG if path.is_relative_to(xdg_folder(name) / "edgedeploy")), None)
